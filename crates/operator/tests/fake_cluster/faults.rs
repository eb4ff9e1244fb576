//! Faults of calls: the final state is the same as without them.

use std::time::Duration;

use crate::support::{NAMESPACE, Testbed, spec};
use http::Method;
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_operator::reconcile::ReconcileOutcome;
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{Call, Fault};
use tokio::time::timeout;

/// All faults of a call. `Stall` is also a crash after the call: the reconcile is dropped there.
const FAULTS: [Fault; 6] = [
    Fault::Refused,
    Fault::LostAnswer,
    Fault::Stall,
    Fault::Status(409),
    Fault::Status(422),
    Fault::Status(500),
];

/// Brings a testbed into the state before the tested reconcile.
type Prepare = fn(&Testbed);

/// Runs the scenario once for each call of its first reconcile and each fault. Compares the final state with that of a
/// run without faults.
async fn every_fault_has_the_same_end(before: Option<&Value>, after: &Value, prepare: Prepare) {
    let start = async || {
        let testbed = Testbed::with_keda();
        if let Some(before) = before {
            testbed.set_spec(before);
            testbed.converge().await;
        }
        prepare(&testbed);
        testbed.set_spec(after);
        let _ = testbed.fake.take_calls();
        testbed
    };
    let undisturbed = start().await;
    undisturbed.reconcile().await.unwrap();
    let calls = undisturbed.fake.take_calls().len();
    undisturbed.converge().await;
    let expected = undisturbed.snapshot();
    assert!(calls > 8, "{calls} calls");

    for call in 1..=calls {
        for fault in FAULTS {
            let testbed = start().await;
            testbed.fake.inject(call, fault);
            let _ = timeout(Duration::from_secs(60), testbed.reconcile()).await;
            assert!(!has_both(&testbed), "{fault:?} at call {call}");
            testbed.fake.clear_faults();
            testbed.converge().await;
            assert_eq!(testbed.snapshot(), expected, "{fault:?} at call {call}");
        }
    }
}

fn has_both(testbed: &Testbed) -> bool {
    testbed.get::<HorizontalPodAutoscaler>().is_some() && testbed.get::<ScaledObject>().is_some()
}

