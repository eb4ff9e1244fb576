//! The running controller while KEDA and metrics adapters are installed and removed.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use serde_json::json;
use springtide_api::targets::Signal;
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{Aggregated, ResourceType};
use tokio::time::sleep;

use crate::{
    others::{self, CUSTOM_METRICS},
    running::{SOON, settled, start, within},
    support::{NAME, NAMESPACE, Testbed, spec},
    switching::check_history,
};

#[tokio::test(start_paused = true)]
async fn keda_may_be_installed_removed_and_installed_again() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("KEDA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let scaled_object = ResourceType::of::<ScaledObject>();
    let missing = || testbed.condition("AutoscalingReady").1 == "KedaMissing";
    assert!(missing());
    for _ in 0..2 {
        testbed.fake.install(scaled_object.clone());
        within(4 * SOON, "a ScaledObject", || {
            testbed.get::<ScaledObject>().is_some()
        })
        .await;
        settled(&testbed).await;
        testbed.fake.delete(&scaled_object, NAMESPACE, NAME);
        within(SOON, "the ScaledObject again", || {
            testbed.get::<ScaledObject>().is_some()
        })
        .await;
        testbed.fake.uninstall(&scaled_object);
        within(2 * SOON, "the condition", missing).await;
    }
    // The failed watch of the removed KEDA delays no other watch.
    testbed
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    within(SOON, "the Deployment", || {
        testbed.get::<Deployment>().is_some()
    })
    .await;
    running.stop().await;
}

/// Under load: KEDA and the controller of HPAs act every second.
#[tokio::test(start_paused = true)]
async fn the_engine_is_switched_ten_times_within_30_seconds_each() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("HPA"));
    let running = start(&testbed).await;
    let others = tokio::spawn({
        let fake = testbed.fake.clone();
        async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                others::act(&fake);
            }
        }
    });
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let scaled_by = |hpa: &str| testbed.fake.get(&hpas, NAMESPACE, hpa).is_some();
    within(Duration::from_secs(30), "the HPA", || scaled_by(NAME)).await;
    for turn in 0..10 {
        let (engine, hpa) = [("KEDA", others::KEDA_HPA), ("HPA", NAME)][turn % 2];
        testbed.set_spec(&spec(engine));
        within(Duration::from_secs(30), engine, || scaled_by(hpa)).await;
    }
    others.abort();
    running.stop().await;
    check_history(&testbed.fake, "ten switches");
}

#[tokio::test(start_paused = true)]
async fn pods_metrics_are_followed_after_the_installation_of_their_adapter() {
    let testbed = Testbed::new();
    let signal = Signal::QueueSize;
    testbed
        .fake
        .register(CUSTOM_METRICS, Aggregated::Unavailable);
    testbed.set_spec(&json!({
        "model": {"uri": "configMap://iris/model.onnx"},
        "autoscaling": {"engine": "HPA", "targets": {"queueSize": 20}},
    }));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let follows = || {
        let hpa = testbed.get::<HorizontalPodAutoscaler>().unwrap();
        hpa.to_string().contains(signal.pods_metric().unwrap())
    };
    assert!(!follows());
    testbed
        .fake
        .register(CUSTOM_METRICS, others::listing(&[signal]));
    within(2 * SOON, "the metric", follows).await;
    testbed
        .fake
        .register(CUSTOM_METRICS, Aggregated::Unavailable);
    settled(&testbed).await;
    assert!(follows());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_deletion_of_the_hpa_of_keda_starts_a_reconcile() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("KEDA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let hpa = ResourceType::of::<HorizontalPodAutoscaler>();
    testbed.fake.edit(
        &hpa,
        NAMESPACE,
        "keda-hpa-iris",
        "keda",
        &json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "iris"}, "maxReplicas": 50}}),
    );
    testbed.set_spec(&spec("HPA"));
    settled(&testbed).await;
    assert_eq!(testbed.get::<HorizontalPodAutoscaler>(), None);
    testbed.fake.delete(&hpa, NAMESPACE, "keda-hpa-iris");
    within(Duration::from_secs(1), "the HPA", || {
        testbed.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}
