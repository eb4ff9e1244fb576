//! Switches from one autoscaler to another, while the operator crashes, its calls are slow, and KEDA and the controller
//! of HPAs write.
//!
//! The whole history of writes is checked: there are never two autoscalers, and `spec.replicas` never decreases.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use serde_json::{Value, json};
use springtide_operator::reconcile::ReconcileOutcome;
use springtide_plan::{field_manager::FIXED_REPLICAS, keda::ScaledObject};
use springtide_testkit::{FakeApi, Fault};
use tokio::time::{sleep, timeout};

use crate::{
    others::{self, KEDA_HPA, MAX_PODS},
    support::{NAME, Testbed, spec},
};

/// Time after which the other controllers act during a reconcile. A slower call gets its response after that.
const OTHERS_ACT_AFTER: Duration = Duration::from_secs(1);

/// Timeout of a reconcile here. A reconcile in which the operator crashes takes as long.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(5);

/// Faults of one call.
const INTERRUPTIONS: [Fault; 2] = [
    // The operator crashes after the call, before its response.
    Fault::Stall,
    // The other controllers act between this call and the next one.
    Fault::Delay(Duration::from_secs(2)),
];

/// Panics if there were two autoscalers at any time, or if `spec.replicas` decreased.
pub(crate) fn check_history(fake: &FakeApi, what: &str) {
    let mut there: BTreeSet<(String, String)> = BTreeSet::new();
    let mut replicas = 0;
    for change in fake.changes(0) {
        let kind = change.resource().kind.clone();
        let scales = |hpa: &str, name: &str| {
            there.contains(&("HorizontalPodAutoscaler".to_owned(), hpa.to_owned()))
                || there.contains(&(name.to_owned(), NAME.to_owned()))
        };
        if kind == "Deployment" && !change.is_deletion() {
            let spec_replicas = change.object["spec"]["replicas"].as_i64().unwrap();
            assert!(
                spec_replicas >= replicas,
                "{what}: {replicas} pods, then {spec_replicas}"
            );
            let is_fixed = change.object["metadata"]["managedFields"]
                .to_string()
                .contains(FIXED_REPLICAS);
            if is_fixed && spec_replicas != replicas {
                let is_scaled = scales(NAME, "") || scales(KEDA_HPA, "ScaledObject");
                assert!(!is_scaled, "{what}: fixed replicas and an autoscaler");
            }
            replicas = spec_replicas;
        }
        if change.is_deletion() {
            there.remove(&(kind, change.name().to_owned()));
        } else {
            there.insert((kind, change.name().to_owned()));
        }
        let of = |kind: &str, name: &str| there.contains(&(kind.to_owned(), name.to_owned()));
        let by_hpa = of("HorizontalPodAutoscaler", NAME);
        let by_keda = of("ScaledObject", NAME) || of("HorizontalPodAutoscaler", KEDA_HPA);
        assert!(!(by_hpa && by_keda), "{what}: two autoscalers");
    }
}

/// A spec with the engine. For `None` it has the maximum number of pods, so that the switch to it must not decrease
/// `spec.replicas` either.
pub(crate) fn spec_of(engine: &str) -> Value {
    let mut spec = spec(engine);
    if engine == "None" {
        spec["replicas"] = json!(MAX_PODS);
    }
    spec
}

pub(crate) fn has_only(testbed: &Testbed, engine: &str) -> bool {
    let hpa = testbed.get::<HorizontalPodAutoscaler>().is_some();
    let scaled_object = testbed.get::<ScaledObject>().is_some();
    (hpa, scaled_object) == (engine == "HPA", engine == "KEDA")
}

/// Reconciles until the engine is active. The other controllers act during each reconcile.
async fn converge_with_others(testbed: &Testbed, engine: &str, what: &str) {
    for _ in 0..10 {
        let others = async {
            sleep(OTHERS_ACT_AFTER).await;
            others::act(&testbed.fake);
        };
        let (result, ()) = join(timeout(RECONCILE_TIMEOUT, testbed.reconcile()), others).await;
        if matches!(result, Ok(Ok(ReconcileOutcome::Settled))) && has_only(testbed, engine) {
            return;
        }
    }
    panic!("{what}: not settled");
}

