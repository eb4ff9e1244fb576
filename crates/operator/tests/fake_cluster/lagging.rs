//! The running controller while each watch lags by any time, calls lose their responses, and KEDA, the controller of
//! HPAs and users write. The whole history of writes and the final state are checked.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
    policy::v1::PodDisruptionBudget,
};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use serde_json::json;
use springtide_api::ModelService;
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{FakeApi, Fault, ResourceType};
use tokio::time::sleep;

use crate::{
    others,
    running::{calls, settled, start},
    support::{NAME, NAMESPACE, Testbed, child_types},
    switching::{check_history, has_only, spec_of},
};

/// A step of a test case.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A user changes the engine.
    Engine(&'static str),
    /// A watch is paused.
    HoldBack(usize),
    /// It delivers this number of further changes.
    LetGo(usize, u64),
    /// It delivers all changes, and is no longer paused.
    CatchUp(usize),
    /// All watches end, and are resumed where they were.
    Drop,
    /// KEDA and the controller of HPAs act.
    Others,
    /// One of the next calls has a fault.
    Call(usize, Fault),
    /// A user deletes a child.
    Delete(usize),
    /// Nothing happens for this number of milliseconds.
    Wait(u64),
}

/// Indices in [`kinds`].
const HPA: usize = 3;
const SCALED_OBJECT: usize = 4;
const MODEL_SERVICE: usize = 5;

