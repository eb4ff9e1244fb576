//! The running controller over a fake API server, in paused time.

use std::time::Duration;

use crate::{
    others::{self, CUSTOM_METRICS},
    support::{NAME, NAMESPACE, World, child_types, spec},
    switching::judge,
};
use clap::Parser;
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod,
};
use serde_json::json;
use springtide_api::{ModelService, targets::Signal};
use springtide_operator::{
    controller,
    readiness::{Readiness, Stage},
    settings::Settings,
};
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{Aggregated, Call, Fault, ResourceType};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// What the contract allows for a deleted child to come back.
const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Running {
    shutdown: watch::Sender<bool>,
    readiness: Readiness,
    controller: JoinHandle<()>,
}

pub(crate) async fn start(world: &World) -> Running {
    let running = launch(world);
    let mut stage = running.readiness.subscribe();
    stage
        .wait_for(|stage| *stage == Stage::Acting)
        .await
        .unwrap();
    running
}

fn launch(world: &World) -> Running {
    launch_with(world, &[])
}

fn launch_with(world: &World, flags: &[&str]) -> Running {
    let (shutdown, begun) = watch::channel(false);
    let readiness = Readiness::default();
    let (context, told) = (world.context.clone(), readiness.clone());
    let settings = Settings::parse_from(["springtide-operator"].iter().chain(flags));
    let controller = tokio::spawn(async move {
        controller::run(context, &settings, &told, begun).await;
    });
    Running {
        shutdown,
        readiness,
        controller,
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.shutdown.send_replace(true);
        timeout(Duration::from_secs(25), self.controller)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Waits, in paused time, until something is so.
pub(crate) async fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until nothing has been written for a while.
pub(crate) async fn settled(world: &World) {
    let mut version = None;
    while version != Some(world.fake.version()) {
        version = Some(world.fake.version());
        sleep(Duration::from_secs(15)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_acts_once_it_knows_all_model_services() {
    let world = World::new();
    for call in 1..=1000 {
        world.fake.inject(call, Fault::Status(503));
    }
    let running = launch(&world);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(running.readiness.stage(), Stage::Syncing);
    world.fake.clear_faults();
    within(SOON, "all ModelServices known", || {
        running.readiness.stage() == Stage::Acting
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_named_namespaces_are_watched_and_no_call_goes_beyond_them() {
    let world = World::with_keda();
    let running = launch_with(&world, &["--watch-namespaces=one,two"]);
    let (model_services, hpas) = (
        ResourceType::of::<ModelService>(),
        ResourceType::of::<HorizontalPodAutoscaler>(),
    );
    let namespaces = ["one", "two", "three"];
    let serve = |engine: &str| {
        for namespace in namespaces {
            let fields = json!({"spec": spec(engine)});
            world
                .fake
                .edit(&model_services, namespace, NAME, "kubectl", &fields);
        }
    };
    let scaled = || namespaces.map(|namespace| world.fake.get(&hpas, namespace, NAME).is_some());
    serve("HPA");
    within(SOON, "two HPAs", || scaled() == [true, true, false]).await;
    settled(&world).await;
    for namespace in ["one", "two"] {
        world.fake.delete(&hpas, namespace, NAME);
        within(SOON, "the HPA again", || scaled() == [true, true, false]).await;
    }
    serve("KEDA");
    within(2 * SOON, "no HPA", || scaled() == [false; 3]).await;
    world.fake.drop_watches();
    serve("HPA");
    within(3 * SOON, "two HPAs", || scaled() == [true, true, false]).await;
    running.stop().await;
    let is_discovery = |path: &str| path.starts_with("/apis/") && path.split('/').count() == 4;
    for call in world.fake.take_calls() {
        let is_within = ["/namespaces/one/", "/namespaces/two/"]
            .iter()
            .any(|part| call.path.contains(part));
        assert!(is_within || is_discovery(&call.path), "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_model_service_gets_its_children_and_then_there_is_quiet() {
    let world = World::new();
    let running = start(&world).await;
    world.set_spec(&spec("HPA"));
    within(SOON, "an HPA", || {
        world.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    settled(&world).await;
    let version = world.fake.version();
    // Longer than the time after which everything is looked at again.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.fake.version(), version);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_deleted_comes_back() {
    let world = World::with_keda();
    for engine in ["HPA", "KEDA"] {
        world.set_spec(&spec(engine));
        let running = start(&world).await;
        settled(&world).await;
        for kind in child_types() {
            if world.fake.get(&kind, NAMESPACE, NAME).is_none() {
                continue;
            }
            world.fake.delete(&kind, NAMESPACE, NAME);
            within(SOON, &kind.kind, || {
                world.fake.get(&kind, NAMESPACE, NAME).is_some()
            })
            .await;
        }
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_edited_comes_back_even_without_its_owner() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    let max = || world.get::<HorizontalPodAutoscaler>().unwrap()["spec"]["maxReplicas"].clone();
    let edit = json!({"metadata": {"ownerReferences": null}, "spec": {"maxReplicas": 99}});
    world.edit::<HorizontalPodAutoscaler>("kubectl-edit", &edit);
    assert_eq!(max(), 99);
    within(SOON, "maxReplicas", || max() == 20).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_given_free_is_used() {
    let world = World::new();
    let deployment = ResourceType::of::<Deployment>();
    world.fake.edit(
        &deployment,
        NAMESPACE,
        NAME,
        "helm",
        &json!({"spec": {"replicas": 4}}),
    );
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    world.fake.delete(&deployment, NAMESPACE, NAME);
    within(SOON, "the Deployment", || {
        world.get::<Deployment>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn keda_is_used_when_it_comes_missed_when_it_goes_and_used_again() {
    let world = World::new();
    world.set_spec(&spec("KEDA"));
    let running = start(&world).await;
    settled(&world).await;
    let scaled_object = ResourceType::of::<ScaledObject>();
    let missing = || world.condition("AutoscalingReady").1 == "KedaMissing";
    assert!(missing());
    for _ in 0..2 {
        world.fake.install(scaled_object.clone());
        within(4 * SOON, "a ScaledObject", || {
            world.get::<ScaledObject>().is_some()
        })
        .await;
        settled(&world).await;
        world.fake.delete(&scaled_object, NAMESPACE, NAME);
        within(SOON, "the ScaledObject again", || {
            world.get::<ScaledObject>().is_some()
        })
        .await;
        world.fake.uninstall(&scaled_object);
        within(2 * SOON, "the condition", missing).await;
    }
    // The watch that KEDA took with it holds up no other.
    world
        .fake
        .delete(&ResourceType::of::<Deployment>(), NAMESPACE, NAME);
    within(SOON, "the Deployment", || {
        world.get::<Deployment>().is_some()
    })
    .await;
    running.stop().await;
}

/// Under load: KEDA and the controller of HPAs act every second.
#[tokio::test(start_paused = true)]
async fn the_engine_is_switched_within_30_seconds_both_ways_ten_times() {
    let world = World::with_keda();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    let others = tokio::spawn({
        let fake = world.fake.clone();
        async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                others::act(&fake);
            }
        }
    });
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    let scaled_by = |hpa: &str| world.fake.get(&hpas, NAMESPACE, hpa).is_some();
    within(Duration::from_secs(30), "the HPA", || scaled_by(NAME)).await;
    for turn in 0..10 {
        let (engine, hpa) = [("KEDA", others::KEDA_HPA), ("HPA", NAME)][turn % 2];
        world.set_spec(&spec(engine));
        within(Duration::from_secs(30), engine, || scaled_by(hpa)).await;
    }
    others.abort();
    running.stop().await;
    judge(&world.fake, "ten switches");
}

#[tokio::test(start_paused = true)]
async fn pods_metrics_are_followed_when_their_adapter_comes() {
    let world = World::new();
    let signal = Signal::QueueSize;
    world.fake.register(CUSTOM_METRICS, Aggregated::Unavailable);
    world.set_spec(&json!({
        "model": {"uri": "configMap://iris/model.onnx"},
        "autoscaling": {"engine": "HPA", "targets": {"queueSize": 20}},
    }));
    let running = start(&world).await;
    settled(&world).await;
    let follows = || {
        let hpa = world.get::<HorizontalPodAutoscaler>().unwrap();
        hpa.to_string().contains(signal.pods_metric().unwrap())
    };
    assert!(!follows());
    world
        .fake
        .register(CUSTOM_METRICS, others::listing(&[signal]));
    within(2 * SOON, "the metric", follows).await;
    world.fake.register(CUSTOM_METRICS, Aggregated::Unavailable);
    settled(&world).await;
    assert!(follows());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_hpa_of_keda_going_brings_the_next_pass_about() {
    let world = World::with_keda();
    world.set_spec(&spec("KEDA"));
    let running = start(&world).await;
    settled(&world).await;
    let hpa = ResourceType::of::<HorizontalPodAutoscaler>();
    world.fake.edit(
        &hpa,
        NAMESPACE,
        "keda-hpa-iris",
        "keda",
        &json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "iris"}, "maxReplicas": 50}}),
    );
    world.set_spec(&spec("HPA"));
    settled(&world).await;
    assert_eq!(world.get::<HorizontalPodAutoscaler>(), None);
    world.fake.delete(&hpa, NAMESPACE, "keda-hpa-iris");
    within(Duration::from_secs(1), "the HPA", || {
        world.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn why_a_pod_has_no_model_reaches_the_status() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    let message =
        json!({"reason": "ChecksumMismatch", "message": "expected aa, got bb"}).to_string();
    let annotations =
        world.get::<Deployment>().unwrap()["spec"]["template"]["metadata"]["annotations"].clone();
    let pod = json!({
        "metadata": {
            "labels": {"app.kubernetes.io/name": "modelservice", "app.kubernetes.io/instance": NAME},
            "annotations": annotations,
        },
        "spec": {"containers": []},
        "status": {"initContainerStatuses": [{
            "name": "fetch-model", "image": "", "imageID": "", "ready": false, "restartCount": 1,
            "lastState": {"terminated": {"exitCode": 1, "message": message}},
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        }]},
    });
    world.fake.edit(
        &ResourceType::of::<Pod>(),
        NAMESPACE,
        "iris-1",
        "kubelet",
        &pod,
    );
    let expected = ("False".to_owned(), "ChecksumMismatch".to_owned());
    within(SOON, "the condition", || {
        world.condition("ModelLoaded") == expected
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dropped_watches_and_failing_calls_are_survived() {
    let world = World::new();
    let running = start(&world).await;
    world.fake.drop_watches();
    for call in 1..=12 {
        world.fake.inject(
            call,
            if call % 2 == 0 {
                Fault::Refused
            } else {
                Fault::Status(503)
            },
        );
    }
    world.set_spec(&spec("HPA"));
    within(Duration::from_secs(600), "an HPA", || {
        world.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_model_service_stays_deleted() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    world
        .fake
        .delete(&ResourceType::of::<ModelService>(), NAMESPACE, NAME);
    settled(&world).await;
    assert!(world.snapshot().is_empty());
    running.stop().await;
}

/// Calls since this was last asked, without those of the watch over the cluster's capabilities.
pub(crate) fn calls(world: &World) -> Vec<Call> {
    let mut calls = world.fake.take_calls();
    let is_discovery = |path: &str| path.starts_with("/apis/") && path.split('/').count() == 4;
    calls.retain(|call| !is_discovery(&call.path));
    calls
}

/// One call each: the Service, the PodDisruptionBudget, the Deployment, whether the other autoscaler is there, the
/// autoscaler, the status and the first event.
const CALLS_OF_A_NEW_ONE: usize = 7;

#[tokio::test(start_paused = true)]
async fn a_new_model_service_costs_seven_calls_at_most() {
    for engine in ["HPA", "KEDA", "None", "Auto"] {
        let world = World::with_keda();
        let running = start(&world).await;
        let _ = calls(&world);
        world.set_spec(&spec(engine));
        sleep(Duration::from_secs(5)).await;
        let mut calls = calls(&world);
        if engine == "KEDA" {
            // Objects of this API server are months old: one that KEDA hasn't processed is an event, too.
            assert!(
                calls
                    .pop()
                    .is_some_and(|call| call.path.ends_with("/events"))
            );
        }
        assert!(calls.len() <= CALLS_OF_A_NEW_ONE, "{engine}: {calls:#?}");
        let applies = calls.iter().filter(|call| call.is_write()).count();
        assert!(applies >= 5, "{engine}: {calls:#?}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_service_costs_no_call() {
    for engine in ["HPA", "KEDA", "None"] {
        let world = World::with_keda();
        world.set_spec(&spec(engine));
        let running = start(&world).await;
        settled(&world).await;
        let _ = calls(&world);
        let before = world.passes();
        sleep(Duration::from_secs(3600)).await;
        assert!(world.passes() >= before + 5, "it is looked at all the same");
        assert_eq!(calls(&world), [], "{engine}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_lists_each_kind_once_and_writes_nothing() {
    /// No more than a page of a list.
    const MANY: usize = 24;
    let world = World::with_keda();
    let model_services = ResourceType::of::<ModelService>();
    for number in 0..MANY {
        let fields = json!({"spec": spec(["HPA", "KEDA", "None"][number % 3])});
        let name = format!("iris-{number}");
        world
            .fake
            .edit(&model_services, NAMESPACE, &name, "kubectl", &fields);
    }
    let running = start(&world).await;
    settled(&world).await;
    running.stop().await;
    let _ = calls(&world);
    let version = world.fake.version();
    let restarted = world.restarted();
    let running = start(&restarted).await;
    within(SOON, "a pass of each", || restarted.passes() >= MANY).await;
    let calls = calls(&world);
    assert_eq!(calls.len(), child_types().len() + 2, "{calls:#?}");
    assert!(!calls.iter().any(Call::is_write));
    assert_eq!(world.fake.version(), version);
    running.stop().await;
}

fn restart_a_pod(world: &World, count: usize) {
    let pod = json!({
        "metadata": {"labels": {"app.kubernetes.io/name": "modelservice", "app.kubernetes.io/instance": NAME}},
        "spec": {"containers": []},
        "status": {"message": count.to_string()},
    });
    let pods = ResourceType::of::<Pod>();
    world.fake.edit(&pods, NAMESPACE, "iris-1", "kubelet", &pod);
}

#[tokio::test(start_paused = true)]
async fn an_event_costs_few_calls() {
    /// An apply of a lost child, and the status with an event for each of its conditions and one for a decision.
    const WRITES_PER_PASS: usize = 1 + 1 + 8;
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    let none = json!({});
    let annotated = json!({"metadata": {"annotations": {"example.com/note": "x"}}});
    let status = json!({"status": {"readyReplicas": 7}});
    let events: [(&str, usize, &dyn Fn()); 6] = [
        ("nothing", 0, &|| {
            world.edit::<ModelService>("kubectl", &none);
        }),
        ("a status", 0, &|| {
            world.edit::<ModelService>("kubectl", &status);
        }),
        ("an annotation", 1, &|| {
            world.edit::<ModelService>("kubectl", &annotated);
        }),
        // Only the status changes, which is no event.
        ("ready pods", 1, &|| world.pods_become_ready()),
        ("a lost child", 1, &|| {
            let deployment = ResourceType::of::<Deployment>();
            world.fake.delete(&deployment, NAMESPACE, NAME);
        }),
        ("a hundred pods", 1, &|| {
            (0..100).for_each(|count| restart_a_pod(&world, count));
        }),
    ];
    for (what, expected, happens) in events {
        let _ = calls(&world);
        let before = world.passes();
        happens();
        sleep(Duration::from_secs(5)).await;
        let (calls, passes) = (calls(&world), world.passes() - before);
        assert_eq!(passes, expected, "passes for {what}");
        assert!(calls.iter().all(Call::is_write), "{what}: {calls:?}");
        assert!(calls.len() <= passes * WRITES_PER_PASS, "{what}: {calls:?}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_without_end_hold_up_nothing() {
    let world = World::new();
    world.set_spec(&spec("HPA"));
    let running = start(&world).await;
    settled(&world).await;
    let before = world.passes();
    let deployment = ResourceType::of::<Deployment>();
    world.fake.delete(&deployment, NAMESPACE, NAME);
    for count in 0..100 {
        restart_a_pod(&world, count);
        sleep(Duration::from_millis(50)).await;
        let is_due = count >= 20;
        assert!(!is_due || world.get::<Deployment>().is_some());
    }
    let passes = world.passes() - before;
    assert!((1..=20).contains(&passes), "{passes} passes in 5 s");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_service_that_comes_again_does_not_wait_for_the_faults_of_the_one_before() {
    let world = World::new();
    let running = start(&world).await;
    for call in 1..=1000 {
        world.fake.inject(call, Fault::Refused);
    }
    world.set_spec(&spec("HPA"));
    sleep(Duration::from_secs(600)).await;
    world.fake.clear_faults();
    world
        .fake
        .delete(&ResourceType::of::<ModelService>(), NAMESPACE, NAME);
    sleep(Duration::from_secs(120)).await;
    for call in 1..=2 {
        world.fake.inject(call, Fault::Refused);
    }
    world.set_spec(&spec("HPA"));
    within(SOON, "an HPA", || {
        world.get::<HorizontalPodAutoscaler>().is_some()
    })
    .await;
    running.stop().await;
}
