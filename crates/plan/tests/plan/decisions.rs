//! Decisions about the replicas.

mod histories;

use serde_json::{Value, json};
use springtide_api::{
    ModelServiceStatus,
    status::{Decision, Limit},
    targets::Signal,
};
use springtide_plan::{
    Applied, Event, Observed, Severity, ValidatedModelService, desired, events, status,
};

use crate::support::{applied, at, settings, validated, with_keda};

/// A ModelService and its observed state while an HPA scales it.
struct Bed {
    model_service: ValidatedModelService,
    observed: Observed,
    status: Option<ModelServiceStatus>,
}

impl Bed {
    /// A ModelService that has had 2 pods for a long time.
    fn with(autoscaling: Value) -> Self {
        let model_service = validated(json!({"autoscaling": autoscaling}));
        let observed = applied(&model_service, with_keda());
        let mut bed = Self {
            model_service,
            observed,
            status: None,
        };
        bed.replicas(2, "springtide-initial-replicas", -1000);
        bed.ready(2);
        bed.look();
        bed
    }

    fn hpa() -> Self {
        Self::with(json!({"engine": "HPA", "minReplicas": 2, "targets": {
            "cpuUtilizationPercent": 70, "memoryUtilizationPercent": 80,
        }}))
    }

    /// `manager` sets the replicas.
    fn replicas(&mut self, replicas: i32, manager: &str, second: i64) {
        let deployment = self.observed.deployment.as_mut().unwrap();
        deployment.spec.as_mut().unwrap().replicas = Some(replicas);
        deployment.metadata.managed_fields = Some(
            serde_json::from_value(json!([{
                "manager": manager, "operation": "Update", "subresource": "scale",
                "time": at(second).to_string(),
                "fieldsV1": {"f:spec": {"f:replicas": {}}},
            }]))
            .unwrap(),
        );
    }

    fn ready(&mut self, pods: i32) {
        let deployment = self.observed.deployment.as_mut().unwrap();
        deployment.status =
            Some(serde_json::from_value(json!({"replicas": pods, "readyReplicas": pods})).unwrap());
    }

    /// The HPA scales, and its status has the cause.
    fn scaled(&mut self, second: i64, from: i32, to: i32, why: Value) {
        self.replicas(to, "kube-controller-manager", second);
        let mut status = json!({
            "lastScaleTime": at(second).to_string(),
            "currentReplicas": from, "desiredReplicas": to,
            "conditions": [{
                "type": "AbleToScale", "status": "True", "reason": "SucceededRescale",
            }],
        });
        merge(&mut status, why);
        self.hpa_status(status);
    }

    /// The HPA syncs and doesn't scale.
    fn synced(&mut self, last_scale_time: Option<i64>, replicas: i32) {
        self.hpa_status(json!({
            "lastScaleTime": last_scale_time.map(|second| at(second).to_string()),
            "currentReplicas": replicas, "desiredReplicas": replicas,
            "conditions": [{
                "type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale",
            }],
        }));
    }

    fn hpa_status(&mut self, status: Value) {
        let status = serde_json::from_value(status).unwrap();
        let observed = &mut self.observed;
        let hpa = match &mut observed.keda_horizontal_pod_autoscaler {
            Some(hpa) => hpa,
            None => observed.horizontal_pod_autoscaler.as_mut().unwrap(),
        };
        hpa.status = Some(status);
    }

    /// A reconcile: its events.
    fn look(&mut self) -> Vec<Event> {
        let plan = desired(&self.model_service, &self.observed, &settings());
        let previous = self.status.take();
        let reconcile = |previous, second| {
            status(
                &self.model_service,
                &Applied::new(self.observed.clone()),
                &plan,
                previous,
                at(second),
            )
        };
        let now = reconcile(previous.as_ref(), 0);
        assert_eq!(
            reconcile(Some(&now), 1),
            now,
            "nothing new, nothing to write"
        );
        let told = events(previous.as_ref(), &now);
        self.status = Some(now);
        told.into_iter()
            .filter(|event| event.action == "Scale")
            .collect()
    }

