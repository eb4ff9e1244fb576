//! Single reconciles over a fake API server.

use crate::support::{NAME, NAMESPACE, Testbed, child_types, spec};
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
async fn every_child_is_created_with_the_model_service_as_its_owner() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    let owner = testbed.get::<ModelService>().unwrap();
    for child in [
        testbed.get::<Service>(),
        testbed.get::<PodDisruptionBudget>(),
        testbed.get::<Deployment>(),
        testbed.get::<HorizontalPodAutoscaler>(),
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
    assert_eq!(testbed.get::<ScaledObject>(), None);
    assert_eq!(owner["status"]["observedGeneration"], 1);
    assert_eq!(testbed.get::<Deployment>().unwrap()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn after_convergence_a_reconcile_writes_nothing() {
    for engine in ["HPA", "KEDA", "None"] {
        let testbed = Testbed::with_keda();
        testbed.set_spec(&spec(engine));
        testbed.converge().await;
        testbed.pods_become_ready();
        testbed.converge().await;
        let (version, snapshot) = (testbed.fake.version(), testbed.snapshot());
        for _ in 0..3 {
            assert_eq!(
                testbed.reconcile().await.unwrap(),
                ReconcileOutcome::Settled
            );
        }
        assert_eq!(testbed.fake.version(), version, "{engine}");
        assert_eq!(testbed.snapshot(), snapshot, "{engine}");
    }
}

#[tokio::test]
async fn ready_pods_make_the_workload_available() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    assert_eq!(testbed.condition("WorkloadAvailable").0, "False");
    testbed.pods_become_ready();
    testbed.converge().await;
    assert_eq!(testbed.condition("WorkloadAvailable").0, "True");
    assert_eq!(
        testbed.get::<ModelService>().unwrap()["status"]["readyReplicas"],
        2
    );
}

#[tokio::test]
async fn children_that_were_deleted_or_edited_are_restored() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    let snapshot = testbed.snapshot();
    for kind in child_types() {
        testbed.fake.delete(&kind, NAMESPACE, NAME);
        testbed.converge().await;
        assert_eq!(testbed.snapshot(), snapshot, "{}", kind.kind);
    }
    testbed.edit::<HorizontalPodAutoscaler>("kubectl-edit", &json!({"spec": {"maxReplicas": 99}}));
    testbed.edit::<Service>(
        "kubectl-edit",
        &json!({"spec": {"selector": {"app": "other"}}}),
    );
    testbed.converge().await;
    assert_eq!(
        testbed.get::<HorizontalPodAutoscaler>().unwrap()["spec"]["maxReplicas"],
        20
    );
    assert_eq!(
        testbed.get::<Service>().unwrap()["spec"]["selector"]["app.kubernetes.io/instance"],
        NAME
    );
}

#[tokio::test]
async fn replicas_belong_to_the_autoscaler() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    let replicas = || testbed.get::<Deployment>().unwrap()["spec"]["replicas"].clone();
    let scale = |replicas: i32| {
        let patch = json!({"spec": {"replicas": replicas}});
        testbed.edit::<Deployment>("kube-controller-manager", &patch);
    };
    scale(7);
    testbed.converge().await;
    assert_eq!(replicas(), 7, "kept under the HPA");
    testbed.set_spec(&spec("KEDA"));
    testbed.converge().await;
    assert_eq!(replicas(), 7, "kept during the switch to KEDA");
    testbed.set_spec(&json!({"autoscaling": {"engine": "None"}, "replicas": 3}));
    testbed.converge().await;
    assert_eq!(replicas(), 3, "fixed");
    scale(9);
    testbed.converge().await;
    assert_eq!(replicas(), 3, "put back");
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    assert_eq!(replicas(), 3, "handed over, not reset");
    scale(5);
    testbed.converge().await;
    assert_eq!(replicas(), 5, "owned by the HPA again");
}

/// An HPA never scales a Deployment with 0 replicas.
#[tokio::test]
async fn an_autoscaler_after_0_fixed_replicas_has_pods_to_scale() {
    for engine in ["HPA", "KEDA"] {
        let testbed = Testbed::with_keda();
        let replicas = || testbed.get::<Deployment>().unwrap()["spec"]["replicas"].clone();
        testbed.set_spec(&json!({
            "model": {"uri": "configMap://iris/model.onnx"},
            "replicas": 0,
            "autoscaling": {"engine": "None"},
        }));
        testbed.converge().await;
        assert_eq!(replicas(), 0);
        testbed.set_spec(&spec(engine));
        testbed.converge().await;
        assert_eq!(replicas(), 2, "{engine}");
    }
}

