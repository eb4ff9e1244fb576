//! The running controller restores children that other clients delete or edit.

use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use serde_json::json;
use springtide_api::ModelService;
use springtide_testkit::ResourceType;

use crate::{
    running::{SOON, settled, start, within},
    support::{NAME, NAMESPACE, Testbed, child_types, spec},
};

#[tokio::test(start_paused = true)]
async fn a_deleted_child_is_restored() {
    let testbed = Testbed::with_keda();
    for engine in ["HPA", "KEDA"] {
        testbed.set_spec(&spec(engine));
        let running = start(&testbed).await;
        settled(&testbed).await;
        for kind in child_types() {
            if testbed.fake.get(&kind, NAMESPACE, NAME).is_none() {
                continue;
            }
            testbed.fake.delete(&kind, NAMESPACE, NAME);
            within(SOON, &kind.kind, || {
                testbed.fake.get(&kind, NAMESPACE, NAME).is_some()
            })
            .await;
        }
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_edited_child_is_restored_also_without_its_owner_reference() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let max = || testbed.get::<HorizontalPodAutoscaler>().unwrap()["spec"]["maxReplicas"].clone();
    let edit = json!({"metadata": {"ownerReferences": null}, "spec": {"maxReplicas": 99}});
    testbed.edit::<HorizontalPodAutoscaler>("kubectl-edit", &edit);
    assert_eq!(max(), 99);
    within(SOON, "maxReplicas", || max() == 20).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_becomes_free_is_used() {
    let testbed = Testbed::new();
    let deployment = ResourceType::of::<Deployment>();
    testbed.fake.edit(
        &deployment,
        NAMESPACE,
        NAME,
        "helm",
        &json!({"spec": {"replicas": 4}}),
    );
    testbed.set_spec(&spec("HPA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    testbed.fake.delete(&deployment, NAMESPACE, NAME);
    within(SOON, "the Deployment", || {
        testbed.get::<Deployment>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_model_service_stays_deleted() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    testbed
        .fake
        .delete(&ResourceType::of::<ModelService>(), NAMESPACE, NAME);
    settled(&testbed).await;
    assert!(testbed.snapshot().is_empty());
    running.stop().await;
}
