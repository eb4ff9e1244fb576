//! Single passes of the operator over a fake API server.

use crate::support::{NAME, NAMESPACE, World, child_types, spec};
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
    policy::v1::PodDisruptionBudget,
};
use serde_json::json;
use springtide_api::ModelService;
use springtide_operator::reconcile::ReconcileOutcome;
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{FakeApi, ResourceType};

#[tokio::test]
async fn every_child_is_made_and_belongs_to_the_model_service() {
    let world = World::with_keda();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    let owner = world.get::<ModelService>().unwrap();
    for child in [
        world.get::<Service>(),
        world.get::<PodDisruptionBudget>(),
        world.get::<Deployment>(),
        world.get::<HorizontalPodAutoscaler>(),
    ] {
        let child = child.unwrap();
        let reference = &child["metadata"]["ownerReferences"][0];
        assert_eq!(reference["uid"], owner["metadata"]["uid"]);
        assert_eq!(reference["kind"], "ModelService");
        assert_eq!(reference["controller"], true);
        assert_eq!(
            child["metadata"]["labels"]["app.kubernetes.io/managed-by"],
            "springtide"
        );
    }
    assert_eq!(world.get::<ScaledObject>(), None);
    assert_eq!(owner["status"]["observedGeneration"], 1);
    assert_eq!(world.get::<Deployment>().unwrap()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn after_convergence_a_pass_writes_nothing() {
    for engine in ["HPA", "KEDA", "None"] {
        let world = World::with_keda();
        world.set_spec(&spec(engine));
        world.converge().await;
        world.pods_become_ready();
        world.converge().await;
        let (version, snapshot) = (world.fake.version(), world.snapshot());
        for _ in 0..3 {
            assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Settled);
        }
        assert_eq!(world.fake.version(), version, "{engine}");
        assert_eq!(world.snapshot(), snapshot, "{engine}");
    }
}

#[tokio::test]
async fn ready_pods_make_the_workload_available() {
    let world = World::new();
    world.set_spec(&spec("None"));
    world.converge().await;
    assert_eq!(world.condition("WorkloadAvailable").0, "False");
    world.pods_become_ready();
    world.converge().await;
    assert_eq!(world.condition("WorkloadAvailable").0, "True");
    assert_eq!(
        world.get::<ModelService>().unwrap()["status"]["readyReplicas"],
        2
    );
}

#[tokio::test]
async fn children_that_were_deleted_or_edited_are_put_back() {
    let world = World::with_keda();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    let snapshot = world.snapshot();
    for kind in child_types() {
        world.fake.delete(&kind, NAMESPACE, NAME);
        world.converge().await;
        assert_eq!(world.snapshot(), snapshot, "{}", kind.kind);
    }
    world.edit::<HorizontalPodAutoscaler>("kubectl-edit", &json!({"spec": {"maxReplicas": 99}}));
    world.edit::<Service>(
        "kubectl-edit",
        &json!({"spec": {"selector": {"app": "other"}}}),
    );
    world.converge().await;
    assert_eq!(
        world.get::<HorizontalPodAutoscaler>().unwrap()["spec"]["maxReplicas"],
        20
    );
    assert_eq!(
        world.get::<Service>().unwrap()["spec"]["selector"]["app.kubernetes.io/instance"],
        NAME
    );
}

#[tokio::test]
async fn replicas_belong_to_the_autoscaler() {
    let world = World::with_keda();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    let replicas = || world.get::<Deployment>().unwrap()["spec"]["replicas"].clone();
    let scale = |replicas: i32| {
        let patch = json!({"spec": {"replicas": replicas}});
        world.edit::<Deployment>("kube-controller-manager", &patch);
    };
    scale(7);
    world.converge().await;
    assert_eq!(replicas(), 7, "kept under the HPA");
    world.set_spec(&spec("KEDA"));
    world.converge().await;
    assert_eq!(replicas(), 7, "kept through the switch to KEDA");
    world.set_spec(&json!({"autoscaling": {"engine": "None"}, "replicas": 3}));
    world.converge().await;
    assert_eq!(replicas(), 3, "fixed");
    scale(9);
    world.converge().await;
    assert_eq!(replicas(), 3, "put back");
    world.set_spec(&spec("HPA"));
    world.converge().await;
    assert_eq!(replicas(), 3, "handed over, not reset");
    scale(5);
    world.converge().await;
    assert_eq!(replicas(), 5, "the HPA's again");
}

/// An HPA leaves a Deployment with 0 pods alone for ever.
#[tokio::test]
async fn an_autoscaler_after_a_fixed_number_of_0_finds_pods_to_scale() {
    for engine in ["HPA", "KEDA"] {
        let world = World::with_keda();
        let replicas = || world.get::<Deployment>().unwrap()["spec"]["replicas"].clone();
        world.set_spec(&json!({
            "model": {"uri": "configMap://iris/model.onnx"},
            "replicas": 0,
            "autoscaling": {"engine": "None"},
        }));
        world.converge().await;
        assert_eq!(replicas(), 0);
        world.set_spec(&spec(engine));
        world.converge().await;
        assert_eq!(replicas(), 2, "{engine}");
    }
}

#[tokio::test]
async fn switching_the_engine_never_leaves_two_autoscalers() {
    let world = World::with_keda();
    for engine in ["HPA", "KEDA", "HPA", "None", "KEDA", "None", "HPA"] {
        world.set_spec(&spec(engine));
        for _ in 0..4 {
            world.pass().await.unwrap();
            let both = world.get::<HorizontalPodAutoscaler>().is_some()
                && world.get::<ScaledObject>().is_some();
            assert!(!both, "two autoscalers on the way to {engine}");
        }
        world.converge().await;
        assert_eq!(
            world.get::<HorizontalPodAutoscaler>().is_some(),
            engine == "HPA"
        );
        assert_eq!(world.get::<ScaledObject>().is_some(), engine == "KEDA");
    }
}

#[tokio::test]
async fn the_new_autoscaler_waits_for_the_hpa_that_keda_leaves_behind() {
    let world = World::with_keda();
    world.set_spec(&spec("KEDA"));
    world.converge().await;
    let hpa = ResourceType::of::<HorizontalPodAutoscaler>();
    // Not owned here, as while KEDA is slow to clean up.
    world.fake.edit(
        &hpa,
        NAMESPACE,
        "keda-hpa-iris",
        "keda",
        &json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "iris"}, "maxReplicas": 50}}),
    );
    world.set_spec(&spec("HPA"));
    for _ in 0..3 {
        assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Waiting);
        assert_eq!(world.get::<HorizontalPodAutoscaler>(), None);
    }
    world.fake.delete(&hpa, NAMESPACE, "keda-hpa-iris");
    world.converge().await;
    assert!(world.get::<HorizontalPodAutoscaler>().is_some());
}

