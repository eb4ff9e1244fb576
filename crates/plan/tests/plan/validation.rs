//! Specs that an older CRD may have allowed.

use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_plan::{Invalid, ValidatedModelService, invalid_spec_status, last_valid_status};

use crate::support::{
    at, condition, message, model_service, status_after, status_of, with_engine, with_keda,
};

fn error(spec: Value) -> String {
    ValidatedModelService::try_from(&model_service(spec))
        .unwrap_err()
        .to_string()
}

#[test]
fn errors_name_the_field() {
    for (field, spec) in [
        (
            "spec.model.uri",
            json!({"model": {"uri": "s3://bucket/key"}}),
        ),
        (
            "spec.model.uri",
            json!({"model": {"uri": "https://example.com/x?X-Amz-Signature=0f", "sha256": "0f".repeat(32)}}),
        ),
        ("spec.model", json!({"model": {"sha256": "0f".repeat(32)}})),
        (
            "spec.model.uriFrom.secretKeyRef",
            json!({"model": {"uriFrom": {"secretKeyRef": {"name": "a/b", "key": "c"}}}}),
        ),
        (
            "spec.model.sha256",
            json!({"model": {"uriFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}}),
        ),
        (
            "spec.model.sha256",
            json!({"model": {"uri": "configMap://a/b", "sha256": "0F"}}),
        ),
        (
            "spec.model.sha256",
            json!({"model": {"uri": "https://example.com/x"}}),
        ),
        ("spec.replicas", json!({"replicas": 3})),
        ("spec.replicas", json!({"autoscaling": {"engine": "None"}})),
        (
            "spec.replicas",
            json!({"replicas": -1, "autoscaling": {"engine": "None"}}),
        ),
        (
            "spec.autoscaling.minReplicas",
            json!({"autoscaling": {"minReplicas": 0}}),
        ),
        (
            "spec.autoscaling.minReplicas",
            json!({"autoscaling": {"minReplicas": 21, "maxReplicas": 20}}),
        ),
        (
            "spec.autoscaling.maxReplicas",
            json!({"autoscaling": {"maxReplicas": 1001}}),
        ),
        (
            "spec.autoscaling.targets.cpuUtilizationPercent",
            json!({"autoscaling": {"targets": {"cpuUtilizationPercent": 0}}}),
        ),
        (
            "spec.autoscaling.targets.memoryUtilizationPercent",
            json!({"autoscaling": {"targets": {"memoryUtilizationPercent": 0}}}),
        ),
        (
            "spec.autoscaling.targets.requestsPerSecond",
            json!({"autoscaling": {"engine": "KEDA", "targets": {"requestsPerSecond": 0}}}),
        ),
        (
            "spec.autoscaling.targets.queueSize",
            json!({"autoscaling": {"engine": "KEDA", "targets": {"queueSize": 0}}}),
        ),
        (
            "spec.autoscaling.targets.p95LatencyMilliseconds",
            json!({"autoscaling": {"engine": "KEDA", "targets": {"p95LatencyMilliseconds": 0}}}),
        ),
        (
            "spec.autoscaling.targets.concurrency",
            json!({"autoscaling": {"targets": {"concurrency": 1_000_001}}}),
        ),
        (
            "spec.autoscaling.targets.loadPercent",
            json!({"autoscaling": {"targets": {"loadPercent": 1001}}}),
        ),
        (
            "spec.server.batching.maxBatchRows",
            json!({"server": {"batching": {"maxBatchRows": 0}}}),
        ),
        (
            "spec.server.batching.maxWaitMilliseconds",
            json!({"server": {"batching": {"maxWaitMilliseconds": -1}}}),
        ),
        (
            "spec.server.maxQueueRows",
            json!({"server": {"maxQueueRows": 0}}),
        ),
        (
            "spec.server.requestTimeoutMilliseconds",
            json!({"server": {"requestTimeoutMilliseconds": -5}}),
        ),
        (
            "spec.server.latencyObjectiveMilliseconds",
            json!({"server": {"latencyObjectiveMilliseconds": -1}}),
        ),
        ("spec.server.workers", json!({"server": {"workers": 0}})),
    ] {
        let error = error(spec);
        assert!(error.starts_with(field), "{field}: {error}");
    }
}

#[test]
fn names_that_no_child_could_have_are_refused() {
    for name in ["", "Iris", "1iris", "iris-", "iris.v1", &"a".repeat(55)] {
        let mut model_service = model_service(json!({}));
        model_service.metadata.name = Some(name.to_owned());
        assert_eq!(
            ValidatedModelService::try_from(&model_service),
            Err(Invalid::Name),
            "{name}"
        );
    }
}

#[test]
fn metadata_that_an_api_server_always_sets_is_required() {
    let without = |remove: fn(&mut ModelService)| {
        let mut model_service = model_service(json!({}));
        remove(&mut model_service);
        ValidatedModelService::try_from(&model_service).unwrap_err()
    };
    assert_eq!(
        without(|it| it.metadata.name = None),
        Invalid::Missing("metadata.name")
    );
    assert_eq!(
        without(|it| it.metadata.namespace = None),
        Invalid::Missing("metadata.namespace")
    );
    assert_eq!(
        without(|it| it.metadata.uid = None),
        Invalid::Missing("metadata.uid")
    );
}

/// Only for a named engine. What Auto resolves to depends on the cluster, and the costs must not.
#[test]
fn the_greatest_number_of_pods_depends_on_the_engine() {
    let observed = with_keda();
    let max_replicas = |engine| {
        let model_service = with_engine(engine);
        let active = model_service.scaling().resolve(&observed);
        active.max_replicas(&observed)
    };
    assert_eq!(["Auto", "HPA", "KEDA"].map(max_replicas), [20, 20, 50]);
}

#[test]
fn the_last_valid_spec_stays_in_force_and_its_status_says_so() {
    let schedules = |timezone: &str| {
        let schedule = json!({
            "name": "day", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "minReplicas": 4,
            "timezone": timezone,
        });
        json!({"autoscaling": {"engine": "HPA", "schedules": [schedule]}})
    };
    let valid = model_service(schedules("Europe/Berlin"));
    let before = status_of(
        &ValidatedModelService::try_from(&valid).unwrap(),
        &with_keda(),
    );
    let mut newer = model_service(schedules("Europe/Atlantis"));
    newer.metadata.generation = Some(2);
    let invalid = ValidatedModelService::try_from(&newer).unwrap_err();
    assert_eq!(ValidatedModelService::from_last_valid(&newer), None);
    newer.status = Some(before.clone());
    let last_valid = ValidatedModelService::from_last_valid(&newer).unwrap();
    assert_eq!(last_valid, {
        let mut kept = valid.clone();
        kept.status = Some(before.clone());
        ValidatedModelService::try_from(&kept).unwrap()
    });

    let judged = status_after(&last_valid, &with_keda(), Some(&before));
    let status = last_valid_status(judged.clone(), &newer, &invalid, Some(&before), at(1));
    assert_eq!(
        condition(&status, "Ready"),
        ("False".to_owned(), "InvalidSpec".to_owned())
    );
    let ready = message(&status, "Ready");
    assert!(ready.contains("schedules[0].timezone"), "{ready}");
    assert!(
        ready.contains("The last valid spec, generation 1, stays in effect."),
        "{ready}"
    );
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(status.conditions[0].observed_generation, Some(2));
    assert_eq!(status.conditions[1..], judged.conditions[1..]);
    assert_eq!(status.last_valid, before.last_valid);
    assert_eq!(
        last_valid_status(judged, &newer, &invalid, Some(&status), at(9)),
        status
    );
}

#[test]
fn the_status_of_an_invalid_spec_has_the_error_and_keeps_the_rest() {
    let model_service = model_service(json!({"replicas": 3}));
    let invalid = ValidatedModelService::try_from(&model_service).unwrap_err();
    let previous = springtide_api::ModelServiceStatus {
        replicas: Some(4),
        ..springtide_api::ModelServiceStatus::default()
    };
    let status = invalid_spec_status(&model_service, &invalid, Some(&previous), at(0));
    assert_eq!(
        condition(&status, "Ready"),
        ("False".to_owned(), "InvalidSpec".to_owned())
    );
    assert!(message(&status, "Ready").starts_with("spec.replicas"));
    assert_eq!(condition(&status, "ModelLoaded").0, "Unknown");
    assert_eq!(status.replicas, Some(4));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(
        invalid_spec_status(&model_service, &invalid, Some(&status), at(9)),
        status
    );
}
