//! Whatever call goes wrong, and however, the end is the same.

use std::time::Duration;

use crate::support::{World, spec};
use http::Method;
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_plan::keda::ScaledObject;
use springtide_testkit::Fault;
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

#[tokio::test]
async fn what_the_api_server_refuses_is_a_condition_and_holds_up_nothing_else() {
    let undisturbed = World::new();
    undisturbed.set_spec(&spec("HPA"));
    undisturbed.pass().await.unwrap();
    let calls = undisturbed.fake.take_calls();
    let nth = calls
        .iter()
        .position(|call| call.method == Method::PATCH && call.path.contains("/deployments/"))
        .unwrap();
    for (code, reason) in [(403, "Forbidden"), (422, "Refused")] {
        let world = World::new();
        world.set_spec(&spec("HPA"));
        world.fake.inject(nth + 1, Fault::Status(code));
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
