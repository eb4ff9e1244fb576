//! A new default server image, over 30 ModelServices.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_operator::reconcile::reconcile;
use springtide_testkit::{Fault, ResourceType};
use tokio::time::sleep;

use crate::{
    controller::{settled, start},
    support::{NAMESPACE, SERVER_IMAGE, UPGRADES, World, spec},
};

const NEW_IMAGE: &str = "springtide-server:new";

/// More than what happens together and what a pass takes.
const TICK: Duration = Duration::from_secs(2);

fn name(number: usize) -> String {
    format!("m{number:02}")
}

impl World {
    fn serve_many(&self, count: usize) {
        for number in 0..count {
            let fields = json!({"spec": spec("None")});
            let kind = ResourceType::of::<ModelService>();
            self.fake
                .edit(&kind, NAMESPACE, &name(number), "kubectl", &fields);
        }
    }

    fn deployments(&self) -> Vec<Value> {
        self.fake.list(&ResourceType::of::<Deployment>())
    }

    fn edit_deployment(&self, name: &str, manager: &str, patch: &Value) {
        let kind = ResourceType::of::<Deployment>();
        self.fake.edit(&kind, NAMESPACE, name, manager, patch);
    }

    /// What the Deployment controller says of one, of which all pods are the new ones or none.
    fn set_rollout(&self, deployment: &Value, reason: &str) {
        let replicas = deployment["spec"]["replicas"].as_i64().unwrap();
        let done = reason == "NewReplicaSetAvailable";
        let status = json!({"status": {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            "updatedReplicas": if done { replicas } else { 0 },
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": if reason == "ProgressDeadlineExceeded" { "False" } else { "True" }, "reason": reason},
            ],
        }});
        let name = deployment["metadata"]["name"].as_str().unwrap();
        self.edit_deployment(name, "kube-controller-manager", &status);
    }

    /// All pods of all ModelServices run.
    fn all_roll(&self) {
        for deployment in self.deployments() {
            if rollout(&deployment) != "NewReplicaSetAvailable" {
                self.set_rollout(&deployment, "NewReplicaSetAvailable");
            }
        }
    }

    fn status_of(&self, number: usize) -> Value {
        let kind = ResourceType::of::<ModelService>();
        self.fake.get(&kind, NAMESPACE, &name(number)).unwrap()["status"].clone()
    }

    /// Reason and message of a condition that is true.
    fn true_condition(&self, number: usize, kind: &str) -> (String, String) {
        let status = self.status_of(number);
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|found| found["type"] == kind);
        let found = found.unwrap();
        assert_eq!(found["status"], "True", "{found}");
        let text = |field: &str| found[field].as_str().unwrap().to_owned();
        (text("reason"), text("message"))
    }

    /// Numbers of those that have the new image.
    fn upgraded_ones(&self) -> Vec<usize> {
        let numbers = 0..self.deployments().len();
        numbers
            .filter(|number| self.image(*number) == NEW_IMAGE)
            .collect()
    }

    fn image(&self, number: usize) -> String {
        let kind = ResourceType::of::<Deployment>();
        let deployment = self.fake.get(&kind, NAMESPACE, &name(number)).unwrap();
        let server = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(server["name"], "server");
        server["image"].as_str().unwrap().to_owned()
    }

    /// Those whose pods are being replaced.
    fn rolling(&self) -> usize {
        let rolling = |deployment: &&Value| rollout(deployment) != "NewReplicaSetAvailable";
        self.deployments().iter().filter(rolling).count()
    }
}

/// What the Deployment controller says of the present template.
fn rollout(deployment: &Value) -> &str {
    let status = &deployment["status"];
    if status["observedGeneration"] == deployment["metadata"]["generation"] {
        status["conditions"][1]["reason"].as_str().unwrap()
    } else {
        "ReplicaSetUpdated"
    }
}

/// A cluster of ModelServices that serve, of which the operator has stopped.
async fn served(count: usize) -> World {
    let world = World::new();
    world.serve_many(count);
    let running = start(&world).await;
    settled(&world).await;
    world.all_roll();
    settled(&world).await;
    running.stop().await;
    assert_eq!(world.deployments().len(), count);
    world
}

