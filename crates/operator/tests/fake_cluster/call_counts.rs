//! The number of calls of the running controller to the API server.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod,
};
use serde_json::json;
use springtide_api::ModelService;
use springtide_testkit::{Call, ResourceType};
use tokio::time::sleep;

use crate::{
    running::{SOON, calls, settled, start, within},
    support::{NAME, NAMESPACE, Testbed, child_types, spec},
};

#[tokio::test(start_paused = true)]
async fn after_the_creation_of_its_children_nothing_is_written() {
    let testbed = Testbed::new();
    let running = start(&testbed).await;
    testbed.set_spec(&spec("HPA"));
    within(SOON, "an HPA", || {
        testbed.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    settled(&testbed).await;
    let version = testbed.fake.version();
    // Longer than the resync interval.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(testbed.fake.version(), version);
    running.stop().await;
}

/// Maximum number of calls for a new ModelService: one each for the Service, the PodDisruptionBudget, the Deployment,
/// the recheck of the other autoscaler, the autoscaler, the status and the first event.
const MAX_CALLS_PER_CREATION: usize = 7;

#[tokio::test(start_paused = true)]
async fn a_new_model_service_takes_at_most_seven_calls() {
    for engine in ["HPA", "KEDA", "None", "Auto"] {
        let testbed = Testbed::with_keda();
        let running = start(&testbed).await;
        let _ = calls(&testbed);
        testbed.set_spec(&spec(engine));
        sleep(Duration::from_secs(5)).await;
        let mut calls = calls(&testbed);
        if engine == "KEDA" {
            // Objects of this API server are months old, so an object that KEDA hasn't processed causes one more event.
            assert!(
                calls
                    .pop()
                    .is_some_and(|call| call.path.ends_with("/events"))
            );
        }
        assert!(
            calls.len() <= MAX_CALLS_PER_CREATION,
            "{engine}: {calls:#?}"
        );
        let applies = calls.iter().filter(|call| call.is_write()).count();
        assert!(applies >= 5, "{engine}: {calls:#?}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_service_takes_no_call() {
    for engine in ["HPA", "KEDA", "None"] {
        let testbed = Testbed::with_keda();
        testbed.set_spec(&spec(engine));
        let running = start(&testbed).await;
        settled(&testbed).await;
        let _ = calls(&testbed);
        let before = testbed.successful_reconciles();
        sleep(Duration::from_secs(3600)).await;
        assert!(
            testbed.successful_reconciles() >= before + 5,
            "it is reconciled nevertheless"
        );
        assert_eq!(calls(&testbed), [], "{engine}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_lists_each_kind_once_and_writes_nothing() {
    /// At most a page of a list.
    const MANY: usize = 24;
    let testbed = Testbed::with_keda();
    let model_services = ResourceType::of::<ModelService>();
    for number in 0..MANY {
        let fields = json!({"spec": spec(["HPA", "KEDA", "None"][number % 3])});
        let name = format!("iris-{number}");
        testbed
            .fake
            .edit(&model_services, NAMESPACE, &name, "kubectl", &fields);
    }
    let running = start(&testbed).await;
    settled(&testbed).await;
    running.stop().await;
    let _ = calls(&testbed);
    let version = testbed.fake.version();
    let restarted = testbed.restarted();
    let running = start(&restarted).await;
    within(SOON, "a reconcile of each", || {
        restarted.successful_reconciles() >= MANY
    })
    .await;
    let calls = calls(&testbed);
    assert_eq!(calls.len(), child_types().len() + 2, "{calls:#?}");
    assert!(!calls.iter().any(Call::is_write));
    assert_eq!(testbed.fake.version(), version);
    running.stop().await;
}

fn restart_a_pod(testbed: &Testbed, count: usize) {
    let pod = json!({
        "metadata": {"labels": {"app.kubernetes.io/name": "modelservice", "app.kubernetes.io/instance": NAME}},
        "spec": {"containers": []},
        "status": {"message": count.to_string()},
    });
    let pods = ResourceType::of::<Pod>();
    testbed
        .fake
        .edit(&pods, NAMESPACE, "iris-1", "kubelet", &pod);
}

#[tokio::test(start_paused = true)]
async fn a_change_takes_few_calls() {
    /// Maximum number of writes per reconcile: the apply of a deleted child, and the status with an event for each of its
    /// conditions and one for a decision.
    const MAX_WRITES: usize = 1 + 1 + 8;
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let none = json!({});
    let annotated = json!({"metadata": {"annotations": {"example.com/note": "x"}}});
    let status = json!({"status": {"readyReplicas": 7}});
    let events: [(&str, usize, &dyn Fn()); 6] = [
        ("nothing", 0, &|| {
            testbed.edit::<ModelService>("kubectl", &none);
        }),
        ("a status", 0, &|| {
            testbed.edit::<ModelService>("kubectl", &status);
        }),
        ("an annotation", 1, &|| {
            testbed.edit::<ModelService>("kubectl", &annotated);
        }),
        // The status of the Deployment changes, not its spec.
        ("ready pods", 1, &|| testbed.pods_become_ready()),
        ("a deleted child", 1, &|| {
            let deployment = ResourceType::of::<Deployment>();
            testbed.fake.delete(&deployment, NAMESPACE, NAME);
        }),
        ("a hundred pods", 1, &|| {
            (0..100).for_each(|count| restart_a_pod(&testbed, count));
        }),
    ];
    for (what, expected, happens) in events {
        let _ = calls(&testbed);
        let before = testbed.successful_reconciles();
        happens();
        sleep(Duration::from_secs(5)).await;
        let (calls, reconciles) = (calls(&testbed), testbed.successful_reconciles() - before);
        assert_eq!(reconciles, expected, "reconciles after {what}");
        assert!(calls.iter().all(Call::is_write), "{what}: {calls:?}");
        assert!(calls.len() <= reconciles * MAX_WRITES, "{what}: {calls:?}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn continuous_events_delay_nothing() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let before = testbed.successful_reconciles();
    let deployment = ResourceType::of::<Deployment>();
    testbed.fake.delete(&deployment, NAMESPACE, NAME);
    for count in 0..100 {
        restart_a_pod(&testbed, count);
        sleep(Duration::from_millis(50)).await;
        let is_due = count >= 20;
        assert!(!is_due || testbed.get::<Deployment>().is_some());
    }
    let reconciles = testbed.successful_reconciles() - before;
    assert!(
        (1..=20).contains(&reconciles),
        "{reconciles} reconciles in 5 s"
    );
    running.stop().await;
}
