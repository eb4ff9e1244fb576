//! Memory of pods at rest. It keeps a memory target from adding pods without any request.

use k8s_openapi::{api::core::v1::Pod, jiff::SignedDuration};
use serde_json::{Value, json};
use springtide_api::{ModelService, ModelServiceStatus};
use springtide_contract::batching::{
    BatchingReason, BatchingStatus, MemoryStatus, ModelStatus, ServerStatus,
};
use springtide_plan::{Applied, Observed, StatusReply, ValidatedModelService};

use super::{container, pod, rolled_out, serving, unavailable, yes};
use crate::support::{
    applied, at, condition, message, model_service, requeue_at, status_after, with_keda,
    with_replies,
};

const MEBIBYTE: u64 = 1 << 20;

/// A server with this memory at rest, or one that is too old to report it.
fn said(at_rest_mebibytes: Option<u64>) -> StatusReply {
    let memory = MemoryStatus {
        at_rest_bytes: at_rest_mebibytes.map(|mebibytes| mebibytes * MEBIBYTE),
        ..MemoryStatus::default()
    };
    StatusReply::Status(ServerStatus {
        memory: Some(memory),
        models: vec![ModelStatus {
            name: "iris".to_owned(),
            version: "1".to_owned(),
            sha256: None,
            batching: BatchingStatus {
                enabled: false,
                reason: BatchingReason::OneRow,
                message: "One row.".to_owned(),
            },
        }],
    })
}

/// A ModelService over several reconciles.
struct History {
    spec: Value,
    generation: i64,
    observed: Observed,
    status: Option<ModelServiceStatus>,
    /// Status of the Deployment.
    deployment: Value,
    /// The ModelService of the last reconcile.
    before: Option<ValidatedModelService>,
    /// The state after the last reconcile.
    applied: Option<Applied>,
}

impl History {
    /// A ModelService that was just applied.
    fn new(spec: Value) -> Self {
        Self {
            spec,
            generation: 1,
            observed: Observed {
                at: at(0),
                ..with_keda()
            },
            status: None,
            deployment: unavailable(),
            before: None,
            applied: None,
        }
    }

    fn model_service(&self) -> ModelService {
        let mut model_service = model_service(self.spec.clone());
        model_service.metadata.generation = Some(self.generation);
        model_service.status.clone_from(&self.status);
        model_service
    }

    fn validated(&self) -> ValidatedModelService {
        ValidatedModelService::try_from(&self.model_service()).unwrap()
    }

    /// A reconcile with these replies of the serving pods.
    fn reconcile(&mut self, answers: &[StatusReply]) -> &mut Self {
        let model_service = self.validated();
        self.observed = applied(&model_service, self.observed.clone());
        let deployment = self.observed.deployment.as_mut().unwrap();
        deployment.metadata.generation = Some(1);
        deployment.spec.as_mut().unwrap().replicas = Some(2);
        deployment.status = Some(serde_json::from_value(self.deployment.clone()).unwrap());
        self.applied = Some(with_replies(self.observed.clone(), answers));
        let applied = self.applied.as_ref().unwrap();
        let status = status_after(&model_service, applied, self.status.as_ref());
        self.status = Some(status);
        self.before = Some(model_service);
        self
    }

    /// The time of the next reconciles.
    fn at(&mut self, second: i64) -> &mut Self {
        self.observed.at = at(second);
        self
    }

    fn pods(&mut self, status: Value) -> &mut Self {
        let model_service = self.validated();
        self.observed.pods = ["a", "b"]
            .map(|name| pod(&model_service, name, status.clone()))
            .to_vec();
        self
    }

    /// All pods of the current spec serve.
    fn serve(&mut self) -> &mut Self {
        self.deployment = rolled_out();
        self.pods(serving())
    }

    /// A rollout to another spec: one of the previous pods still serves.
    fn roll(&mut self, spec: Value) -> &mut Self {
        self.spec = spec;
        self.generation += 1;
        self.deployment = unavailable();
        self
    }

    /// Whether memory is followed, by the metrics of the HPA.
    fn follows_memory(&self) -> bool {
        self.followed().contains(&"memory".to_owned())
    }

    fn followed(&self) -> Vec<String> {
        let hpa = self.observed.horizontal_pod_autoscaler.as_ref();
        let metrics = hpa.unwrap().spec.as_ref().unwrap().metrics.as_ref();
        metrics
            .unwrap()
            .iter()
            .map(|metric| metric.container_resource.as_ref().unwrap().name.clone())
            .collect()
    }

    fn at_rest(&self) -> Option<i32> {
        let model = self.status.as_ref().unwrap().model.as_ref();
        model.unwrap().memory_at_rest_mebibytes
    }

    fn ready(&self) -> (String, String) {
        condition(self.status.as_ref().unwrap(), "AutoscalingReady")
    }

    fn message(&self) -> String {
        message(self.status.as_ref().unwrap(), "AutoscalingReady")
    }

    /// Seconds until the next reconcile that the time requires.
    fn again(&self) -> Option<SignedDuration> {
        let now = self.observed.at;
        let status = self.status.as_ref().unwrap();
        requeue_at(
            self.before.as_ref().unwrap(),
            self.applied.as_ref().unwrap(),
            status,
            now,
        )
        .map(|again| again.duration_since(now))
    }
}

