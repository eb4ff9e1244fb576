//! One autoscaler takes over from another, while the operator dies, its calls take their time, and KEDA
//! and the controller of HPAs go on writing.
//!
//! Judged is the whole history of writes: at no instant are there two autoscalers, and at none fewer pods
//! are asked for than the instant before.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use serde_json::{Value, json};
use springtide_operator::reconcile::ReconcileOutcome;
use springtide_plan::{field_manager::FIXED_REPLICAS, keda::ScaledObject};
use springtide_testkit::{FakeApi, Fault};
use tokio::time::{sleep, timeout};

use crate::{
    others::{self, KEDA_HPA, MOST_PODS},
    support::{NAME, World, spec},
};

/// After this time of a pass the others act, so that a call that takes longer has its answer after that.
const OTHERS_ACT_AFTER: Duration = Duration::from_secs(1);

/// Longest time of a pass here. One that the operator dies in takes that long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);

/// What happens to one call.
const INTERRUPTIONS: [Fault; 2] = [
    // The operator dies right after it, before it knows the answer, and so before the next one.
    Fault::Stall,
    // The others act between what it reads, or writes, and what it writes then.
    Fault::Delay(Duration::from_secs(2)),
];

/// Panics where at some instant there were two autoscalers, or fewer pods than before.
pub(crate) fn judge(fake: &FakeApi, what: &str) {
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
                assert!(!is_scaled, "{what}: a fixed number and an autoscaler");
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

/// With `None`, more pods than any HPA asks for here: the switch to it must not lower them either.
pub(crate) fn spec_of(engine: &str) -> Value {
    let mut spec = spec(engine);
    if engine == "None" {
        spec["replicas"] = json!(MOST_PODS);
    }
    spec
}

pub(crate) fn has_only(world: &World, engine: &str) -> bool {
    let hpa = world.get::<HorizontalPodAutoscaler>().is_some();
    let scaled_object = world.get::<ScaledObject>().is_some();
    (hpa, scaled_object) == (engine == "HPA", engine == "KEDA")
}

/// reconciles, with the others acting within each, until one settles on the engine.
async fn drive(world: &World, engine: &str, what: &str) {
    for _ in 0..10 {
        let others = async {
            sleep(OTHERS_ACT_AFTER).await;
            others::act(&world.fake);
        };
        let (pass, ()) = join(timeout(GIVEN_UP_AFTER, world.pass()), others).await;
        if matches!(pass, Ok(Ok(ReconcileOutcome::Settled))) && has_only(world, engine) {
            return;
        }
    }
    panic!("{what}: not settled");
}

async fn settled_on(engine: &str) -> World {
    let world = World::with_keda();
    world.set_spec(&spec_of(engine));
    drive(&world, engine, "before the switch").await;
    let _ = world.fake.take_calls();
    world
}

/// The switch, with each kind of interruption at each of its calls.
async fn survives_all(from: &str, to: &str) {
    let undisturbed = settled_on(from).await;
    undisturbed.set_spec(&spec_of(to));
    drive(&undisturbed, to, "undisturbed").await;
    judge(&undisturbed.fake, "undisturbed");
    let calls = undisturbed.fake.take_calls().len();
    assert!(calls > 8, "{calls} calls");
    for call in 1..=calls {
        for fault in INTERRUPTIONS {
            let what = format!("{fault:?} at call {call} from {from} to {to}");
            let world = settled_on(from).await;
            world.set_spec(&spec_of(to));
            world.fake.inject(call, fault);
            drive(&world, to, &what).await;
            judge(&world.fake, &what);
            assert_ne!(world.get::<Deployment>(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn from_an_hpa_to_keda() {
    survives_all("HPA", "KEDA").await;
}

#[tokio::test(start_paused = true)]
async fn from_keda_to_an_hpa() {
    survives_all("KEDA", "HPA").await;
}

#[tokio::test(start_paused = true)]
async fn from_an_hpa_to_a_fixed_number() {
    survives_all("HPA", "None").await;
}

#[tokio::test(start_paused = true)]
async fn from_keda_to_a_fixed_number() {
    survives_all("KEDA", "None").await;
}

#[tokio::test(start_paused = true)]
async fn from_a_fixed_number_to_an_hpa() {
    survives_all("None", "HPA").await;
}

/// A Deployment without a number of pods of anybody's, under an HPA that decides while the operator gives it
/// its first one.
#[tokio::test(start_paused = true)]
async fn a_first_number_of_pods_never_lowers_what_an_hpa_decides_meanwhile() {
    /// More calls than a first pass has.
    const CALLS: usize = 25;
    let mut raised = 0;
    for call in 1..=CALLS {
        let world = World::new();
        world.set_spec(&spec("HPA"));
        world.converge().await;
        let orphan = json!({"metadata": {"ownerReferences": null}, "spec": {"replicas": null}});
        world.edit::<Deployment>("kubectl", &orphan);
        let from = world.fake.version();
        let replicas = || world.get::<Deployment>().unwrap()["spec"]["replicas"].clone();
        assert_eq!(replicas(), 1);
        world
            .fake
            .inject(call, Fault::Delay(Duration::from_secs(2)));
        let others = async {
            sleep(OTHERS_ACT_AFTER).await;
            others::hpa_scales(&world.fake, NAME, 6);
        };
        let (pass, ()) = join(world.pass(), others).await;
        pass.unwrap();
        world.fake.clear_faults();
        world.converge().await;
        let spec_replicas: Vec<i64> = world
            .fake
            .changes(from)
            .iter()
            .filter_map(|change| change.object["spec"]["replicas"].as_i64())
            .collect();
        assert!(spec_replicas.is_sorted(), "call {call}: {spec_replicas:?}");
        assert_eq!(replicas(), 6, "call {call}");
        raised += usize::from(spec_replicas.contains(&2));
    }
    assert!((1..CALLS).contains(&raised), "{raised} first numbers");
}

/// The wish changes again while the former autoscaler is going.
#[tokio::test(start_paused = true)]
async fn back_before_it_is_done() {
    for (from, to) in [("HPA", "KEDA"), ("KEDA", "HPA")] {
        for passes in 1..=3 {
            let what = format!("back to {from} after {passes} passes");
            let world = settled_on(from).await;
            world.set_spec(&spec_of(to));
            for _ in 0..passes {
                world.pass().await.unwrap();
            }
            world.set_spec(&spec_of(from));
            drive(&world, from, &what).await;
            judge(&world.fake, &what);
        }
    }
}
