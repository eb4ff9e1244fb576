//! The running controller where watches lag, each by itself and by any amount, calls lose their answers, and KEDA,
//! the controller of HPAs and people go on writing. Judged is the whole history of writes, and the end.

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
    controller::{calls, settled, start},
    others,
    support::{NAME, NAMESPACE, World, child_types},
    switching::{has_only, judge, spec_of},
};

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A user changes the engine.
    Engine(&'static str),
    /// A watch tells nothing more.
    HoldBack(usize),
    /// It tells this number of changes more.
    LetGo(usize, u64),
    /// It tells everything.
    CatchUp(usize),
    /// All watches break off, and go on where they were.
    Drop,
    /// KEDA and the HPAs do what they have to.
    Others,
    /// A call soon goes wrong.
    Call(usize, Fault),
    /// A user deletes what was made.
    Delete(usize),
    /// Time passes.
    Wait(u64),
}

/// Places in [`kinds`].
const HPA: usize = 3;
const SCALED_OBJECT: usize = 4;
const MODEL_SERVICE: usize = 5;

/// All kinds that are watched, the children first.
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

async fn take(world: &World, step: Step) {
    let fake = &world.fake;
    match step {
        Step::Engine(engine) => world.set_spec(&spec_of(engine)),
        Step::HoldBack(kind) => fake.hold_back(&kinds()[kind]),
        Step::LetGo(kind, changes) => fake.let_go(&kinds()[kind], Some(changes)),
        Step::CatchUp(kind) => fake.let_go(&kinds()[kind], None),
        Step::Drop => fake.drop_watches(),
        Step::Others => others::act(fake),
        Step::Call(call, fault) => fake.inject(call, fault),
        Step::Delete(kind) => fake.delete(&kinds()[kind], NAMESPACE, NAME),
        Step::Wait(time) => sleep(Duration::from_millis(time)).await,
    }
}

/// A switch while a watch says nothing of what KEDA, or the ModelService, does meanwhile.
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

