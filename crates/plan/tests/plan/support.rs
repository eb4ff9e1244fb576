//! ModelServices and observed states for tests.

use std::path::PathBuf;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use springtide_api::{ModelService, ModelServiceStatus, targets::Signal};
use springtide_plan::{
    Applied, Capabilities, Child, ChildKind, Desired, ExternalMetrics, Observed, OperatorSettings,
    Platform, PodsMetrics, StatusReply, ValidatedModelService, desired, status,
};

pub(crate) const UID: &str = "11111111-2222-3333-4444-555555555555";

pub(crate) fn settings() -> OperatorSettings {
    OperatorSettings {
        server_image: "springtide/server:test".to_owned(),
        prometheus_address: "http://prometheus.monitoring.svc:9090".to_owned(),
        allowed_prometheus_addresses: vec!["http://prometheus.observability.svc:9090".to_owned()],
        namespace_label: "namespace".parse().unwrap(),
        pod_label: "pod".parse().unwrap(),
        scrape_interval_seconds: 15,
    }
}

/// A path below this crate's directory.
pub(crate) fn crate_path(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A ModelService `default/iris` with `spec` merged into the minimal spec.
pub(crate) fn model_service(spec: Value) -> ModelService {
    let mut model_service = json!({
        "apiVersion": "serving.springtide.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "iris", "namespace": "default", "uid": UID, "generation": 1},
        "spec": {"model": {"uri": "configMap://iris/model.onnx"}},
    });
    let fields = model_service["spec"].as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    serde_json::from_value(model_service).unwrap()
}

pub(crate) fn validated(spec: Value) -> ValidatedModelService {
    ValidatedModelService::try_from(&model_service(spec)).unwrap()
}

pub(crate) fn with_engine(engine: &str) -> ValidatedModelService {
    let mut spec = json!({"autoscaling": {"engine": engine}});
    if engine == "None" {
        spec["replicas"] = json!(2);
    }
    validated(spec)
}

/// A cluster with or without KEDA, and without a custom metrics API.
pub(crate) fn keda(keda: bool) -> Capabilities {
    Capabilities {
        keda,
        external_metrics: if keda {
            ExternalMetrics::Registered
        } else {
            ExternalMetrics::Absent
        },
        pods_metrics: PodsMetrics::Absent,
        platform: Platform::Kubernetes,
    }
}

pub(crate) fn with_keda() -> Observed {
    Observed {
        capabilities: keda(true),
        ..Observed::default()
    }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub(crate) fn kinds(desired: &Desired) -> Vec<ChildKind> {
    desired.apply.iter().map(Child::kind).collect()
}

/// The observed state after the plan was applied, without any other change.
pub(crate) fn applied(model_service: &ValidatedModelService, mut observed: Observed) -> Observed {
    for child in desired(model_service, &observed, &settings()).apply {
        match child {
            Child::Service(object) => observed.service = Some(*object),
            Child::PodDisruptionBudget(object) => observed.pod_disruption_budget = Some(*object),
            Child::Deployment(mut object) => {
                let live = observed
                    .deployment
                    .as_ref()
                    .and_then(|live| live.spec.as_ref());
                if let (Some(spec), Some(live)) = (&mut object.spec, live) {
                    spec.replicas = spec.replicas.or(live.replicas);
                }
                observed.deployment = Some(*object);
            }
            Child::HorizontalPodAutoscaler(object) => {
                observed.horizontal_pod_autoscaler = Some(*object);
            }
            Child::ScaledObject(object) => observed.scaled_object = Some(*object),
        }
    }
    observed
}

/// Input of a status: an observed state if nothing had to be applied, or the state after an apply.
pub(crate) trait ToApplied {
    fn to_applied(&self) -> Applied;
}

impl ToApplied for Observed {
    fn to_applied(&self) -> Applied {
        Applied::new(self.clone())
    }
}

impl ToApplied for Applied {
    fn to_applied(&self) -> Applied {
        self.clone()
    }
}

/// The observed state with these replies of the pods.
pub(crate) fn with_replies(observed: Observed, replies: &[StatusReply]) -> Applied {
    let mut applied = Applied::new(observed);
    applied.record_replies(replies.to_vec());
    applied
}

/// The status of an observed state without failures.
pub(crate) fn status_of(
    model_service: &ValidatedModelService,
    applied: &impl ToApplied,
) -> ModelServiceStatus {
    status_after(model_service, applied, None)
}

/// The same with a previous status.
pub(crate) fn status_after(
    model_service: &ValidatedModelService,
    applied: &impl ToApplied,
    previous: Option<&ModelServiceStatus>,
) -> ModelServiceStatus {
    let applied = applied.to_applied();
    let desired = desired(model_service, applied.observed(), &settings());
    let status = status(model_service, &applied, &desired, previous, at(0));
    for condition in &status.conditions {
        assert!(is_documented(condition), "{condition:?}");
    }
    status
}

/// The time at which the next reconcile is due.
pub(crate) fn requeue_at(
    model_service: &ValidatedModelService,
    applied: &impl ToApplied,
    status: &ModelServiceStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    springtide_plan::requeue_at(model_service, &applied.to_applied(), status, now)
}

/// Whether the table of conditions has this one: with this status and reason, or with a reason of another controller.
fn is_documented(condition: &Condition) -> bool {
    const TABLE: &str = include_str!("../../../../docs/reference/conditions.md");
    let mut about = "";
    TABLE.lines().any(|line| {
        let cells = line.split('|').map(str::trim).collect::<Vec<_>>();
        let [_, kind, statuses, reasons, ..] = cells[..] else {
            return false;
        };
        if !kind.is_empty() {
            about = kind;
        }
        // `Ready` has the reasons of the others.
        (about == condition.type_ || about == "any" || condition.type_ == "Ready")
            && (statuses
                .split(", ")
                .any(|status| status == condition.status))
            && (reasons.contains(&format!("`{}`", condition.reason)) || !reasons.starts_with('`'))
    })
}

/// Status and reason of a condition.
pub(crate) fn condition(status: &ModelServiceStatus, kind: &str) -> (String, String) {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .unwrap();
    (condition.status.clone(), condition.reason.clone())
}

pub(crate) fn message(status: &ModelServiceStatus, kind: &str) -> String {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .unwrap();
    condition.message.clone()
}

/// Targets of any of the signals, 60 each.
pub(crate) fn any_targets() -> impl Strategy<Value = Value> {
    prop::sample::subsequence(Signal::ALL.to_vec(), 0..=Signal::ALL.len()).prop_map(|signals| {
        signals
            .into_iter()
            .map(|signal| (signal.as_str().to_owned(), json!(60)))
            .collect()
    })
}

/// Any state of the custom metrics API.
pub(crate) fn any_pods_metrics() -> impl Strategy<Value = PodsMetrics> {
    let listed = prop::sample::subsequence(Signal::of_server().collect::<Vec<_>>(), 0..=5)
        .prop_map(|signals| PodsMetrics::Listed(signals.into_iter().collect()));
    prop_oneof![
        Just(PodsMetrics::Absent),
        Just(PodsMetrics::Unknown),
        listed
    ]
}

/// Any state of the external metrics API.
pub(crate) fn any_external_metrics() -> impl Strategy<Value = ExternalMetrics> {
    prop::sample::select(vec![
        ExternalMetrics::Absent,
        ExternalMetrics::Unknown,
        ExternalMetrics::Registered,
    ])
}

/// Any platform.
pub(crate) fn any_platform() -> impl Strategy<Value = Platform> {
    prop::sample::select(vec![
        Platform::Kubernetes,
        Platform::Unknown,
        Platform::OpenShift,
    ])
}
