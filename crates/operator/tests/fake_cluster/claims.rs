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

use crate::support::{NAMESPACE, World, spec};

/// The same cluster with one more operator that claims what it watches.
async fn operator(world: &World, me: &str, class: &str, scope: Scope) -> (World, JoinHandle<()>) {
    let claims = Claims::new(class.parse().unwrap(), me.to_owned());
    let (home, _) = me.split_once('/').unwrap();
    let client = world.fake.client();
    let holding = tokio::spawn(hold(client, claims.clone(), scope, home.to_owned()));
    claims.known().await;
    let mut one = world.restarted();
    one.context = one.context.claiming(claims);
    (one, holding)
}

fn of_the_namespace() -> Scope {
    [NAMESPACE.parse().unwrap()].into_iter().collect()
}

fn queue(world: &World) -> Value {
    let deployment = world.get::<Deployment>().unwrap();
    let server = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = server["env"].as_array().unwrap();
    let queue = variables
        .iter()
        .find(|one| one["name"] == "SPRINGTIDE_MAX_QUEUE_ROWS");
    queue.unwrap()["value"].clone()
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_one_acts_and_the_other_says_so_and_writes_nothing_else() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let (main, _main) = operator(&world, "system/main", DEFAULT_CLASS, Scope::Cluster).await;
    main.converge().await;
    let before = queue(&world);
    assert_eq!(
        main.condition("SoleOperator").0,
        "",
        "no other operator is there"
    );

    let (team, holding) = operator(&world, "team/release", DEFAULT_CLASS, of_the_namespace()).await;
    // Until the other one hears of it.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(main.pass().await.unwrap(), ReconcileOutcome::Incomplete);
    let sole = ("False".to_owned(), "AnotherOperator".to_owned());
    assert_eq!(main.condition("SoleOperator"), sole);
    world.set_spec(&json!({"server": {"maxQueueRows": 77}}));
    let version = world.fake.version();
    assert_eq!(main.pass().await.unwrap(), ReconcileOutcome::Incomplete);
    assert_eq!(world.fake.version(), version);
    assert_eq!(queue(&world), before);

    team.converge().await;
    assert_eq!(queue(&world), "77");
    assert_eq!(team.condition("SoleOperator"), sole, "the other one's word");
    let version = world.fake.version();
    for one in [&main, &team, &main, &team] {
        one.pass().await.unwrap();
    }
    assert_eq!(world.fake.version(), version, "no fight");

    holding.abort();
    sleep(Duration::from_secs(61)).await;
    world.set_spec(&json!({"server": {"maxQueueRows": 88}}));
    main.converge().await;
    assert_eq!(main.condition("SoleOperator").0, "");
    assert_eq!(queue(&world), "88");
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_for_one_namespace_the_first_acts() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let (first, _first) = operator(&world, "a/one", DEFAULT_CLASS, of_the_namespace()).await;
    let (second, _second) = operator(&world, "b/two", DEFAULT_CLASS, of_the_namespace()).await;
    assert_eq!(second.pass().await.unwrap(), ReconcileOutcome::Incomplete);
    assert!(world.get::<Deployment>().is_none());
    first.converge().await;
    assert!(world.get::<Deployment>().is_some());
    // Renewed for as long as it runs.
    sleep(Duration::from_secs(600)).await;
    assert_eq!(second.pass().await.unwrap(), ReconcileOutcome::Incomplete);
    let replica = operator(&world, "a/one", DEFAULT_CLASS, of_the_namespace()).await;
    assert_eq!(replica.0.pass().await.unwrap(), ReconcileOutcome::Settled);
}

#[tokio::test(start_paused = true)]
async fn an_operator_leaves_other_classes_alone() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.set_spec(&json!({"operatorClass": "canary"}));
    let version = world.fake.version();
    let (main, _main) = operator(&world, "system/main", DEFAULT_CLASS, Scope::Cluster).await;
    assert_eq!(main.pass().await.unwrap(), ReconcileOutcome::Gone);
    assert!(world.get::<ModelService>().unwrap()["status"].is_null());
    let (canary, _canary) = operator(&world, "system/canary", "canary", Scope::Cluster).await;
    canary.converge().await;
    assert!(world.get::<Deployment>().is_some());
    assert!(world.fake.version() > version);
    assert_eq!(canary.condition("SoleOperator").0, "");
}
