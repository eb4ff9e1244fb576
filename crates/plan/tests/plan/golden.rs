//! Every example and its objects, as readable files.
//!
//! `UPDATE_GOLDEN=1 cargo test -p springtide-plan --test plan golden` rewrites them.

use std::{env, fs};

use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_plan::{ValidatedModelService, desired};

use crate::support::{UID, crate_path, settings, with_keda};

/// The examples with a ModelService, and what each of them shows.
const EXAMPLES: [(&str, &str); 10] = [
    ("iris", "horizontal-pod-autoscaler-on-cpu-and-memory"),
    ("digits", "scaled-object-on-serving-signals"),
    (
        "load-percent",
        "auto-becomes-a-scaled-object-on-offered-load",
    ),
    ("steady-behavior", "preset-with-a-tolerance-of-its-own"),
    ("office-hours", "schedule-lifts-the-minimum"),
    ("fixed-replicas", "no-autoscaler"),
    ("http-model", "model-fetched-over-https-with-checksum"),
    (
        "presigned-model",
        "only-the-fetching-container-sees-the-secret",
    ),
    ("pvc-model", "model-read-from-a-claim"),
    ("all-fields", "every-field-reaches-its-object"),
];

/// The ModelServices of a file, as if an API server had stored them.
fn model_services(file: &str) -> Vec<ModelService> {
    let text = fs::read_to_string(crate_path("../../examples").join(file)).unwrap();
    serde_saphyr::from_multiple::<Value>(&text)
        .unwrap()
        .into_iter()
        .filter(|document| document["kind"] == "ModelService")
        .map(|mut document| {
            let metadata = document["metadata"].as_object_mut().unwrap();
            metadata.entry("namespace").or_insert(json!("default"));
            metadata.insert("uid".to_owned(), json!(UID));
            serde_json::from_value(document).unwrap()
        })
        .collect()
}

/// The plan of a ModelService in an empty cluster with KEDA.
fn plan(model_service: &ModelService) -> String {
    let model_service = ValidatedModelService::try_from(model_service).unwrap();
    let desired = desired(&model_service, &with_keda(), &settings());
    let mut documents = desired
        .apply
        .iter()
        .map(|child| serde_saphyr::to_string(child).unwrap())
        .collect::<Vec<_>>();
    let replicas = desired.replicas.unwrap();
    let how = if replicas.force {
        "by force"
    } else {
        "unless another field manager has set them"
    };
    documents.push(format!(
        "# Applied after the Deployment by {}, {how}.\n{}",
        replicas.field_manager,
        serde_saphyr::to_string(&replicas.body(model_service.name())).unwrap(),
    ));
    documents.join("---\n")
}

#[test]
fn each_example_matches_its_golden_file() {
    let mut stale = Vec::new();
    for (example, intent) in EXAMPLES {
        let model_services = model_services(&format!("{example}.yaml"));
        assert_eq!(model_services.len(), 1, "{example}");
        let plan = plan(&model_services[0]);
        let golden = crate_path("tests/golden").join(format!("{example}.{intent}.yaml"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(golden.parent().unwrap()).unwrap();
            fs::write(&golden, &plan).unwrap();
        } else if fs::read_to_string(&golden).ok().as_deref() != Some(plan.as_str()) {
            stale.push(golden);
        }
    }
    assert!(
        stale.is_empty(),
        "these differ from the plan: {stale:#?}\n\
         Run `UPDATE_GOLDEN=1 cargo test -p springtide-plan --test plan golden` and look at `git diff`."
    );
}

#[test]
fn every_example_has_a_golden_file() {
    let mut without = Vec::new();
    for entry in fs::read_dir(crate_path("../../examples")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(example) = file.strip_suffix(".yaml") else {
            continue;
        };
        let is_listed = EXAMPLES.iter().any(|(listed, _)| *listed == example);
        if !is_listed && !model_services(&file).is_empty() {
            without.push(file);
        }
    }
    assert_eq!(without, Vec::<String>::new());
}
