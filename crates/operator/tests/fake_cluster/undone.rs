//! A field manager that reverts the writes of the operator.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use springtide_api::ModelService;
use springtide_operator::reconcile::ReconcileOutcome;
use tokio::time::sleep;

use crate::support::{Testbed, spec};

#[tokio::test(start_paused = true)]
async fn an_operator_stops_reverted_writes_and_names_the_field_manager() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    // The creation is one of the writes.
    sleep(Duration::from_secs(61)).await;
    let undo = json!({"spec": {"progressDeadlineSeconds": 7}});
    let deadline =
        || testbed.get::<Deployment>().unwrap()["spec"]["progressDeadlineSeconds"].clone();
    let mut put_back = 0;
    for _ in 0..30 {
        testbed.edit::<Deployment>("argocd-controller", &undo);
        testbed.reconcile().await.unwrap();
        testbed.reconcile().await.unwrap();
        put_back += usize::from(deadline() != 7);
    }
    assert_eq!(put_back, 5);
    assert_eq!(
        testbed.condition("RolloutComplete"),
        ("False".to_owned(), "WritesUndone".to_owned())
    );
    let model_service = testbed.get::<ModelService>().unwrap().to_string();
    assert!(
        model_service.contains("field manager argocd-controller"),
        "{model_service}"
    );
    let version = testbed.fake.version();
    assert_eq!(
        testbed.reconcile().await.unwrap(),
        ReconcileOutcome::Incomplete,
        "it tries again"
    );
    assert_eq!(testbed.fake.version(), version);

    // After the conflict the field is restored.
    sleep(Duration::from_secs(301)).await;
    testbed.converge().await;
    assert_ne!(deadline(), 7);
    assert_ne!(testbed.condition("RolloutComplete").1, "WritesUndone");
}