#[tokio::test(start_paused = true)]
async fn a_new_image_reaches_a_few_at_a_time_and_all_in_the_end_over_restarts_too() {
    const COUNT: usize = 30;
    let most = usize::from(UPGRADES.max_concurrent.get());
    let mut world = served(COUNT).await.upgraded(NEW_IMAGE);
    let mut running = start(&world).await;
    for tick in 0..COUNT + 8 {
        // The busiest moment: those that were let go haven't rolled yet.
        sleep(TICK).await;
        assert!(world.rolling() <= most, "{} at a time", world.rolling());
        if tick == 2 {
            assert_eq!(world.rolling(), most);
            let held = (0..COUNT)
                .find(|it| world.image(*it) == SERVER_IMAGE)
                .unwrap();
            let (reason, message) = world.true_condition(held, "RolloutComplete");
            assert_eq!(reason, "UpgradeWaiting");
            assert!(message.contains("upgrade.maxConcurrent"), "{message}");
            assert_eq!(world.status_of(held)["image"], SERVER_IMAGE);
            let metrics = world.metrics.render().unwrap();
            assert!(metrics.contains(r#"image="springtide-server:test",name="m29""#));
            let shown = |upgrade: &str| metrics.matches(&format!("upgrade=\"{upgrade}\"")).count();
            assert_eq!(shown("in_progress"), most);
            assert_eq!(
                shown("in_progress") + shown("waiting") + shown("none"),
                COUNT
            );
        }
        if tick % 7 == 3 {
            running.stop().await;
            world = world.upgraded(NEW_IMAGE);
            running = start(&world).await;
        }
        // One of those that roll comes to its end.
        let deployments = world.deployments();
        let next = deployments
            .iter()
            .find(|it| rollout(it) != "NewReplicaSetAvailable");
        if let Some(next) = next {
            world.set_rollout(next, "NewReplicaSetAvailable");
        }
    }
    assert_eq!(world.upgraded_ones().len(), COUNT);
    settled(&world).await;
    for number in 0..COUNT {
        assert_eq!(
            world.true_condition(number, "RolloutComplete").0,
            "Complete"
        );
        assert_eq!(world.status_of(number)["image"], NEW_IMAGE);
    }
    let version = world.fake.version();
    running.stop().await;
    let running = start(&world.upgraded(NEW_IMAGE)).await;
    settled(&world).await;
    assert_eq!(
        world.fake.version(),
        version,
        "a restart writes nothing more"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_would_get_stuck_is_left_until_it_is_well_or_its_spec_changes() {
    let world = served(4).await.upgraded(NEW_IMAGE);
    let paused = json!({"spec": {"paused": true}});
    world.edit_deployment(&name(0), "kubectl-rollout", &paused);
    world.set_rollout(&world.deployments()[0], "NewReplicaSetAvailable");
    for broken in [1, 2] {
        let missing = json!({"status": {"availableReplicas": 1}});
        world.edit_deployment(&name(broken), "kube-controller-manager", &missing);
    }
    let running = start(&world).await;
    settled(&world).await;
    assert_eq!(world.upgraded_ones(), [3]);
    let (reason, message) = world.true_condition(0, "RolloutComplete");
    assert_eq!(reason, "UpgradeWaiting");
    assert!(message.contains("resumed"), "{message}");

    // All but the pods is kept up meanwhile.
    let edit = json!({"spec": {"minReadySeconds": 99}});
    world.edit_deployment(&name(0), "kubectl-edit", &edit);
    settled(&world).await;
    assert_ne!(world.deployments()[0]["spec"]["minReadySeconds"], 99);
    assert_eq!(world.upgraded_ones(), [3]);

    // A change of its own brings the new image, too.
    let fields = json!({"spec": {"server": {"maxQueueRows": 77}}});
    let kind = ResourceType::of::<ModelService>();
    world
        .fake
        .edit(&kind, NAMESPACE, &name(1), "kubectl", &fields);
    settled(&world).await;
    assert_eq!(world.upgraded_ones(), [1, 3]);

    world.all_roll();
    let resumed = json!({"spec": {"paused": null}, "status": {"availableReplicas": 2}});
    for well in [0, 2] {
        world.edit_deployment(&name(well), "kubectl-rollout", &resumed);
    }
    world.all_roll();
    settled(&world).await;
    assert_eq!(world.upgraded_ones(), [0, 1, 2, 3]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_upgrade_stops_the_others_which_name_it() {
    let world = served(12).await.upgraded(NEW_IMAGE);
    let running = start(&world).await;
    settled(&world).await;
    let first = world.upgraded_ones();
    assert_eq!(first, [0, 1, 2, 3, 4]);
    let deployments = world.deployments();
    world.set_rollout(&deployments[2], "ProgressDeadlineExceeded");
    settled(&world).await;
    for done in [0, 1, 3, 4] {
        world.set_rollout(&deployments[done], "NewReplicaSetAvailable");
    }
    settled(&world).await;
    assert_eq!(world.upgraded_ones(), first);
    let (_, message) = world.true_condition(11, "RolloutComplete");
    assert!(message.contains("models/m02 failed"), "{message}");
    running.stop().await;

    // The former image again, for all: the broken one comes first, and nothing else is in its way.
    let back = world.upgraded(SERVER_IMAGE);
    let running = start(&back).await;
    settled(&back).await;
    back.all_roll();
    settled(&back).await;
    assert!(back.upgraded_ones().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_the_api_server_refuses_stops_the_others() {
    let world = served(2).await.upgraded(NEW_IMAGE);
    let all = [0, 1].map(|number| ObjectRef::new(&name(number)).within(NAMESPACE));
    world.context.upgrades().begin(&all);
    let pass = async |number| reconcile(&world.context, NAMESPACE, &name(number)).await;
    pass(1).await.unwrap();
    // The first call of a pass that writes is that of the Deployment.
    let refused = async |nth| {
        drop(world.fake.take_calls());
        world.fake.inject(nth, Fault::Status(403));
        pass(0).await.unwrap_err();
        world.fake.clear_faults();
        let calls = world.fake.take_calls();
        calls[nth - 1].is_write() && calls[nth - 1].path.ends_with("/deployments/m00")
    };
    let mut nth = 1;
    while !refused(nth).await {
        nth += 1;
    }
    pass(1).await.unwrap();
    let (_, message) = world.true_condition(1, "RolloutComplete");
    assert!(message.contains("models/m00 failed"), "{message}");
    // It is tried again, and then the other one has its turn.
    for number in [0, 0, 1] {
        pass(number).await.unwrap();
    }
    assert_eq!(world.upgraded_ones(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_an_edit_has_changed_is_right_again_at_once() {
    let world = served(1).await;
    let running = start(&world).await;
    let edit = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}});
    world.edit_deployment(&name(0), "kubectl-edit", &edit);
    settled(&world).await;
    let grace = |world: &World| {
        world.deployments()[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].clone()
    };
    assert_ne!(grace(&world), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_deleted_while_its_upgrade_waits_comes_back_as_the_new_one() {
    let world = served(1).await.upgraded(NEW_IMAGE);
    let paused = json!({"spec": {"paused": true}});
    world.edit_deployment(&name(0), "kubectl-rollout", &paused);
    world.all_roll();
    let running = start(&world).await;
    settled(&world).await;
    assert!(world.upgraded_ones().is_empty());
    let kind = ResourceType::of::<Deployment>();
    world.fake.delete(&kind, NAMESPACE, &name(0));
    settled(&world).await;
    assert_eq!(world.upgraded_ones(), [0]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_former_operator_which_wrote_no_annotation_are_upgraded_in_stages_too() {
    let world = served(8).await.upgraded(NEW_IMAGE);
    for number in 0..8 {
        let bare = json!({"metadata": {"annotations": {"serving.springtide.dev/template": null}}});
        world.edit_deployment(&name(number), "kubectl-annotate", &bare);
    }
    let running = start(&world).await;
    settled(&world).await;
    assert_eq!(world.upgraded_ones().len(), 5);
    world.all_roll();
    settled(&world).await;
    world.all_roll();
    settled(&world).await;
    assert_eq!(world.upgraded_ones().len(), 8);
    running.stop().await;
}