async fn settled_on(engine: &str) -> Testbed {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec_of(engine));
    converge_with_others(&testbed, engine, "before the switch").await;
    let _ = testbed.fake.take_calls();
    testbed
}

/// The switch, with each fault at each of its calls.
async fn switch_with_faults(from: &str, to: &str) {
    let undisturbed = settled_on(from).await;
    undisturbed.set_spec(&spec_of(to));
    converge_with_others(&undisturbed, to, "undisturbed").await;
    check_history(&undisturbed.fake, "undisturbed");
    let calls = undisturbed.fake.take_calls().len();
    assert!(calls > 8, "{calls} calls");
    for call in 1..=calls {
        for fault in INTERRUPTIONS {
            let what = format!("{fault:?} at call {call} from {from} to {to}");
            let testbed = settled_on(from).await;
            testbed.set_spec(&spec_of(to));
            testbed.fake.inject(call, fault);
            converge_with_others(&testbed, to, &what).await;
            check_history(&testbed.fake, &what);
            assert_ne!(testbed.get::<Deployment>(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn from_an_hpa_to_keda() {
    switch_with_faults("HPA", "KEDA").await;
}

#[tokio::test(start_paused = true)]
async fn from_keda_to_an_hpa() {
    switch_with_faults("KEDA", "HPA").await;
}

#[tokio::test(start_paused = true)]
async fn from_an_hpa_to_a_fixed_number() {
    switch_with_faults("HPA", "None").await;
}

#[tokio::test(start_paused = true)]
async fn from_keda_to_a_fixed_number() {
    switch_with_faults("KEDA", "None").await;
}

#[tokio::test(start_paused = true)]
async fn from_a_fixed_number_to_an_hpa() {
    switch_with_faults("None", "HPA").await;
}

/// A Deployment whose replicas have no field manager, and an HPA that changes them while the operator applies the
/// initial number.
#[tokio::test(start_paused = true)]
async fn initial_replicas_never_lower_a_concurrent_decision_of_an_hpa() {
    /// More calls than a first reconcile has.
    const CALLS: usize = 25;
    let mut raised = 0;
    for call in 1..=CALLS {
        let testbed = Testbed::new();
        testbed.set_spec(&spec("HPA"));
        testbed.converge().await;
        let orphan = json!({"metadata": {"ownerReferences": null}, "spec": {"replicas": null}});
        testbed.edit::<Deployment>("kubectl", &orphan);
        let from = testbed.fake.version();
        let replicas = || testbed.get::<Deployment>().unwrap()["spec"]["replicas"].clone();
        assert_eq!(replicas(), 1);
        testbed
            .fake
            .inject(call, Fault::Delay(Duration::from_secs(2)));
        let others = async {
            sleep(OTHERS_ACT_AFTER).await;
            others::hpa_scales(&testbed.fake, NAME, 6);
        };
        let (result, ()) = join(testbed.reconcile(), others).await;
        result.unwrap();
        testbed.fake.clear_faults();
        testbed.converge().await;
        let spec_replicas: Vec<i64> = testbed
            .fake
            .changes(from)
            .iter()
            .filter_map(|change| change.object["spec"]["replicas"].as_i64())
            .collect();
        assert!(spec_replicas.is_sorted(), "call {call}: {spec_replicas:?}");
        assert_eq!(replicas(), 6, "call {call}");
        raised += usize::from(spec_replicas.contains(&2));
    }
    assert!((1..CALLS).contains(&raised), "{raised} initial numbers");
}

/// The engine is changed back while the former autoscaler is being deleted.
#[tokio::test(start_paused = true)]
async fn a_switch_that_is_reverted_before_it_is_complete() {
    for (from, to) in [("HPA", "KEDA"), ("KEDA", "HPA")] {
        for reconciles in 1..=3 {
            let what = format!("back to {from} after {reconciles} reconciles");
            let testbed = settled_on(from).await;
            testbed.set_spec(&spec_of(to));
            for _ in 0..reconciles {
                testbed.reconcile().await.unwrap();
            }
            testbed.set_spec(&spec_of(from));
            converge_with_others(&testbed, from, &what).await;
            check_history(&testbed.fake, &what);
        }
    }
}
