//! Pods that serve different models, because the content of the source was replaced in place.

use serde_json::json;
use springtide_api::{ModelService, ModelServiceStatus};
use springtide_contract::batching::{BatchingReason, BatchingStatus, ModelStatus, ServerStatus};
use springtide_plan::{Applied, Child, Observed, StatusReply, ValidatedModelService, desired};

use super::{deployed, healthy, no, unavailable, yes};
use crate::support::{
    condition, message, model_service, settings, status_after, status_of, validated, with_replies,
};

/// A server of the model whose file has this SHA-256, or one that doesn't report it.
fn serves(sha256: Option<&str>) -> StatusReply {
    StatusReply::Status(ServerStatus {
        memory: None,
        models: vec![ModelStatus {
            name: "iris".to_owned(),
            version: "1".to_owned(),
            sha256: sha256.map(ToOwned::to_owned),
            batching: BatchingStatus {
                enabled: true,
                reason: BatchingReason::Proven,
                message: "Rows are independent.".to_owned(),
            },
        }],
    })
}

fn digest(digit: &str) -> String {
    digit.repeat(64)
}

fn answered(replies: &[StatusReply]) -> (ValidatedModelService, Applied) {
    let (model_service, observed) = healthy();
    (model_service, with_replies(observed, replies))
}

fn status(answers: &[StatusReply], previous: Option<&ModelServiceStatus>) -> ModelServiceStatus {
    let (model_service, applied) = answered(answers);
    status_after(&model_service, &applied, previous)
}

#[test]
fn different_models_are_reported_with_the_remedy_and_are_not_ready() {
    let (a, b) = (digest("a"), digest("b"));
    let one = [serves(Some(&a)), serves(Some(&b)), serves(Some(&a))];
    let other = [serves(Some(&b)), serves(Some(&a))];
    let mixed = status(&one, None);
    assert_eq!(condition(&mixed, "RolloutComplete"), no("ModelsDiffer"));
    assert_eq!(condition(&mixed, "Ready"), no("ModelsDiffer"));
    assert_eq!(condition(&mixed, "ModelLoaded"), yes("Loaded"));
    let said = message(&mixed, "RolloutComplete");
    for part in [
        "configMap://iris/model.onnx was replaced in place",
        "(sha256 aaaaaaaaaaaa, bbbbbbbbbbbb)",
        "All pods are replaced",
        "set spec.model.sha256",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(message(&status(&other, None), "RolloutComplete"), said);
}

/// The result stays with the spec, so that later pods match the others.
#[test]
fn all_pods_of_a_config_map_are_replaced_for_the_newest_file() {
    let (a, b) = (digest("a"), digest("b"));
    let (mixed, applied) = answered(&[serves(Some(&a)), serves(Some(&b))]);
    let mut object = model_service(json!({"autoscaling": {"engine": "HPA"}}));
    object.status = Some(status_of(&mixed, &applied));
    let known = |object: &ModelService| object.status.clone().unwrap().model.unwrap();
    assert_eq!(known(&object).replacement_sha256, Some(b.clone()));
    let annotated = |object: &ModelService, observed: &Observed| {
        let validated = ValidatedModelService::try_from(object).unwrap();
        let plan = desired(&validated, observed, &settings());
        let deployment = plan.apply.into_iter().find_map(|child| match child {
            Child::Deployment(deployment) => Some(deployment),
            _ => None,
        });
        let template = deployment.unwrap().spec.unwrap().template.metadata.unwrap();
        template
            .annotations
            .unwrap()
            .get("serving.springtide.dev/replacement-sha256")
            .cloned()
    };
    assert_eq!(annotated(&object, applied.observed()), Some(b.clone()));

    // Once all of them serve it.
    let again = |object: &ModelService, replies: &[StatusReply]| {
        let validated = ValidatedModelService::try_from(object).unwrap();
        let applied = with_replies(applied.observed().clone(), replies);
        status_after(&validated, &applied, object.status.as_ref())
    };
    object.status = Some(again(&object, &[serves(Some(&b)), serves(Some(&b))]));
    assert_eq!(known(&object).replacement_sha256, Some(b.clone()));
    // The previous content again.
    object.status = Some(again(&object, &[serves(Some(&b)), serves(Some(&a))]));
    assert_eq!(known(&object).replacement_sha256, Some(a.clone()));
    object.spec.model.uri = Some("configMap://iris/another.onnx".to_owned());
    assert_eq!(annotated(&object, applied.observed()), None);
}

#[test]
fn pods_of_a_claim_are_not_replaced_and_the_command_is_reported() {
    let model_service = validated(json!({
        "model": {"uri": "pvc://models/iris.onnx"},
        "autoscaling": {"engine": "HPA"},
    }));
    let (_, observed) = healthy();
    let replies = [serves(Some(&digest("a"))), serves(Some(&digest("b")))];
    let status = status_of(&model_service, &with_replies(observed, &replies));
    assert_eq!(condition(&status, "RolloutComplete"), no("ModelsDiffer"));
    let said = message(&status, "RolloutComplete");
    assert!(
        said.contains("`kubectl rollout restart deployment iris`"),
        "{said}"
    );
    assert_eq!(status.model.unwrap().replacement_sha256, None);
}

#[test]
fn pods_of_one_model_and_servers_that_do_not_say_it_are_no_mixture() {
    let a = digest("a");
    for answers in [
        vec![],
        vec![serves(Some(&a)), serves(Some(&a))],
        vec![serves(Some(&a)), serves(None)],
        vec![
            serves(Some(&a)),
            StatusReply::Unreachable,
            StatusReply::Unreadable,
        ],
        // Invalid SHA-256 are ignored.
        vec![
            serves(Some(&a)),
            serves(Some("b")),
            serves(Some(&digest("B"))),
        ],
    ] {
        let status = status(&answers, None);
        assert_eq!(condition(&status, "RolloutComplete"), yes("Complete"));
        assert_eq!(condition(&status, "Ready"), yes("Ready"));
    }
}

#[test]
fn another_model_of_the_same_server_is_none_of_it() {
    let mut beside = serves(Some(&digest("b")));
    if let StatusReply::Status(server) = &mut beside {
        server.models[0].name = "other".to_owned();
    }
    let status = status(&[serves(Some(&digest("a"))), beside], None);
    assert_eq!(condition(&status, "RolloutComplete"), yes("Complete"));
}

#[test]
fn a_running_rollout_is_the_remedy() {
    let (model_service, observed) = deployed("HPA", unavailable());
    let replies = [serves(Some(&digest("a"))), serves(Some(&digest("b")))];
    let status = status_of(&model_service, &with_replies(observed, &replies));
    assert_eq!(condition(&status, "RolloutComplete"), no("RollingOut"));
}

#[test]
fn different_models_stay_reported_while_a_pod_is_unreachable() {
    let (a, b) = (digest("a"), digest("b"));
    let mixed = status(&[serves(Some(&a)), serves(Some(&b))], None);
    let still = status(&[serves(Some(&a)), StatusReply::Unreachable], Some(&mixed));
    assert_eq!(condition(&still, "RolloutComplete"), no("ModelsDiffer"));
    assert_eq!(
        message(&still, "RolloutComplete"),
        message(&mixed, "RolloutComplete")
    );
    let over = status(&[serves(Some(&b)), serves(Some(&b))], Some(&still));
    assert_eq!(condition(&over, "RolloutComplete"), yes("Complete"));
    let silent = status(&[serves(Some(&b)), StatusReply::Unreachable], Some(&over));
    assert_eq!(condition(&silent, "RolloutComplete"), yes("Complete"));
}
