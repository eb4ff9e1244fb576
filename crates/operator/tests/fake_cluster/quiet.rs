//! The operator and what others decide: it never undoes that, and writes nothing where nothing changed.

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_api::targets::Signal;
use springtide_operator::reconcile::ReconcileOutcome;
use springtide_testkit::{Aggregated, Call, ResourceType};

use crate::{
    others::{CUSTOM_METRICS, KEDA_HPA, hpa_scales, keda_acts, listing},
    support::{NAME, NAMESPACE, World, spec},
};

fn replicas(world: &World) -> i64 {
    world.get::<Deployment>().unwrap()["spec"]["replicas"]
        .as_i64()
        .unwrap()
}

fn writes(world: &World) -> Vec<Call> {
    let calls = world.fake.take_calls();
    calls.into_iter().filter(Call::is_write).collect()
}

/// Whether a call only says what has become of the ModelService.
fn is_report(call: &Call) -> bool {
    let is_status = call
        .path
        .ends_with(&format!("/modelservices/{NAME}/status"));
    is_status || call.path.contains("/events.k8s.io/")
}

/// A quarter of the ten thousand passes of the tests below. They run side by side.
async fn passes_over(world: &World, engine: &str) {
    const PASSES: i64 = 2500;
    /// The HPA decides something before each pass of this number.
    const MOVES_EVERY: i64 = 20;
    world.set_spec(&spec(engine));
    world.converge().await;
    keda_acts(&world.fake);
    world.pods_become_ready();
    world.converge().await;
    let _ = world.fake.take_calls();
    let hpa = if engine == "KEDA" { KEDA_HPA } else { NAME };
    let mut decided = replicas(world);
    for pass in 0..PASSES {
        let moves = pass % MOVES_EVERY == 0;
        if moves {
            // Between 2 and 20 pods, up and down.
            decided = 2 + (pass / MOVES_EVERY * 7) % 19;
            hpa_scales(&world.fake, hpa, decided);
        }
        world.pass().await.unwrap();
        let written = writes(world);
        let allowed = if moves {
            written.iter().all(is_report)
        } else {
            written.is_empty()
        };
        assert!(allowed, "pass {pass}: {written:?}");
        assert_eq!(replicas(world), decided, "pass {pass}");
    }
}

#[tokio::test]
async fn thousands_of_passes_leave_the_replicas_to_the_hpa() {
    passes_over(&World::with_keda(), "HPA").await;
}

#[tokio::test]
async fn thousands_of_passes_leave_the_replicas_to_the_hpa_of_keda() {
    passes_over(&World::with_keda(), "KEDA").await;
}

#[tokio::test]
async fn thousands_of_passes_leave_the_replicas_to_the_hpa_that_auto_chose() {
    passes_over(&World::with_keda(), "Auto").await;
}

/// The HPA changes what was a fixed number, which had an owner.
#[tokio::test]
async fn thousands_of_passes_leave_the_replicas_to_the_hpa_after_a_fixed_number() {
    let world = World::with_keda();
    world.set_spec(&spec("None"));
    world.converge().await;
    passes_over(&world, "HPA").await;
}

#[tokio::test]
async fn where_nothing_changed_nothing_is_written_whatever_the_engine() {
    for engine in ["Auto", "HPA", "KEDA", "None"] {
        let world = World::with_keda();
        world.set_spec(&spec(engine));
        world.converge().await;
        world.pods_become_ready();
        world.converge().await;
        let _ = world.fake.take_calls();
        for _ in 0..3 {
            world.pass().await.unwrap();
        }
        assert_eq!(writes(&world), [], "{engine}");
    }
}

#[tokio::test]
async fn only_what_drifted_is_applied() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    let _ = world.fake.take_calls();
    let none = json!({"spec": {"selector": null}});
    world.edit::<Service>("kubectl-edit", &none);
    world.pass().await.unwrap();
    let written = writes(&world);
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].path.ends_with(&format!("/services/{NAME}")));
}

