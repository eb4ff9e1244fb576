//! `ModelLoaded`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use springtide_plan::Observed;

use super::{
    checksum_mismatch, container, deployed, fetch_failed, healthy, no, pod, serving, unavailable,
    unknown, yes,
};
use crate::support::{applied, at, condition, message, status_of, validated};

#[test]
fn a_model_that_cannot_be_fetched_is_reported_with_the_reason() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    for status in [
        fetch_failed(checksum_mismatch(), json!({})),
        fetch_failed(
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            checksum_mismatch(),
        ),
        // While the container retries, the last failure is the best information.
        fetch_failed(json!({"running": {}}), checksum_mismatch()),
    ] {
        observed.pods = vec![pod(&model_service, "a", status)];
        let status = status_of(&model_service, &observed);
        assert_eq!(condition(&status, "ModelLoaded"), no("ChecksumMismatch"));
        assert_eq!(message(&status, "ModelLoaded"), "expected aa, got bb");
        assert_eq!(condition(&status, "Ready"), no("ChecksumMismatch"));
        assert_eq!(
            message(&status, "Ready"),
            "ModelLoaded: expected aa, got bb"
        );
    }
}

/// The kubelet starts no container whose Secret is missing, and names it.
#[test]
fn a_secret_that_pods_wait_for_is_named() {
    let model_service = validated(json!({"model": {
        "uriFrom": {"secretKeyRef": {"name": "presigned", "key": "iris"}}, "sha256": "0f".repeat(32),
    }}));
    let waiting = |message: &str| {
        let waiting =
            json!({"waiting": {"reason": "CreateContainerConfigError", "message": message}});
        let observed = Observed {
            pods: vec![pod(&model_service, "a", fetch_failed(waiting, json!({})))],
            ..applied(&model_service, Observed::default())
        };
        status_of(&model_service, &observed)
    };
    for missing in [
        "secret \"presigned\" not found",
        "couldn't find key iris in Secret default/presigned",
    ] {
        let status = waiting(missing);
        assert_eq!(condition(&status, "ModelLoaded"), no("ModelNotFound"));
        assert_eq!(
            message(&status, "ModelLoaded"),
            format!(
                "{missing}. Create it: the pods start once it exists (spec.model.uriFrom: the URI is the key iris of the Secret presigned)"
            )
        );
    }
    // Objects of the environment, which don't concern the model.
    for missing in [
        "secret \"presigned-too\" not found",
        "configmap \"settings\" not found",
        "couldn't find key iris in ConfigMap default/presigned",
    ] {
        let status = waiting(missing);
        assert_eq!(condition(&status, "ModelLoaded"), unknown("Loading"));
        assert_eq!(
            message(&status, "WorkloadAvailable"),
            format!("Container fetch-model can't be started: {missing}.")
        );
    }
    // The message contains the pod's UID, which differs in the next reconcile.
    let with_uid =
        waiting("container has runAsNonRoot and image will run as root (pod: \"a_ml(4f2a)\")");
    assert!(!message(&with_uid, "WorkloadAvailable").contains("4f2a"));
}

/// The Secret's value may be no valid URI.
#[test]
fn a_uri_that_a_secret_has_is_reported_with_the_secret() {
    let model_service = validated(json!({"model": {
        "uriFrom": {"secretKeyRef": {"name": "presigned", "key": "iris"}}, "sha256": "0f".repeat(32),
    }}));
    let failed = |reason: &str| {
        let said = json!({"reason": reason, "message": "can't be read"}).to_string();
        let failed = json!({"terminated": {"exitCode": 1, "message": said}});
        let observed = Observed {
            pods: vec![pod(&model_service, "a", fetch_failed(failed, json!({})))],
            ..applied(&model_service, Observed::default())
        };
        status_of(&model_service, &observed)
    };
    let status = failed("ModelRefused");
    assert_eq!(condition(&status, "ModelLoaded"), no("ModelRefused"));
    assert_eq!(
        message(&status, "ModelLoaded"),
        "can't be read (spec.model.uriFrom: the URI is the key iris of the Secret presigned)"
    );
    let uri = status.model.unwrap().uri;
    assert_eq!(uri, "secret://presigned/iris");
    let of_the_disk = failed("StorageFailed");
    assert_eq!(message(&of_the_disk, "ModelLoaded"), "can't be read");
}

