//! How long the operator needs for many new ModelServices, against a bare client that applies the same
//! children, in one run: `make bench-operator`.
//!
//! The children are those that the operator makes of one ModelService, without what the API server adds to
//! them. The bare client applies them under other names with [`IN_FLIGHT`] requests at the same time. Then as
//! many ModelServices are applied in the same way; they are complete when all their children are there and every
//! status is about the present generation and has all its conditions, and done when no status changes any more. The
//! latter waits for the controllers of Deployments and HPAs, too, which send 20 requests per second each by default and
//! still work on what the bare client applied.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use springtide_e2e::bed::{Bed, Company, in_namespace};
use springtide_e2e::cluster::Cluster;
use springtide_e2e::example;
use springtide_e2e::json::text;
use springtide_e2e::kind::{self, Kind};
use springtide_e2e::wait::{Look, until};

/// Requests of a client at the same time.
const IN_FLIGHT: usize = 16;

/// Kinds of the children with engine HPA.
const CHILDREN: [Kind; 4] = [
    kind::SERVICE,
    kind::DISRUPTION_BUDGET,
    kind::DEPLOYMENT,
    kind::AUTOSCALER,
];

/// Longest time that anything may take: that of a thousand ModelServices on two busy processors, twice.
const LIMIT: Duration = Duration::from_secs(280);

/// How often is looked whether all is done.
const LOOK: Duration = Duration::from_millis(250);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let models: usize = match std::env::args().nth(1) {
        None => 500,
        Some(count) => count
            .parse()
            .context("usage: many_models [MODELS], for example many_models 500")?,
    };
    let outcome = in_namespace("many-models", Company::Alone, async |bed| {
        measure(bed, models).await
    })
    .await;
    if let Err(failure) = outcome {
        bail!("{failure:?}");
    }
    Ok(())
}

fn manifest(name: &str) -> Result<Value> {
    let change = json!({"metadata": {"name": name}, "spec": {"autoscaling": {"engine": "HPA"}}});
    example::manifest("iris", &change)
}

async fn measure(bed: &Bed, models: usize) -> Result<()> {
    let sample = bed.serve(&manifest("sample")?).await?;
    let templates = children(bed, &sample).await?;

    let begun = Instant::now();
    stream::iter((0..models).flat_map(|number| {
        let name = format!("bare-{number}");
        templates.iter().map(move |template| named(template, &name))
    }))
    .map(async |object: Value| bed.apply(&object).await)
    .buffer_unordered(IN_FLIGHT)
    .try_for_each(async |_object| Ok(()))
    .await
    .context("the bare client")?;
    let bare = begun.elapsed();
    bed.report(&format!(
        "a bare client applied the {} children of {models} ModelServices in {:.1} s",
        models * CHILDREN.len(),
        bare.as_secs_f64()
    ));

    let begun = Instant::now();
    stream::iter(0..models)
        .map(async |number| bed.apply(&manifest(&format!("many-{number}"))?).await)
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(async |_object| Ok(()))
        .await
        .context("applying the ModelServices")?;
    let applied = begun.elapsed();
    let deadline = begun + LIMIT;
    let mut changes = Settling::default();
    let mut complete_after = None;
    let done = loop {
        let state = state(&bed.cluster, &bed.namespace).await?;
        let complete = state.complete == models;
        if complete {
            complete_after.get_or_insert_with(|| begun.elapsed());
        }
        if let Some(at) = changes.look(&state, complete, begun.elapsed()) {
            break at;
        }
        ensure!(
            Instant::now() < deadline,
            "after {} s {} of {models} ModelServices are complete",
            LIMIT.as_secs(),
            state.complete
        );
        tokio::time::sleep(LOOK).await;
    };
    let complete_after = complete_after.unwrap_or(done);
    bed.report(&format!(
        "{models} ModelServices were complete after {:.1} s: {:.2} times the bare client",
        complete_after.as_secs_f64(),
        complete_after.as_secs_f64() / bare.as_secs_f64()
    ));
    bed.report(&format!(
        "the operator took {:.1} s until no status changed any more, {:.1} s of them to apply them: {:.2} times the bare client",
        done.as_secs_f64(),
        applied.as_secs_f64(),
        done.as_secs_f64() / bare.as_secs_f64()
    ));
    Ok(())
}

/// What the operator made of a ModelService, as somebody else could apply it.
async fn children(bed: &Bed, name: &str) -> Result<Vec<Value>> {
    let mut templates = Vec::new();
    for kind in CHILDREN {
        let what = format!("the {} {name}", kind.name);
        let mut object = until(&what, Duration::from_secs(30), async || {
            Ok(bed
                .find(kind, name)
                .await?
                .map_or_else(|| Look::NotYet("none".to_owned()), Look::Seen))
        })
        .await?
        .value;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name);
        object["metadata"] = json!({"labels": object["metadata"]["labels"]});
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        templates.push(object);
    }
    Ok(templates)
}

fn named(template: &Value, name: &str) -> Value {
    let mut object = template.clone();
    object["metadata"]["name"] = json!(name);
    if let Some(target) = object.pointer_mut("/spec/scaleTargetRef/name") {
        *target = json!(name);
    }
    object
}

/// How far the ModelServices are.
struct State {
    /// Those of which all children are there and the status is complete.
    complete: usize,
    /// All statuses, to see whether one changes.
    statuses: BTreeMap<String, Value>,
}

async fn state(cluster: &Cluster, namespace: &str) -> Result<State> {
    let mut there: BTreeMap<String, usize> = BTreeMap::new();
    for kind in CHILDREN {
        for object in cluster.list(Some(namespace), kind, "").await? {
            *there
                .entry(text(&object, "/metadata/name").to_owned())
                .or_default() += 1;
        }
    }
    let services = cluster
        .list(Some(namespace), kind::MODEL_SERVICE, "")
        .await?;
    let complete = services.iter().filter(|service| {
        let name = text(service, "/metadata/name");
        name.starts_with("many-")
            && there.get(name) == Some(&CHILDREN.len())
            && service["status"]["observedGeneration"] == service["metadata"]["generation"]
            && service["status"]["conditions"]
                .as_array()
                .is_some_and(|conditions| !conditions.is_empty())
    });
    Ok(State {
        complete: complete.count(),
        statuses: services
            .iter()
            .map(|service| {
                (
                    text(service, "/metadata/name").to_owned(),
                    service["status"].clone(),
                )
            })
            .collect(),
    })
}

/// Since when nothing changes any more.
#[derive(Default)]
struct Settling {
    statuses: BTreeMap<String, Value>,
    since: Option<Duration>,
}

impl Settling {
    /// Takes a state in. The time at which the last change was seen, once nothing has changed for a while.
    fn look(&mut self, state: &State, complete: bool, now: Duration) -> Option<Duration> {
        if self.statuses != state.statuses || !complete {
            self.statuses.clone_from(&state.statuses);
            self.since = None;
        }
        if !complete {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        (now - since >= Duration::from_secs(3)).then_some(since)
    }
}
