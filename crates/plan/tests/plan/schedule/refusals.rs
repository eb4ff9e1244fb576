//! Invalid schedules and their errors.

use serde_json::{Value, json};
use springtide_plan::ValidatedModelService;

use crate::{
    schedule::{schedule, utc, window},
    support::model_service,
};

fn error(schedules: &[Value]) -> String {
    let spec = json!({"autoscaling": {"schedules": schedules}});
    ValidatedModelService::try_from(&model_service(spec))
        .unwrap_err()
        .to_string()
}

#[test]
fn errors_name_the_field_and_the_remedy() {
    let good = window("0 8 * * *", "0 18 * * *", "UTC");
    let mut other = good.clone();
    other["name"] = json!("other");
    let with = |field: &str, value: Value| {
        let mut wrong = other.clone();
        wrong[field] = value;
        error(&[good.clone(), wrong])
    };
    for (error, expected) in [
        (
            with("start", json!("8 o'clock")),
            "spec.autoscaling.schedules[1].start must be a cron expression of five fields",
        ),
        (
            with("end", json!("0 0 31 2 *")),
            "spec.autoscaling.schedules[1].end must name a day that exists",
        ),
        (
            with("start", json!("*/5 * * * *")),
            "spec.autoscaling.schedules[1].start must occur at most 24 times a day",
        ),
        (
            with("timezone", json!("Europe/Atlantis")),
            "spec.autoscaling.schedules[1].timezone must be the name of a time zone",
        ),
        (
            with("timezone", json!("Etc/Unknown")),
            "spec.autoscaling.schedules[1].timezone must be the name of a time zone",
        ),
        (
            with("minReplicas", json!(1001)),
            "spec.autoscaling.schedules[1].minReplicas must be between 1 and 1000",
        ),
        (
            with("minReplicas", json!(0)),
            "spec.autoscaling.schedules[1].minReplicas must be between 1 and 1000",
        ),
        (
            with("name", json!("it")),
            "spec.autoscaling.schedules[1].name must be unique",
        ),
    ] {
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn there_are_at_most_sixteen() {
    let many = |count: usize| {
        (0..count)
            .map(|index| {
                let mut schedule = window("0 8 * * *", "0 18 * * *", "UTC");
                schedule["name"] = json!(format!("it-{index}"));
                schedule
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        error(&many(17)),
        "spec.autoscaling.schedules must have at most 16 items"
    );
    let spec = json!({"autoscaling": {"schedules": many(16)}});
    assert!(ValidatedModelService::try_from(&model_service(spec)).is_ok());
}

#[test]
fn start_and_end_must_alternate() {
    for (start, end, expected) in [
        // KEDA would be active from Friday evening to Sunday evening.
        (
            "30 6 * * 1-5",
            "10 22 * * *",
            "spec.autoscaling.schedules[0].end occurs twice in a row (Friday, 2027-01-01 22:10 and Saturday, \
             2027-01-02 22:10): start and end must alternate, so use the same days for both",
        ),
        (
            "0 8 * * *",
            "0 18 * * 1-5",
            "spec.autoscaling.schedules[0].start occurs twice in a row",
        ),
        // February doesn't have a 31st.
        (
            "0 0 1 * *",
            "0 0 31 * *",
            "spec.autoscaling.schedules[0].start occurs twice in a row",
        ),
        (
            "0 8 * * *",
            "0 8 * * 1",
            "spec.autoscaling.schedules[0].start occurs twice in a row",
        ),
        (
            "0 8 * * 1-5",
            "0 8 * * 2-6",
            "spec.autoscaling.schedules[0].end occurs at the same time as start (Friday, 2027-01-01 08:00)",
        ),
        (
            "0 8 * * mon",
            "0 8 * * 1",
            "spec.autoscaling.schedules[0].end occurs at the same time as start",
        ),
    ] {
        let error = error(&[window(start, end, "UTC")]);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn sensible_schedules_are_taken() {
    for (start, end) in [
        ("0 8 * * 1-5", "0 18 * * 1-5"),
        ("0 22 * * *", "0 6 * * *"),
        ("0 22 * * 5", "0 6 * * 1"),
        ("0 8,13 * * *", "0 12,17 * * *"),
        ("0 9 1 * *", "0 9 15 * *"),
        ("0 0 24 12 *", "0 0 2 1 *"),
        ("0 * * * *", "30 * * * *"),
    ] {
        schedule(start, end, "Europe/Berlin");
    }
}

#[test]
fn a_zone_is_found_whatever_its_case_and_by_its_old_names() {
    for (zone, noon) in [
        ("europe/berlin", "2027-01-01T11:00"),
        ("US/Pacific", "2027-01-01T20:00"),
        ("utc", "2027-01-01T12:00"),
        ("Etc/GMT+5", "2027-01-01T17:00"),
    ] {
        let schedule = schedule("0 12 * * *", "1 12 * * *", zone);
        assert!(schedule.is_active(utc(noon)), "{zone}");
    }
}
