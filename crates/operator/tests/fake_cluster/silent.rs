//! What a cluster doesn't say by itself: KEDA that has left only its definitions, and volumes that can't be mounted.

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod,
};
use serde_json::{Value, json};
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{Aggregated, Call, Fault, ResourceType};

use crate::{
    others::{EXTERNAL_METRICS, keda_acts},
    support::{NAMESPACE, World},
};

fn asks_for_load() -> Value {
    json!({
        "model": {"uri": "pvc://models/iris.onnx"},
        "autoscaling": {"engine": "Auto", "targets": {"loadPercent": 75}},
    })
}

#[tokio::test]
async fn auto_takes_an_hpa_until_keda_runs() {
    let world = World::with_keda();
    world.fake.unregister(EXTERNAL_METRICS);
    world.look().await;
    world.set_spec(&asks_for_load());
    world.converge().await;
    assert!(world.get::<HorizontalPodAutoscaler>().is_some());
    assert_eq!(world.get::<ScaledObject>(), None);
    let refused = ("False".to_owned(), "SignalsUnavailable".to_owned());
    assert_eq!(world.condition("AutoscalingReady"), refused);

    // An operator that starts before it has looked around changes nothing.
    let restarted = world.restarted();
    restarted.converge().await;
    assert!(restarted.get::<HorizontalPodAutoscaler>().is_some());

    let up = Aggregated::Resources(Vec::new());
    world.fake.register(EXTERNAL_METRICS, up);
    world.look().await;
    world.converge().await;
    assert_eq!(world.get::<HorizontalPodAutoscaler>(), None);
    assert!(world.get::<ScaledObject>().is_some());

    // What KEDA has taken up stays with it.
    keda_acts(&world.fake);
    world.fake.unregister(EXTERNAL_METRICS);
    world.look().await;
    world.converge().await;
    assert!(world.get::<ScaledObject>().is_some());
}

fn events() -> ResourceType {
    ResourceType::new("", "v1", "events", "Event")
}

fn reads_events(call: &Call) -> bool {
    call.path == format!("/api/v1/namespaces/{NAMESPACE}/events")
}

/// A pod of the ModelService that waits for its first container since long ago.
fn a_pod_is_stuck(world: &World) {
    let deployment = world.get::<Deployment>();
    let template = deployment.unwrap()["spec"]["template"].clone();
    let long_ago = "2024-01-01T00:00:00Z";
    let pod = json!({
        "metadata": template["metadata"],
        "spec": {"containers": []},
        "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": long_ago},
        ]},
    });
    let pods = ResourceType::of::<Pod>();
    world.fake.edit(&pods, NAMESPACE, "iris-1", "kubelet", &pod);
}

#[tokio::test]
async fn the_events_of_a_pod_that_is_stuck_are_read_and_only_those() {
    let world = World::new();
    world.fake.install(events());
    world.set_spec(&asks_for_load());
    world.converge().await;
    let calls = world.fake.take_calls();
    assert!(!calls.iter().any(reads_events), "no pod is stuck");

    a_pod_is_stuck(&world);
    let event = json!({
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": "iris-1"},
        "reason": "FailedMount", "message": "MountVolume.SetUp failed for volume \"nfs\"",
    });
    world
        .fake
        .edit(&events(), NAMESPACE, "iris-1.1", "kubelet", &event);
    world.converge().await;
    let named = ("False".to_owned(), "VolumeNotMounted".to_owned());
    assert_eq!(world.condition("WorkloadAvailable"), named);

    let _ = world.fake.take_calls();
    world.pass().await.unwrap();
    let pod = world
        .fake
        .get(&ResourceType::of::<Pod>(), NAMESPACE, "iris-1");
    let uid = pod.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let calls = world.fake.take_calls();
    let reads: Vec<&Call> = calls.iter().filter(|call| reads_events(call)).collect();
    assert_eq!(reads.len(), 1, "{reads:?}");
    assert!(reads[0].query.contains(&uid), "{reads:?}");
    assert!(reads[0].query.contains("limit=50"), "{reads:?}");

    // Without the right to read them, the rest goes on.
    let nth = 1 + calls.iter().position(reads_events).unwrap();
    world.fake.inject(nth, Fault::Status(403));
    world.pass().await.unwrap();
    let unnamed = ("False".to_owned(), "Starting".to_owned());
    assert_eq!(world.condition("WorkloadAvailable"), unnamed);
}
