//! Properties of all schedules, in all time zones, around all clock changes.

use k8s_openapi::jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;
use serde_json::{Value, json};
use springtide_plan::{Child, Observed, ValidatedModelService, desired};

use crate::{
    schedule::{oracle, pods, scheduled, utc},
    support::{model_service, settings, with_keda},
};

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Antarctica/Troll",
];

/// A time zone, which the plan's database also has.
fn zone(name: &str) -> TimeZone {
    jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
}

prop_compose! {
    /// A schedule of a few hours, on all or some days, mostly at night, when clocks change.
    fn any_schedule()(
        start in prop_oneof![3 => 0..4 * 60i32, 1 => 0..24 * 60i32],
        minutes in prop_oneof![1 => 1..180i32, 1 => 1..24 * 60i32],
        days in prop::sample::subsequence(vec![0, 1, 2, 3, 4, 5, 6], 0..=7),
        min_replicas in 1..=20i32,
    )(
        name in prop::sample::select(&ZONES[..]),
        start in Just(start),
        minutes in Just(minutes),
        days in Just(days),
        min_replicas in Just(min_replicas),
    ) -> Value {
        let end = start + minutes;
        let expression = |minute: i32| {
            let days = days.iter().map(|day| ((day + minute / 1440) % 7).to_string()).collect::<Vec<_>>();
            let days = if days.is_empty() { "*".to_owned() } else { days.join(",") };
            format!("{} {} * * {days}", minute % 60, minute / 60 % 24)
        };
        json!({
            "name": "it",
            "start": expression(start),
            "end": expression(end),
            "timezone": name,
            "minReplicas": min_replicas,
        })
    }
}

prop_compose! {
    /// A time within three days of a clock change, or any other time.
    fn moment(name: String)(
        year in 2026..2032i32,
        change in 0..4usize,
        minutes in -3 * 1440..3 * 1440i64,
        seconds in 0..60i64,
    ) -> Timestamp {
        let begin = utc(&format!("{year}-01-01T00:00"));
        let change = zone(&name)
            .following(begin)
            .nth(change)
            .map_or(begin, |change| change.timestamp());
        change + SignedDuration::from_secs(60 * minutes + seconds)
    }
}

fn schedule_and_moment() -> impl Strategy<Value = (Value, Timestamp)> {
    any_schedule().prop_flat_map(|schedule| {
        let zone = schedule["timezone"].as_str().unwrap().to_owned();
        (Just(schedule), moment(zone))
    })
}

/// Start and end of the planned cron trigger at a time.
fn trigger(model_service: &ValidatedModelService, at: Timestamp) -> (String, String) {
    let observed = Observed { at, ..with_keda() };
    let apply = desired(model_service, &observed, &settings()).apply;
    let scaled_object = apply.into_iter().find_map(|child| match child {
        Child::ScaledObject(scaled_object) => Some(scaled_object),
        _ => None,
    });
    let triggers = scaled_object.unwrap().spec.triggers;
    let cron = triggers
        .iter()
        .find(|trigger| trigger.kind == "cron")
        .unwrap();
    (cron.metadata["start"].clone(), cron.metadata["end"].clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn kedas_trigger_matches_the_hpas_minimum(
        (schedule, now) in schedule_and_moment(),
        part in 0.0..1.0f64,
    ) {
        let spec = json!({"autoscaling": {"engine": "KEDA", "schedules": [schedule]}});
        let model_service = ValidatedModelService::try_from(&model_service(spec));
        prop_assume!(model_service.is_ok());
        let model_service = model_service.unwrap();
        let schedules = &pods(&model_service).schedules;
        let zone = zone(schedule["timezone"].as_str().unwrap());
        let next = schedules.next_change(SignedDuration::ZERO, now).unwrap();
        let span = next.duration_since(now);
        let between = now + span.mul_f64(part);
        let (start, end) = trigger(&model_service, now);
        for at in [now, between, next - SignedDuration::from_secs(1)] {
            let holds = schedules.min_replicas(SignedDuration::ZERO, at).is_some();
            prop_assert_eq!(
                oracle::keda(&start, &end, &zone, at),
                holds,
                "{} to {}, planned at {}, at {}", start, end, now, at
            );
        }
    }

    #[test]
    fn nothing_changes_until_the_next_change(
        (schedule, now) in schedule_and_moment(),
        other in any_schedule(),
        ahead in prop_oneof![Just(0), Just(30), Just(75), 0..2000i64],
        parts in prop::collection::vec(0.0..1.0f64, 8),
    ) {
        let mut other = other;
        other["name"] = json!("other");
        let spec = json!({"autoscaling": {"schedules": [schedule, other]}});
        let model_service = ValidatedModelService::try_from(&model_service(spec));
        prop_assume!(model_service.is_ok());
        let model_service = model_service.unwrap();
        let schedules = &pods(&model_service).schedules;
        let ahead = SignedDuration::from_secs(ahead);
        let next = schedules.next_change(ahead, now).unwrap();
        prop_assert!(next > now);
        let floor = schedules.min_replicas(ahead, now);
        let span = next.duration_since(now);
        for part in parts {
            let at = now + span.mul_f64(part);
            if at < next {
                prop_assert_eq!(schedules.min_replicas(ahead, at), floor, "at {}", at);
                prop_assert_eq!(schedules.next_change(ahead, at), Some(next), "at {}", at);
            }
        }
    }

    #[test]
    fn the_highest_of_the_schedules_that_hold_counts(
        (schedule, now) in schedule_and_moment(),
        others in prop::collection::vec(any_schedule(), 0..4),
    ) {
        let mut all = others;
        all.push(schedule);
        for (index, schedule) in all.iter_mut().enumerate() {
            schedule["name"] = json!(format!("it-{index}"));
        }
        let spec = json!({"autoscaling": {"schedules": all}});
        let model_service = ValidatedModelService::try_from(&model_service(spec));
        prop_assume!(model_service.is_ok());
        let model_service = model_service.unwrap();
        let schedules = &pods(&model_service).schedules;
        let highest = schedules
            .iter()
            .filter(|schedule| schedule.is_active(now))
            .map(springtide_plan::schedule::Schedule::min_replicas)
            .max();
        prop_assert_eq!(schedules.min_replicas(SignedDuration::ZERO, now), highest);
    }
}

#[test]
fn every_minute_around_a_change_of_the_clocks_is_as_a_simple_search_finds_it() {
    for name in ZONES {
        let zone = zone(name);
        for change in zone.following(utc("2027-01-01T00:00")).take(2) {
            let from = change.timestamp() - SignedDuration::from_hours(6);
            let to = change.timestamp() + SignedDuration::from_hours(6);
            for (start, end) in [
                ("0 8 * * *", "0 18 * * *"),
                ("0 22 * * *", "0 6 * * *"),
                ("30 2 * * *", "0 10 * * *"),
                ("0 22 * * *", "30 2 * * *"),
                ("15 2 * * *", "45 2 * * *"),
                ("0 3 * * *", "30 2 * * *"),
                ("0 0 * * *", "0 12 * * *"),
                ("0 * * * *", "30 * * * *"),
            ] {
                let schedule = json!({
                    "name": "it", "start": start, "end": end, "timezone": name, "minReplicas": 3,
                });
                let model_service = scheduled("HPA", &[schedule]);
                let schedules = &pods(&model_service).schedules;
                for (at, holds) in oracle::holds((start, end), &zone, (from, to)) {
                    let floor = schedules.min_replicas(SignedDuration::ZERO, at);
                    assert_eq!(floor.is_some(), holds, "{name}: {start} to {end} at {at}");
                }
            }
        }
    }
}