#[tokio::test(start_paused = true)]
async fn faults_while_an_hpa_is_created() {
    every_fault_has_the_same_end(None, &spec("HPA"), |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn faults_while_a_scaled_object_is_created() {
    every_fault_has_the_same_end(None, &spec("KEDA"), |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn faults_while_fixed_replicas_are_applied() {
    let fixed = json!({"model": {"uri": "configMap://iris/m.onnx"}, "replicas": 3, "autoscaling": {"engine": "None"}});
    every_fault_has_the_same_end(None, &fixed, |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn faults_while_an_hpa_that_scaled_is_replaced_by_a_scaled_object() {
    let (before, after) = (spec("HPA"), spec("KEDA"));
    every_fault_has_the_same_end(Some(&before), &after, |testbed| {
        testbed.edit::<Deployment>("kube-controller-manager", &json!({"spec": {"replicas": 7}}));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn faults_while_fixed_replicas_are_replaced_by_an_hpa() {
    let before = json!({"model": {"uri": "configMap://iris/model.onnx"}, "replicas": 6, "autoscaling": {"engine": "None"}});
    every_fault_has_the_same_end(Some(&before), &spec("HPA"), |_| {}).await;
}

/// Number of the first call in the first reconcile of `spec` for which `wanted` is true, from 1.
async fn nth_call(spec: &Value, wanted: impl Fn(&Call) -> bool) -> usize {
    let undisturbed = Testbed::new();
    undisturbed.set_spec(spec);
    undisturbed.reconcile().await.unwrap();
    let calls = undisturbed.fake.take_calls();
    1 + calls.iter().position(wanted).unwrap()
}

fn applies_the_deployment(call: &Call) -> bool {
    call.method == Method::PATCH && call.path.contains("/deployments/")
}

/// An error response of one call, such as 500 from a failed webhook, is reported in a condition. The other calls are
/// sent.
#[tokio::test]
async fn a_rejected_call_is_a_condition_and_the_other_calls_are_sent() {
    let nth = nth_call(&spec("HPA"), applies_the_deployment).await;
    for (code, reason) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (405, "UnexpectedAnswer"),
        (422, "Refused"),
        (500, "ServerError"),
        (503, "ServerError"),
    ] {
        let testbed = Testbed::new();
        testbed.set_spec(&spec("HPA"));
        testbed.fake.inject(nth, Fault::Status(code));
        let error = testbed.reconcile().await.unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.is_transient());
        assert_eq!(testbed.get::<Deployment>(), None);
        assert!(testbed.get::<Service>().is_some());
        assert!(testbed.get::<HorizontalPodAutoscaler>().is_some());
        assert_eq!(testbed.condition("Ready").0, "False");
        let text = testbed.get::<ModelService>().unwrap().to_string();
        assert!(text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn no_further_calls_are_sent_to_an_overloaded_or_unreachable_server() {
    let nth = nth_call(&spec("HPA"), applies_the_deployment).await;
    for fault in [Fault::Status(429), Fault::Refused] {
        let testbed = Testbed::new();
        testbed.set_spec(&spec("HPA"));
        testbed.fake.inject(nth, fault);
        assert!(testbed.reconcile().await.unwrap_err().is_transient());
        assert_eq!(testbed.fake.take_calls().len(), nth, "{fault:?}");
    }
}

#[tokio::test]
async fn a_failed_observation_is_reported_in_ready_and_changes_nothing_else() {
    let is_observed = |call: &Call| call.method == Method::GET && call.path.ends_with("/pods");
    let nth = nth_call(&spec("HPA"), is_observed).await;
    for before_first_pass in [true, false] {
        let testbed = Testbed::new();
        testbed.set_spec(&spec("HPA"));
        if !before_first_pass {
            testbed.converge().await;
            testbed.pods_become_ready();
            testbed.converge().await;
            assert_eq!(testbed.condition("WorkloadAvailable").0, "True");
            let _ = testbed.fake.take_calls();
        }
        let before = ["WorkloadAvailable", "ModelLoaded"].map(|kind| testbed.condition(kind));
        testbed.fake.inject(nth, Fault::Status(500));
        let error = testbed.reconcile().await.unwrap_err();
        assert_eq!(error.reason(), "ServerError");
        assert_eq!(
            testbed.condition("Ready"),
            ("Unknown".to_owned(), "ServerError".to_owned())
        );
        if !before_first_pass {
            let after = ["WorkloadAvailable", "ModelLoaded"].map(|kind| testbed.condition(kind));
            assert_eq!(after, before);
        }
        let version = testbed.fake.version();
        let _ = testbed.fake.take_calls();
        testbed.fake.inject(nth, Fault::Status(500));
        testbed.reconcile().await.unwrap_err();
        assert_eq!(
            testbed.fake.version(),
            version,
            "the same fault is reported once"
        );
        testbed.converge().await;
        assert_ne!(testbed.condition("Ready").1, "ServerError");
    }
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_no_fault() {
    let testbed = Testbed::new();
    testbed.set_spec(&spec("HPA"));
    testbed.fake.terminate_namespace(NAMESPACE);
    assert_eq!(testbed.reconcile().await.unwrap(), ReconcileOutcome::Gone);
    assert_eq!(testbed.get::<Deployment>(), None);
    assert!(testbed.get::<ModelService>().unwrap()["status"].is_null());
}

#[tokio::test]
async fn a_model_service_that_is_deleted_during_a_reconcile_is_no_fault() {
    let writes_the_status = |call: &Call| call.path.ends_with("/status");
    for spec in [
        spec("HPA"),
        json!({"model": {"uri": "ftp://example.com/m.onnx"}}),
    ] {
        let calls = {
            let undisturbed = Testbed::new();
            undisturbed.set_spec(&spec);
            // One of them is an invalid spec.
            let _ = undisturbed.reconcile().await;
            undisturbed.fake.take_calls()
        };
        let nth = 1 + calls.iter().position(writes_the_status).unwrap();
        let testbed = Testbed::new();
        testbed.set_spec(&spec);
        testbed.fake.inject(nth, Fault::Status(404));
        assert_eq!(testbed.reconcile().await.unwrap(), ReconcileOutcome::Gone);
        assert_eq!(testbed.fake.take_calls().len(), nth, "and no event");
    }
}
