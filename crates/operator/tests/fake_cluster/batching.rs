//! The batching status of pods reaches the status of the ModelService, and a finding of one pod reaches the others.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, events::v1::Event};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_contract::{batching::BatchingReason, env};
use springtide_plan::StatusReply;
use springtide_testkit::ResourceType;
use tokio::time::sleep;

use crate::{
    pods::{address, said},
    running::{settled, start, within},
    support::{NAMESPACE, Testbed, spec},
};

const FOUND: &str = "Output 0 of a row is 0.5 in a batch of 8 and 0.25 alone.";

/// A ModelService with two serving pods.
async fn served() -> Testbed {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    testbed.pods_become_ready();
    testbed.add_serving_pod("iris-1", "10.0.0.1");
    testbed.add_serving_pod("iris-2", "fd00::2");
    testbed
}

fn model(testbed: &Testbed) -> Value {
    testbed.get::<ModelService>().unwrap()["status"]["model"].clone()
}

fn batching_safe(testbed: &Testbed) -> (String, String) {
    testbed.condition("BatchingSafe")
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// The batching mode in the pods' environment.
fn batching_mode(testbed: &Testbed) -> Value {
    let deployment = testbed.get::<Deployment>().unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap();
    let mut found = variables
        .iter()
        .filter(|variable| variable["name"] == env::BATCHING_MODE);
    found.next().unwrap()["value"].clone()
}

fn events_of(testbed: &Testbed, reason: &str) -> usize {
    let events = testbed.fake.list(&ResourceType::of::<Event>());
    events
        .iter()
        .filter(|event| event["reason"] == reason)
        .count()
}

#[tokio::test]
async fn replies_of_pods_are_in_the_status_and_are_written_once() {
    let testbed = served().await;
    for ip in ["10.0.0.1", "fd00::2"] {
        let answer = said(BatchingReason::Proven, "Rows are independent.");
        testbed.pods.answer(ip, answer);
    }
    testbed.converge().await;
    assert_eq!(
        model(&testbed),
        json!({
            "uri": "configMap://iris/model.onnx",
            "batching": {"enabled": true, "reason": "Proven", "message": "Rows are independent."},
        })
    );
    assert_eq!(batching_safe(&testbed), is("True", "Proven"));
    let (version, snapshot) = (testbed.fake.version(), testbed.snapshot());
    let _ = testbed.pods.take_asked();
    testbed.reconcile().await.unwrap();
    assert_eq!(
        testbed.pods.take_asked(),
        [address("10.0.0.1"), address("fd00::2")]
    );
    assert_eq!(
        (testbed.fake.version(), testbed.snapshot()),
        (version, snapshot)
    );

    // An unreachable pod changes nothing, and a pod that is gone is no longer queried.
    testbed.pods.answer("fd00::2", StatusReply::Unreachable);
    testbed.reconcile().await.unwrap();
    assert_eq!(testbed.fake.version(), version);
    testbed.delete_pod("iris-2");
    let _ = testbed.pods.take_asked();
    testbed.reconcile().await.unwrap();
    assert_eq!(testbed.pods.take_asked(), [address("10.0.0.1")]);
}

#[tokio::test]
async fn without_a_reply_there_is_no_batching_status() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    let unknown = is("Unknown", "NotReported");
    let only_the_model = json!({"uri": "configMap://iris/model.onnx"});
    assert_eq!(
        (model(&testbed), batching_safe(&testbed)),
        (only_the_model.clone(), unknown.clone())
    );
    assert_eq!(testbed.pods.take_asked(), [], "no pod serves yet");

    let testbed = served().await;
    for answer in [StatusReply::Unreachable, StatusReply::Unreadable] {
        for ip in ["10.0.0.1", "fd00::2"] {
            testbed.pods.answer(ip, answer.clone());
        }
        testbed.converge().await;
        assert_eq!(
            (model(&testbed), batching_safe(&testbed)),
            (only_the_model.clone(), unknown.clone())
        );
        assert_eq!(testbed.condition("RolloutComplete").0, "True");
        assert_ne!(testbed.condition("Ready").1, "NotReported");
    }
    assert_ne!(testbed.pods.take_asked(), []);
}