    fn decisions(&self) -> &[Decision] {
        &self
            .status
            .as_ref()
            .unwrap()
            .autoscaling
            .as_ref()
            .unwrap()
            .decisions
    }

    /// The decisions, newest first.
    fn changes(&self) -> Vec<(i32, i32)> {
        let decisions = self.decisions().iter();
        decisions
            .map(|decision| (decision.from, decision.to))
            .collect()
    }

    fn latest(&self) -> &Decision {
        &self.decisions()[0]
    }
}

fn merge(status: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap().clone() {
        match (status.get_mut(&key), value) {
            (Some(Value::Array(there)), Value::Array(more)) => there.extend(more),
            (_, value) => status[key] = value,
        }
    }
}

/// The conditions of an HPA on CPU and memory, where CPU asks for the most pods.
fn reads(cpu: i32, memory: i32, limited: &str) -> Value {
    json!({
        "currentMetrics": [
            {"type": "ContainerResource", "containerResource": {
                "name": "cpu", "container": "server", "current": {"averageUtilization": cpu},
            }},
            {"type": "ContainerResource", "containerResource": {
                "name": "memory", "container": "server", "current": {"averageUtilization": memory},
            }},
        ],
        "conditions": [
            {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound",
             "message": "the HPA was able to successfully calculate a replica count from cpu container resource utilization (percentage of request)"},
            {"type": "ScalingLimited",
             "status": if limited == "DesiredWithinRange" { "False" } else { "True" }, "reason": limited},
        ],
    })
}

#[test]
fn a_new_deployment_starts_with_the_minimum_replicas() {
    let bed = Bed::hpa();
    assert_eq!(bed.changes(), [(0, 2)]);
    assert_eq!(
        bed.latest().message,
        "Scaled up from 0 to 2 pods: an autoscaler starts with minReplicas."
    );
}

#[test]
fn a_decision_has_signal_value_target_and_limit_and_one_event() {
    let mut bed = Bed::hpa();
    bed.scaled(10, 2, 6, reads(372, 40, "ScaleUpLimit"));
    let told = bed.look();
    let message = "Scaled up from 2 to 6 pods: cpuUtilizationPercent is 372 %, its target 70 %. The policies of spec.autoscaling.behavior allow no larger step.";
    let decision = bed.latest();
    assert_eq!(decision.time.0, at(10));
    assert_eq!((decision.from, decision.to), (2, 6));
    assert_eq!(decision.signal, Some(Signal::CpuUtilizationPercent));
    assert_eq!(decision.value.as_deref(), Some("372"));
    assert_eq!(decision.target, Some(70));
    assert_eq!(decision.limited_by, Some(Limit::Policies));
    assert_eq!(decision.message, message);
    let event = Event {
        severity: Severity::Normal,
        action: "Scale".to_owned(),
        reason: "ScaledUp".to_owned(),
        message: message.to_owned(),
    };
    assert_eq!(told, [event]);
    assert_eq!(bed.look(), []);
    bed.synced(Some(10), 6);
    assert_eq!(bed.look(), []);
    assert_eq!(bed.changes(), [(2, 6), (0, 2)]);
}

#[test]
fn the_limit_of_an_hpa_is_named() {
    for (from, to, cpu, reason, limit) in [
        (2, 20, 900, "TooManyReplicas", Some(Limit::MaxReplicas)),
        (4, 2, 1, "TooFewReplicas", Some(Limit::MinReplicas)),
        (10, 9, 1, "ScaleDownLimit", Some(Limit::Policies)),
        (4, 6, 105, "DesiredWithinRange", None),
        (6, 3, 35, "DesiredWithinRange", None),
        // It asks for one pod and scales to three, because of the stabilization window.
        (
            6,
            3,
            10,
            "DesiredWithinRange",
            Some(Limit::StabilizationWindow),
        ),
    ] {
        let mut bed = Bed::hpa();
        bed.replicas(from, "kubectl", 5);
        bed.ready(from);
        bed.look();
        bed.scaled(10, from, to, reads(cpu, 0, reason));
        bed.look();
        assert_eq!(bed.latest().limited_by, limit, "{}", bed.latest().message);
    }
}