/// A pod whose server has been loading its model since this second.
fn loading_since(second: i64) -> Value {
    json!({
        "initContainerStatuses": [
            container("fetch-model", true, json!({"terminated": {"exitCode": 0}}), json!({})),
        ],
        "containerStatuses": [container(
            "server", false, json!({"running": {"startedAt": at(second).to_string()}}), json!({}),
        )],
    })
}

fn hpa() -> Value {
    json!({"autoscaling": {"engine": "HPA"}})
}

fn requesting(memory: &str) -> Value {
    let mut spec = hpa();
    spec["server"] = json!({"resources": {
        "requests": {"memory": memory}, "limits": {"memory": "4Gi"},
    }});
    spec
}

#[test]
fn a_model_that_leaves_no_room_is_scaled_without_memory() {
    let mut history = History::new(hpa());
    history.reconcile(&[]);
    assert_eq!(history.followed(), ["cpu", "memory"], "nothing is known");
    history
        .serve()
        .reconcile(&[said(Some(500)), said(Some(596))]);
    assert_eq!(history.at_rest(), Some(596), "the most that any says");
    assert_eq!(history.again(), Some(SignedDuration::from_secs(1)));
    history.reconcile(&[said(Some(500)), said(Some(596))]);
    assert_eq!(history.followed(), ["cpu"]);
    assert_eq!(history.ready(), yes("MemoryNotFollowed"));
    let said_so = history.message();
    for part in [
        "uses 596 MiB at rest",
        "80 % of its memory request, 512Mi",
        "set spec.server.resources.requests.memory to 1280Mi.",
    ] {
        assert!(said_so.contains(part), "{said_so}");
    }
    assert!(!said_so.contains("limits.memory"), "{said_so}");
    assert_eq!(history.again(), None, "all is said");
}

#[test]
fn a_model_that_leaves_room_is_scaled_on_memory() {
    let mut history = History::new(hpa());
    history.reconcile(&[]).serve();
    history
        .reconcile(&[said(Some(100))])
        .reconcile(&[said(Some(100))]);
    assert_eq!(history.followed(), ["cpu", "memory"]);
    assert_eq!(history.ready(), yes("Scaling"));
    assert_eq!(history.at_rest(), Some(100));
}

#[test]
fn cpu_is_followed_if_memory_was_the_only_target() {
    let mut spec = hpa();
    spec["autoscaling"]["targets"] = json!({"memoryUtilizationPercent": 60});
    let mut history = History::new(spec);
    history.reconcile(&[]);
    assert_eq!(history.followed(), ["memory"]);
    history
        .serve()
        .reconcile(&[said(Some(3000))])
        .reconcile(&[said(Some(3000))]);
    assert_eq!(history.followed(), ["cpu"]);
    let said_so = history.message();
    assert!(said_so.contains("follows CPU at 70 %"), "{said_so}");
    assert!(
        said_so.contains("and spec.server.resources.limits.memory to at least the same"),
        "{said_so}"
    );
}

#[test]
fn keda_gets_the_same_targets() {
    let spec =
        json!({"autoscaling": {"engine": "KEDA", "targets": {"memoryUtilizationPercent": 80}}});
    let mut history = History::new(spec);
    let kinds = |history: &History| {
        let scaled_object = history.observed.scaled_object.as_ref().unwrap();
        let triggers = scaled_object.spec.triggers.iter();
        triggers
            .map(|trigger| trigger.kind.clone())
            .collect::<Vec<_>>()
    };
    history.reconcile(&[]);
    assert_eq!(kinds(&history), ["memory"]);
    history
        .serve()
        .reconcile(&[said(Some(600))])
        .reconcile(&[said(Some(600))]);
    assert_eq!(kinds(&history), ["cpu"]);
}

#[test]
fn a_new_request_or_target_is_evaluated_at_once() {
    let mut history = History::new(hpa());
    history.reconcile(&[]).serve();
    history
        .reconcile(&[said(Some(596))])
        .reconcile(&[said(Some(596))]);
    assert!(!history.follows_memory());
    history
        .roll(requesting("1280Mi"))
        .reconcile(&[said(Some(596))]);
    assert!(history.follows_memory(), "before a new pod is there");
    history
        .roll(requesting("600Mi"))
        .reconcile(&[said(Some(596))]);
    assert!(!history.follows_memory());
    let mut generous = hpa();
    generous["autoscaling"]["targets"] =
        json!({"cpuUtilizationPercent": 70, "memoryUtilizationPercent": 300});
    history.roll(generous).reconcile(&[said(Some(596))]);
    assert!(history.follows_memory());
}