#[tokio::test]
async fn an_object_of_somebody_elses_is_not_touched() {
    for kind in child_types()
        .into_iter()
        .filter(|kind| kind.kind != "ScaledObject")
    {
        let world = World::new();
        let theirs = json!({"metadata": {"labels": {"app": "theirs"}}, "spec": {"replicas": 4}});
        world.fake.edit(&kind, NAMESPACE, NAME, "helm", &theirs);
        let before = world.fake.get(&kind, NAMESPACE, NAME);
        world.set_spec(&spec("HPA"));
        world.converge().await;
        assert_eq!(
            world.fake.get(&kind, NAMESPACE, NAME),
            before,
            "{}",
            kind.kind
        );
        assert_eq!(world.condition("Ready").0, "False", "{}", kind.kind);
        let reasons: Vec<String> = ["WorkloadAvailable", "AutoscalingReady", "Ready"]
            .map(|condition| world.condition(condition).1)
            .into();
        assert!(
            reasons.iter().any(|reason| reason == "NameTaken"),
            "{}: {reasons:?}",
            kind.kind
        );
        if kind.kind == "Deployment" {
            let nobody_scales = world.get::<HorizontalPodAutoscaler>().is_none();
            assert!(
                nobody_scales,
                "an autoscaler would change somebody else's Deployment"
            );
        }

        world.fake.delete(&kind, NAMESPACE, NAME);
        world.converge().await;
        let owned = world.fake.get(&kind, NAMESPACE, NAME).unwrap();
        assert_eq!(
            owned["metadata"]["ownerReferences"][0]["name"], NAME,
            "{}",
            kind.kind
        );
    }
}

#[tokio::test]
async fn a_missing_keda_is_a_condition_and_recovers() {
    let world = World::new();
    world.set_spec(&spec("KEDA"));
    world.converge().await;
    let (status, reason) = world.condition("AutoscalingReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "KedaMissing"));
    assert!(world.get::<Deployment>().is_some(), "served all the same");

    let scaled_object = ResourceType::of::<ScaledObject>();
    world.fake.install(scaled_object.clone());
    world.converge().await;
    assert!(world.get::<ScaledObject>().is_some());
    assert_ne!(world.condition("AutoscalingReady").1, "KedaMissing");

    world.fake.uninstall(&scaled_object);
    world.converge().await;
    assert_eq!(world.condition("AutoscalingReady").1, "KedaMissing");
}

#[tokio::test]
async fn a_bad_spec_is_a_condition_and_nothing_is_made_from_it() {
    let world = World::new();
    world.set_spec(&json!({"model": {"uri": "ftp://example.com/model.onnx"}}));
    let error = world.pass().await.unwrap_err();
    assert_eq!(error.reason(), "InvalidSpec");
    assert!(!error.passes());
    assert_eq!(
        world.condition("Ready"),
        ("False".to_owned(), "InvalidSpec".to_owned())
    );
    assert_eq!(world.get::<Deployment>(), None);
    let version = world.fake.version();
    world.pass().await.unwrap_err();
    assert_eq!(world.fake.version(), version);
    world.set_spec(&spec("HPA"));
    world.converge().await;
    assert!(world.get::<Deployment>().is_some());
}

#[tokio::test]
async fn a_spec_that_turns_bad_leaves_the_last_valid_one_in_force() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    let before = world.get::<Deployment>().unwrap();
    let mut bad = spec("HPA");
    bad["autoscaling"]["schedules"] = json!([{
        "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
        "timezone": "Europe/Atlantis",
    }]);
    bad["server"] = json!({"maxQueueRows": 7});
    world.set_spec(&bad);
    // Also after a restart.
    let world = world.restarted();
    world.converge().await;
    assert_eq!(
        world.condition("Ready"),
        ("False".to_owned(), "InvalidSpec".to_owned())
    );
    assert_ne!(world.condition("AutoscalingReady").0, "Unknown");
    assert_eq!(world.get::<Deployment>().unwrap()["spec"], before["spec"]);

    world
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    world.converge().await;
    assert_eq!(
        world.get::<Deployment>().unwrap()["spec"]["template"],
        before["spec"]["template"]
    );
    let version = world.fake.version();
    world.converge().await;
    assert_eq!(world.fake.version(), version, "and then it is quiet");

    world.set_spec(&json!({"autoscaling": {"schedules": null}}));
    world.converge().await;
    assert_ne!(world.condition("Ready").1, "InvalidSpec");
    assert_ne!(world.get::<Deployment>().unwrap()["spec"], before["spec"]);
}