/// All watched kinds, the children first.
fn kinds() -> [ResourceType; 6] {
    let [service, budget, deployment, hpa, scaled_object] = child_types();
    [
        service,
        budget,
        deployment,
        hpa,
        scaled_object,
        ResourceType::of::<ModelService>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // The Deployment, the HPAs, the ScaledObject and the ModelService matter most.
    let kind = || prop_oneof![1 => 0..2_usize, 6 => 2..6_usize];
    let fault = select(vec![
        Fault::LostAnswer,
        Fault::Refused,
        Fault::Status(409),
        Fault::Status(500),
        Fault::Delay(Duration::from_secs(2)),
    ]);
    prop_oneof![
        3 => select(vec!["HPA", "KEDA", "None"]).prop_map(Step::Engine),
        4 => kind().prop_map(Step::HoldBack),
        3 => (kind(), 1..6_u64).prop_map(|(kind, changes)| Step::LetGo(kind, changes)),
        2 => kind().prop_map(Step::CatchUp),
        1 => Just(Step::Drop),
        4 => Just(Step::Others),
        2 => (1..8_usize, fault).prop_map(|(call, fault)| Step::Call(call, fault)),
        1 => select(vec![0, 1, 3, 4_usize]).prop_map(Step::Delete),
        6 => (50..8000_u64).prop_map(Step::Wait),
    ]
}

async fn perform(testbed: &Testbed, step: Step) {
    let fake = &testbed.fake;
    match step {
        Step::Engine(engine) => testbed.set_spec(&spec_of(engine)),
        Step::HoldBack(kind) => fake.pause_watches(&kinds()[kind]),
        Step::LetGo(kind, changes) => fake.resume_watches(&kinds()[kind], Some(changes)),
        Step::CatchUp(kind) => fake.resume_watches(&kinds()[kind], None),
        Step::Drop => fake.drop_watches(),
        Step::Others => others::act(fake),
        Step::Call(call, fault) => fake.inject(call, fault),
        Step::Delete(kind) => fake.delete(&kinds()[kind], NAMESPACE, NAME),
        Step::Wait(time) => sleep(Duration::from_millis(time)).await,
    }
}

/// A switch while the watch of an HPA, a ScaledObject or the ModelService is paused.
fn unseen_switch() -> impl Strategy<Value = Vec<Step>> {
    let engines = select(vec![
        ("KEDA", "HPA"),
        ("KEDA", "None"),
        ("HPA", "KEDA"),
        ("HPA", "None"),
    ]);
    let wait = || (400..7000_u64).prop_map(Step::Wait);
    let held = prop_oneof![3 => Just(HPA), 1 => Just(SCALED_OBJECT), 1 => Just(MODEL_SERVICE)];
    let last = prop_oneof![
        held.clone().prop_map(Step::CatchUp),
        (held.clone(), 1..3_u64).prop_map(|(kind, changes)| Step::LetGo(kind, changes)),
        Just(Step::Others),
    ];
    (engines, held, wait(), wait(), wait(), last).prop_map(
        |((from, to), held, first, second, third, last)| {
            vec![
                Step::CatchUp(HPA),
                Step::CatchUp(SCALED_OBJECT),
                Step::CatchUp(MODEL_SERVICE),
                Step::Engine(from),
                first,
                Step::HoldBack(held),
                Step::Others,
                Step::Engine(to),
                second,
                Step::Others,
                third,
                last,
                third,
            ]
        },
    )
}

/// Two changes of the spec that the watch reports after the response to a status has contained them.
fn late_events() -> impl Strategy<Value = Vec<Step>> {
    let engine = || select(vec!["HPA", "KEDA"]);
    (engine(), engine()).prop_map(|(first, second)| {
        let wait = Step::Wait(1000);
        vec![
            Step::CatchUp(MODEL_SERVICE),
            wait,
            Step::HoldBack(MODEL_SERVICE),
            Step::Engine(first),
            Step::Engine(second),
            // Their decisions change the status.
            Step::Others,
            wait,
            Step::Others,
            wait,
            Step::LetGo(MODEL_SERVICE, 1),
            wait,
        ]
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = prop_oneof![
        12 => step().prop_map(|step| vec![step]),
        2 => unseen_switch(),
        1 => late_events(),
    ];
    prop::collection::vec(some, 1..30).prop_map(|steps| steps.concat())
}

/// Panics if an autoscaler was created for an older spec than one that was applied already.
fn check_order(fake: &FakeApi, what: &str) {
    let mut engines: Vec<&str> = Vec::new();
    let mut acted_on = 0;
    let mut there = BTreeSet::new();
    for change in fake.changes(0) {
        let kind = change.resource().kind.as_str();
        if kind == "ModelService" {
            let engine = change.object["spec"]["autoscaling"]["engine"].as_str();
            let engine = ["HPA", "KEDA", "None"]
                .into_iter()
                .find(|known| engine == Some(known));
            if engine != engines.last().copied() {
                engines.extend(engine);
            }
            continue;
        }
        let engine = match kind {
            "HorizontalPodAutoscaler" if change.name() == NAME => "HPA",
            "ScaledObject" => "KEDA",
            _ => continue,
        };
        if change.is_deletion() {
            there.remove(engine);
        } else if there.insert(engine) {
            let wanted = engines.iter().skip(acted_on).position(|one| *one == engine);
            let ahead = wanted.unwrap_or_else(|| panic!("{what}: back to {engine}"));
            acted_on += ahead;
        }
    }
}

/// Performs the steps, and then lets all watches catch up. The final state must be that of the last spec.
async fn converges(steps: &[Step]) {
    let what = format!("{steps:?}");
    let testbed = Testbed::with_keda();
    let mut engine = "HPA";
    testbed.set_spec(&spec_of(engine));
    let running = start(&testbed).await;
    for step in steps {
        if let Step::Engine(next) = step {
            engine = next;
        }
        perform(&testbed, *step).await;
    }
    testbed.fake.clear_faults();
    for kind in kinds() {
        testbed.fake.resume_watches(&kind, None);
    }
    for _ in 0..20 {
        others::act(&testbed.fake);
        sleep(Duration::from_secs(30)).await;
    }
    settled(&testbed).await;
    check_history(&testbed.fake, &what);
    check_order(&testbed.fake, &what);
    assert!(has_only(&testbed, engine), "{engine} after {what}");
    for child in [
        testbed.get::<Service>(),
        testbed.get::<PodDisruptionBudget>(),
        testbed.get::<Deployment>(),
    ] {
        assert_ne!(child, None, "{what}");
    }
    // The caches are complete.
    let _ = calls(&testbed);
    sleep(Duration::from_secs(1200)).await;
    assert_eq!(calls(&testbed), [], "{what}");
    running.stop().await;
}

fn in_paused_time(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work);
}

/// Runs half of the random cases. Two tests run in parallel.
fn run_cases() {
    let config = ProptestConfig {
        cases: 30,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            in_paused_time(converges(&steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn lagging_watches_cause_no_second_autoscaler_and_no_lost_decision() {
    run_cases();
}

#[test]
fn lagging_watches_cause_no_second_autoscaler_and_no_lost_decision_in_further_cases() {
    run_cases();
}

/// The HPA of KEDA exists, and the watch hasn't reported it: the new HPA waits for its deletion nevertheless.
#[tokio::test(start_paused = true)]
async fn a_new_hpa_waits_for_the_unreported_hpa_of_keda() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec_of("KEDA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    testbed.fake.pause_watches(&hpas);
    others::keda_acts(&testbed.fake);
    testbed.set_spec(&spec_of("HPA"));
    sleep(Duration::from_secs(5)).await;
    // KEDA releases the ScaledObject, and its HPA still exists.
    others::keda_acts(&testbed.fake);
    assert_eq!(testbed.get::<ScaledObject>(), None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(testbed.get::<HorizontalPodAutoscaler>(), None);
    // It has no owner here, so it is reported as an HPA of another owner.
    assert_eq!(testbed.condition("AutoscalingReady").1, "AnotherAutoscaler");
    others::keda_acts(&testbed.fake);
    testbed.fake.resume_watches(&hpas, None);
    settled(&testbed).await;
    assert_ne!(testbed.get::<HorizontalPodAutoscaler>(), None);
    check_history(&testbed.fake, "an HPA that no watch reported");
    running.stop().await;
}

/// KEDA releases a ScaledObject before the response to its deletion, in which it still has the finalizer.
#[tokio::test(start_paused = true)]
async fn a_late_response_does_not_restore_a_deleted_object() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec_of("KEDA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    others::keda_acts(&testbed.fake);
    settled(&testbed).await;
    // The deletion is the next call.
    let _ = calls(&testbed);
    testbed.fake.inject(1, Fault::Delay(Duration::from_secs(2)));
    testbed.set_spec(&spec_of("HPA"));
    sleep(Duration::from_secs(1)).await;
    others::keda_acts(&testbed.fake);
    assert_eq!(testbed.get::<ScaledObject>(), None);
    sleep(Duration::from_secs(5)).await;
    others::keda_acts(&testbed.fake);
    settled(&testbed).await;
    assert!(has_only(&testbed, "HPA"));
    running.stop().await;
}

/// A user restores the former HPA while its watch is paused: the ScaledObject waits for its deletion nevertheless.
#[tokio::test(start_paused = true)]
async fn an_unreported_hpa_is_deleted_before_a_scaled_object_is_created() {
    let testbed = Testbed::with_keda();
    testbed.set_spec(&spec_of("HPA"));
    let running = start(&testbed).await;
    settled(&testbed).await;
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let former = testbed.get::<HorizontalPodAutoscaler>().unwrap();
    let metadata = &former["metadata"];
    let copy = json!({
        "metadata": {"labels": metadata["labels"], "ownerReferences": metadata["ownerReferences"]},
        "spec": former["spec"],
    });
    testbed.set_spec(&spec_of("None"));
    settled(&testbed).await;
    assert_eq!(testbed.get::<HorizontalPodAutoscaler>(), None);
    testbed.fake.pause_watches(&hpas);
    testbed.fake.edit(&hpas, NAMESPACE, NAME, "kubectl", &copy);
    testbed.set_spec(&spec_of("KEDA"));
    settled(&testbed).await;
    assert!(has_only(&testbed, "KEDA"));
    check_history(&testbed.fake, "an HPA that was restored");
    running.stop().await;
}

/// All watches are paused: writes are neither repeated nor reverted.
#[tokio::test(start_paused = true)]
async fn a_cache_without_events_of_its_own_writes_causes_no_repeated_write() {
    for engine in ["HPA", "KEDA", "None"] {
        let testbed = Testbed::with_keda();
        let running = start(&testbed).await;
        for kind in child_types() {
            testbed.fake.pause_watches(&kind);
        }
        testbed.set_spec(&spec_of(engine));
        sleep(Duration::from_secs(5)).await;
        let version = testbed.fake.version();
        let _ = calls(&testbed);
        for note in 0..5 {
            let annotated =
                json!({"metadata": {"annotations": {"example.com/note": note.to_string()}}});
            testbed.edit::<ModelService>("kubectl", &annotated);
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(calls(&testbed), [], "{engine}");
        assert_eq!(testbed.fake.version(), version + 5, "{engine}");
        // Each event that a watch then delivers is older than the cached object.
        for kind in child_types() {
            for _ in 0..version {
                testbed.fake.resume_watches(&kind, Some(1));
                sleep(Duration::from_secs(1)).await;
            }
        }
        assert_eq!(calls(&testbed), [], "{engine}");
        running.stop().await;
    }
}

/// Another client creates an object of the same name, and no watch reports it.
#[tokio::test(start_paused = true)]
async fn an_unreported_object_of_another_owner_is_not_overwritten() {
    for kind in child_types() {
        let testbed = Testbed::with_keda();
        let running = start(&testbed).await;
        testbed.fake.pause_watches(&kind);
        let engine = if kind.kind == "ScaledObject" {
            "KEDA"
        } else {
            "HPA"
        };
        let theirs = json!({
            "metadata": {"labels": {"app.kubernetes.io/managed-by": "theirs"}},
            "spec": {"replicas": 4, "scaleTargetRef": {"name": "theirs"}, "triggers": []},
        });
        testbed.fake.edit(&kind, NAMESPACE, NAME, "helm", &theirs);
        let before = testbed.fake.get(&kind, NAMESPACE, NAME);
        testbed.set_spec(&spec_of(engine));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(
            testbed.fake.get(&kind, NAMESPACE, NAME),
            before,
            "{}",
            kind.kind
        );
        running.stop().await;
    }
}