#[test]
fn a_model_that_the_server_cannot_load_is_reported_with_the_reason() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    let invalid = json!({"terminated": {
        "exitCode": 1, "message": r#"{"reason":"ModelInvalid","message":"no graph"}"#,
    }});
    let mut status = serving();
    status["containerStatuses"][0] = container(
        "server",
        false,
        json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        invalid,
    );
    observed.pods = vec![pod(&model_service, "a", status)];
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), no("ModelInvalid"));
}

/// The container writes any termination message, and only the kubelet bounds it.
#[test]
fn termination_messages_are_shown_on_one_bounded_line() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    let text = format!("\u{1b}[2Jno\r\n\u{202e}graph{}", "\u{2028}".repeat(2000));
    let said = json!({"reason": "ModelInvalid", "message": text}).to_string();
    let failed = json!({"terminated": {"exitCode": 1, "message": said}});
    observed.pods = vec![pod(&model_service, "a", fetch_failed(failed, json!({})))];
    let status = status_of(&model_service, &observed);
    for kind in ["ModelLoaded", "Ready"] {
        let message = message(&status, kind);
        assert!(
            message.contains("\u{fffd}[2Jno  \u{fffd}graph"),
            "{message}"
        );
        assert!(message.len() <= 2048, "{}", message.len());
        let raw =
            |character: char| character.is_control() || "\u{202e}\u{2028}".contains(character);
        assert!(!message.contains(raw), "{message:?}");
    }
    let events = springtide_plan::events(None, &status);
    assert!(events.iter().any(|event| event.reason == "ModelInvalid"));
    assert!(events.iter().all(|event| !event.message.contains('\u{1b}')));
}

#[test]
fn a_past_failure_is_not_reported() {
    let (model_service, mut observed) = healthy();
    let mut status = serving();
    status["initContainerStatuses"][0]["lastState"] = checksum_mismatch();
    status["containerStatuses"][0]["lastState"] = checksum_mismatch();
    observed.pods = vec![pod(&model_service, "a", status)];
    assert_eq!(
        condition(&status_of(&model_service, &observed), "ModelLoaded"),
        yes("Loaded")
    );
}

#[test]
fn an_invalid_model_is_reported_while_the_previous_one_serves() {
    let (former, mut observed) = healthy();
    let model_service = validated(json!({"model": {"uri": "configMap://iris/bad.onnx"}}));
    observed.pods = vec![
        pod(&former, "a", serving()),
        pod(
            &model_service,
            "b",
            fetch_failed(checksum_mismatch(), json!({})),
        ),
    ];
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), no("ChecksumMismatch"));
    assert_eq!(condition(&status, "WorkloadAvailable"), yes("Available"));
    assert_eq!(condition(&status, "Ready"), no("ChecksumMismatch"));
}

#[test]
fn one_pod_that_has_the_model_speaks_for_it_and_names_the_fault_of_another() {
    let (model_service, mut observed) = healthy();
    observed.pods.push(pod(
        &model_service,
        "0",
        fetch_failed(checksum_mismatch(), json!({})),
    ));
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), yes("Loaded"));
    assert_eq!(
        message(&status, "ModelLoaded"),
        "The model is loaded. Another pod fails with ChecksumMismatch: expected aa, got bb"
    );
    assert_eq!(condition(&status, "Ready"), yes("Ready"));
}

#[test]
fn dead_and_leaving_pods_say_nothing() {
    let (model_service, mut observed) = deployed("HPA", unavailable());
    let oom = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let mut failed = fetch_failed(checksum_mismatch(), json!({}));
    failed["phase"] = json!("Failed");
    let mut evicted = fetch_failed(oom.clone(), json!({}));
    evicted["phase"] = json!("Failed");
    let mut leaving = pod(&model_service, "c", fetch_failed(oom, json!({})));
    leaving.metadata.deletion_timestamp = Some(Time(at(0)));
    observed.pods = vec![
        pod(&model_service, "a", failed),
        pod(&model_service, "b", evicted),
        leaving,
    ];
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), unknown("Loading"));
    assert_eq!(condition(&status, "WorkloadAvailable"), no("Starting"));
}

#[test]
fn pods_of_the_previous_model_do_not_count() {
    let (former, mut observed) = healthy();
    let failed = pod(&former, "a", fetch_failed(checksum_mismatch(), json!({})));
    observed.pods = vec![failed, pod(&former, "b", serving())];
    let model_service = validated(json!({"model": {"uri": "configMap://iris/new.onnx"}}));
    let status = status_of(&model_service, &observed);
    assert_eq!(condition(&status, "ModelLoaded"), unknown("Loading"));
}
