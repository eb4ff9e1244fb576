//! Reports of pods about batching: `status.model`, the condition `BatchingSafe` and its event.

use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};
use springtide_api::{ModelService, ModelServiceStatus};
use springtide_contract::{
    batching::{BatchingReason, BatchingStatus, ModelStatus, ServerStatus},
    env,
};
use springtide_plan::{
    Applied, Child, Event, Observed, Severity, StatusReply, ValidatedModelService, desired, events,
    invalid_spec_status, pods_to_query,
};

use super::{container, healthy, no, pod, serving, unknown, yes};
use crate::support::{
    at, condition, message, model_service, requeue_at, settings, status_after, status_of,
    with_replies,
};

const FOUND: &str = "Output 0 of a row is 0.5 in a batch of 8 and 0.25 alone.";

fn said(reason: BatchingReason, message: &str) -> StatusReply {
    said_of("iris", reason, message)
}

fn said_of(name: &str, reason: BatchingReason, message: &str) -> StatusReply {
    StatusReply::Status(ServerStatus {
        memory: None,
        models: vec![ModelStatus {
            name: name.to_owned(),
            version: "1".to_owned(),
            sha256: None,
            batching: BatchingStatus {
                enabled: reason.enables(),
                reason,
                message: message.to_owned(),
            },
        }],
    })
}

fn proven() -> StatusReply {
    said(BatchingReason::Proven, "Rows are independent.")
}

/// A healthy ModelService whose pods have sent these replies.
fn answered(replies: &[StatusReply]) -> (ValidatedModelService, Applied) {
    let (model_service, observed) = healthy();
    (model_service, with_replies(observed, replies))
}

fn batching(status: &ModelServiceStatus) -> Value {
    let model = status.model.as_ref().unwrap();
    serde_json::to_value(&model.batching).unwrap()
}

fn mismatch(status: &ModelServiceStatus) -> Option<&str> {
    status.model.as_ref().unwrap().sentinel_mismatch.as_deref()
}

/// The next reconcile over a ModelService with this status and spec.
fn next(status: &ModelServiceStatus, spec: Value) -> ValidatedModelService {
    ValidatedModelService::try_from(&with_status(status, spec)).unwrap()
}

fn with_status(status: &ModelServiceStatus, spec: Value) -> ModelService {
    let mut model_service = model_service(spec);
    model_service.status = Some(status.clone());
    model_service
}

/// The batching mode of the pods.
fn told(model_service: &ValidatedModelService) -> Option<String> {
    desired(model_service, &Observed::default(), &settings())
        .apply
        .into_iter()
        .find_map(|child| match child {
            Child::Deployment(deployment) => deployment.spec?.template.spec,
            _ => None,
        })?
        .containers
        .into_iter()
        .flat_map(|container| container.env.unwrap_or_default())
        .find(|variable| variable.name == env::BATCHING_MODE)?
        .value
}

fn mode(mode: &str) -> Value {
    json!({"server": {"batching": {"mode": mode}}})
}

#[test]
fn pods_get_the_batching_mode_of_the_spec() {
    for (spec, value) in [
        (json!({}), "auto"),
        (mode("Auto"), "auto"),
        (mode("Always"), "always"),
        (mode("Never"), "never"),
    ] {
        let model_service = ValidatedModelService::try_from(&model_service(spec)).unwrap();
        assert_eq!(told(&model_service).as_deref(), Some(value));
    }
}

