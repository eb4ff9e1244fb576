//! Schedules: when they are active, and their form for both engines.

mod clocks;
mod engines;
mod keda;
mod oracle;
mod properties;
mod refusals;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use springtide_plan::{
    PodAutoscaling, Scaling, ValidatedModelService,
    schedule::{Schedule, Schedules},
};

use crate::support::validated;

pub(crate) fn window(start: &str, end: &str, timezone: &str) -> Value {
    json!({"name": "it", "start": start, "end": end, "timezone": timezone, "minReplicas": 6})
}

pub(crate) fn scheduled(engine: &str, schedules: &[Value]) -> ValidatedModelService {
    validated(json!({"autoscaling": {"engine": engine, "schedules": schedules}}))
}

pub(crate) fn pods(model_service: &ValidatedModelService) -> &PodAutoscaling {
    match model_service.scaling() {
        Scaling::Autoscaled(pods) => pods,
        Scaling::Fixed { .. } => unreachable!(),
    }
}

pub(crate) fn schedules(schedules: &[Value]) -> Schedules {
    pods(&scheduled("HPA", schedules)).schedules.clone()
}

pub(crate) fn schedule(start: &str, end: &str, timezone: &str) -> Schedule {
    let schedules = schedules(&[window(start, end, timezone)]);
    let [schedule] = schedules.iter().collect::<Vec<_>>()[..] else {
        unreachable!()
    };
    schedule.clone()
}

pub(crate) fn utc(time: &str) -> Timestamp {
    format!("{time}:00Z").parse().unwrap()
}

/// When a schedule is active between two times, in UTC.
pub(crate) fn changes(schedule: &Value, from: &str, to: &str) -> Vec<String> {
    let schedules = schedules(std::slice::from_ref(schedule));
    let (mut now, to) = (utc(from), utc(to));
    let mut changes = Vec::new();
    while let Some(next) = schedules.next_change(SignedDuration::ZERO, now) {
        if next >= to {
            break;
        }
        let floor = |at| schedules.min_replicas(SignedDuration::ZERO, at);
        if floor(now) != floor(next) {
            let what = if floor(next).is_some() { "from" } else { "to" };
            changes.push(format!("{what} {}", next.strftime("%m-%dT%H:%M")));
        }
        now = next;
    }
    changes
}
