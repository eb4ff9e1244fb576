//! Several operators that watch one namespace.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_operator::{
    claims::{Claims, DEFAULT_CLASS, hold},
    reconcile::ReconcileOutcome,
    scope::Scope,
};
use tokio::{task::JoinHandle, time::sleep};

use crate::support::{NAMESPACE, Testbed, spec};

/// The same cluster with one more operator, which claims the namespaces that it watches.
async fn operator(
    testbed: &Testbed,
    me: &str,
    class: &str,
    scope: Scope,
) -> (Testbed, JoinHandle<()>) {
    let claims = Claims::new(class.parse().unwrap(), me.to_owned());
    let (home, _) = me.split_once('/').unwrap();
    let client = testbed.fake.client();
    let holding = tokio::spawn(hold(client, claims.clone(), scope, home.to_owned()));
    claims.wait_until_known().await;
    let mut one = testbed.restarted();
    one.context = one.context.claiming(claims);
    (one, holding)
}

fn one_namespace() -> Scope {
    [NAMESPACE.parse().unwrap()].into_iter().collect()
}

fn queue(testbed: &Testbed) -> Value {
    let deployment = testbed.get::<Deployment>().unwrap();
    let server = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = server["env"].as_array().unwrap();
    let queue = variables
        .iter()
        .find(|variable| variable["name"] == "SPRINGTIDE_MAX_QUEUE_ROWS");
    queue.unwrap()["value"].clone()
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_one_acts_and_the_other_writes_only_a_condition() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let (main, _main) = operator(&testbed, "system/main", DEFAULT_CLASS, Scope::Cluster).await;
    main.converge().await;
    let before = queue(&testbed);
    assert_eq!(
        main.condition("SoleOperator").0,
        "",
        "there is no other operator"
    );

    let (team, holding) = operator(&testbed, "team/release", DEFAULT_CLASS, one_namespace()).await;
    // Until the other one observes the claim.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        main.reconcile().await.unwrap(),
        ReconcileOutcome::Incomplete
    );
    let sole = ("False".to_owned(), "AnotherOperator".to_owned());
    assert_eq!(main.condition("SoleOperator"), sole);
    testbed.set_spec(&json!({"server": {"maxQueueRows": 77}}));
    let version = testbed.fake.version();
    assert_eq!(
        main.reconcile().await.unwrap(),
        ReconcileOutcome::Incomplete
    );
    assert_eq!(testbed.fake.version(), version);
    assert_eq!(queue(&testbed), before);

    team.converge().await;
    assert_eq!(queue(&testbed), "77");
    assert_eq!(
        team.condition("SoleOperator"),
        sole,
        "the condition of the other operator"
    );
    let version = testbed.fake.version();
    for one in [&main, &team, &main, &team] {
        one.reconcile().await.unwrap();
    }
    assert_eq!(testbed.fake.version(), version, "no fight");

    holding.abort();
    sleep(Duration::from_secs(61)).await;
    testbed.set_spec(&json!({"server": {"maxQueueRows": 88}}));
    main.converge().await;
    assert_eq!(main.condition("SoleOperator").0, "");
    assert_eq!(queue(&testbed), "88");
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_for_one_namespace_the_first_acts() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let (first, _first) = operator(&testbed, "a/one", DEFAULT_CLASS, one_namespace()).await;
    let (second, _second) = operator(&testbed, "b/two", DEFAULT_CLASS, one_namespace()).await;
    assert_eq!(
        second.reconcile().await.unwrap(),
        ReconcileOutcome::Incomplete
    );
    assert!(testbed.get::<Deployment>().is_none());
    first.converge().await;
    assert!(testbed.get::<Deployment>().is_some());
    // The claim is renewed while the operator runs.
    sleep(Duration::from_secs(600)).await;
    assert_eq!(
        second.reconcile().await.unwrap(),
        ReconcileOutcome::Incomplete
    );
    let replica = operator(&testbed, "a/one", DEFAULT_CLASS, one_namespace()).await;
    assert_eq!(
        replica.0.reconcile().await.unwrap(),
        ReconcileOutcome::Settled
    );
}

#[tokio::test(start_paused = true)]
async fn an_operator_leaves_other_classes_alone() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.set_spec(&json!({"operatorClass": "canary"}));
    let version = testbed.fake.version();
    let (main, _main) = operator(&testbed, "system/main", DEFAULT_CLASS, Scope::Cluster).await;
    assert_eq!(main.reconcile().await.unwrap(), ReconcileOutcome::Gone);
    assert!(testbed.get::<ModelService>().unwrap()["status"].is_null());
    let (canary, _canary) = operator(&testbed, "system/canary", "canary", Scope::Cluster).await;
    canary.converge().await;
    assert!(testbed.get::<Deployment>().is_some());
    assert!(testbed.fake.version() > version);
    assert_eq!(canary.condition("SoleOperator").0, "");
}
