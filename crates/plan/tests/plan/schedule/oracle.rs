//! Occurrences of cron expressions by checking every minute: slow, and too simple to be wrong.

use k8s_openapi::jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::TimeZone,
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A start or an end: its time, its civil time, and whether it is a start.
type Event = (Timestamp, DateTime, bool);

fn has(field: &str, value: i8) -> bool {
    field == "*"
        || field.split(',').any(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            (first.parse::<i8>().unwrap()..=last.parse().unwrap()).contains(&value)
        })
}

/// Whether an expression of numbers, lists and ranges matches a day.
fn has_day(expression: &str, date: Date) -> bool {
    let fields = expression.split(' ').collect::<Vec<_>>();
    let of_month = has(fields[2], date.day());
    let of_week = has(fields[4], date.weekday().to_sunday_zero_offset());
    let day = if fields[2] == "*" || fields[4] == "*" {
        of_month && of_week
    } else {
        of_month || of_week
    };
    day && has(fields[3], date.month())
}

fn has_time(expression: &str, time: DateTime) -> bool {
    let fields = expression.split(' ').collect::<Vec<_>>();
    has(fields[0], time.minute()) && has(fields[1], time.hour()) && has_day(expression, time.date())
}

/// Whether KEDA's cron scaler is active, as in `pkg/scalers/cron_scaler.go` of KEDA 2.21. Its times are the minutes
/// whose civil time the expression matches: skipped times aren't among them.
pub(crate) fn keda(start: &str, end: &str, zone: &TimeZone, now: Timestamp) -> bool {
    let next = |expression| next(expression, zone, now);
    match (next(start), next(end)) {
        (Some(start), Some(end)) => end <= start,
        (start, end) => unreachable!("{start:?} {end:?}"),
    }
}

fn next(expression: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let mut date = now.to_zoned(zone.clone()).date();
    for _ in 0..800 {
        if has_day(expression, date) {
            let begin = date.to_zoned(zone.clone()).unwrap().timestamp();
            let end = date.tomorrow().unwrap().to_zoned(zone.clone()).unwrap();
            let found = minutes(begin, end.timestamp())
                .find(|at| *at > now && has_time(expression, zone.to_datetime(*at)));
            if found.is_some() {
                return found;
            }
        }
        date = date.tomorrow().unwrap();
    }
    None
}

fn minutes(from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(Some(from), |at| Some(*at + MINUTE)).take_while(move |at| *at < to)
}

/// Whether a daily schedule is active, for every minute between two times. Skipped times occur at the clock change.
pub(crate) fn holds(
    (start, end): (&str, &str),
    zone: &TimeZone,
    (from, to): (Timestamp, Timestamp),
) -> Vec<(Timestamp, bool)> {
    let mut events = Vec::<Event>::new();
    let mut expected = zone.to_datetime(from);
    // A day has at most 25 hours, or 26 at Troll.
    for at in minutes(from, to + SignedDuration::from_hours(26)) {
        let time = zone.to_datetime(at);
        // At a change forward, the skipped times occur now. After a change back, time continues from there.
        let mut shown = expected.min(time);
        while shown <= time {
            for (expression, is_start) in [(start, true), (end, false)] {
                if has_time(expression, shown) {
                    events.push((at, shown, is_start));
                }
            }
            shown += 1.minute();
        }
        expected = time + 1.minute();
    }
    let mut coming = events.iter().peekable();
    minutes(from, to)
        .map(|at| {
            while coming.next_if(|(event, ..)| *event <= at).is_some() {}
            let (.., is_start) = coming.peek().unwrap();
            (at, !is_start)
        })
        .collect()
}
