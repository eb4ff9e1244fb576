//! Schedules with both engines.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use springtide_plan::{Child, Observed, ValidatedModelService, desired};

use crate::{
    schedule::{scheduled, utc, window},
    support::{applied, settings, status_of, validated, with_keda},
};

fn observed(at: Timestamp) -> Observed {
    Observed { at, ..with_keda() }
}

fn hpa_minimum(model_service: &ValidatedModelService, at: Timestamp) -> i32 {
    let apply = desired(model_service, &observed(at), &settings()).apply;
    let minimum = apply.into_iter().find_map(|child| match child {
        Child::HorizontalPodAutoscaler(hpa) => hpa.spec.unwrap().min_replicas,
        _ => None,
    });
    minimum.unwrap()
}

fn cron_triggers(model_service: &ValidatedModelService, at: Timestamp) -> Vec<Value> {
    let apply = desired(model_service, &observed(at), &settings()).apply;
    let scaled_object = apply.into_iter().find_map(|child| match child {
        Child::ScaledObject(scaled_object) => Some(serde_json::to_value(scaled_object).unwrap()),
        _ => None,
    });
    scaled_object.unwrap()["spec"]["triggers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|trigger| trigger["type"] == "cron")
        .cloned()
        .collect()
}

#[test]
fn an_hpas_minimum_moves_two_syncs_ahead_of_the_start_and_at_the_end() {
    let model_service = scheduled("HPA", &[window("0 8 * * *", "0 18 * * *", "UTC")]);
    let minimum = |second: i64| {
        hpa_minimum(
            &model_service,
            utc("2027-01-01T08:00") + SignedDuration::from_secs(second),
        )
    };
    assert_eq!(minimum(-31), 2);
    assert_eq!(minimum(-30), 6);
    assert_eq!(minimum(0), 6);
    assert_eq!(minimum(10 * 3600 - 1), 6);
    assert_eq!(minimum(10 * 3600), 2);
}

#[test]
fn a_policy_with_a_longer_period_moves_an_hpas_minimum_earlier() {
    let with_period = |seconds: i32| {
        validated(json!({"autoscaling": {
            "engine": "HPA",
            "schedules": [window("0 8 * * *", "0 18 * * *", "UTC")],
            "behavior": {"scaleUp": {"policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 50, "periodSeconds": seconds},
            ]}},
        }}))
    };
    for (period, lead) in [(5, 30), (15, 30), (60, 75), (600, 615)] {
        let model_service = with_period(period);
        let start = utc("2027-01-01T08:00");
        let minimum =
            |before: i64| hpa_minimum(&model_service, start - SignedDuration::from_secs(before));
        assert_eq!((minimum(lead + 1), minimum(lead)), (2, 6), "{period}");
    }
}

#[test]
fn a_minimum_that_moves_ahead_stays_until_a_short_window_is_over() {
    let model_service = validated(json!({"autoscaling": {
        "engine": "HPA",
        "schedules": [window("0 8 * * *", "1 8 * * *", "UTC")],
        "behavior": {"preset": "Steady"},
    }}));
    for second in -75..60 {
        let at = utc("2027-01-01T08:00") + SignedDuration::from_secs(second);
        assert_eq!(hpa_minimum(&model_service, at), 6, "{second}");
    }
}

#[test]
fn the_highest_counts_and_never_less_than_the_minimum() {
    let mut low = window("0 0 * * *", "0 12 * * *", "UTC");
    low["name"] = json!("low");
    low["minReplicas"] = json!(1);
    let mut high = window("0 6 * * *", "0 9 * * *", "UTC");
    high["name"] = json!("high");
    high["minReplicas"] = json!(9);
    let middle = window("0 8 * * *", "0 18 * * *", "UTC");
    let model_service = scheduled("HPA", &[low, high, middle]);
    for (time, minimum) in [
        ("03:00", 2),
        ("07:00", 9),
        ("08:30", 9),
        ("10:00", 6),
        ("13:00", 6),
        ("20:00", 2),
    ] {
        let at = utc(&format!("2027-01-01T{time}"));
        assert_eq!(hpa_minimum(&model_service, at), minimum, "{time}");
    }
}

