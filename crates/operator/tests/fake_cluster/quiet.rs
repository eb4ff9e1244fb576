//! The operator never reverts decisions of other clients, and writes nothing if nothing has changed.

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
    support::{NAME, NAMESPACE, Testbed, spec},
};

fn replicas(testbed: &Testbed) -> i64 {
    testbed.get::<Deployment>().unwrap()["spec"]["replicas"]
        .as_i64()
        .unwrap()
}

fn writes(testbed: &Testbed) -> Vec<Call> {
    let calls = testbed.fake.take_calls();
    calls.into_iter().filter(Call::is_write).collect()
}

/// Whether a call writes the status of the ModelService or an event.
fn is_report(call: &Call) -> bool {
    let is_status = call
        .path
        .ends_with(&format!("/modelservices/{NAME}/status"));
    is_status || call.path.contains("/events.k8s.io/")
}

/// Reconciles while the HPA changes the replicas. Only the status and events may be written, and only after a change.
async fn reconcile_under_decisions(testbed: &Testbed, engine: &str) {
    /// Twice the number of different decisions.
    const DECISIONS: i64 = 38;
    /// The first reconcile after a decision reports it, and the others must change nothing.
    const RECONCILES_PER_DECISION: usize = 4;
    testbed.set_spec(&spec(engine));
    testbed.converge().await;
    keda_acts(&testbed.fake);
    testbed.pods_become_ready();
    testbed.converge().await;
    let _ = testbed.fake.take_calls();
    let hpa = if engine == "KEDA" { KEDA_HPA } else { NAME };
    for decision in 0..DECISIONS {
        // Between 2 and 20 pods, up and down.
        let decided = 2 + (decision * 7) % 19;
        hpa_scales(&testbed.fake, hpa, decided);
        for reconcile in 0..RECONCILES_PER_DECISION {
            testbed.reconcile().await.unwrap();
            let written = writes(testbed);
            let is_allowed = |call: &Call| reconcile == 0 && is_report(call);
            let what = format!("reconcile {reconcile} after decision {decision}");
            assert!(written.iter().all(is_allowed), "{what}: {written:?}");
            assert_eq!(replicas(testbed), decided, "{what}");
        }
    }
}

#[tokio::test]
async fn many_reconciles_leave_the_replicas_to_the_hpa() {
    reconcile_under_decisions(&Testbed::with_keda(), "HPA").await;
}

#[tokio::test]
async fn many_reconciles_leave_the_replicas_to_the_hpa_of_keda() {
    reconcile_under_decisions(&Testbed::with_keda(), "KEDA").await;
}

#[tokio::test]
async fn many_reconciles_leave_the_replicas_to_the_hpa_of_auto() {
    reconcile_under_decisions(&Testbed::with_keda(), "Auto").await;
}

/// The HPA changes fixed replicas, which had a field manager.
#[tokio::test]
async fn many_reconciles_leave_the_replicas_to_the_hpa_after_fixed_replicas() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    reconcile_under_decisions(&testbed, "HPA").await;
}

#[tokio::test]
async fn without_a_change_nothing_is_written_with_any_engine() {
    for engine in ["Auto", "HPA", "KEDA", "None"] {
        let testbed = Testbed::with_keda();
        testbed.set_spec(&spec(engine));
        testbed.converge().await;
        testbed.pods_become_ready();
        testbed.converge().await;
        let _ = testbed.fake.take_calls();
        for _ in 0..3 {
            testbed.reconcile().await.unwrap();
        }
        assert_eq!(writes(&testbed), [], "{engine}");
    }
}

#[tokio::test]
async fn only_the_changed_object_is_applied() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    let _ = testbed.fake.take_calls();
    let none = json!({"spec": {"selector": null}});
    testbed.edit::<Service>("kubectl-edit", &none);
    testbed.reconcile().await.unwrap();
    let written = writes(&testbed);
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].path.ends_with(&format!("/services/{NAME}")));
}

