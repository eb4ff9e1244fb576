//! Under load more pods come, and they serve.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_contract::metrics::{REQUESTS_TOTAL, label};
use springtide_contract::paths;
use springtide_e2e::bed::{Bed, Company, Failure, in_namespace, is_ready};
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::text;
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::wait::{Look, Waited, until};

/// Longest time until a third pod serves: metrics are a scrape and a look of the autoscaler old,
/// 15 s each, the rate is over a minute, and the pod has to start.
const SCALE_LIMIT: Duration = Duration::from_secs(150);

/// Longest time until a ready pod has answered requests.
const SHARE_LIMIT: Duration = Duration::from_secs(20);

/// Rows in each request of the load that is for the CPU.
const ROWS: usize = 30;

#[tokio::test]
async fn keda_scales_up_by_request_rate() -> Result<(), Failure> {
    in_namespace("scale-keda", Company::OneLoad, async |bed| {
        let held_out = HeldOut::of("digits")?;
        // The target is 100 requests per second and pod: this is work for four.
        let plan = Plan {
            features: json!(held_out.rows[0]),
            prediction: json!(held_out.predictions[0]),
            clients: 16,
            requests_per_second: 400,
            at_most: SCALE_LIMIT + SHARE_LIMIT,
        };
        scales_up(
            bed,
            &example::manifest(
                "digits",
                &json!({"spec": {"autoscaling": {"maxReplicas": 4}}}),
            )?,
            &plan,
        )
        .await
    })
    .await
}

#[tokio::test]
async fn the_hpa_scales_up_by_cpu() -> Result<(), Failure> {
    in_namespace("scale-hpa", Company::OneLoad, async |bed| {
        let held_out = HeldOut::of("iris")?;
        // 70 % of 20m: a load that leaves the machine's cores free for the other tests.
        let small = json!({"spec": {
            "server": {"resources": {"requests": {"cpu": "20m"}}},
            "autoscaling": {"maxReplicas": 4},
        }});
        let plan = Plan {
            features: json!(&held_out.rows[..ROWS]),
            prediction: json!(&held_out.predictions[..ROWS]),
            clients: 16,
            requests_per_second: 250,
            at_most: SCALE_LIMIT + SHARE_LIMIT,
        };
        scales_up(bed, &example::manifest("iris", &small)?, &plan).await
    })
    .await
}

async fn scales_up(bed: &Bed, manifest: &Value, plan: &Plan) -> Result<()> {
    let name = bed.serve_until_ready(manifest).await?;
    let before = bed.pods(&name).await?;
    ensure!(before.len() == 2, "{} pods before the load", before.len());

    let load = Load::start(node_port(bed, &name).await?, plan)?;
    let scaled = third_pod(bed, &name).await;
    let shared = match &scaled {
        Ok(_) => Some(every_pod_answers(bed, &name).await),
        Err(_) => None,
    };
    let outcome = load.stop().await?;
    bed.report(&format!("load: {outcome}"));
    let scaled = scaled?;
    let shared = shared.context("no third pod")??;
    bed.report(&format!(
        "3 or more ready pods after {}, all of them answering {} later",
        scaled.seconds(),
        shared.seconds()
    ));
    outcome.check(1000)
}

async fn third_pod(bed: &Bed, name: &str) -> Result<Waited<()>> {
    until("a third ready pod", SCALE_LIMIT, async || {
        let pods = bed.pods(name).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok(Look::at(ready >= 3, || {
            format!("{} pods, {ready} ready", pods.len())
        }))
    })
    .await
}

async fn every_pod_answers(bed: &Bed, name: &str) -> Result<Waited<()>> {
    until(
        "every ready pod to have answered requests",
        SHARE_LIMIT,
        async || {
            let mut idle = Vec::new();
            for pod in bed.pods(name).await?.iter().filter(|pod| is_ready(pod)) {
                let pod_name = text(pod, "/metadata/name");
                if answered(&bed.ask_pod(pod_name, paths::METRICS).await?.body) == 0.0 {
                    idle.push(pod_name.to_owned());
                }
            }
            Ok(Look::at(idle.is_empty(), || format!("idle: {idle:?}")))
        },
    )
    .await
}

/// Successful requests in a page of metrics in Prometheus' text format.
fn answered(metrics: &str) -> f64 {
    let success = format!("{}=\"success\"", label::STATUS);
    metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{REQUESTS_TOTAL}{{")) && line.contains(&success))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
