//! A schedule as KEDA's cron trigger.
//!
//! See `docs/adr/0014-schedules.md`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    keda::Trigger,
    spec::schedule::{Occurrence, Schedule},
};

/// Minimum length of a window: KEDA compares by the minute and rejects empty windows.
const MIN_WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// The trigger. While the schedule is active, its reading is the schedule's minimum replicas, and otherwise none. Its
/// target is one per pod.
pub(super) fn cron_trigger(schedule: &Schedule, now: Timestamp) -> Trigger {
    let (start, end) = boundaries(schedule, now);
    Trigger {
        kind: "cron".to_owned(),
        name: Some(format!("schedule-{}", schedule.name())),
        metric_type: Some("AverageValue".to_owned()),
        metadata: BTreeMap::from([
            ("timezone".to_owned(), schedule.timezone().to_owned()),
            ("start".to_owned(), start),
            ("end".to_owned(), end),
            (
                "desiredReplicas".to_owned(),
                schedule.min_replicas().to_string(),
            ),
        ]),
        authentication_ref: None,
    }
}

/// Start and end. KEDA skips times that the clocks skip, and would then apply the minimum for a day, or never. So while
/// such a time is next, both are written as the dates on which they occur. If the clocks skip both start and end, KEDA
/// rightly skips the window.
fn boundaries(schedule: &Schedule, now: Timestamp) -> (String, String) {
    let (Some(start), Some(end)) = (schedule.next_start(now), schedule.next_end(now)) else {
        return schedule.expressions();
    };
    let falls_together = start.at == end.at;
    let skipped = [start, end].iter().filter(|it| it.is_skipped).count();
    if skipped == 0 || (skipped == 2 && falls_together) {
        return schedule.expressions();
    }
    let date = |occurrence: Occurrence, other: Occurrence| {
        let by = if falls_together && other < occurrence {
            MIN_WINDOW
        } else {
            SignedDuration::ZERO
        };
        let at = occurrence.at.checked_add(by).unwrap_or(occurrence.at);
        date(schedule, at)
    };
    (date(start, end), date(end, start))
}

/// The cron expression of a point in time.
fn date(schedule: &Schedule, at: Timestamp) -> String {
    let at = at.to_zoned(schedule.zone().clone());
    format!(
        "{} {} {} {} *",
        at.minute(),
        at.hour(),
        at.day(),
        at.month()
    )
}