#[tokio::test]
async fn a_finding_of_a_sentinel_is_one_event_and_applies_to_every_pod() {
    let testbed = served().await;
    testbed
        .pods
        .answer("10.0.0.1", said(BatchingReason::Proven, "Independent."));
    testbed
        .pods
        .answer("fd00::2", said(BatchingReason::SentinelMismatch, FOUND));
    assert_eq!(batching_mode(&testbed), "auto");
    testbed.converge().await;
    let batching = json!({"enabled": false, "reason": "SentinelMismatch", "message": FOUND});
    assert_eq!(model(&testbed)["batching"], batching);
    assert_eq!(model(&testbed)["sentinelMismatch"], FOUND);
    assert_eq!(batching_safe(&testbed), is("False", "SentinelMismatch"));
    assert_eq!(batching_mode(&testbed), "never");
    assert_eq!(events_of(&testbed, "SentinelMismatch"), 1);

    // The new pods have not found it themselves.
    for (former, new, ip) in [
        ("iris-1", "iris-3", "10.0.0.3"),
        ("iris-2", "iris-4", "10.0.0.4"),
    ] {
        testbed
            .pods
            .answer(ip, said(BatchingReason::OwnerNever, "The owner says so."));
        testbed.add_serving_pod(new, ip);
        testbed.delete_pod(former);
        testbed.pods_become_ready();
        testbed.converge().await;
        assert_eq!(model(&testbed)["batching"], batching);
    }
    assert_eq!(testbed.condition("Ready"), is("True", "Ready"));
    let version = testbed.fake.version();
    for operator in [&testbed, &testbed.restarted()] {
        operator.reconcile().await.unwrap();
        assert_eq!(testbed.fake.version(), version, "a repeated write");
    }
    assert_eq!(events_of(&testbed, "SentinelMismatch"), 1);
    assert_eq!(batching_mode(&testbed), "never");

    let mut other = spec("None");
    other["model"]["uri"] = json!("configMap://iris/other.onnx");
    testbed.set_spec(&other);
    testbed.converge().await;
    assert_eq!(batching_mode(&testbed), "auto");
    assert_eq!(batching_safe(&testbed), is("Unknown", "NotReported"));
    assert_eq!(
        model(&testbed),
        json!({"uri": "configMap://iris/other.onnx"})
    );
}

#[tokio::test]
async fn only_the_status_waits_for_the_reply_of_a_pod() {
    let testbed = served().await;
    testbed.converge().await;
    testbed.pods.set_answering(false);
    let mut changed = spec("None");
    changed["server"] = json!({"workers": 3});
    testbed.set_spec(&changed);
    let reconcile = testbed.reconcile();
    let answering = async {
        while !testbed
            .get::<Deployment>()
            .unwrap()
            .to_string()
            .contains("WORKERS")
        {
            tokio::task::yield_now().await;
        }
        let observed =
            testbed.get::<ModelService>().unwrap()["status"]["observedGeneration"].clone();
        testbed.pods.set_answering(true);
        observed
    };
    let (result, observed) = futures::join!(reconcile, answering);
    result.unwrap();
    assert_eq!(observed, 1, "the status is written after the replies");
    let status = &testbed.get::<ModelService>().unwrap()["status"];
    assert_eq!(status["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_finding_is_noticed_within_a_minute_and_pods_without_batching_are_not_queried() {
    let testbed = served().await;
    for ip in ["10.0.0.1", "fd00::2"] {
        testbed.pods.answer(
            ip,
            said(BatchingReason::TrialPassed, "No dependence found."),
        );
    }
    let running = start(&testbed).await;
    within(Duration::from_secs(10), "the first query", || {
        batching_safe(&testbed) == is("True", "TrialPassed")
    })
    .await;
    sleep(Duration::from_secs(1000)).await;
    testbed
        .pods
        .answer("10.0.0.1", said(BatchingReason::SentinelMismatch, FOUND));
    within(Duration::from_secs(60), "the result", || {
        batching_safe(&testbed) == is("False", "SentinelMismatch")
    })
    .await;
    within(Duration::from_secs(10), "the new batching mode", || {
        batching_mode(&testbed) == "never"
    })
    .await;
    for ip in ["10.0.0.1", "fd00::2"] {
        testbed
            .pods
            .answer(ip, said(BatchingReason::OwnerNever, "The owner says so."));
    }
    settled(&testbed).await;
    // The last query of pods that batched is over by then. The next one is at the resync, after ten minutes.
    sleep(Duration::from_secs(60)).await;
    let _ = testbed.pods.take_asked();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(testbed.pods.take_asked(), []);
    running.stop().await;
}

/// More pods than a page has. Only the last one serves.
#[tokio::test]
async fn pods_are_read_page_by_page() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    for number in 0..250 {
        let name = format!("iris-0-{number:05}");
        testbed.add_serving_pod(&name, "10.0.0.1");
        let idle = json!({"status": {"containerStatuses": [], "podIP": null}});
        let pods = ResourceType::of::<Pod>();
        testbed.fake.edit(&pods, NAMESPACE, &name, "kubelet", &idle);
    }
    testbed.add_serving_pod("iris-0-zzzzz", "10.0.0.2");
    testbed.reconcile().await.unwrap();
    assert_eq!(testbed.pods.take_asked(), [address("10.0.0.2")]);
    let pages = testbed
        .fake
        .take_calls()
        .into_iter()
        .filter(|call| call.path.ends_with("/pods") && call.query.contains("limit=100"))
        .filter(|call| call.query.contains("continue="))
        .count();
    assert_eq!(pages, 2);
}