#[tokio::test]
async fn a_removed_setting_is_removed_from_the_deployment() {
    let testbed = Testbed::new();
    let selecting = |node: Value| {
        json!({
            "model": {"uri": "configMap://iris/model.onnx"},
            "pod": {"nodeSelector": node},
            "autoscaling": {"engine": "HPA"},
        })
    };
    let selector =
        || testbed.get::<Deployment>().unwrap()["spec"]["template"]["spec"]["nodeSelector"].clone();
    testbed.set_spec(&selecting(json!({"disk": "ssd"})));
    testbed.converge().await;
    assert_eq!(selector(), json!({"disk": "ssd"}));
    testbed.set_spec(&selecting(Value::Null));
    testbed.converge().await;
    assert_eq!(selector(), Value::Null);
}

/// A Deployment without an owner: from `kubectl delete --cascade=orphan`, or created to be adopted.
fn orphan(testbed: &Testbed, manager: &str, replicas: i32) {
    let deployment = json!({
        "metadata": {"labels": {
            "app.kubernetes.io/managed-by": "springtide",
            "app.kubernetes.io/instance": NAME,
        }},
        "spec": {"replicas": replicas},
    });
    testbed.edit::<Deployment>(manager, &deployment);
}

fn kubectl_scales(testbed: &Testbed, replicas: i32) {
    let deployments = ResourceType::of::<Deployment>();
    testbed
        .fake
        .scale(&deployments, NAMESPACE, NAME, "kubectl", replicas);
}

#[tokio::test]
async fn a_deployment_that_was_scaled_manually_is_adopted_with_its_replicas() {
    for engine in ["Auto", "HPA", "KEDA"] {
        let testbed = Testbed::with_keda();
        orphan(&testbed, "helm", 1);
        kubectl_scales(&testbed, 7);
        testbed.set_spec(&spec(engine));
        testbed.converge().await;
        assert_eq!(replicas(&testbed), 7, "{engine}");
        let owners = testbed.get::<Deployment>().unwrap()["metadata"]["ownerReferences"].clone();
        assert_eq!(owners[0]["name"], NAME);
        kubectl_scales(&testbed, 9);
        testbed.converge().await;
        assert_eq!(replicas(&testbed), 9, "{engine}, scaled later");
        kubectl_scales(&testbed, 1);
        testbed.converge().await;
        assert_eq!(
            replicas(&testbed),
            1,
            "{engine}: its autoscaler raises the number"
        );
    }
}

#[tokio::test]
async fn a_decision_of_an_older_hpa_is_kept() {
    let testbed = Testbed::new();
    orphan(&testbed, "helm", 3);
    let older = json!({"spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
        "maxReplicas": 30,
    }});
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    testbed.fake.edit(&hpas, NAMESPACE, "older", "helm", &older);
    hpa_scales(&testbed.fake, "older", 12);
    let before = testbed.fake.get(&hpas, NAMESPACE, "older");
    testbed.set_spec(&spec("HPA"));
    testbed.converge().await;
    assert_eq!(replicas(&testbed), 12);
    assert_eq!(testbed.fake.get(&hpas, NAMESPACE, "older"), before);
    testbed.fake.delete(&hpas, NAMESPACE, "older");
    testbed.converge().await;
    assert_eq!(replicas(&testbed), 12);
}

