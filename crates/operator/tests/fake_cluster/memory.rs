//! The memory of pods at rest and the digests of their files, in the autoscaler and in the status.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::json;
use springtide_api::ModelService;

use crate::{
    pods::serves,
    running::{settled, start, within},
    support::{Testbed, spec},
};

fn follows_memory(testbed: &Testbed) -> bool {
    let hpa = testbed.get::<HorizontalPodAutoscaler>().unwrap();
    let metrics = hpa["spec"]["metrics"].as_array().unwrap();
    let mut names = metrics
        .iter()
        .map(|metric| &metric["containerResource"]["name"]);
    names.any(|name| name == "memory")
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn digest(digit: &str) -> String {
    digit.repeat(64)
}

#[tokio::test]
async fn memory_without_headroom_is_not_followed_from_the_second_reconcile_on() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    assert!(follows_memory(&testbed));
    for (name, ip, at_rest) in [("iris-1", "10.0.0.1", 590), ("iris-2", "10.0.0.2", 596)] {
        testbed.pods.answer(ip, serves(&digest("a"), at_rest));
        testbed.add_serving_pod(name, ip);
    }
    testbed.pods_become_ready();
    testbed.reconcile().await.unwrap();
    let at_rest = |testbed: &Testbed| {
        let status = &testbed.get::<ModelService>().unwrap()["status"];
        status["model"]["memoryAtRestMebibytes"].clone()
    };
    assert_eq!(at_rest(&testbed), 596);
    testbed.reconcile().await.unwrap();
    assert!(!follows_memory(&testbed));
    testbed.converge().await;
    assert_eq!(
        testbed.condition("AutoscalingReady"),
        is("True", "MemoryNotFollowed")
    );

    // Nothing more is written, also by a restarted operator.
    let version = testbed.fake.version();
    for operator in [&testbed, &testbed.restarted()] {
        operator.reconcile().await.unwrap();
        assert_eq!(testbed.fake.version(), version);
    }

    let mut larger = spec("HPA");
    larger["server"] = json!({"resources": {"requests": {"memory": "1280Mi"}}});
    testbed.set_spec(&larger);
    testbed.converge().await;
    assert!(follows_memory(&testbed));
    assert_eq!(at_rest(&testbed), 596);
}

/// An HPA reads metrics every 15 s, and the first reading of a container is at least 10 s after its start.
#[tokio::test(start_paused = true)]
async fn the_running_operator_stops_following_memory_before_the_first_reading() {
    let testbed = Testbed::new();
    let running = start(&testbed).await;
    testbed.set_spec(&spec("HPA"));
    settled(&testbed).await;
    assert!(follows_memory(&testbed));
    testbed.pods.answer("10.0.0.1", serves(&digest("a"), 596));
    testbed.add_serving_pod("iris-1", "10.0.0.1");
    within(Duration::from_secs(4), "memory isn't followed", || {
        !follows_memory(&testbed)
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn pods_with_different_files_are_replaced_and_reported_until_they_serve_the_same() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    testbed.pods.answer("10.0.0.1", serves(&digest("a"), 50));
    testbed.pods.answer("10.0.0.2", serves(&digest("b"), 50));
    testbed.add_serving_pod("iris-1", "10.0.0.1");
    testbed.pods_become_ready();
    testbed.converge().await;
    assert_eq!(testbed.condition("Ready"), is("True", "Ready"));
    testbed.add_serving_pod("iris-2", "10.0.0.2");
    testbed.reconcile().await.unwrap();
    assert_eq!(
        testbed.condition("RolloutComplete"),
        is("False", "ModelsDiffer")
    );
    assert_eq!(testbed.condition("Ready"), is("False", "ModelsDiffer"));
    testbed.reconcile().await.unwrap();
    let template = testbed.get::<Deployment>().unwrap()["spec"]["template"].clone();
    let annotation = "/metadata/annotations/serving.springtide.dev~1replacement-sha256";
    assert_eq!(template.pointer(annotation), Some(&json!(digest("b"))));
    testbed.delete_pod("iris-1");
    testbed.pods_become_ready();
    testbed.converge().await;
    assert_eq!(testbed.condition("RolloutComplete"), is("True", "Complete"));
    assert_eq!(testbed.condition("Ready"), is("True", "Ready"));
}
