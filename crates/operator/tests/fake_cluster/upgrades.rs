//! Staged upgrades of 30 ModelServices to a new default server image.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_operator::reconcile::reconcile;
use springtide_testkit::{Fault, ResourceType};
use tokio::time::sleep;

use crate::{
    running::{settled, start},
    support::{NAMESPACE, SERVER_IMAGE, Testbed, UPGRADES, spec},
};

const NEW_IMAGE: &str = "springtide-server:new";

/// Longer than the debounce periods and a reconcile.
const TICK: Duration = Duration::from_secs(2);

fn name(number: usize) -> String {
    format!("m{number:02}")
}

impl Testbed {
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

    /// Writes the status of a Deployment as its controller does. Either all pods are new, or none.
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

    /// Completes the rollouts of all ModelServices.
    fn complete_rollouts(&self) {
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

    /// Numbers of the ModelServices with the new image.
    fn upgraded_numbers(&self) -> Vec<usize> {
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

    /// Number of ModelServices whose pods are being replaced.
    fn rolling(&self) -> usize {
        let rolling = |deployment: &&Value| rollout(deployment) != "NewReplicaSetAvailable";
        self.deployments().iter().filter(rolling).count()
    }
}

/// The reason of the condition `Progressing` for the current template.
fn rollout(deployment: &Value) -> &str {
    let status = &deployment["status"];
    if status["observedGeneration"] == deployment["metadata"]["generation"] {
        status["conditions"][1]["reason"].as_str().unwrap()
    } else {
        "ReplicaSetUpdated"
    }
}

/// A cluster of serving ModelServices whose operator has stopped.
async fn served(count: usize) -> Testbed {
    let testbed = Testbed::new();
    testbed.serve_many(count);
    let running = start(&testbed).await;
    settled(&testbed).await;
    testbed.complete_rollouts();
    settled(&testbed).await;
    running.stop().await;
    assert_eq!(testbed.deployments().len(), count);
    testbed
}

#[tokio::test(start_paused = true)]
async fn a_new_image_reaches_all_a_few_at_a_time_despite_restarts() {
    const COUNT: usize = 30;
    let most = usize::from(UPGRADES.max_concurrent.get());
    let mut testbed = served(COUNT).await.upgraded(NEW_IMAGE);
    let mut running = start(&testbed).await;
    for tick in 0..COUNT + 8 {
        // The maximum: granted upgrades whose rollouts are not complete.
        sleep(TICK).await;
        assert!(testbed.rolling() <= most, "{} at a time", testbed.rolling());
        if tick == 2 {
            assert_eq!(testbed.rolling(), most);
            let held = (0..COUNT)
                .find(|it| testbed.image(*it) == SERVER_IMAGE)
                .unwrap();
            let (reason, message) = testbed.true_condition(held, "RolloutComplete");
            assert_eq!(reason, "UpgradeWaiting");
            assert!(message.contains("upgrade.maxConcurrent"), "{message}");
            assert_eq!(testbed.status_of(held)["image"], SERVER_IMAGE);
            let metrics = testbed.metrics.render().unwrap();
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
            testbed = testbed.upgraded(NEW_IMAGE);
            running = start(&testbed).await;
        }
        // One of the rollouts completes.
        let deployments = testbed.deployments();
        let next = deployments
            .iter()
            .find(|it| rollout(it) != "NewReplicaSetAvailable");
        if let Some(next) = next {
            testbed.set_rollout(next, "NewReplicaSetAvailable");
        }
    }
    assert_eq!(testbed.upgraded_numbers().len(), COUNT);
    settled(&testbed).await;
    for number in 0..COUNT {
        assert_eq!(
            testbed.true_condition(number, "RolloutComplete").0,
            "Complete"
        );
        assert_eq!(testbed.status_of(number)["image"], NEW_IMAGE);
    }
    let version = testbed.fake.version();
    running.stop().await;
    let running = start(&testbed.upgraded(NEW_IMAGE)).await;
    settled(&testbed).await;
    assert_eq!(
        testbed.fake.version(),
        version,
        "a restart writes nothing more"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unavailable_model_services_are_not_upgraded_until_they_recover_or_their_spec_changes() {
    let testbed = served(4).await.upgraded(NEW_IMAGE);
    let paused = json!({"spec": {"paused": true}});
    testbed.edit_deployment(&name(0), "kubectl-rollout", &paused);
    testbed.set_rollout(&testbed.deployments()[0], "NewReplicaSetAvailable");
    for broken in [1, 2] {
        let missing = json!({"status": {"availableReplicas": 1}});
        testbed.edit_deployment(&name(broken), "kube-controller-manager", &missing);
    }
    let running = start(&testbed).await;
    settled(&testbed).await;
    assert_eq!(testbed.upgraded_numbers(), [3]);
    let (reason, message) = testbed.true_condition(0, "RolloutComplete");
    assert_eq!(reason, "UpgradeWaiting");
    assert!(message.contains("resumed"), "{message}");

    // All objects but the pod template are maintained meanwhile.
    let edit = json!({"spec": {"minReadySeconds": 99}});
    testbed.edit_deployment(&name(0), "kubectl-edit", &edit);
    settled(&testbed).await;
    assert_ne!(testbed.deployments()[0]["spec"]["minReadySeconds"], 99);
    assert_eq!(testbed.upgraded_numbers(), [3]);

    // A change of the ModelService brings the new image, too.
    let fields = json!({"spec": {"server": {"maxQueueRows": 77}}});
    let kind = ResourceType::of::<ModelService>();
    testbed
        .fake
        .edit(&kind, NAMESPACE, &name(1), "kubectl", &fields);
    settled(&testbed).await;
    assert_eq!(testbed.upgraded_numbers(), [1, 3]);

    testbed.complete_rollouts();
    let resumed = json!({"spec": {"paused": null}, "status": {"availableReplicas": 2}});
    for well in [0, 2] {
        testbed.edit_deployment(&name(well), "kubectl-rollout", &resumed);
    }
    testbed.complete_rollouts();
    settled(&testbed).await;
    assert_eq!(testbed.upgraded_numbers(), [0, 1, 2, 3]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_upgrade_stops_the_others_and_is_named_in_them() {
    let testbed = served(12).await.upgraded(NEW_IMAGE);
    let running = start(&testbed).await;
    settled(&testbed).await;
    let first = testbed.upgraded_numbers();
    assert_eq!(first, [0, 1, 2, 3, 4]);
    let deployments = testbed.deployments();
    testbed.set_rollout(&deployments[2], "ProgressDeadlineExceeded");
    settled(&testbed).await;
    for done in [0, 1, 3, 4] {
        testbed.set_rollout(&deployments[done], "NewReplicaSetAvailable");
    }
    settled(&testbed).await;
    assert_eq!(testbed.upgraded_numbers(), first);
    let (_, message) = testbed.true_condition(11, "RolloutComplete");
    assert!(message.contains("models/m02 failed"), "{message}");
    running.stop().await;

    // All get the former image again: the failed one first, and nothing blocks it.
    let back = testbed.upgraded(SERVER_IMAGE);
    let running = start(&back).await;
    settled(&back).await;
    back.complete_rollouts();
    settled(&back).await;
    assert!(back.upgraded_numbers().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_upgrade_stops_the_others() {
    let testbed = served(2).await.upgraded(NEW_IMAGE);
    let all = [0, 1].map(|number| ObjectRef::new(&name(number)).within(NAMESPACE));
    testbed.context.upgrades().begin(&all);
    let reconcile_one = async |number| reconcile(&testbed.context, NAMESPACE, &name(number)).await;
    reconcile_one(1).await.unwrap();
    // The first write of a reconcile is that of the Deployment.
    let refused = async |nth| {
        drop(testbed.fake.take_calls());
        testbed.fake.inject(nth, Fault::Status(403));
        reconcile_one(0).await.unwrap_err();
        testbed.fake.clear_faults();
        let calls = testbed.fake.take_calls();
        calls[nth - 1].is_write() && calls[nth - 1].path.ends_with("/deployments/m00")
    };
    let mut nth = 1;
    while !refused(nth).await {
        nth += 1;
    }
    reconcile_one(1).await.unwrap();
    let (_, message) = testbed.true_condition(1, "RolloutComplete");
    assert!(message.contains("models/m00 failed"), "{message}");
    // It is retried, and then the other one is upgraded.
    for number in [0, 0, 1] {
        reconcile_one(number).await.unwrap();
    }
    assert_eq!(testbed.upgraded_numbers(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_reverted_at_once() {
    let testbed = served(1).await;
    let running = start(&testbed).await;
    let edit = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}});
    testbed.edit_deployment(&name(0), "kubectl-edit", &edit);
    settled(&testbed).await;
    let grace = |testbed: &Testbed| {
        testbed.deployments()[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            .clone()
    };
    assert_ne!(grace(&testbed), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_deleted_before_its_upgrade_is_restored_with_the_new_image() {
    let testbed = served(1).await.upgraded(NEW_IMAGE);
    let paused = json!({"spec": {"paused": true}});
    testbed.edit_deployment(&name(0), "kubectl-rollout", &paused);
    testbed.complete_rollouts();
    let running = start(&testbed).await;
    settled(&testbed).await;
    assert!(testbed.upgraded_numbers().is_empty());
    let kind = ResourceType::of::<Deployment>();
    testbed.fake.delete(&kind, NAMESPACE, &name(0));
    settled(&testbed).await;
    assert_eq!(testbed.upgraded_numbers(), [0]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pods_without_the_annotation_of_a_newer_operator_are_upgraded_in_stages_too() {
    let testbed = served(8).await.upgraded(NEW_IMAGE);
    for number in 0..8 {
        let bare = json!({"metadata": {"annotations": {"serving.springtide.dev/template": null}}});
        testbed.edit_deployment(&name(number), "kubectl-annotate", &bare);
    }
    let running = start(&testbed).await;
    settled(&testbed).await;
    assert_eq!(testbed.upgraded_numbers().len(), 5);
    testbed.complete_rollouts();
    settled(&testbed).await;
    testbed.complete_rollouts();
    settled(&testbed).await;
    assert_eq!(testbed.upgraded_numbers().len(), 8);
    running.stop().await;
}
