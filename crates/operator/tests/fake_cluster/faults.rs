//! Whatever call goes wrong, and however, the end is the same.

use std::time::Duration;

use crate::support::{NAMESPACE, World, spec};
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

/// Everything that can happen to a call. `Stall` is also what a crash after it looks like: the pass
/// is dropped there and never goes on.
const FAULTS: [Fault; 6] = [
    Fault::Refused,
    Fault::LostAnswer,
    Fault::Stall,
    Fault::Status(409),
    Fault::Status(422),
    Fault::Status(500),
];

/// Brings a world to where the pass under test begins.
type Prepare = fn(&World);

/// Runs the scenario once for each call of its first pass and each fault, and compares the end with
/// that of an undisturbed run.
async fn every_fault_ends_alike(before: Option<&Value>, after: &Value, prepare: Prepare) {
    let start = async || {
        let world = World::with_keda();
        if let Some(before) = before {
            world.set_spec(before);
            world.converge().await;
        }
        prepare(&world);
        world.set_spec(after);
        let _ = world.fake.take_calls();
        world
    };
    let undisturbed = start().await;
    undisturbed.pass().await.unwrap();
    let calls = undisturbed.fake.take_calls().len();
    undisturbed.converge().await;
    let expected = undisturbed.snapshot();
    assert!(calls > 8, "{calls} calls");

    for call in 1..=calls {
        for fault in FAULTS {
            let world = start().await;
            world.fake.inject(call, fault);
            let _ = timeout(Duration::from_secs(60), world.pass()).await;
            assert!(!has_both(&world), "{fault:?} at call {call}");
            world.fake.clear_faults();
            world.converge().await;
            assert_eq!(world.snapshot(), expected, "{fault:?} at call {call}");
        }
    }
}

fn has_both(world: &World) -> bool {
    world.get::<HorizontalPodAutoscaler>().is_some() && world.get::<ScaledObject>().is_some()
}

#[tokio::test(start_paused = true)]
async fn on_the_way_to_an_hpa() {
    every_fault_ends_alike(None, &spec("HPA"), |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn on_the_way_to_a_scaled_object() {
    every_fault_ends_alike(None, &spec("KEDA"), |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn on_the_way_to_fixed_replicas() {
    let fixed = json!({"model": {"uri": "configMap://iris/m.onnx"}, "replicas": 3, "autoscaling": {"engine": "None"}});
    every_fault_ends_alike(None, &fixed, |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn from_an_hpa_that_scaled_to_a_scaled_object() {
    let (before, after) = (spec("HPA"), spec("KEDA"));
    every_fault_ends_alike(Some(&before), &after, |world| {
        world.edit::<Deployment>("kube-controller-manager", &json!({"spec": {"replicas": 7}}));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn from_fixed_replicas_to_an_hpa() {
    let before = json!({"model": {"uri": "configMap://iris/model.onnx"}, "replicas": 6, "autoscaling": {"engine": "None"}});
    every_fault_ends_alike(Some(&before), &spec("HPA"), |_| {}).await;
}

/// Which call of a first pass over an undisturbed `spec` a condition holds for; the first is 1.
async fn nth_call(spec: &Value, wanted: impl Fn(&Call) -> bool) -> usize {
    let undisturbed = World::new();
    undisturbed.set_spec(spec);
    undisturbed.pass().await.unwrap();
    let calls = undisturbed.fake.take_calls();
    1 + calls.iter().position(wanted).unwrap()
}

fn applies_the_deployment(call: &Call) -> bool {
    call.method == Method::PATCH && call.path.contains("/deployments/")
}

/// What the API server answers to one call, be it that a webhook is down (500), is a condition and
/// holds up nothing else.
#[tokio::test]
async fn what_the_api_server_refuses_is_a_condition_and_holds_up_nothing_else() {
    let nth = nth_call(&spec("HPA"), applies_the_deployment).await;
    for (code, reason) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (405, "UnexpectedAnswer"),
        (422, "Refused"),
        (500, "ServerError"),
        (503, "ServerError"),
    ] {
        let world = World::new();
        world.set_spec(&spec("HPA"));
        world.fake.inject(nth, Fault::Status(code));
        let error = world.pass().await.unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.passes());
        assert_eq!(world.get::<Deployment>(), None);
        assert!(world.get::<Service>().is_some());
        assert!(world.get::<HorizontalPodAutoscaler>().is_some());
        assert_eq!(world.condition("Ready").0, "False");
        let text = world.get::<ModelService>().unwrap().to_string();
        assert!(text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn nothing_more_is_asked_of_a_server_that_is_overloaded_or_out_of_reach() {
    let nth = nth_call(&spec("HPA"), applies_the_deployment).await;
    for fault in [Fault::Status(429), Fault::Refused] {
        let world = World::new();
        world.set_spec(&spec("HPA"));
        world.fake.inject(nth, fault);
        assert!(world.pass().await.unwrap_err().passes());
        assert_eq!(world.fake.take_calls().len(), nth, "{fault:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_observed_is_said_by_ready_and_changes_nothing_else() {
    let is_observed = |call: &Call| call.method == Method::GET && call.path.ends_with("/pods");
    let nth = nth_call(&spec("HPA"), is_observed).await;
    for before_first_pass in [true, false] {
        let world = World::new();
        world.set_spec(&spec("HPA"));
        if !before_first_pass {
            world.converge().await;
            world.pods_become_ready();
            world.converge().await;
            assert_eq!(world.condition("WorkloadAvailable").0, "True");
            let _ = world.fake.take_calls();
        }
        let before = ["WorkloadAvailable", "ModelLoaded"].map(|kind| world.condition(kind));
        world.fake.inject(nth, Fault::Status(500));
        let error = world.pass().await.unwrap_err();
        assert_eq!(error.reason(), "ServerError");
        assert_eq!(
            world.condition("Ready"),
            ("Unknown".to_owned(), "ServerError".to_owned())
        );
        if !before_first_pass {
            let after = ["WorkloadAvailable", "ModelLoaded"].map(|kind| world.condition(kind));
            assert_eq!(after, before);
        }
        let version = world.fake.version();
        let _ = world.fake.take_calls();
        world.fake.inject(nth, Fault::Status(500));
        world.pass().await.unwrap_err();
        assert_eq!(world.fake.version(), version, "the same fault is said once");
        world.converge().await;
        assert_ne!(world.condition("Ready").1, "ServerError");
    }
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_no_fault() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    world.fake.terminate(NAMESPACE);
    assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Gone);
    assert_eq!(world.get::<Deployment>(), None);
    assert!(world.get::<ModelService>().unwrap()["status"].is_null());
}

#[tokio::test]
async fn a_model_service_that_vanishes_under_a_pass_is_no_fault() {
    let writes_the_status = |call: &Call| call.path.ends_with("/status");
    for spec in [
        spec("HPA"),
        json!({"model": {"uri": "ftp://example.com/m.onnx"}}),
    ] {
        let calls = {
            let undisturbed = World::new();
            undisturbed.set_spec(&spec);
            // One of them is a bad spec.
            let _ = undisturbed.pass().await;
            undisturbed.fake.take_calls()
        };
        let nth = 1 + calls.iter().position(writes_the_status).unwrap();
        let world = World::new();
        world.set_spec(&spec);
        world.fake.inject(nth, Fault::Status(404));
        assert_eq!(world.pass().await.unwrap(), ReconcileOutcome::Gone);
        assert_eq!(world.fake.take_calls().len(), nth, "and no event");
    }
}
