//! A field manager that undoes what the operator writes.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use springtide_api::ModelService;
use springtide_operator::reconcile::ReconcileOutcome;
use tokio::time::sleep;

use crate::support::{World, spec};

#[tokio::test(start_paused = true)]
async fn an_operator_whose_writes_are_undone_stops_and_says_by_whom() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    // Its creation is one of the writes.
    sleep(Duration::from_secs(61)).await;
    let undo = json!({"spec": {"progressDeadlineSeconds": 7}});
    let deadline = || world.get::<Deployment>().unwrap()["spec"]["progressDeadlineSeconds"].clone();
    let mut put_back = 0;
    for _ in 0..30 {
        world.edit::<Deployment>("argocd-controller", &undo);
        world.pass().await.unwrap();
        world.pass().await.unwrap();
        put_back += usize::from(deadline() != 7);
    }
    assert_eq!(put_back, 5);
    assert_eq!(
        world.condition("RolloutComplete"),
        ("False".to_owned(), "WritesUndone".to_owned())
    );
    let model_service = world.get::<ModelService>().unwrap().to_string();
    assert!(
        model_service.contains("field manager argocd-controller"),
        "{model_service}"
    );
    let version = world.fake.version();
    assert_eq!(
        world.pass().await.unwrap(),
        ReconcileOutcome::Incomplete,
        "it looks again"
    );
    assert_eq!(world.fake.version(), version);

    // What has ended is put right.
    sleep(Duration::from_secs(301)).await;
    world.converge().await;
    assert_ne!(deadline(), 7);
    assert_ne!(world.condition("RolloutComplete").1, "WritesUndone");
}
