//! The running controller over a fake API server: its start, its scope, and faults.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod,
};
use serde_json::json;
use springtide_api::ModelService;
use springtide_operator::readiness::Stage;
use springtide_testkit::{Fault, ResourceType};
use tokio::time::sleep;

use crate::{
    running::{SOON, launch, launch_with, settled, start, within},
    support::{NAME, NAMESPACE, Testbed, spec},
};

#[tokio::test(start_paused = true)]
async fn the_operator_is_ready_once_it_knows_all_model_services() {
    let testbed = Testbed::new();
    for call in 1..=1000 {
        testbed.fake.inject(call, Fault::Status(503));
    }
    let running = launch(&testbed);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(running.readiness.stage(), Stage::Syncing);
    testbed.fake.clear_faults();
    within(SOON, "all ModelServices known", || {
        running.readiness.stage() == Stage::Acting
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_named_namespaces_are_watched_and_called() {
    let testbed = Testbed::with_keda();
    let running = launch_with(&testbed, &["--watch-namespaces=one,two"]);
    let (model_services, hpas) = (
        ResourceType::of::<ModelService>(),
        ResourceType::of::<HorizontalPodAutoscaler>(),
    );
    let namespaces = ["one", "two", "three"];
    let serve = |engine: &str| {
        for namespace in namespaces {
            let fields = json!({"spec": spec(engine)});
            testbed
                .fake
                .edit(&model_services, namespace, NAME, "kubectl", &fields);
        }
    };
    let scaled = || namespaces.map(|namespace| testbed.fake.get(&hpas, namespace, NAME).is_some());
    serve("HPA");
    within(SOON, "two HPAs", || scaled() == [true, true, false]).await;
    settled(&testbed).await;
    for namespace in ["one", "two"] {
        testbed.fake.delete(&hpas, namespace, NAME);
        within(SOON, "the HPA again", || scaled() == [true, true, false]).await;
    }
    serve("KEDA");
    within(2 * SOON, "no HPA", || scaled() == [false; 3]).await;
    testbed.fake.drop_watches();
    serve("HPA");
    within(3 * SOON, "two HPAs", || scaled() == [true, true, false]).await;
    running.stop().await;
    let is_discovery = |path: &str| path.starts_with("/apis/") && path.split('/').count() == 4;
    for call in testbed.fake.take_calls() {
        let is_within = ["/namespaces/one/", "/namespaces/two/"]
            .iter()
            .any(|part| call.path.contains(part));
        assert!(is_within || is_discovery(&call.path), "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_termination_message_of_a_pod_reaches_the_status() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let message =
        json!({"reason": "ChecksumMismatch", "message": "expected aa, got bb"}).to_string();
    let annotations =
        testbed.get::<Deployment>().unwrap()["spec"]["template"]["metadata"]["annotations"].clone();
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
    testbed.fake.edit(
        &ResourceType::of::<Pod>(),
        NAMESPACE,
        "iris-1",
        "kubelet",
        &pod,
    );
    let expected = ("False".to_owned(), "ChecksumMismatch".to_owned());
    within(SOON, "the condition", || {
        testbed.condition("ModelLoaded") == expected
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_operator_recovers_from_dropped_watches_and_failing_calls() {
    let testbed = Testbed::new();
    let running = start(&testbed).await;
    testbed.fake.drop_watches();
    for call in 1..=12 {
        testbed.fake.inject(
            call,
            if call % 2 == 0 {
                Fault::Refused
            } else {
                Fault::Status(503)
            },
        );
    }
    testbed.set_spec(&spec("HPA"));
    within(Duration::from_secs(600), "an HPA", || {
        testbed.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_model_service_has_no_backoff_of_a_deleted_one() {
    let testbed = Testbed::new();
    let running = start(&testbed).await;
    for call in 1..=1000 {
        testbed.fake.inject(call, Fault::Refused);
    }
    testbed.set_spec(&spec("HPA"));
    sleep(Duration::from_secs(600)).await;
    testbed.fake.clear_faults();
    testbed
        .fake
        .delete(&ResourceType::of::<ModelService>(), NAMESPACE, NAME);
    sleep(Duration::from_secs(120)).await;
    for call in 1..=2 {
        testbed.fake.inject(call, Fault::Refused);
    }
    testbed.set_spec(&spec("HPA"));
    within(SOON, "an HPA", || {
        testbed.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}