/// Names of the metrics that the HPA follows.
fn followed(testbed: &Testbed) -> Vec<String> {
    let hpa = testbed.get::<HorizontalPodAutoscaler>().unwrap();
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
async fn an_unavailable_adapter_changes_no_hpa() {
    let testbed = Testbed::new();
    let signal = Signal::RequestsPerSecond;
    testbed.fake.register(CUSTOM_METRICS, listing(&[signal]));
    testbed.refresh_capabilities().await;
    testbed.set_spec(&json!({
        "model": {"uri": "configMap://iris/model.onnx"},
        "autoscaling": {
            "engine": "HPA",
            "targets": {"cpuUtilizationPercent": 60, "requestsPerSecond": 1000},
        },
    }));
    testbed.converge().await;
    let both = ["cpu", signal.pods_metric().unwrap()];
    assert_eq!(followed(&testbed), both);
    let _ = testbed.fake.take_calls();
    // It is unavailable, also during a restart of the operator, and lists nothing at first when it is available again.
    let restarted = testbed.restarted();
    for (away, operator) in [
        (Aggregated::Unavailable, &testbed),
        (Aggregated::Unavailable, &restarted),
        (listing(&[]), &restarted),
    ] {
        testbed.fake.register(CUSTOM_METRICS, away);
        operator.refresh_capabilities().await;
        operator.reconcile().await.unwrap();
        assert_eq!(followed(&testbed), both);
        assert!(writes(&testbed).iter().all(is_report));
    }
    testbed.fake.unregister(CUSTOM_METRICS);
    restarted.refresh_capabilities().await;
    restarted.converge().await;
    assert_eq!(followed(&testbed), ["cpu"]);
    let status = testbed.get::<ModelService>().unwrap()["status"].to_string();
    assert!(status.contains("requestsPerSecond"), "{status}");
}

/// Without caches, a reconcile without a change only reads.
#[tokio::test]
async fn a_reconcile_without_a_change_is_a_few_reads() {
    /// The ModelService, the discovery of KEDA, six objects by name, and the pods.
    const READS: usize = 9;
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec("KEDA"));
    testbed.converge().await;
    let _ = testbed.fake.take_calls();
    testbed.reconcile().await.unwrap();
    let calls = testbed.fake.take_calls();
    assert_eq!(calls.len(), READS, "{calls:?}");
}

/// An HPA of another name and owner, for a Deployment with fixed replicas.
#[tokio::test]
async fn an_hpa_of_another_owner_is_kept_and_reported() {
    const BY_HAND: &str = "by-hand";
    let testbed = Testbed::new();
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME});
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let hpa = json!({"spec": {"scaleTargetRef": target, "maxReplicas": 10}});
    testbed
        .fake
        .edit(&hpas, NAMESPACE, BY_HAND, "kubectl", &hpa);
    for decided in [7, 3, 9] {
        hpa_scales(&testbed.fake, BY_HAND, decided);
        assert_eq!(
            testbed.reconcile().await.unwrap(),
            ReconcileOutcome::Incomplete
        );
        assert_eq!(replicas(&testbed), decided);
    }
    let no = |reason: &str| ("False".to_owned(), reason.to_owned());
    assert_eq!(
        testbed.condition("AutoscalingReady"),
        no("AnotherAutoscaler")
    );
    assert_ne!(
        testbed.get::<Service>(),
        None,
        "the other objects are as in the spec"
    );

    testbed.fake.delete(&hpas, NAMESPACE, BY_HAND);
    testbed.converge().await;
    assert_eq!(replicas(&testbed), 2);
    assert_eq!(
        testbed.condition("AutoscalingReady"),
        ("True".to_owned(), "FixedReplicas".to_owned())
    );
}

/// More HPAs than a page has. Only the last one scales the Deployment.
#[tokio::test]
async fn an_hpa_of_another_owner_is_found_on_a_later_page() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("None"));
    testbed.converge().await;
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let scales = |hpa: &str, deployment: &str| {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment});
        let fields = json!({"spec": {"scaleTargetRef": target, "maxReplicas": 10}});
        testbed.fake.edit(&hpas, NAMESPACE, hpa, "kubectl", &fields);
    };
    for number in 0..250 {
        scales(&format!("a-{number:03}"), &format!("other-{number}"));
    }
    scales("z", NAME);
    let _ = testbed.fake.take_calls();
    assert_eq!(
        testbed.reconcile().await.unwrap(),
        ReconcileOutcome::Incomplete
    );
    let (status, reason) = testbed.condition("AutoscalingReady");
    assert_eq!((&*status, &*reason), ("False", "AnotherAutoscaler"));
    let calls = testbed.fake.take_calls();
    let lists = calls
        .iter()
        .filter(|call| call.path.ends_with("/horizontalpodautoscalers") && !call.is_write());
    assert_eq!(lists.clone().count(), 3);
    assert!(
        lists.clone().all(|call| call.query.contains("limit=100")),
        "{calls:?}"
    );
}