#[tokio::test]
async fn an_older_setting_is_taken_out_again() {
    let world = World::new();
    let selecting = |node: Value| {
        json!({
            "model": {"uri": "configMap://iris/model.onnx"},
            "pod": {"nodeSelector": node},
            "autoscaling": {"engine": "HPA"},
        })
    };
    let selector =
        || world.get::<Deployment>().unwrap()["spec"]["template"]["spec"]["nodeSelector"].clone();
    world.set_spec(&selecting(json!({"disk": "ssd"})));
    world.converge().await;
    assert_eq!(selector(), json!({"disk": "ssd"}));
    world.set_spec(&selecting(Value::Null));
    world.converge().await;
    assert_eq!(selector(), Value::Null);
}

/// Left behind by a ModelService (`kubectl delete --cascade=orphan`) or made by hand to be taken over.
fn orphan(world: &World, manager: &str, replicas: i32) {
    let deployment = json!({
        "metadata": {"labels": {
            "app.kubernetes.io/managed-by": "springtide",
            "app.kubernetes.io/instance": NAME,
        }},
        "spec": {"replicas": replicas},
    });
    world.edit::<Deployment>(manager, &deployment);
}

fn kubectl_scales(world: &World, replicas: i32) {
    let deployments = ResourceType::of::<Deployment>();
    world
        .fake
        .scale(&deployments, NAMESPACE, NAME, "kubectl", replicas);
}

#[tokio::test]
async fn a_deployment_that_was_scaled_by_hand_is_taken_over_as_it_is() {
    for engine in ["Auto", "HPA", "KEDA"] {
        let world = World::with_keda();
        orphan(&world, "helm", 1);
        kubectl_scales(&world, 7);
        world.set_spec(&spec(engine));
        world.converge().await;
        assert_eq!(replicas(&world), 7, "{engine}");
        let owners = world.get::<Deployment>().unwrap()["metadata"]["ownerReferences"].clone();
        assert_eq!(owners[0]["name"], NAME);
        kubectl_scales(&world, 9);
        world.converge().await;
        assert_eq!(replicas(&world), 9, "{engine}, scaled later");
        kubectl_scales(&world, 1);
        world.converge().await;
        assert_eq!(replicas(&world), 1, "{engine}: its autoscaler lifts it");
    }
}

#[tokio::test]
async fn what_an_older_hpa_decided_stays() {
    let world = World::new();
    orphan(&world, "helm", 3);
    let older = json!({"spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
        "maxReplicas": 30,
    }});
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    world.fake.edit(&hpas, NAMESPACE, "older", "helm", &older);
    hpa_scales(&world.fake, "older", 12);
    let before = world.fake.get(&hpas, NAMESPACE, "older");
    world.set_spec(&spec("HPA"));
    world.converge().await;
    assert_eq!(replicas(&world), 12);
    assert_eq!(world.fake.get(&hpas, NAMESPACE, "older"), before);
    world.fake.delete(&hpas, NAMESPACE, "older");
    world.converge().await;
    assert_eq!(replicas(&world), 12);
}

/// Names of what the HPA follows.
fn followed(world: &World) -> Vec<String> {
    let hpa = world.get::<HorizontalPodAutoscaler>().unwrap();
    let metrics = hpa["spec"]["metrics"].as_array().unwrap();
    let name = |metric: &Value| {
        let name = [
            &metric["containerResource"]["name"],
            &metric["pods"]["metric"]["name"],
        ];
        name.into_iter().find_map(Value::as_str).unwrap().to_owned()
    };
    metrics.iter().map(name).collect()
}

