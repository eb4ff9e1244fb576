//! Deadlines for readings and deletions.

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

/// Grace period for readings after a pod and an autoscaler are ready. metrics-server needs a window of CPU usage after
/// a pod became ready (30 s), Prometheus two scrapes for a rate (30 s), an adapter its next relist (30 s), and the HPA
/// its next sync (15 s).
const READINGS_GRACE_PERIOD: SignedDuration = SignedDuration::from_secs(90);

/// Time after which the deletion of an autoscaler is reported as blocked. It usually takes a second.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

/// Time after which an unprocessed ScaledObject is reported. KEDA usually takes a second.
const ADOPTION_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// By when KEDA should have processed the ScaledObject. `None` if it has, or if there is no ScaledObject.
pub(super) fn adoption_deadline(observed: &Observed) -> Option<Timestamp> {
    let scaled_object = observed.scaled_object.as_ref()?;
    let is_processed =
        scaled_object.is_processed() || observed.keda_horizontal_pod_autoscaler.is_some();
    let made = scaled_object.metadata.creation_timestamp.as_ref()?.0;
    (!is_processed)
        .then(|| made.checked_add(ADOPTION_TIMEOUT).ok())
        .flatten()
}

/// By when an object that is being deleted should no longer exist.
pub(super) fn deletion_deadline(metadata: &ObjectMeta) -> Option<Timestamp> {
    let since = metadata.deletion_timestamp.as_ref()?.0;
    since.checked_add(DELETION_TIMEOUT).ok()
}

/// By when the autoscaler should have readings.
pub(super) fn readings_deadline(
    active: &ActiveAutoscaler<'_>,
    observed: &Observed,
) -> Option<Timestamp> {
    readings_possible_from(active, observed)?
        .checked_add(READINGS_GRACE_PERIOD)
        .ok()
}

/// Whether `previous` has a known state of the readings since they became possible. From then on, a missing reading is
/// a lost one, however new the autoscaler is.
pub(super) fn had_readings(
    active: &ActiveAutoscaler<'_>,
    observed: &Observed,
    previous: Option<&ModelServiceStatus>,
) -> bool {
    let known = previous
        .and_then(|previous| status_condition(previous, condition::METRICS_HEALTHY))
        .filter(|known| known.status != "Unknown");
    let begin = readings_possible_from(active, observed);
    // Older states are about another autoscaler, or about deleted pods.
    known.is_some_and(|known| begin.is_some_and(|begin| known.last_transition_time.0 >= begin))
}

/// When readings became possible: when the autoscaler existed and a first pod was ready. `None` if there is no
/// autoscaler or no ready pod.
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
