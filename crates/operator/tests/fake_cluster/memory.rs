//! What pods take at rest, and which file they serve, reaches the autoscaler and the status.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::json;
use springtide_api::ModelService;

use crate::{
    controller::{settled, start, within},
    pods::serves,
    support::{World, spec},
};

fn follows_memory(world: &World) -> bool {
    let hpa = world.get::<HorizontalPodAutoscaler>().unwrap();
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
async fn memory_without_room_is_followed_no_more_from_the_second_pass_on() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    assert!(follows_memory(&world));
    for (name, ip, at_rest) in [("iris-1", "10.0.0.1", 590), ("iris-2", "10.0.0.2", 596)] {
        world.pods.answer(ip, serves(&digest("a"), at_rest));
        world.pod_serves(name, ip);
    }
    world.pods_become_ready();
    world.pass().await.unwrap();
    let at_rest = |world: &World| {
        let status = &world.get::<ModelService>().unwrap()["status"];
        status["model"]["memoryAtRestMebibytes"].clone()
    };
    assert_eq!(at_rest(&world), 596);
    world.pass().await.unwrap();
    assert!(!follows_memory(&world));
    world.converge().await;
    assert_eq!(
        world.condition("AutoscalingReady"),
        is("True", "MemoryNotFollowed")
    );

    // Nothing is written any more, nor by an operator that starts anew.
    let version = world.fake.version();
    for operator in [&world, &world.restarted()] {
        operator.pass().await.unwrap();
        assert_eq!(world.fake.version(), version);
    }

    let mut larger = spec("HPA");
    larger["server"] = json!({"resources": {"requests": {"memory": "1280Mi"}}});
    world.set_spec(&larger);
    world.converge().await;
    assert!(follows_memory(&world));
    assert_eq!(at_rest(&world), 596);
}

/// An HPA looks every 15 s, and a container's first reading comes 10 s after its start at the earliest.
#[tokio::test(start_paused = true)]
async fn the_running_operator_is_faster_than_the_first_reading() {
    let world = World::new();
    let running = start(&world).await;
    world.set_spec(&spec("HPA"));
    settled(&world).await;
    assert!(follows_memory(&world));
    world.pods.answer("10.0.0.1", serves(&digest("a"), 596));
    world.pod_serves("iris-1", "10.0.0.1");
    within(Duration::from_secs(4), "memory isn't followed", || {
        !follows_memory(&world)
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn pods_that_serve_different_files_are_made_anew_and_it_is_said_until_they_serve_one() {
    let world = World::new();
    world.set_spec(&spec("None"));
    world.converge().await;
    world.pods.answer("10.0.0.1", serves(&digest("a"), 50));
    world.pods.answer("10.0.0.2", serves(&digest("b"), 50));
    world.pod_serves("iris-1", "10.0.0.1");
    world.pods_become_ready();
    world.converge().await;
    assert_eq!(world.condition("Ready"), is("True", "Ready"));
    world.pod_serves("iris-2", "10.0.0.2");
    world.pass().await.unwrap();
    assert_eq!(
        world.condition("RolloutComplete"),
        is("False", "ModelsDiffer")
    );
    assert_eq!(world.condition("Ready"), is("False", "ModelsDiffer"));
    world.pass().await.unwrap();
    let template = world.get::<Deployment>().unwrap()["spec"]["template"].clone();
    let annotation = "/metadata/annotations/serving.springtide.dev~1replacement-sha256";
    assert_eq!(template.pointer(annotation), Some(&json!(digest("b"))));
    world.pod_goes("iris-1");
    world.pods_become_ready();
    world.converge().await;
    assert_eq!(world.condition("RolloutComplete"), is("True", "Complete"));
    assert_eq!(world.condition("Ready"), is("True", "Ready"));
}
