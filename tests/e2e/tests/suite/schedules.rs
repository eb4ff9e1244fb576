//! Schedules: with both engines the pods increase at the start, and decrease by the scaling behavior after the end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::example;
use springtide_e2e::history::Recording;
use springtide_e2e::json::number;
use springtide_e2e::kind::{AUTOSCALER, DEPLOYMENT, MODEL_SERVICE};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace, is_ready, replicas};
use springtide_e2e::wait::{Look, until};

/// Pods during the schedule.
const FLOOR: i64 = 3;

/// Length of the schedule.
const MINUTES: u64 = 1;

/// Time by which the minimum of an HPA with the default behavior precedes a schedule, in seconds: two syncs.
const LEAD_SECONDS: f64 = 30.0;

/// Maximum time from the start of the schedule until its pods are ready: KEDA and its HPA sync every 15 s.
const LIFT_LIMIT: Duration = Duration::from_secs(60);

/// Maximum time from the end of the schedule until the pods are as before: two steps, 15 s each, and the syncs of KEDA
/// and its HPA before the first.
const LEAVE_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_schedule_lifts_the_pods_and_leaves_them_to_the_behavior() -> Result<(), Failure> {
    in_namespace("schedules", Company::Welcome, async |testbed| {
        // One pod in each sync of the HPA, without a stabilization window.
        let down = json!({
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
        });
        let mut names = Vec::new();
        for (example, engine, targets) in [
            ("iris", "HPA", json!({"cpuUtilizationPercent": 500})),
            ("digits", "KEDA", json!({"requestsPerSecond": 1000, "queueSize": null, "p95LatencyMilliseconds": null})),
        ] {
            let autoscaling = json!({
                "engine": engine,
                "minReplicas": 1,
                "targets": targets,
                "behavior": {"scaleDown": down},
            });
            let manifest = example::manifest(example, &json!({"spec": {"autoscaling": autoscaling}}))?;
            names.push(testbed.serve(&manifest).await?);
        }
        for name in &names {
            testbed.until_ready(name).await?;
        }
        let recording = Recording::of(testbed, &[DEPLOYMENT]).await?;
        let start = next_minute()?;
        let schedule = |name: &str, floor: i64| {
            json!({
                "name": name,
                "start": cron(start),
                "end": cron(start + MINUTES),
                "minReplicas": floor,
            })
        };
        // If two are active, the higher minimum applies.
        let schedules = [schedule("lower", FLOOR - 1), schedule("higher", FLOOR)];
        for name in &names {
            let change = json!({"spec": {"autoscaling": {"schedules": schedules}}});
            testbed.merge(MODEL_SERVICE, name, &change).await?;
        }
        moved_ahead(testbed, &names[0], start).await?;
        for name in &names {
            lifted(testbed, name, start).await?;
        }
        for name in &names {
            left(testbed, name, start + MINUTES).await?;
        }
        let history = recording.end(testbed).await?;
        for name in &names {
            let counts = history.numbers(DEPLOYMENT, name, "/spec/replicas");
            testbed.report(&format!("{name} had {counts:?} pods"));
            ensure!(
                counts == [1, FLOOR, 2, 1],
                "{name} went through {counts:?} pods"
            );
        }
        Ok(())
    })
    .await
}

/// The minimum of an HPA is raised before the start of the schedule. The sync that adds the pods, and reads no metric,
/// is then over at the start.
async fn moved_ahead(testbed: &Testbed, name: &str, start: u64) -> Result<()> {
    let until_start = Duration::from_secs(60 * start).saturating_sub(now()?);
    until("the HPA's floor to move ahead", until_start, async || {
        let floor = number(&testbed.get(AUTOSCALER, name).await?, "/spec/minReplicas");
        Ok(Look::at(floor == FLOOR, || format!("minReplicas {floor}")))
    })
    .await?;
    let ahead = 60.0 * start as f64 - now()?.as_secs_f64();
    testbed.report(&format!("the floor moved {ahead:.1} s ahead"));
    ensure!(
        (1.0..=LEAD_SECONDS + 1.0).contains(&ahead),
        "the floor moved {ahead:.1} s ahead"
    );
    Ok(())
}

async fn lifted(testbed: &Testbed, name: &str, start: u64) -> Result<()> {
    let until_start = Duration::from_secs(60 * start).saturating_sub(now()?);
    let limit = until_start + LIFT_LIMIT;
    until(&format!("{name} to be lifted"), limit, async || {
        let pods = testbed.pods(name).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok(Look::at(ready == 3, || {
            format!("{ready} of {} ready", pods.len())
        }))
    })
    .await?;
    let late = now()?.as_secs_f64() - 60.0 * start as f64;
    let service = testbed.get(MODEL_SERVICE, name).await?;
    let minimum = number(&service, "/status/autoscaling/minReplicas");
    ensure!(
        minimum == FLOOR,
        "status.autoscaling.minReplicas of {name} is {minimum}"
    );
    testbed.report(&format!(
        "{name} had its {FLOOR} pods ready {late:.1} s after the schedule's beginning"
    ));
    Ok(())
}

async fn left(testbed: &Testbed, name: &str, end: u64) -> Result<()> {
    let limit = Duration::from_secs(60 * end).saturating_sub(now()?) + LEAVE_LIMIT;
    until(
        &format!("{name} to have one pod again"),
        limit,
        async || {
            let wanted = replicas(&testbed.get(DEPLOYMENT, name).await?);
            Ok(Look::at(wanted == 1, || format!("{wanted} pods")))
        },
    )
    .await?;
    let service: Value = testbed.get(MODEL_SERVICE, name).await?;
    let minimum = number(&service, "/status/autoscaling/minReplicas");
    ensure!(
        minimum == 1,
        "status.autoscaling.minReplicas of {name} is {minimum}"
    );
    testbed
        .until_decided(name, "the last decision", |decisions| {
            let steps: Vec<_> = decisions
                .iter()
                .map(|decision| (number(decision, "/from"), number(decision, "/to")))
                .collect();
            let told = [(2, 1), (FLOOR, 2), (1, FLOOR)];
            steps.starts_with(&told).then_some(())
        })
        .await?;
    Ok(())
}

/// Time since the epoch.
fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

/// The first minute since the epoch that leaves the operator 15 seconds to apply the schedule. If that is less than its
/// lead, the minimum of the HPA is raised at once.
fn next_minute() -> Result<u64> {
    Ok((now()?.as_secs() + 15) / 60 + 1)
}

/// A minute of the day, in UTC.
fn cron(minute: u64) -> String {
    format!("{} {} * * *", minute % 60, minute / 60 % 24)
}