/// Two changes of the spec that the watch tells of once an answer to a status has told more.
fn told_late() -> impl Strategy<Value = Vec<Step>> {
    let engine = || select(vec!["HPA", "KEDA"]);
    (engine(), engine()).prop_map(|(first, second)| {
        let wait = Step::Wait(1000);
        vec![
            Step::CatchUp(MODEL_SERVICE),
            wait,
            Step::HoldBack(MODEL_SERVICE),
            Step::Engine(first),
            Step::Engine(second),
            // What they decide is a new status.
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
        1 => told_late(),
    ];
    prop::collection::vec(some, 1..30).prop_map(|steps| steps.concat())
}

/// Panics where an autoscaler was made for a spec that came before one that was acted on already.
fn goes_never_back(fake: &FakeApi, what: &str) {
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

/// The steps, and then everything catches up: it ends as the last spec wants it.
async fn ends_well(steps: &[Step]) {
    let what = format!("{steps:?}");
    let world = World::with_keda();
    let mut engine = "HPA";
    world.set_spec(&spec_of(engine));
    let running = start(&world).await;
    for step in steps {
        if let Step::Engine(next) = step {
            engine = next;
        }
        take(&world, *step).await;
    }
    world.fake.clear_faults();
    for kind in kinds() {
        world.fake.let_go(&kind, None);
    }
    for _ in 0..20 {
        others::act(&world.fake);
        sleep(Duration::from_secs(30)).await;
    }
    settled(&world).await;
    judge(&world.fake, &what);
    goes_never_back(&world.fake, &what);
    assert!(has_only(&world, engine), "{engine} after {what}");
    for child in [
        world.get::<Service>(),
        world.get::<PodDisruptionBudget>(),
        world.get::<Deployment>(),
    ] {
        assert_ne!(child, None, "{what}");
    }
    // It knows all of it.
    let _ = calls(&world);
    sleep(Duration::from_secs(1200)).await;
    assert_eq!(calls(&world), [], "{what}");
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

#[test]
fn watches_that_lag_make_no_second_autoscaler_and_override_none() {
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            in_paused_time(ends_well(&steps));
            Ok(())
        })
        .unwrap();
}

/// The HPA that KEDA makes is there, and its watch hasn't told so: the new one waits for it all the same.
#[tokio::test(start_paused = true)]
async fn an_hpa_of_keda_that_no_watch_has_told_of_is_waited_for() {
    let world = World::with_keda();
    world.set_spec(&spec_of("KEDA"));
    let running = start(&world).await;
    settled(&world).await;
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    world.fake.hold_back(&hpas);
    others::keda_acts(&world.fake);
    world.set_spec(&spec_of("HPA"));
    sleep(Duration::from_secs(5)).await;
    // KEDA lets the ScaledObject go, and its HPA is still there.
    others::keda_acts(&world.fake);
    assert_eq!(world.get::<ScaledObject>(), None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.get::<HorizontalPodAutoscaler>(), None);
    // Nothing owns it here, so it is said as one that nothing deletes.
    assert_eq!(world.condition("AutoscalingReady").1, "AnotherAutoscaler");
    others::keda_acts(&world.fake);
    world.fake.let_go(&hpas, None);
    settled(&world).await;
    assert_ne!(world.get::<HorizontalPodAutoscaler>(), None);
    judge(&world.fake, "an HPA that no watch told of");
    running.stop().await;
}

/// KEDA lets a ScaledObject go before the answer to its deletion is there, which says that it is held.
#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_does_not_bring_back_what_is_gone() {
    let world = World::with_keda();
    world.set_spec(&spec_of("KEDA"));
    let running = start(&world).await;
    settled(&world).await;
    others::keda_acts(&world.fake);
    settled(&world).await;
    // The deletion is the next call.
    let _ = calls(&world);
    world.fake.inject(1, Fault::Delay(Duration::from_secs(2)));
    world.set_spec(&spec_of("HPA"));
    sleep(Duration::from_secs(1)).await;
    others::keda_acts(&world.fake);
    assert_eq!(world.get::<ScaledObject>(), None);
    sleep(Duration::from_secs(5)).await;
    others::keda_acts(&world.fake);
    settled(&world).await;
    assert!(has_only(&world, "HPA"));
    running.stop().await;
}

/// A user restores the former HPA while its watch tells nothing: the ScaledObject waits for its end all the same.
#[tokio::test(start_paused = true)]
async fn an_hpa_that_was_restored_unseen_goes_before_a_scaled_object_comes() {
    let world = World::with_keda();
    world.set_spec(&spec_of("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let former = world.get::<HorizontalPodAutoscaler>().unwrap();
    let metadata = &former["metadata"];
    let copy = json!({
        "metadata": {"labels": metadata["labels"], "ownerReferences": metadata["ownerReferences"]},
        "spec": former["spec"],
    });
    world.set_spec(&spec_of("None"));
    settled(&world).await;
    assert_eq!(world.get::<HorizontalPodAutoscaler>(), None);
    world.fake.hold_back(&hpas);
    world.fake.edit(&hpas, NAMESPACE, NAME, "kubectl", &copy);
    world.set_spec(&spec_of("KEDA"));
    settled(&world).await;
    assert!(has_only(&world, "KEDA"));
    judge(&world.fake, "an HPA that was restored");
    running.stop().await;
}

/// The watches of everything stand still: what was written is neither written again nor undone.
#[tokio::test(start_paused = true)]
async fn a_store_that_has_not_seen_its_own_writes_does_not_write_again() {
    for engine in ["HPA", "KEDA", "None"] {
        let world = World::with_keda();
        let running = start(&world).await;
        for kind in child_types() {
            world.fake.hold_back(&kind);
        }
        world.set_spec(&spec_of(engine));
        sleep(Duration::from_secs(5)).await;
        let version = world.fake.version();
        let _ = calls(&world);
        for note in 0..5 {
            let annotated =
                json!({"metadata": {"annotations": {"example.com/note": note.to_string()}}});
            world.edit::<ModelService>("kubectl", &annotated);
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(calls(&world), [], "{engine}");
        assert_eq!(world.fake.version(), version + 5, "{engine}");
        // What each watch tells then, one after the other, is older than what is known.
        for kind in child_types() {
            for _ in 0..version {
                world.fake.let_go(&kind, Some(1));
                sleep(Duration::from_secs(1)).await;
            }
        }
        assert_eq!(calls(&world), [], "{engine}");
        running.stop().await;
    }
}

/// Another client takes a name that no watch has told of.
#[tokio::test(start_paused = true)]
async fn a_name_that_was_taken_unseen_is_not_taken_over() {
    for kind in child_types() {
        let world = World::with_keda();
        let running = start(&world).await;
        world.fake.hold_back(&kind);
        let engine = if kind.kind == "ScaledObject" {
            "KEDA"
        } else {
            "HPA"
        };
        let theirs = json!({
            "metadata": {"labels": {"app.kubernetes.io/managed-by": "theirs"}},
            "spec": {"replicas": 4, "scaleTargetRef": {"name": "theirs"}, "triggers": []},
        });
        world.fake.edit(&kind, NAMESPACE, NAME, "helm", &theirs);
        let before = world.fake.get(&kind, NAMESPACE, NAME);
        world.set_spec(&spec_of(engine));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(
            world.fake.get(&kind, NAMESPACE, NAME),
            before,
            "{}",
            kind.kind
        );
        running.stop().await;
    }
}