#[test]
fn the_maximum_counts_until_a_rollout_is_complete() {
    let mut history = History::new(hpa());
    history.reconcile(&[]).serve();
    history.reconcile(&[said(Some(596))]);
    history.reconcile(&[said(Some(560))]);
    assert_eq!(history.at_rest(), Some(596), "pods differ a little");
    history.reconcile(&[StatusReply::Unreachable]);
    assert_eq!(history.at_rest(), Some(596));
    // Fewer workers take less memory.
    let mut spec = hpa();
    spec["server"] = json!({"workers": 1});
    history
        .roll(spec)
        .reconcile(&[said(Some(596)), said(Some(300))]);
    assert_eq!(history.at_rest(), Some(596), "a former pod still serves");
    history
        .serve()
        .reconcile(&[said(Some(300)), said(Some(296))]);
    assert_eq!(history.at_rest(), Some(300));
    history
        .reconcile(&[said(Some(304))])
        .reconcile(&[said(Some(304))]);
    assert_eq!(history.at_rest(), Some(304));
    assert!(history.follows_memory());
}

#[test]
fn memory_of_the_previous_model_does_not_count() {
    let mut history = History::new(hpa());
    history.reconcile(&[]).serve();
    history
        .reconcile(&[said(Some(596))])
        .reconcile(&[said(Some(596))]);
    assert!(!history.follows_memory());
    let mut other = hpa();
    other["model"] = json!({"uri": "configMap://iris/small.onnx"});
    // If memory isn't followed, it stays so until the new model is known.
    history.roll(other).reconcile(&[]);
    assert_eq!(history.at_rest(), None);
    assert!(!history.follows_memory());
    let said_so = history.message();
    assert_eq!(history.ready(), yes("Scaling"));
    assert!(said_so.contains("once a pod has reported"), "{said_so}");
    history
        .serve()
        .reconcile(&[said(Some(100))])
        .reconcile(&[said(Some(100))]);
    assert!(history.follows_memory());
}

#[test]
fn memory_is_not_followed_while_a_first_pod_loads_slowly() {
    let mut history = History::new(hpa());
    history.reconcile(&[]);
    history.pods(loading_since(0)).at(4).reconcile(&[]);
    assert!(history.follows_memory(), "most models are loaded by then");
    assert_eq!(history.again(), Some(SignedDuration::from_secs(1)));
    history.at(5).reconcile(&[]);
    assert!(!history.follows_memory());
    // It crashes and loads again. That doesn't change the autoscaler.
    let crashed = json!({"containerStatuses": [container(
        "server", false, json!({"waiting": {"reason": "CrashLoopBackOff"}}), json!({}),
    )]});
    history.pods(crashed).at(60).reconcile(&[]);
    assert!(!history.follows_memory());
    history.pods(loading_since(90)).at(91).reconcile(&[]);
    assert!(!history.follows_memory());
    // The reconcile that first sees it serve doesn't have its report yet.
    history.at(120).serve().reconcile(&[said(Some(100))]);
    assert!(!history.follows_memory());
    assert_eq!(history.again(), Some(SignedDuration::from_secs(1)));
    history.at(121).reconcile(&[said(Some(100))]);
    assert!(history.follows_memory());
}

#[test]
fn pods_that_report_no_memory_are_scaled_on_memory() {
    for answer in [
        said(None),
        StatusReply::Unreachable,
        StatusReply::Unreadable,
    ] {
        let answers = std::slice::from_ref(&answer);
        let mut history = History::new(hpa());
        history.reconcile(&[]);
        history.pods(loading_since(-60)).reconcile(&[]);
        assert!(!history.follows_memory());
        history.serve().reconcile(answers);
        assert!(!history.follows_memory());
        if answer == StatusReply::Unreachable {
            assert_eq!(history.again(), Some(SignedDuration::from_secs(5)));
        }
        history.at(61).reconcile(answers);
        assert!(history.follows_memory(), "{answer:?}");
        assert_eq!(history.at_rest(), None);
        history.reconcile(answers);
        assert!(history.follows_memory(), "{answer:?}");
    }
    // A pod that has replied without a value won't report one later.
    let mut history = History::new(hpa());
    history.reconcile(&[]);
    history.pods(loading_since(-60)).reconcile(&[]);
    history
        .serve()
        .reconcile(&[said(None)])
        .reconcile(&[said(None)]);
    assert!(history.follows_memory());
}

#[test]
fn serving_pods_keep_memory_followed_while_new_ones_load() {
    let mut history = History::new(hpa());
    history.reconcile(&[]).serve();
    history
        .reconcile(&[said(Some(100))])
        .reconcile(&[said(Some(100))]);
    let mut other = hpa();
    other["model"] = json!({"uri": "configMap://iris/other.onnx"});
    let former = history.observed.pods[0].clone();
    history.roll(other).pods(loading_since(-60));
    let loading: Pod = history.observed.pods[0].clone();
    history.observed.pods = vec![former, loading];
    history.reconcile(&[]);
    assert!(history.follows_memory());
}

#[test]
fn fixed_replicas_ignore_memory() {
    let mut history = History::new(json!({"replicas": 2, "autoscaling": {"engine": "None"}}));
    history
        .reconcile(&[])
        .serve()
        .reconcile(&[said(Some(5000))]);
    assert_eq!(history.at_rest(), Some(5000));
    assert_eq!(history.ready(), yes("FixedReplicas"));
    assert_eq!(history.again(), None);
}