#[test]
fn pods_that_serve_the_model_are_queried_at_their_address() {
    let (model_service, mut observed) = healthy();
    let at_address = |name: &str, ip: &str| {
        let mut status = serving();
        status["podIP"] = json!(ip);
        pod(&model_service, name, status)
    };
    let mut starting = at_address("d", "10.0.0.4");
    starting.status.as_mut().unwrap().container_statuses =
        serde_json::from_value(json!([container(
            "server",
            false,
            json!({"running": {}}),
            json!({})
        ),]))
        .unwrap();
    let mut leaving = at_address("e", "10.0.0.5");
    leaving.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let mut former = at_address("f", "10.0.0.6");
    let annotations = former.metadata.annotations.get_or_insert_default();
    annotations.insert(
        "serving.springtide.dev/model-uri".to_owned(),
        "configMap://iris/former.onnx".to_owned(),
    );
    observed.pods = vec![
        at_address("c", "not an address"),
        at_address("b", "fd00::2"),
        at_address("a", "10.0.0.1"),
        pod(&model_service, "g", serving()),
        starting,
        leaving,
        former,
    ];
    let asked = |observed: &Observed| {
        pods_to_query(&model_service, observed)
            .into_iter()
            .map(|address| address.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(&observed), ["10.0.0.1:8000", "[fd00::2]:8000"]);

    observed.pods = (10..60)
        .map(|number| at_address(&format!("pod-{number}"), &format!("10.0.0.{number}")))
        .collect();
    let addresses = |numbers: &mut dyn Iterator<Item = i32>| {
        numbers
            .map(|number| format!("10.0.0.{number}:8000"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        asked(&observed),
        addresses(&mut (10..18).chain(52..60)),
        "without a time that tells the oldest and the newest, the first and the last by name"
    );
    // The oldest and the newest, whatever their names.
    for (pod, age) in observed
        .pods
        .iter_mut()
        .zip((0..50).map(|number| number * 7 % 50))
    {
        pod.metadata.creation_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(-age)),
        );
    }
    let mut by_age = (0..50).collect::<Vec<i32>>();
    by_age.sort_by_key(|number| -(number * 7 % 50));
    let ends = by_age[..8].iter().chain(&by_age[42..]);
    assert_eq!(
        asked(&observed),
        addresses(&mut ends.map(|number| number + 10))
    );

    observed.pods.truncate(16);
    assert_eq!(asked(&observed).len(), 16);
}

#[test]
fn requests_share_batches_where_they_do_in_every_pod() {
    let (model_service, applied) = answered(&[proven(), proven()]);
    let status = status_of(&model_service, &applied);
    assert_eq!(
        serde_json::to_value(&status.model).unwrap(),
        json!({
            "uri": "configMap://iris/model.onnx",
            "batching": {"enabled": true, "reason": "Proven", "message": "Rows are independent."},
        })
    );
    assert_eq!(condition(&status, "BatchingSafe"), yes("Proven"));
    assert_eq!(
        message(&status, "BatchingSafe"),
        "Requests share batches: Rows are independent."
    );

    let alone = said(BatchingReason::TrialImpossible, "It could not be tried.");
    for answers in [
        [proven(), alone.clone(), StatusReply::Unreachable],
        [alone.clone(), StatusReply::Unreadable, proven()],
    ] {
        let (model_service, applied) = answered(&answers);
        let status = status_of(&model_service, &applied);
        assert_eq!(
            batching(&status),
            json!({
                "enabled": false,
                "reason": "TrialImpossible",
                "message": "It could not be tried.",
            })
        );
        assert_eq!(condition(&status, "BatchingSafe"), yes("TrialImpossible"));
        assert_eq!(
            message(&status, "BatchingSafe"),
            "Each request runs alone: It could not be tried."
        );
        assert_eq!(mismatch(&status), None);
    }
}

#[test]
fn every_reason_of_a_server_becomes_a_condition() {
    for reason in BatchingReason::ALL {
        let (model_service, applied) = answered(&[said(reason, "Why.")]);
        let status = status_of(&model_service, &applied);
        let expected = match reason {
            BatchingReason::SentinelMismatch => no,
            _ => yes,
        };
        assert_eq!(condition(&status, "BatchingSafe"), expected(reason.name()));
        assert_eq!(condition(&status, "Ready"), yes("Ready"), "{reason:?}");
    }
}

#[test]
fn reports_about_other_models_do_not_count() {
    let other = said_of("other", BatchingReason::SentinelMismatch, FOUND);
    let (model_service, applied) = answered(&[other, proven()]);
    let status = status_of(&model_service, &applied);
    assert_eq!(condition(&status, "BatchingSafe"), yes("Proven"));
    assert_eq!(mismatch(&status), None);
}

#[test]
fn without_reports_batching_is_unknown() {
    for (answers, hint) in [
        (vec![], "ready"),
        (vec![StatusReply::Unreadable], "version"),
        (vec![StatusReply::Unreachable], "port 8000"),
        (
            vec![StatusReply::Unreadable, StatusReply::Unreachable],
            "port 8000",
        ),
    ] {
        let (model_service, applied) = answered(&answers);
        let status = status_of(&model_service, &applied);
        assert_eq!(batching(&status), Value::Null);
        assert_eq!(condition(&status, "BatchingSafe"), unknown("NotReported"));
        let message = message(&status, "BatchingSafe");
        assert!(message.contains(hint), "{message}");
        assert_eq!(condition(&status, "Ready"), yes("Ready"));
        let told = events(None, &status);
        assert!(told.iter().all(|event| event.action != "BatchingSafe"));
    }
}

#[test]
fn the_known_state_is_kept_while_a_pod_is_unreachable() {
    let (model_service, applied) = answered(&[proven()]);
    let before = status_of(&model_service, &applied);
    let after = |answers: &[StatusReply], before: &ModelServiceStatus| {
        let (model_service, applied) = answered(answers);
        status_after(&model_service, &applied, Some(before))
    };
    assert_eq!(after(&[StatusReply::Unreachable], &before), before);
    let hidden = after(&[StatusReply::Unreadable], &before);
    assert_eq!(batching(&hidden), Value::Null);
    let gone = after(&[], &before);
    assert_eq!(batching(&gone), Value::Null);
    // The state of a previous spec isn't used for the current one.
    let former = ModelServiceStatus {
        observed_generation: Some(0),
        ..before
    };
    assert_eq!(
        batching(&after(&[StatusReply::Unreachable], &former)),
        Value::Null
    );
}

#[test]
fn a_mismatch_speaks_for_all_and_is_one_event() {
    let found = said(BatchingReason::SentinelMismatch, FOUND);
    let later = said(BatchingReason::SentinelMismatch, "Output 1 differs.");
    let alone = said(BatchingReason::OneRow, "Batches of one row.");
    let before = {
        let (model_service, applied) = answered(&[proven()]);
        status_of(&model_service, &applied)
    };
    let mut seen = Vec::new();
    for answers in [
        vec![proven(), later.clone(), alone.clone(), found.clone()],
        vec![
            found.clone(),
            alone,
            StatusReply::Unreachable,
            later.clone(),
            proven(),
        ],
    ] {
        let (model_service, applied) = answered(&answers);
        let status = status_after(&model_service, &applied, Some(&before));
        assert_eq!(mismatch(&status), Some(FOUND));
        assert_eq!(
            batching(&status),
            json!({"enabled": false, "reason": "SentinelMismatch", "message": FOUND})
        );
        assert_eq!(condition(&status, "BatchingSafe"), no("SentinelMismatch"));
        assert_eq!(condition(&status, "Ready"), yes("Ready"));
        let told = events(Some(&before), &status);
        assert_eq!(
            told,
            [Event {
                severity: Severity::Warning,
                action: "BatchingSafe".to_owned(),
                reason: "SentinelMismatch".to_owned(),
                message: message(&status, "BatchingSafe"),
            }]
        );
        seen.push(status);
    }
    assert_eq!(seen[0], seen[1], "the order of the pods changes nothing");

    // A finding of another pod about another row changes nothing. Neither do pods that were configured not to batch.
    let never = said(BatchingReason::OwnerNever, "The owner says so.");
    for answers in [
        vec![later],
        vec![never],
        vec![StatusReply::Unreachable],
        vec![found],
    ] {
        let (_, applied) = answered(&answers);
        let model_service = next(&seen[0], json!({"autoscaling": {"engine": "HPA"}}));
        let status = status_after(&model_service, &applied, Some(&seen[0]));
        assert_eq!(status, seen[0], "{answers:?}");
    }
}

#[test]
fn a_mismatch_stays_until_the_model_changes() {
    let (model_service, applied) = answered(&[said(BatchingReason::SentinelMismatch, FOUND)]);
    assert_eq!(told(&model_service).as_deref(), Some("auto"));
    let found = status_of(&model_service, &applied);
    let sha256 =
        |digit: &str| json!({"uri": "configMap://iris/model.onnx", "sha256": digit.repeat(64)});

    let same = next(&found, json!({"server": {"workers": 3}}));
    assert_eq!(told(&same).as_deref(), Some("never"));
    let (_, nobody) = answered(&[]);
    let kept = status_after(&same, &nobody, Some(&found));
    assert_eq!(mismatch(&kept), Some(FOUND), "without a pod");
    assert_eq!(condition(&kept, "BatchingSafe"), no("SentinelMismatch"));
    assert_eq!(batching(&kept), Value::Null);

    let bad = with_status(&found, json!({"model": {"uri": "nowhere"}}));
    let invalid = ValidatedModelService::try_from(&bad).unwrap_err();
    let kept = invalid_spec_status(&bad, &invalid, Some(&found), at(1));
    assert_eq!(condition(&kept, "BatchingSafe"), unknown("InvalidSpec"));
    let again = next(&kept, json!({}));
    assert_eq!(told(&again).as_deref(), Some("never"), "after a bad spec");

    for model in [json!({"uri": "configMap://iris/other.onnx"}), sha256("a")] {
        let changed = next(&found, json!({"model": model}));
        assert_eq!(told(&changed).as_deref(), Some("auto"), "{model}");
        let status = status_after(&changed, &nobody, Some(&found));
        assert_eq!(mismatch(&status), None, "{model}");
        assert_eq!(condition(&status, "BatchingSafe"), unknown("NotReported"));
        // And it is found again in the other one.
        let (_, applied) = answered(&[said(BatchingReason::SentinelMismatch, "Another.")]);
        let status = status_after(&changed, &applied, Some(&status));
        assert_eq!(mismatch(&status), Some("Another."));
    }
}

#[test]
fn the_owners_word_is_not_overridden_by_a_mismatch() {
    let (model_service, applied) = answered(&[said(BatchingReason::SentinelMismatch, FOUND)]);
    let found = status_of(&model_service, &applied);
    for (name, value, reason, hint) in [
        (
            "Always",
            "always",
            BatchingReason::OwnerAlways,
            "still share batches",
        ),
        ("Never", "never", BatchingReason::OwnerNever, "is Never"),
    ] {
        let owner = next(&found, mode(name));
        assert_eq!(told(&owner).as_deref(), Some(value));
        let (_, applied) = answered(&[said(reason, "The owner says so.")]);
        let status = status_after(&owner, &applied, Some(&found));
        assert_eq!(
            batching(&status),
            json!({
                "enabled": reason.enables(),
                "reason": reason.name(),
                "message": "The owner says so.",
            })
        );
        assert_eq!(condition(&status, "BatchingSafe"), no("SentinelMismatch"));
        let message = message(&status, "BatchingSafe");
        assert!(
            message.starts_with(FOUND) && message.contains(hint),
            "{message}"
        );
        let back = next(&status, mode("Auto"));
        assert_eq!(told(&back).as_deref(), Some("never"));
    }
}

#[test]
fn pods_are_queried_again_while_a_mismatch_is_possible() {
    let (model_service, _) = healthy();
    let again = |model_service: &ValidatedModelService, answers: &[StatusReply], before| {
        let (_, applied) = answered(answers);
        let status = status_after(model_service, &applied, before);
        requeue_at(model_service, &applied, &status, at(0)).map(|at_| at_.duration_since(at(0)))
    };
    let seconds = |seconds| Some(SignedDuration::from_secs(seconds));
    let alone = said(BatchingReason::Dependent, "A scale of the whole batch.");
    let found = said(BatchingReason::SentinelMismatch, FOUND);
    for answers in [
        vec![],
        vec![alone.clone()],
        vec![StatusReply::Unreadable],
        vec![alone.clone(), StatusReply::Unreachable],
    ] {
        assert_eq!(again(&model_service, &answers, None), None, "{answers:?}");
    }
    // Memory at rest must be known for a memory target.
    assert_eq!(
        again(&model_service, &[StatusReply::Unreachable], None),
        seconds(5)
    );
    assert_eq!(again(&model_service, &[alone, proven()], None), seconds(45));
    // Pods that batch and are too busy to reply.
    let (_, applied) = answered(&[proven()]);
    let batches = status_of(&model_service, &applied);
    let silent = [StatusReply::Unreachable];
    assert_eq!(again(&model_service, &silent, Some(&batches)), seconds(45));
    // A result reaches the pods soon, and once.
    let found = [found];
    assert_eq!(again(&model_service, &found, None), seconds(1));
    let (model_service, applied) = answered(&found);
    let known = next(&status_of(&model_service, &applied), json!({}));
    assert_eq!(again(&known, &found, None), None);
}

#[test]
fn messages_fit_the_definition_of_the_status() {
    for reason in [BatchingReason::Proven, BatchingReason::SentinelMismatch] {
        let (model_service, applied) = answered(&[said(reason, &"ä".repeat(5000))]);
        let status = status_of(&model_service, &applied);
        let model = status.model.unwrap();
        let batching = model.batching.unwrap();
        for message in model.sentinel_mismatch.iter().chain([&batching.message]) {
            assert_eq!(*message, "ä".repeat(510) + "…");
        }
    }
}