#[tokio::test]
async fn an_adapter_that_is_away_changes_no_hpa() {
    let world = World::new();
    let signal = Signal::RequestsPerSecond;
    world.fake.register(CUSTOM_METRICS, listing(&[signal]));
    world.look().await;
    world.set_spec(&json!({
        "model": {"uri": "configMap://iris/model.onnx"},
        "autoscaling": {
            "engine": "HPA",
            "targets": {"cpuUtilizationPercent": 60, "requestsPerSecond": 1000},
        },
    }));
    world.converge().await;
    let both = ["cpu", signal.pods_metric().unwrap()];
    assert_eq!(followed(&world), both);
    let _ = world.fake.take_calls();
    // It is down, also when the operator starts anew, and lists nothing at first when it comes back.
    let restarted = world.restarted();
    for (away, operator) in [
        (Aggregated::Unavailable, &world),
        (Aggregated::Unavailable, &restarted),
        (listing(&[]), &restarted),
    ] {
        world.fake.register(CUSTOM_METRICS, away);
        operator.look().await;
        operator.pass().await.unwrap();
        assert_eq!(followed(&world), both);
        assert!(writes(&world).iter().all(is_report));
    }
    world.fake.unregister(CUSTOM_METRICS);
    restarted.look().await;
    restarted.converge().await;
    assert_eq!(followed(&world), ["cpu"]);
    let status = world.get::<ModelService>().unwrap()["status"].to_string();
    assert!(status.contains("requestsPerSecond"), "{status}");
}

/// Reconciles over a few hundred ModelServices cost what is read, and nothing else.
#[tokio::test]
async fn a_pass_without_a_change_is_a_few_reads() {
    /// The ModelService, whether KEDA is there, six objects by name and the pods.
    const READS: usize = 9;
    let world = World::with_keda();
    world.set_spec(&spec("KEDA"));
    world.converge().await;
    let _ = world.fake.take_calls();
    world.pass().await.unwrap();
    let calls = world.fake.take_calls();
    assert_eq!(calls.len(), READS, "{calls:?}");
}

/// An HPA of another name, which nobody made for the ModelService, on a Deployment whose number of pods
/// is fixed.
#[tokio::test]
async fn somebody_elses_hpa_is_not_fought_and_said_to_be_there() {
    const BY_HAND: &str = "by-hand";
    let world = World::new();
    world.set_spec(&spec("None"));
    world.converge().await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME});
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let hpa = json!({"spec": {"scaleTargetRef": target, "maxReplicas": 10}});
    world.fake.edit(&hpas, NAMESPACE, BY_HAND, "kubectl", &hpa);
    for decided in [7, 3, 9] {
        hpa_scales(&world.fake, BY_HAND, decided);
        assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Incomplete);
        assert_eq!(replicas(&world), decided);
    }
    let no = |reason: &str| ("False".to_owned(), reason.to_owned());
    assert_eq!(world.condition("AutoscalingReady"), no("AnotherAutoscaler"));
    assert_ne!(
        world.get::<Service>(),
        None,
        "the rest is as the spec wants it"
    );

    world.fake.delete(&hpas, NAMESPACE, BY_HAND);
    world.converge().await;
    assert_eq!(replicas(&world), 2);
    assert_eq!(
        world.condition("AutoscalingReady"),
        ("True".to_owned(), "FixedReplicas".to_owned())
    );
}

/// More than the API server gives in one answer, of which the last alone scales the Deployment.
#[tokio::test]
async fn somebody_elses_hpa_is_found_among_many_page_by_page() {
    let world = World::new();
    world.set_spec(&spec("None"));
    world.converge().await;
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let scales = |hpa: &str, deployment: &str| {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment});
        let fields = json!({"spec": {"scaleTargetRef": target, "maxReplicas": 10}});
        world.fake.edit(&hpas, NAMESPACE, hpa, "kubectl", &fields);
    };
    for number in 0..250 {
        scales(&format!("a-{number:03}"), &format!("other-{number}"));
    }
    scales("z", NAME);
    let _ = world.fake.take_calls();
    assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Incomplete);
    let (status, reason) = world.condition("AutoscalingReady");
    assert_eq!((&*status, &*reason), ("False", "AnotherAutoscaler"));
    let calls = world.fake.take_calls();
    let lists = calls
        .iter()
        .filter(|call| call.path.ends_with("/horizontalpodautoscalers") && !call.is_write());
    assert_eq!(lists.clone().count(), 3);
    assert!(
        lists.clone().all(|call| call.query.contains("limit=100")),
        "{calls:?}"
    );
}