#[tokio::test]
async fn a_spec_that_turns_bad_after_the_first_pass_leaves_the_first_one_in_force() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.pass().await.unwrap();
    let before = world.get::<Deployment>().unwrap();
    world.set_spec(&json!({"autoscaling": {"schedules": [{
        "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
        "timezone": "Europe/Atlantis",
    }]}}));
    world.converge().await;
    let model_service = world.get::<ModelService>().unwrap();
    assert_eq!(model_service["status"]["lastValid"]["generation"], 1);
    let conditions = model_service["status"]["conditions"].to_string();
    assert!(
        conditions.contains("The last valid spec, generation 1,"),
        "{conditions}"
    );
    world
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    let world = world.restarted();
    world.converge().await;
    assert_eq!(
        world.get::<Deployment>().unwrap()["spec"]["template"],
        before["spec"]["template"]
    );
}

#[tokio::test]
async fn a_spec_that_cannot_be_read_leaves_the_last_valid_one_in_force() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.converge().await;
    world.converge().await;
    let before = world.get::<Deployment>().unwrap();
    world.set_spec(&spec("Telepathy"));
    world
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    world.converge().await;
    let after = world.get::<Deployment>().unwrap();
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    let generation = world.get::<ModelService>().unwrap()["metadata"]["generation"].clone();
    let status = world.get::<ModelService>().unwrap()["status"].clone();
    assert_eq!(status["observedGeneration"], generation);
    assert_eq!(world.condition("Ready").1, "UnreadableSpec");
    let said = status.to_string();
    assert!(said.contains("stays in effect"), "{said}");
    assert!(said.contains("Telepathy"), "{said}");

    world.set_spec(&spec("HPA"));
    world.converge().await;
    assert_ne!(world.condition("Ready").1, "UnreadableSpec");
}

#[tokio::test]
async fn a_spec_that_cannot_be_read_is_told() {
    let world = World::new();
    world.set_spec(&spec("Telepathy"));
    let error = world.pass().await.unwrap_err();
    assert_eq!(error.reason(), "UnreadableSpec");
    assert!(!error.passes());
    assert_eq!(world.condition("Ready").1, "UnreadableSpec");
    let events = events(&world.fake);
    assert_eq!(events[0]["reason"], "UnreadableSpec");
    assert_eq!(
        events[0]["regarding"]["uid"],
        world.get::<ModelService>().unwrap()["metadata"]["uid"]
    );
}

#[tokio::test]
async fn what_changes_is_told_once() {
    let world = World::new();
    world.set_spec(&spec("KEDA"));
    world.converge().await;
    let told = events(&world.fake);
    assert!(
        told.iter()
            .any(|event| event["reason"] == "KedaMissing" && event["type"] == "Warning")
    );
    world.pass().await.unwrap();
    assert_eq!(events(&world.fake), told);
}

#[tokio::test]
async fn a_deleted_model_service_takes_everything_with_it() {
    let world = World::with_keda();
    world.set_spec(&spec("KEDA"));
    world.converge().await;
    world
        .fake
        .delete(&ResourceType::of::<ModelService>(), NAMESPACE, NAME);
    assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Gone);
    assert!(world.snapshot().is_empty());
}

#[tokio::test]
async fn a_model_service_that_is_going_gets_nothing_new() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let going = json!({"metadata": {
        "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["example.com/slow"],
    }});
    world.edit::<ModelService>("kubectl", &going);
    assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Gone);
    assert_eq!(world.get::<Deployment>(), None);
}

fn events(fake: &FakeApi) -> Vec<serde_json::Value> {
    fake.list(&ResourceType::of::<k8s_openapi::api::events::v1::Event>())
}