#[test]
fn a_decision_for_a_bound_has_no_signal() {
    let mut bed = Bed::hpa();
    bed.observed
        .horizontal_pod_autoscaler
        .as_mut()
        .unwrap()
        .spec
        .as_mut()
        .unwrap()
        .min_replicas = Some(5);
    bed.scaled(10, 2, 5, json!({}));
    bed.look();
    assert_eq!(bed.latest().signal, None);
    assert_eq!(bed.latest().limited_by, Some(Limit::MinReplicas));
    assert_eq!(
        bed.latest().message,
        "Scaled up from 2 to 5 pods: a schedule in spec.autoscaling.schedules sets a minimum of 5."
    );
}

#[test]
fn keda_s_triggers_are_signals() {
    let mut bed = Bed::with(json!({"engine": "KEDA", "targets": {
        "p95LatencyMilliseconds": 500, "loadPercent": 75,
    }}));
    let observed = &mut bed.observed;
    let mut hpa = applied(
        &validated(json!({"autoscaling": {"engine": "HPA"}})),
        with_keda(),
    )
    .horizontal_pod_autoscaler
    .unwrap();
    hpa.spec.as_mut().unwrap().metrics = Some(
        serde_json::from_value(json!([
            {"type": "External", "external": {
                "metric": {"name": "s0-prometheus"}, "target": {"type": "Value", "value": "500"},
            }},
            {"type": "External", "external": {
                "metric": {"name": "s1-prometheus"},
                "target": {"type": "AverageValue", "averageValue": "75"},
            }},
        ]))
        .unwrap(),
    );
    observed.keda_horizontal_pod_autoscaler = Some(hpa);
    bed.scaled(10, 2, 5, json!({
        "currentMetrics": [
            {"type": ""},
            {"type": "External", "external": {
                "metric": {"name": "s1-prometheus"}, "current": {"averageValue": "182449m"},
            }},
        ],
        "conditions": [{
            "type": "ScalingActive", "status": "True", "reason": "ValidMetricFound",
            "message": "the HPA was able to successfully calculate a replica count from external metric s1-prometheus(&LabelSelector{MatchLabels:map[string]string{},})",
        }],
    }));
    bed.look();
    assert_eq!(bed.latest().signal, Some(Signal::LoadPercent));
    assert_eq!(bed.latest().value.as_deref(), Some("182.4"));
    assert_eq!(bed.latest().target, Some(75));
    assert_eq!(
        bed.latest().message,
        "Scaled up from 2 to 5 pods: loadPercent is 182.4 %, its target 75 %. Without a reading: p95LatencyMilliseconds."
    );
}

#[test]
fn a_schedule_of_keda_is_no_signal() {
    let mut bed = Bed::with(
        json!({"engine": "KEDA", "targets": {"loadPercent": 75}, "schedules": [
            {"name": "morning", "start": "0 8 * * *", "end": "0 9 * * *", "minReplicas": 6},
        ]}),
    );
    let triggers = &bed.observed.scaled_object.as_ref().unwrap().spec.triggers;
    let cron = triggers.iter().position(|trigger| trigger.kind == "cron");
    let metric = format!("s{}-cron-UTC-08xxx-09xxx", cron.unwrap());
    let mut hpa = applied(
        &validated(json!({"autoscaling": {"engine": "HPA"}})),
        with_keda(),
    )
    .horizontal_pod_autoscaler
    .unwrap();
    hpa.spec.as_mut().unwrap().metrics = Some(
        serde_json::from_value(json!([{"type": "External", "external": {
            "metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": "1"},
        }}]))
        .unwrap(),
    );
    bed.observed.keda_horizontal_pod_autoscaler = Some(hpa);
    bed.scaled(
        10,
        2,
        6,
        json!({
            "currentMetrics": [{"type": "External", "external": {
                "metric": {"name": metric}, "current": {"averageValue": "3"},
            }}],
            "conditions": [{
                "type": "ScalingActive", "status": "True", "reason": "ValidMetricFound",
                "message": format!("the HPA was able to successfully calculate a replica count from external metric {metric}(&LabelSelector{{}})"),
            }],
        }),
    );
    bed.look();
    let decision = bed.latest();
    assert_eq!(
        (decision.signal, &decision.value, decision.target),
        (None, &None, None)
    );
    assert_eq!(
        decision.message,
        "Scaled up from 2 to 6 pods: the trigger schedule-morning is active."
    );
}