#[test]
fn keda_gets_a_trigger_for_each_schedule_and_keeps_its_minimum() {
    let mut nights = window("0 22 * * fri-sun", "0 6 * * sat-sun,1", "america/new_york");
    nights["name"] = json!("nights");
    nights["minReplicas"] = json!(4);
    let model_service = scheduled("KEDA", &[window("0 8 * * *", "0 18 * * *", "UTC"), nights]);
    let at = utc("2027-01-01T09:00");
    assert_eq!(
        cron_triggers(&model_service, at),
        [
            json!({
                "type": "cron",
                "name": "schedule-it",
                "metricType": "AverageValue",
                "metadata": {
                    "timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "6",
                },
            }),
            json!({
                "type": "cron",
                "name": "schedule-nights",
                "metricType": "AverageValue",
                "metadata": {
                    "timezone": "America/New_York",
                    "start": "0 22 * * 0,5-6",
                    "end": "0 6 * * 0-1,6",
                    "desiredReplicas": "4",
                },
            }),
        ]
    );
    let after = applied(&model_service, observed(at));
    let spec = after.scaled_object.unwrap().spec;
    assert_eq!(spec.min_replica_count, Some(2));
}

#[test]
fn keda_gets_dates_while_the_clocks_skip_a_boundary() {
    let told = |start: &str, end: &str, at: &str| {
        let model_service = scheduled("KEDA", &[window(start, end, "Europe/Berlin")]);
        let trigger = &cron_triggers(&model_service, utc(at))[0]["metadata"];
        [&trigger["start"], &trigger["end"]].map(|text| text.as_str().unwrap().to_owned())
    };
    // Berlin skips 02:00 to 03:00 on 2027-03-28, at 01:00 UTC.
    let (start, end) = ("30 2 * * *", "0 10 * * *");
    assert_eq!(told(start, end, "2027-03-27T01:29"), [start, end]);
    assert_eq!(
        told(start, end, "2027-03-27T01:30"),
        ["0 3 28 3 *", "0 10 27 3 *"]
    );
    assert_eq!(
        told(start, end, "2027-03-27T09:00"),
        ["0 3 28 3 *", "0 10 28 3 *"]
    );
    assert_eq!(told(start, end, "2027-03-28T01:00"), [start, end]);
    let (start, end) = ("0 22 * * *", "30 2 * * *");
    assert_eq!(
        told(start, end, "2027-03-27T02:00"),
        ["0 22 27 3 *", "0 3 28 3 *"]
    );
    assert_eq!(told(start, end, "2027-03-28T01:00"), [start, end]);
    // Both are skipped, and KEDA skips both.
    let (start, end) = ("15 2 * * *", "45 2 * * *");
    assert_eq!(told(start, end, "2027-03-27T12:00"), [start, end]);
    // One is skipped and coincides with the other. KEDA rejects empty windows.
    assert_eq!(
        told("30 2 * * *", "0 3 * * *", "2027-03-27T12:00"),
        ["0 3 28 3 *", "1 3 28 3 *"]
    );
    assert_eq!(
        told("0 3 * * *", "30 2 * * *", "2027-03-27T12:00"),
        ["1 3 28 3 *", "0 3 28 3 *"]
    );
}

#[test]
fn the_status_tells_the_minimum_in_force_and_new_pods_begin_with_it() {
    for engine in ["HPA", "KEDA"] {
        let model_service = scheduled(engine, &[window("0 8 * * *", "0 18 * * *", "UTC")]);
        for (time, minimum) in [("2027-01-01T07:00", 2), ("2027-01-01T09:00", 6)] {
            let observed = observed(utc(time));
            let status = status_of(&model_service, &observed);
            assert_eq!(
                status.autoscaling.unwrap().min_replicas,
                minimum,
                "{engine}"
            );
            let replicas = desired(&model_service, &observed, &settings()).replicas;
            assert_eq!(replicas.unwrap().replicas, minimum, "{engine}");
        }
    }
}

#[test]
fn the_next_pass_comes_when_the_plan_changes() {
    let schedule = window("0 8 * * *", "0 18 * * *", "UTC");
    for (engine, start) in [
        ("HPA", "2027-01-01T07:59:30Z"),
        ("KEDA", "2027-01-01T08:00:00Z"),
    ] {
        let model_service = scheduled(engine, std::slice::from_ref(&schedule));
        let observed = observed(utc("2027-01-01T07:00"));
        let active = model_service.scaling().resolve(&observed);
        assert_eq!(
            active.next_change(observed.at),
            Some(start.parse().unwrap()),
            "{engine}"
        );
        assert_eq!(
            active.next_change(utc("2027-01-01T09:00")),
            Some(utc("2027-01-01T18:00")),
            "{engine}"
        );
    }
    let without = scheduled("HPA", &[]);
    let active = without
        .scaling()
        .resolve(&observed(utc("2027-01-01T07:00")))
        .next_change(utc("2027-01-01T07:00"));
    assert_eq!(active, None);
}