#[tokio::test]
async fn switching_the_engine_never_leaves_two_autoscalers() {
    let testbed = Testbed::with_keda();
    for engine in ["HPA", "KEDA", "HPA", "None", "KEDA", "None", "HPA"] {
        testbed.set_spec(&spec(engine));
        for _ in 0..4 {
            testbed.reconcile().await.unwrap();
            let both = testbed.get::<HorizontalPodAutoscaler>().is_some()
                && testbed.get::<ScaledObject>().is_some();
            assert!(!both, "two autoscalers during the switch to {engine}");
        }
        testbed.converge().await;
        assert_eq!(
            testbed.get::<HorizontalPodAutoscaler>().is_some(),
            engine == "HPA"
        );
        assert_eq!(testbed.get::<ScaledObject>().is_some(), engine == "KEDA");
    }
}

#[tokio::test]
async fn the_new_autoscaler_waits_for_the_hpa_that_keda_leaves_behind() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("KEDA"));
    testbed.converge().await;
    let hpa = ResourceType::of::<HorizontalPodAutoscaler>();
    // It has no owner here, as if KEDA has not deleted it yet.
    testbed.fake.edit(
        &hpa,
        NAMESPACE,
        "keda-hpa-iris",
        "keda",
        &json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "iris"}, "maxReplicas": 50}}),
    );
    testbed.set_spec(&spec("HPA"));
    for _ in 0..3 {
        assert_eq!(
            testbed.reconcile().await.unwrap(),
            ReconcileOutcome::Waiting
        );
        assert_eq!(testbed.get::<HorizontalPodAutoscaler>(), None);
    }
    testbed.fake.delete(&hpa, NAMESPACE, "keda-hpa-iris");
    testbed.converge().await;
    assert!(testbed.get::<HorizontalPodAutoscaler>().is_some());
}

#[tokio::test]
async fn an_object_of_another_owner_is_not_changed() {
    for kind in child_types()
        .into_iter()
        .filter(|kind| kind.kind != "ScaledObject")
    {
        let testbed = Testbed::new();
        let theirs = json!({"metadata": {"labels": {"app": "theirs"}}, "spec": {"replicas": 4}});
        testbed.fake.edit(&kind, NAMESPACE, NAME, "helm", &theirs);
        let before = testbed.fake.get(&kind, NAMESPACE, NAME);
        testbed.set_spec(&spec("HPA"));
        testbed.converge().await;
        assert_eq!(
            testbed.fake.get(&kind, NAMESPACE, NAME),
            before,
            "{}",
            kind.kind
        );
        assert_eq!(testbed.condition("Ready").0, "False", "{}", kind.kind);
        let reasons: Vec<String> = ["WorkloadAvailable", "AutoscalingReady", "Ready"]
            .map(|condition| testbed.condition(condition).1)
            .into();
        assert!(
            reasons.iter().any(|reason| reason == "NameTaken"),
            "{}: {reasons:?}",
            kind.kind
        );
        if kind.kind == "Deployment" {
            let nobody_scales = testbed.get::<HorizontalPodAutoscaler>().is_none();
            assert!(
                nobody_scales,
                "an autoscaler would change the Deployment of another owner"
            );
        }

        testbed.fake.delete(&kind, NAMESPACE, NAME);
        testbed.converge().await;
        let owned = testbed.fake.get(&kind, NAMESPACE, NAME).unwrap();
        assert_eq!(
            owned["metadata"]["ownerReferences"][0]["name"], NAME,
            "{}",
            kind.kind
        );
    }
}

#[tokio::test]
async fn a_missing_keda_is_a_condition_and_recovers() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("KEDA"));
    testbed.converge().await;
    let (status, reason) = testbed.condition("AutoscalingReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "KedaMissing"));
    assert!(
        testbed.get::<Deployment>().is_some(),
        "the Deployment exists without KEDA"
    );

    let scaled_object = ResourceType::of::<ScaledObject>();
    testbed.fake.install(scaled_object.clone());
    testbed.converge().await;
    assert!(testbed.get::<ScaledObject>().is_some());
    assert_ne!(testbed.condition("AutoscalingReady").1, "KedaMissing");

    testbed.fake.uninstall(&scaled_object);
    testbed.converge().await;
    assert_eq!(testbed.condition("AutoscalingReady").1, "KedaMissing");
}

#[tokio::test]
async fn an_invalid_spec_is_a_condition_and_creates_nothing() {
    let testbed = Testbed::new();
    testbed.set_spec(&json!({"model": {"uri": "ftp://example.com/model.onnx"}}));
    let error = testbed.reconcile().await.unwrap_err();
    assert_eq!(error.reason(), "InvalidSpec");
    assert!(!error.is_transient());
    assert_eq!(
        testbed.condition("Ready"),
        ("False".to_owned(), "InvalidSpec".to_owned())
    );
    assert_eq!(testbed.get::<Deployment>(), None);
    let version = testbed.fake.version();
    testbed.reconcile().await.unwrap_err();
    assert_eq!(testbed.fake.version(), version);
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    assert!(testbed.get::<Deployment>().is_some());
}