#[test]
fn changes_by_others_are_known_as_such() {
    let mut bed = Bed::hpa();
    bed.synced(None, 2);
    bed.replicas(7, "kubectl", 20);
    bed.look();
    assert_eq!(bed.latest().time.0, at(20));
    assert_eq!(
        bed.latest().message,
        "Scaled up from 2 to 7 pods: by kubectl, not by the autoscaler."
    );
    // The owner is known once the HPA has seen the change.
    bed.replicas(3, "argocd-controller", 40);
    bed.look();
    assert_eq!(bed.changes(), [(2, 7), (0, 2)]);
    bed.synced(None, 3);
    bed.look();
    assert_eq!(bed.changes(), [(7, 3), (2, 7), (0, 2)]);
    assert!(bed.latest().message.contains("argocd-controller"));
}

#[test]
fn a_fixed_number_of_pods_is_a_decision_of_the_spec() {
    let mut bed = Bed::hpa();
    bed.model_service = validated(json!({"replicas": 5, "autoscaling": {"engine": "None"}}));
    bed.observed.horizontal_pod_autoscaler = None;
    bed.replicas(5, "springtide-fixed-replicas", 30);
    bed.look();
    assert_eq!(
        bed.latest().message,
        "Scaled up from 2 to 5 pods: spec.replicas is 5."
    );
}

#[test]
fn unobserved_steps_are_one_decision() {
    let mut bed = Bed::hpa();
    bed.scaled(10, 2, 4, reads(150, 0, "DesiredWithinRange"));
    bed.scaled(25, 4, 8, reads(150, 0, "DesiredWithinRange"));
    bed.look();
    assert_eq!(bed.changes(), [(2, 8), (0, 2)]);
    assert!(bed.latest().message.contains("the last step from 4"));
    bed.scaled(40, 8, 12, reads(105, 0, "DesiredWithinRange"));
    bed.synced(Some(40), 12);
    bed.look();
    assert_eq!(bed.changes(), [(8, 12), (2, 8), (0, 2)]);
    assert_eq!(bed.latest().time.0, at(40));
    assert!(bed.latest().message.contains("weren't observed"));
}

#[test]
fn a_change_waits_for_the_hpas_status_before_it_is_attributed() {
    let mut bed = Bed::hpa();
    bed.synced(None, 2);
    bed.look();
    bed.replicas(4, "kube-controller-manager", 10);
    bed.look();
    assert_eq!(bed.changes(), [(0, 2)]);
    bed.scaled(10, 2, 4, reads(140, 0, "DesiredWithinRange"));
    bed.look();
    assert_eq!(bed.changes(), [(2, 4), (0, 2)]);
}

#[test]
fn a_deployment_that_was_read_too_early_undoes_nothing() {
    let mut bed = Bed::hpa();
    bed.scaled(10, 2, 4, reads(140, 0, "DesiredWithinRange"));
    bed.replicas(2, "springtide-initial-replicas", -1000);
    bed.look();
    bed.look();
    assert_eq!(bed.changes(), [(2, 4), (0, 2)]);
}

#[test]
fn adopted_replicas_are_not_a_decision() {
    let mut bed = Bed::hpa();
    bed.status = None;
    bed.replicas(7, "kubectl", 10);
    bed.look();
    assert_eq!(bed.changes(), []);
}

#[test]
fn the_last_five_are_kept() {
    let mut bed = Bed::hpa();
    for step in 1..=9 {
        bed.scaled(
            20 * i64::from(step),
            step + 1,
            step + 2,
            reads(100, 0, "ScaleUpLimit"),
        );
        bed.look();
    }
    assert_eq!(bed.changes(), [(10, 11), (9, 10), (8, 9), (7, 8), (6, 7)]);
}
