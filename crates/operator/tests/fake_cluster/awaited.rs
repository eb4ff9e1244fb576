//! Pods that wait for a ConfigMap that is created later.

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
    running::{settled, start, within},
    support::{NAME, NAMESPACE, Testbed, spec},
};

const CONFIG_MAP: &str = "/api/v1/namespaces/models/configmaps/iris";

/// A ModelService whose ConfigMap doesn't exist, and a pod that waits for it.
async fn with_waiting_pod() -> Testbed {
    let testbed = Testbed::new();
    testbed.fake.install(ResourceType::of::<ConfigMap>());
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    add_waiting_pod(&testbed, "iris-5d4-a");
    testbed
}

/// Adds a pod of the Deployment's ReplicaSet that hasn't found its model.
fn add_waiting_pod(testbed: &Testbed, name: &str) {
    let deployment = testbed.get::<Deployment>().unwrap();
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
    testbed.fake.edit(&pods, NAMESPACE, name, "kubelet", &pod);
}

fn create_config_map(testbed: &Testbed) {
    let config_map = ResourceType::of::<ConfigMap>();
    let data = json!({"binaryData": {"model.onnx": ""}});
    testbed
        .fake
        .edit(&config_map, NAMESPACE, "iris", "kubectl", &data);
}

fn pods(testbed: &Testbed) -> Vec<String> {
    let pods = testbed.fake.list(&ResourceType::of::<Pod>());
    pods.iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The reads of ConfigMaps and the writes of pods in one reconcile.
async fn reconcile_calls(testbed: &Testbed) -> Vec<(String, String)> {
    let _ = testbed.fake.take_calls();
    testbed.reconcile().await.unwrap();
    let calls = testbed.fake.take_calls();
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
async fn a_waiting_pod_is_replaced_once_the_config_map_exists() {
    let testbed = with_waiting_pod().await;
    assert_eq!(reconcile_calls(&testbed).await, [call("GET", CONFIG_MAP)]);
    let now = Timestamp::now();
    let reconciled = reconcile(&testbed.context, NAMESPACE, NAME).await.unwrap();
    let again = reconciled.requeue_at.unwrap().duration_since(now);
    assert!(again <= SignedDuration::from_secs(11), "{again:?}");
    assert_eq!(pods(&testbed), ["iris-5d4-a"]);
    assert_eq!(testbed.condition("ModelLoaded").1, "ModelNotFound");

    testbed.fake.advance_creation_time(6);
    create_config_map(&testbed);
    let deletion = "/api/v1/namespaces/models/pods/iris-5d4-a";
    assert_eq!(
        reconcile_calls(&testbed).await,
        [call("GET", CONFIG_MAP), call("DELETE", deletion)]
    );
    assert_eq!(pods(&testbed), [""; 0]);

    // A pod that was created since isn't deleted, although the key is missing in the ConfigMap.
    testbed.fake.advance_creation_time(1);
    add_waiting_pod(&testbed, "iris-5d4-b");
    for _ in 0..3 {
        assert_eq!(reconcile_calls(&testbed).await, [call("GET", CONFIG_MAP)]);
    }
    assert_eq!(pods(&testbed), ["iris-5d4-b"]);
}

#[tokio::test]
async fn without_waiting_pods_no_config_map_is_read() {
    let testbed = with_waiting_pod().await;
    testbed.delete_pod("iris-5d4-a");
    testbed.add_serving_pod("iris-5d4-b", "10.0.0.1");
    assert_eq!(reconcile_calls(&testbed).await, []);
}

#[tokio::test]
async fn without_permission_the_reconcile_succeeds() {
    let testbed = with_waiting_pod().await;
    testbed.converge().await;
    let _ = testbed.fake.take_calls();
    testbed.reconcile().await.unwrap();
    let calls = testbed.fake.take_calls();
    let look = calls.iter().position(|call| call.path == CONFIG_MAP);
    testbed.fake.advance_creation_time(1);
    create_config_map(&testbed);
    // The deletion is the last call of this reconcile.
    for nth in [1 + look.unwrap(), 1 + calls.len()] {
        testbed.fake.inject(nth, Fault::Status(403));
        testbed.reconcile().await.unwrap();
        assert_eq!(pods(&testbed), ["iris-5d4-a"]);
        testbed.fake.clear_faults();
    }
    testbed.reconcile().await.unwrap();
    assert_eq!(pods(&testbed), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_running_operator_notices_the_config_map_within_ten_seconds() {
    let testbed = Testbed::new();
    testbed.fake.install(ResourceType::of::<ConfigMap>());
    let running = start(&testbed).await;
    testbed.set_spec(&spec("None"));
    settled(&testbed).await;
    add_waiting_pod(&testbed, "iris-5d4-a");
    let _ = testbed.fake.take_calls();
    sleep(Duration::from_secs(360)).await;
    let calls = testbed.fake.take_calls();
    let looks = calls.iter().filter(|call| call.path == CONFIG_MAP).count();
    assert!((30..=37).contains(&looks), "{looks} reads in six minutes");

    testbed.fake.advance_creation_time(6);
    create_config_map(&testbed);
    within(
        Duration::from_secs(12),
        "the replacement of the pod",
        || pods(&testbed).is_empty(),
    )
    .await;
    running.stop().await;
}