#[tokio::test]
async fn an_invalid_spec_leaves_the_last_valid_one_in_effect() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    let before = testbed.get::<Deployment>().unwrap();
    let mut bad = spec("HPA");
    bad["autoscaling"]["schedules"] = json!([{
        "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
        "timezone": "Europe/Atlantis",
    }]);
    bad["server"] = json!({"maxQueueRows": 7});
    testbed.set_spec(&bad);
    // The same after a restart.
    let testbed = testbed.restarted();
    testbed.converge().await;
    assert_eq!(
        testbed.condition("Ready"),
        ("False".to_owned(), "InvalidSpec".to_owned())
    );
    assert_ne!(testbed.condition("AutoscalingReady").0, "Unknown");
    assert_eq!(testbed.get::<Deployment>().unwrap()["spec"], before["spec"]);

    testbed
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    testbed.converge().await;
    assert_eq!(
        testbed.get::<Deployment>().unwrap()["spec"]["template"],
        before["spec"]["template"]
    );
    let version = testbed.fake.version();
    testbed.converge().await;
    assert_eq!(testbed.fake.version(), version, "then nothing is written");

    testbed.set_spec(&json!({"autoscaling": {"schedules": null}}));
    testbed.converge().await;
    assert_ne!(testbed.condition("Ready").1, "InvalidSpec");
    assert_ne!(testbed.get::<Deployment>().unwrap()["spec"], before["spec"]);
}

#[tokio::test]
async fn an_invalid_spec_after_the_first_reconcile_leaves_the_first_one_in_effect() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.reconcile().await.unwrap();
    let before = testbed.get::<Deployment>().unwrap();
    testbed.set_spec(&json!({"autoscaling": {"schedules": [{
        "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
        "timezone": "Europe/Atlantis",
    }]}}));
    testbed.converge().await;
    let model_service = testbed.get::<ModelService>().unwrap();
    assert_eq!(model_service["status"]["lastValid"]["generation"], 1);
    let conditions = model_service["status"]["conditions"].to_string();
    assert!(
        conditions.contains("The last valid spec, generation 1,"),
        "{conditions}"
    );
    testbed
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    let testbed = testbed.restarted();
    testbed.converge().await;
    assert_eq!(
        testbed.get::<Deployment>().unwrap()["spec"]["template"],
        before["spec"]["template"]
    );
}

#[tokio::test]
async fn an_unreadable_spec_leaves_the_last_valid_one_in_effect() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    testbed.converge().await;
    let before = testbed.get::<Deployment>().unwrap();
    testbed.set_spec(&spec("Telepathy"));
    testbed
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    testbed.converge().await;
    let after = testbed.get::<Deployment>().unwrap();
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    let generation = testbed.get::<ModelService>().unwrap()["metadata"]["generation"].clone();
    let status = testbed.get::<ModelService>().unwrap()["status"].clone();
    assert_eq!(status["observedGeneration"], generation);
    assert_eq!(testbed.condition("Ready").1, "UnreadableSpec");
    let said = status.to_string();
    assert!(said.contains("stays in effect"), "{said}");
    assert!(said.contains("Telepathy"), "{said}");

    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    assert_ne!(testbed.condition("Ready").1, "UnreadableSpec");
}

#[tokio::test]
async fn an_unreadable_spec_is_a_condition() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("Telepathy"));
    let error = testbed.reconcile().await.unwrap_err();
    assert_eq!(error.reason(), "UnreadableSpec");
    assert!(!error.is_transient());
    assert_eq!(testbed.condition("Ready").1, "UnreadableSpec");
    let events = events(&testbed.fake);
    assert_eq!(events[0]["reason"], "UnreadableSpec");
    assert_eq!(
        events[0]["regarding"]["uid"],
        testbed.get::<ModelService>().unwrap()["metadata"]["uid"]
    );
}

#[tokio::test]
async fn a_change_is_one_event() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("KEDA"));
    testbed.converge().await;
    let told = events(&testbed.fake);
    assert!(
        told.iter()
            .any(|event| event["reason"] == "KedaMissing" && event["type"] == "Warning")
    );
    testbed.reconcile().await.unwrap();
    assert_eq!(events(&testbed.fake), told);
}

#[tokio::test]
async fn the_objects_of_a_deleted_model_service_are_deleted() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("KEDA"));
    testbed.converge().await;
    testbed
        .fake
        .delete(&ResourceType::of::<ModelService>(), NAMESPACE, NAME);
    assert_eq!(testbed.reconcile().await.unwrap(), ReconcileOutcome::Gone);
    assert!(testbed.snapshot().is_empty());
}

#[tokio::test]
async fn nothing_is_created_for_a_model_service_that_is_being_deleted() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    let going = json!({"metadata": {
        "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["example.com/slow"],
    }});
    testbed.edit::<ModelService>("kubectl", &going);
    assert_eq!(testbed.reconcile().await.unwrap(), ReconcileOutcome::Gone);
    assert_eq!(testbed.get::<Deployment>(), None);
}

fn events(fake: &FakeApi) -> Vec<serde_json::Value> {
    fake.list(&ResourceType::of::<k8s_openapi::api::events::v1::Event>())
}
