//! By when an autoscaler should have readings, or be gone.

use k8s_openapi::{
    api::core::v1::Pod,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::{SignedDuration, Timestamp},
};
use springtide_api::{ModelServiceStatus, status::condition};

use crate::{
    autoscaling::ActiveAutoscaler,
    observed::{
        Observed,
        foreign_status::{pod_condition, status_condition},
        pods,
    },
};

/// How long a pod that serves, and an autoscaler, may be without readings: metrics-server needs a
/// whole window of CPU use after a pod became ready (30 s), Prometheus two scrapes for a rate (30 s),
/// an adapter its next look at the series (30 s), and the HPA its next sync (15 s).
const READINGS_GRACE_PERIOD: SignedDuration = SignedDuration::from_secs(90);

/// Time that the deletion of an autoscaler may take before somebody is to look at it. KEDA takes a second.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

/// Time that KEDA may take to look at a ScaledObject for the first time. It takes a second.
const ADOPTION_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// By when KEDA should have looked at the ScaledObject. Nothing where it has, or where there is none.
pub(super) fn adoption_deadline(observed: &Observed) -> Option<Timestamp> {
    let scaled_object = observed.scaled_object.as_ref()?;
    let is_processed =
        scaled_object.is_processed() || observed.keda_horizontal_pod_autoscaler.is_some();
    let made = scaled_object.metadata.creation_timestamp.as_ref()?.0;
    (!is_processed)
        .then(|| made.checked_add(ADOPTION_TIMEOUT).ok())
        .flatten()
}

/// By when an object that is being deleted should be gone.
pub(super) fn deletion_deadline(metadata: &ObjectMeta) -> Option<Timestamp> {
    let since = metadata.deletion_timestamp.as_ref()?.0;
    since.checked_add(DELETION_TIMEOUT).ok()
}

/// From when on the autoscaler should have readings: some time after they could begin.
pub(super) fn readings_deadline(
    active: &ActiveAutoscaler<'_>,
    observed: &Observed,
) -> Option<Timestamp> {
    readings_possible_from(active, observed)?
        .checked_add(READINGS_GRACE_PERIOD)
        .ok()
}

/// Whether `previous` shows that what the autoscaler asks has answered already, or should have: from
/// then on a reading that is missing is one that was lost, however young the autoscaler is.
pub(super) fn had_readings(
    active: &ActiveAutoscaler<'_>,
    observed: &Observed,
    previous: Option<&ModelServiceStatus>,
) -> bool {
    let known = previous
        .and_then(|previous| status_condition(previous, condition::METRICS_HEALTHY))
        .filter(|known| known.status != "Unknown");
    let begin = readings_possible_from(active, observed);
    // What was known before is about another autoscaler, or about pods that are gone.
    known.is_some_and(|known| begin.is_some_and(|begin| known.last_transition_time.0 >= begin))
}

/// When readings could begin: once the autoscaler was made and a first pod was ready. Nothing where
/// there is no autoscaler, or no pod is ready: there is nothing to read.
fn readings_possible_from(active: &ActiveAutoscaler<'_>, observed: &Observed) -> Option<Timestamp> {
    let autoscaler = match active {
        ActiveAutoscaler::Fixed { .. } => return None,
        ActiveAutoscaler::Hpa(_) => &observed.horizontal_pod_autoscaler.as_ref()?.metadata,
        ActiveAutoscaler::Keda(_) => &observed.scaled_object.as_ref()?.metadata,
    };
    let made = autoscaler.creation_timestamp.as_ref()?.0;
    let ready = pods::live(observed)
        .into_iter()
        .filter_map(ready_since)
        .min()?;
    Some(made.max(ready))
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = pod_condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    Some(ready.last_transition_time.as_ref()?.0)
}
