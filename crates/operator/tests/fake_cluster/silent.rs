//! Faults that no watched object reports: the definitions of a removed KEDA, and volumes that can't be mounted.

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod,
};
use serde_json::{Value, json};
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{Aggregated, Call, Fault, ResourceType};

use crate::{
    others::{EXTERNAL_METRICS, keda_acts},
    support::{NAMESPACE, Testbed},
};

fn spec_with_load_target() -> Value {
    json!({
        "model": {"uri": "pvc://models/iris.onnx"},
        "autoscaling": {"engine": "Auto", "targets": {"loadPercent": 75}},
    })
}

#[tokio::test]
async fn auto_selects_an_hpa_until_keda_runs() {
    let testbed = Testbed::with_keda();
    testbed.fake.unregister(EXTERNAL_METRICS);
    testbed.refresh_capabilities().await;
    testbed.set_spec(&spec_with_load_target());
    testbed.converge().await;
    assert!(testbed.get::<HorizontalPodAutoscaler>().is_some());
    assert_eq!(testbed.get::<ScaledObject>(), None);
    let refused = ("False".to_owned(), "SignalsUnavailable".to_owned());
    assert_eq!(testbed.condition("AutoscalingReady"), refused);

    // An operator that hasn't discovered the capabilities yet changes nothing.
    let restarted = testbed.restarted();
    restarted.converge().await;
    assert!(restarted.get::<HorizontalPodAutoscaler>().is_some());

    let up = Aggregated::Resources(Vec::new());
    testbed.fake.register(EXTERNAL_METRICS, up);
    testbed.refresh_capabilities().await;
    testbed.converge().await;
    assert_eq!(testbed.get::<HorizontalPodAutoscaler>(), None);
    assert!(testbed.get::<ScaledObject>().is_some());

    // KEDA stays the active autoscaler.
    keda_acts(&testbed.fake);
    testbed.fake.unregister(EXTERNAL_METRICS);
    testbed.refresh_capabilities().await;
    testbed.converge().await;
    assert!(testbed.get::<ScaledObject>().is_some());
}

fn events() -> ResourceType {
    ResourceType::new("", "v1", "events", "Event")
}

fn reads_events(call: &Call) -> bool {
    call.path == format!("/api/v1/namespaces/{NAMESPACE}/events")
}

/// Adds a pod of the ModelService that has waited for its first container for a long time.
fn add_stuck_pod(testbed: &Testbed) {
    let deployment = testbed.get::<Deployment>();
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
    testbed
        .fake
        .edit(&pods, NAMESPACE, "iris-1", "kubelet", &pod);
}

#[tokio::test]
async fn only_the_events_of_a_stuck_pod_are_read() {
    let testbed = Testbed::new();
    testbed.fake.install(events());
    testbed.set_spec(&spec_with_load_target());
    testbed.converge().await;
    let calls = testbed.fake.take_calls();
    assert!(!calls.iter().any(reads_events), "no pod is stuck");

    add_stuck_pod(&testbed);
    let event = json!({
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": "iris-1"},
        "reason": "FailedMount", "message": "MountVolume.SetUp failed for volume \"nfs\"",
    });
    testbed
        .fake
        .edit(&events(), NAMESPACE, "iris-1.1", "kubelet", &event);
    testbed.converge().await;
    let named = ("False".to_owned(), "VolumeNotMounted".to_owned());
    assert_eq!(testbed.condition("WorkloadAvailable"), named);

    let _ = testbed.fake.take_calls();
    testbed.reconcile().await.unwrap();
    let pod = testbed
        .fake
        .get(&ResourceType::of::<Pod>(), NAMESPACE, "iris-1");
    let uid = pod.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let calls = testbed.fake.take_calls();
    let reads: Vec<&Call> = calls.iter().filter(|call| reads_events(call)).collect();
    assert_eq!(reads.len(), 1, "{reads:?}");
    assert!(reads[0].query.contains(&uid), "{reads:?}");
    assert!(reads[0].query.contains("limit=50"), "{reads:?}");

    // Without permission to read them, the reconcile succeeds.
    let nth = 1 + calls.iter().position(reads_events).unwrap();
    testbed.fake.inject(nth, Fault::Status(403));
    testbed.reconcile().await.unwrap();
    let unnamed = ("False".to_owned(), "Starting".to_owned());
    assert_eq!(testbed.condition("WorkloadAvailable"), unnamed);
}
