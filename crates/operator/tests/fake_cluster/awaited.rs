//! Pods that wait for a ConfigMap that comes late.

use std::time::Duration;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Pod},
    },
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;
use springtide_operator::reconcile::reconcile;
use springtide_testkit::{Call, Fault, ResourceType};
use tokio::time::sleep;

use crate::{
    controller::{settled, start, within},
    support::{NAME, NAMESPACE, World, spec},
};

const CONFIG_MAP: &str = "/api/v1/namespaces/models/configmaps/iris";

/// A ModelService whose ConfigMap isn't there, and a pod that waits for it.
async fn waiting() -> World {
    let world = World::new();
    world.fake.install(ResourceType::of::<ConfigMap>());
    world.set_spec(&spec("None"));
    world.converge().await;
    a_pod_waits(&world, "iris-5d4-a");
    world
}

/// A pod of the Deployment's ReplicaSet that hasn't found its model.
fn a_pod_waits(world: &World, name: &str) {
    let deployment = world.get::<Deployment>().unwrap();
    let mut metadata = deployment["spec"]["template"]["metadata"].clone();
    metadata["labels"]["pod-template-hash"] = json!("5d4");
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "iris-5d4", "uid": "x",
        "controller": true,
    }]);
    let message = r#"{"reason":"ModelNotFound","message":"there is no file"}"#;
    let fetch = json!({
        "name": "fetch-model", "image": "", "imageID": "", "restartCount": 3, "ready": false,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "message": message}},
    });
    let pod = json!({
        "metadata": metadata,
        "spec": {"containers": []},
        "status": {"phase": "Pending", "initContainerStatuses": [fetch]},
    });
    let pods = ResourceType::of::<Pod>();
    world.fake.edit(&pods, NAMESPACE, name, "kubelet", &pod);
}

fn config_map_comes(world: &World) {
    let config_map = ResourceType::of::<ConfigMap>();
    let data = json!({"binaryData": {"model.onnx": ""}});
    world
        .fake
        .edit(&config_map, NAMESPACE, "iris", "kubectl", &data);
}

fn pods(world: &World) -> Vec<String> {
    let pods = world.fake.list(&ResourceType::of::<Pod>());
    pods.iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What a pass asks about ConfigMaps and does to pods.
async fn pass(world: &World) -> Vec<(String, String)> {
    let _ = world.fake.take_calls();
    world.pass().await.unwrap();
    let calls = world.fake.take_calls();
    let is_about = |call: &Call| {
        call.path.contains("/configmaps") || (call.is_write() && call.path.contains("/pods"))
    };
    calls
        .into_iter()
        .filter(is_about)
        .map(|call| (call.method.to_string(), call.path))
        .collect()
}

fn call(method: &str, path: &str) -> (String, String) {
    (method.to_owned(), path.to_owned())
}

#[tokio::test]
async fn a_pod_that_waits_is_made_anew_once_the_config_map_has_come() {
    let world = waiting().await;
    assert_eq!(pass(&world).await, [call("GET", CONFIG_MAP)]);
    let now = Timestamp::now();
    let reconciled = reconcile(&world.context, NAMESPACE, NAME).await.unwrap();
    let again = reconciled.requeue_at.unwrap().duration_since(now);
    assert!(again <= SignedDuration::from_secs(11), "{again:?}");
    assert_eq!(pods(&world), ["iris-5d4-a"]);
    assert_eq!(world.condition("ModelLoaded").1, "ModelNotFound");

    world.fake.pass_minutes(6);
    config_map_comes(&world);
    let deletion = "/api/v1/namespaces/models/pods/iris-5d4-a";
    assert_eq!(
        pass(&world).await,
        [call("GET", CONFIG_MAP), call("DELETE", deletion)]
    );
    assert_eq!(pods(&world), [""; 0]);

    // One that was made since isn't deleted for it, though its key isn't there.
    world.fake.pass_minutes(1);
    a_pod_waits(&world, "iris-5d4-b");
    for _ in 0..3 {
        assert_eq!(pass(&world).await, [call("GET", CONFIG_MAP)]);
    }
    assert_eq!(pods(&world), ["iris-5d4-b"]);
}

#[tokio::test]
async fn nothing_is_looked_at_while_no_pod_waits() {
    let world = waiting().await;
    world.pod_goes("iris-5d4-a");
    world.pod_serves("iris-5d4-b", "10.0.0.1");
    assert_eq!(pass(&world).await, []);
}

#[tokio::test]
async fn without_the_rights_the_rest_goes_on() {
    let world = waiting().await;
    world.converge().await;
    let _ = world.fake.take_calls();
    world.pass().await.unwrap();
    let calls = world.fake.take_calls();
    let look = calls.iter().position(|call| call.path == CONFIG_MAP);
    world.fake.pass_minutes(1);
    config_map_comes(&world);
    // The deletion comes after all else that this pass has asked.
    for nth in [1 + look.unwrap(), 1 + calls.len()] {
        world.fake.inject(nth, Fault::Status(403));
        world.pass().await.unwrap();
        assert_eq!(pods(&world), ["iris-5d4-a"]);
        world.fake.clear_faults();
    }
    world.pass().await.unwrap();
    assert_eq!(pods(&world), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_running_operator_sees_it_come_within_ten_seconds() {
    let world = World::new();
    world.fake.install(ResourceType::of::<ConfigMap>());
    let running = start(&world).await;
    world.set_spec(&spec("None"));
    settled(&world).await;
    a_pod_waits(&world, "iris-5d4-a");
    let _ = world.fake.take_calls();
    sleep(Duration::from_secs(360)).await;
    let calls = world.fake.take_calls();
    let looks = calls.iter().filter(|call| call.path == CONFIG_MAP).count();
    assert!((30..=37).contains(&looks), "{looks} in six minutes");

    world.fake.pass_minutes(6);
    config_map_comes(&world);
    within(Duration::from_secs(12), "the pod is made anew", || {
        pods(&world).is_empty()
    })
    .await;
    running.stop().await;
}
