//! The running controller over a fake API server, in paused time.

use std::time::Duration;

use crate::support::{NAME, NAMESPACE, World, child_types, spec};
use clap::Parser;
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod,
};
use serde_json::json;
use springtide_api::ModelService;
use springtide_operator::{controller, settings::Settings};
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{Fault, ResourceType};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// What the contract allows for a deleted child to come back.
const SOON: Duration = Duration::from_secs(10);

struct Running {
    shutdown: watch::Sender<bool>,
    controller: JoinHandle<()>,
}

async fn start(world: &World) -> Running {
    let (shutdown, begun) = watch::channel(false);
    let (synced, mut is_synced) = watch::channel(false);
    let context = world.context.clone();
    let settings = Settings::parse_from(["springtide-operator"]);
    let controller = tokio::spawn(async move {
        controller::run(context, &settings, &synced, begun).await;
    });
    is_synced.wait_for(|synced| *synced).await.unwrap();
    Running {
        shutdown,
        controller,
    }
}

impl Running {
    async fn stop(self) {
        self.shutdown.send_replace(true);
        timeout(Duration::from_secs(25), self.controller)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Waits, in paused time, until something is so.
async fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until nothing has been written for a while.
async fn settled(world: &World) {
    let mut version = None;
    while version != Some(world.fake.version()) {
        version = Some(world.fake.version());
        sleep(Duration::from_secs(15)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_model_service_gets_its_children_and_then_there_is_quiet() {
    let world = World::new();
    let running = start(&world).await;
    world.set_spec(&spec("HPA"));
    within(SOON, "an HPA", || {
        world.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    settled(&world).await;
    let version = world.fake.version();
    // Longer than the time after which everything is looked at again.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.fake.version(), version);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_deleted_comes_back() {
    let world = World::with_keda();
    for engine in ["HPA", "KEDA"] {
        world.set_spec(&spec(engine));
        let running = start(&world).await;
        settled(&world).await;
        for kind in child_types() {
            if world.fake.get(&kind, NAMESPACE, NAME).is_none() {
                continue;
            }
            world.fake.delete(&kind, NAMESPACE, NAME);
            within(SOON, &kind.kind, || {
                world.fake.get(&kind, NAMESPACE, NAME).is_some()
            })
            .await;
        }
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_edited_comes_back_even_without_its_owner() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    let max = || world.get::<HorizontalPodAutoscaler>().unwrap()["spec"]["maxReplicas"].clone();
    let edit = json!({"metadata": {"ownerReferences": null}, "spec": {"maxReplicas": 99}});
    world.edit::<HorizontalPodAutoscaler>("kubectl-edit", &edit);
    assert_eq!(max(), 99);
    within(SOON, "maxReplicas", || max() == 20).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_given_free_is_used() {
    let world = World::new();
    let deployment = ResourceType::of::<Deployment>();
    world.fake.edit(
        &deployment,
        NAMESPACE,
        NAME,
        "helm",
        &json!({"spec": {"replicas": 4}}),
    );
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    world.fake.delete(&deployment, NAMESPACE, NAME);
    within(SOON, "the Deployment", || {
        world.get::<Deployment>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn keda_is_used_when_it_comes_missed_when_it_goes_and_used_again() {
    let world = World::new();
    world.set_spec(&spec("KEDA"));
    let running = start(&world).await;
    settled(&world).await;
    let scaled_object = ResourceType::of::<ScaledObject>();
    let missing = || world.condition("AutoscalingReady").1 == "KedaMissing";
    assert!(missing());
    for _ in 0..2 {
        world.fake.install(scaled_object.clone());
        within(4 * SOON, "a ScaledObject", || {
            world.get::<ScaledObject>().is_some()
        })
        .await;
        settled(&world).await;
        world.fake.delete(&scaled_object, NAMESPACE, NAME);
        within(SOON, "the ScaledObject again", || {
            world.get::<ScaledObject>().is_some()
        })
        .await;
        world.fake.uninstall(&scaled_object);
        within(2 * SOON, "the condition", missing).await;
    }
    // The watch that KEDA took with it holds up no other.
    world
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    within(SOON, "the Deployment", || {
        world.get::<Deployment>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_hpa_of_keda_going_brings_the_next_pass_about() {
    let world = World::with_keda();
    world.set_spec(&spec("KEDA"));
    let running = start(&world).await;
    settled(&world).await;
    let hpa = ResourceType::of::<HorizontalPodAutoscaler>();
    world.fake.edit(
        &hpa,
        NAMESPACE,
        "keda-hpa-iris",
        "keda",
        &json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "iris"}, "maxReplicas": 50}}),
    );
    world.set_spec(&spec("HPA"));
    settled(&world).await;
    assert_eq!(world.get::<HorizontalPodAutoscaler>(), None);
    world.fake.delete(&hpa, NAMESPACE, "keda-hpa-iris");
    within(Duration::from_secs(1), "the HPA", || {
        world.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn why_a_pod_has_no_model_reaches_the_status() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    let message =
        json!({"reason": "ChecksumMismatch", "message": "expected aa, got bb"}).to_string();
    let annotations =
        world.get::<Deployment>().unwrap()["spec"]["template"]["metadata"]["annotations"].clone();
    let pod = json!({
        "metadata": {
            "labels": {"app.kubernetes.io/name": "modelservice", "app.kubernetes.io/instance": NAME},
            "annotations": annotations,
        },
        "spec": {"containers": []},
        "status": {"initContainerStatuses": [{
            "name": "fetch-model", "image": "", "imageID": "", "ready": false, "restartCount": 1,
            "lastState": {"terminated": {"exitCode": 1, "message": message}},
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        }]},
    });
    world.fake.edit(
        &ResourceType::of::<Pod>(),
        NAMESPACE,
        "iris-1",
        "kubelet",
        &pod,
    );
    let expected = ("False".to_owned(), "ChecksumMismatch".to_owned());
    within(SOON, "the condition", || {
        world.condition("ModelLoaded") == expected
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dropped_watches_and_failing_calls_are_survived() {
    let world = World::new();
    let running = start(&world).await;
    world.fake.drop_watches();
    for call in 1..=12 {
        world.fake.inject(
            call,
            if call % 2 == 0 {
                Fault::Refused
            } else {
                Fault::Status(503)
            },
        );
    }
    world.set_spec(&spec("HPA"));
    within(Duration::from_secs(600), "an HPA", || {
        world.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_model_service_stays_deleted() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    world
        .fake
        .delete(&ResourceType::of::<ModelService>(), NAMESPACE, NAME);
    settled(&world).await;
    assert!(world.snapshot().is_empty());
    running.stop().await;
}
