//! From when on an autoscaler should have readings.

use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};

use super::pods;
use crate::{engine::Resolved, observed::Observed};

/// How long a pod that serves, and an autoscaler, may be without readings: metrics-server needs a
/// whole window of CPU use after a pod became ready (30 s), Prometheus two scrapes for a rate (30 s),
/// an adapter its next look at the series (30 s), and the HPA its next sync (15 s).
const GRACE: SignedDuration = SignedDuration::from_secs(90);

/// From when on the autoscaler should have readings: some time after it was made, and after a first
/// pod became ready. Nothing where there is no autoscaler, or no pod is ready: there is nothing to
/// read.
pub(super) fn readings_due(resolved: &Resolved<'_>, observed: &Observed) -> Option<Timestamp> {
    let autoscaler = match resolved {
        Resolved::Fixed { .. } => return None,
        Resolved::Hpa(_) => &observed.horizontal_pod_autoscaler.as_ref()?.metadata,
        Resolved::Keda(_) => &observed.scaled_object.as_ref()?.metadata,
    };
    let made = autoscaler.creation_timestamp.as_ref()?.0;
    let ready = pods::live(observed)
        .into_iter()
        .filter_map(ready_since)
        .min()?;
    made.max(ready).checked_add(GRACE).ok()
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(ready.last_transition_time.as_ref()?.0)
}
