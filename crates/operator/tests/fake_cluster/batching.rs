//! What pods say of batches reaches the status, and what one of them found reaches the others.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, events::v1::Event};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_contract::{batching::BatchingReason, env};
use springtide_plan::StatusReply;
use springtide_testkit::ResourceType;
use tokio::time::sleep;

use crate::{
    controller::{settled, start, within},
    pods::{address, said},
    support::{NAMESPACE, World, spec},
};

const FOUND: &str = "Output 0 of a row is 0.5 in a batch of 8 and 0.25 alone.";

/// A ModelService of two pods, which serve.
async fn served() -> World {
    let world = World::new();
    world.set_spec(&spec("None"));
    world.converge().await;
    world.pods_become_ready();
    world.pod_serves("iris-1", "10.0.0.1");
    world.pod_serves("iris-2", "fd00::2");
    world
}

fn model(world: &World) -> Value {
    world.get::<ModelService>().unwrap()["status"]["model"].clone()
}

fn safe(world: &World) -> (String, String) {
    world.condition("BatchingSafe")
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// What pods are told.
fn told(world: &World) -> Value {
    let deployment = world.get::<Deployment>().unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap();
    let mut found = variables
        .iter()
        .filter(|variable| variable["name"] == env::BATCHING_MODE);
    found.next().unwrap()["value"].clone()
}

fn events_of(world: &World, reason: &str) -> usize {
    let events = world.fake.list(&ResourceType::of::<Event>());
    events
        .iter()
        .filter(|event| event["reason"] == reason)
        .count()
}

#[tokio::test]
async fn what_pods_say_is_the_status_and_is_written_once() {
    let world = served().await;
    for ip in ["10.0.0.1", "fd00::2"] {
        let answer = said(BatchingReason::Proven, "Rows are independent.");
        world.pods.answer(ip, answer);
    }
    world.converge().await;
    assert_eq!(
        model(&world),
        json!({
            "uri": "configMap://iris/model.onnx",
            "batching": {"enabled": true, "reason": "Proven", "message": "Rows are independent."},
        })
    );
    assert_eq!(safe(&world), is("True", "Proven"));
    let (version, snapshot) = (world.fake.version(), world.snapshot());
    let _ = world.pods.take_asked();
    world.pass().await.unwrap();
    assert_eq!(
        world.pods.take_asked(),
        [address("10.0.0.1"), address("fd00::2")]
    );
    assert_eq!(
        (world.fake.version(), world.snapshot()),
        (version, snapshot)
    );

    // One that is out of reach changes nothing, and one that is gone is asked no more.
    world.pods.answer("fd00::2", StatusReply::Unreachable);
    world.pass().await.unwrap();
    assert_eq!(world.fake.version(), version);
    world.pod_goes("iris-2");
    let _ = world.pods.take_asked();
    world.pass().await.unwrap();
    assert_eq!(world.pods.take_asked(), [address("10.0.0.1")]);
}

#[tokio::test]
async fn without_an_answer_there_is_no_such_status() {
    let world = World::new();
    world.set_spec(&spec("None"));
    world.converge().await;
    let unknown = is("Unknown", "NotReported");
    let only_the_model = json!({"uri": "configMap://iris/model.onnx"});
    assert_eq!(
        (model(&world), safe(&world)),
        (only_the_model.clone(), unknown.clone())
    );
    assert_eq!(world.pods.take_asked(), [], "no pod serves yet");

    let world = served().await;
    for answer in [StatusReply::Unreachable, StatusReply::Unreadable] {
        for ip in ["10.0.0.1", "fd00::2"] {
            world.pods.answer(ip, answer.clone());
        }
        world.converge().await;
        assert_eq!(
            (model(&world), safe(&world)),
            (only_the_model.clone(), unknown.clone())
        );
        assert_eq!(world.condition("RolloutComplete").0, "True");
        assert_ne!(world.condition("Ready").1, "NotReported");
    }
    assert_ne!(world.pods.take_asked(), []);
}

#[tokio::test]
async fn what_a_sentinel_found_is_one_event_and_holds_for_every_pod() {
    let world = served().await;
    world
        .pods
        .answer("10.0.0.1", said(BatchingReason::Proven, "Independent."));
    world
        .pods
        .answer("fd00::2", said(BatchingReason::SentinelMismatch, FOUND));
    assert_eq!(told(&world), "auto");
    world.converge().await;
    let batching = json!({"enabled": false, "reason": "SentinelMismatch", "message": FOUND});
    assert_eq!(model(&world)["batching"], batching);
    assert_eq!(model(&world)["sentinelMismatch"], FOUND);
    assert_eq!(safe(&world), is("False", "SentinelMismatch"));
    assert_eq!(told(&world), "never");
    assert_eq!(events_of(&world, "SentinelMismatch"), 1);

    // The new pods know nothing of it.
    for (former, new, ip) in [
        ("iris-1", "iris-3", "10.0.0.3"),
        ("iris-2", "iris-4", "10.0.0.4"),
    ] {
        world
            .pods
            .answer(ip, said(BatchingReason::OwnerNever, "The owner says so."));
        world.pod_serves(new, ip);
        world.pod_goes(former);
        world.pods_become_ready();
        world.converge().await;
        assert_eq!(model(&world)["batching"], batching);
    }
    assert_eq!(world.condition("Ready"), is("True", "Ready"));
    let version = world.fake.version();
    for operator in [&world, &world.restarted()] {
        operator.pass().await.unwrap();
        assert_eq!(world.fake.version(), version, "no loop of writes");
    }
    assert_eq!(events_of(&world, "SentinelMismatch"), 1);
    assert_eq!(told(&world), "never");

    let mut other = spec("None");
    other["model"]["uri"] = json!("configMap://iris/other.onnx");
    world.set_spec(&other);
    world.converge().await;
    assert_eq!(told(&world), "auto");
    assert_eq!(safe(&world), is("Unknown", "NotReported"));
    assert_eq!(model(&world), json!({"uri": "configMap://iris/other.onnx"}));
}

#[tokio::test]
async fn nothing_but_the_status_waits_for_a_pod() {
    let world = served().await;
    world.converge().await;
    world.pods.set_answering(false);
    let mut changed = spec("None");
    changed["server"] = json!({"workers": 3});
    world.set_spec(&changed);
    let pass = world.pass();
    let answering = async {
        while !world
            .get::<Deployment>()
            .unwrap()
            .to_string()
            .contains("WORKERS")
        {
            tokio::task::yield_now().await;
        }
        let observed = world.get::<ModelService>().unwrap()["status"]["observedGeneration"].clone();
        world.pods.set_answering(true);
        observed
    };
    let (pass, observed) = futures::join!(pass, answering);
    pass.unwrap();
    assert_eq!(observed, 1, "the status comes after the answers");
    let status = &world.get::<ModelService>().unwrap()["status"];
    assert_eq!(status["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_finding_is_seen_within_a_minute_and_pods_that_do_not_batch_are_left_alone() {
    let world = served().await;
    for ip in ["10.0.0.1", "fd00::2"] {
        world.pods.answer(
            ip,
            said(BatchingReason::TrialPassed, "No dependence found."),
        );
    }
    let running = start(&world).await;
    within(Duration::from_secs(10), "the first look", || {
        safe(&world) == is("True", "TrialPassed")
    })
    .await;
    sleep(Duration::from_secs(1000)).await;
    world
        .pods
        .answer("10.0.0.1", said(BatchingReason::SentinelMismatch, FOUND));
    within(Duration::from_secs(60), "the result", || {
        safe(&world) == is("False", "SentinelMismatch")
    })
    .await;
    within(Duration::from_secs(10), "the pods told", || {
        told(&world) == "never"
    })
    .await;
    for ip in ["10.0.0.1", "fd00::2"] {
        world
            .pods
            .answer(ip, said(BatchingReason::OwnerNever, "The owner says so."));
    }
    settled(&world).await;
    // The last look at what batched is over by then; the next one is at everything, after ten minutes.
    sleep(Duration::from_secs(60)).await;
    let _ = world.pods.take_asked();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.pods.take_asked(), []);
    running.stop().await;
}

/// More than the API server gives in one answer, of which the last alone serves.
#[tokio::test]
async fn pods_are_read_page_by_page() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    for number in 0..250 {
        let name = format!("iris-0-{number:05}");
        world.pod_serves(&name, "10.0.0.1");
        let idle = json!({"status": {"containerStatuses": [], "podIP": null}});
        let pods = ResourceType::of::<Pod>();
        world.fake.edit(&pods, NAMESPACE, &name, "kubelet", &idle);
    }
    world.pod_serves("iris-0-zzzzz", "10.0.0.2");
    world.pass().await.unwrap();
    assert_eq!(world.pods.take_asked(), [address("10.0.0.2")]);
    let pages = world
        .fake
        .take_calls()
        .into_iter()
        .filter(|call| call.path.ends_with("/pods") && call.query.contains("limit=100"))
        .filter(|call| call.query.contains("continue="))
        .count();
    assert_eq!(pages, 2);
}
