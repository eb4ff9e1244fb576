//! Time of the operator for many new ModelServices, relative to a bare client that applies the same children, in one
//! run: `make bench-operator`.
//!
//! The children are those of one ModelService, without the fields that the API server sets. The bare client applies
//! them with other names and [`IN_FLIGHT`] concurrent requests. After their deletion, the same number of ModelServices
//! is applied in the same way. They are complete when all their children exist and every status has the current
//! generation. They are settled when no status changes any more. That includes the controllers of Deployments and HPAs,
//! which send 20 requests per second each by default.
//!
//! Then children are deleted and edited, and finally the operator is restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use springtide_e2e::example;
use springtide_e2e::json::items;
use springtide_e2e::kind::{self, Kind};
use springtide_e2e::operator_process::{self, OperatorProcess};
use springtide_e2e::testbed::{Company, Testbed, in_namespace_within};
use springtide_e2e::wait::{Look, until};
use tokio::time::Instant;

use crate::operator::calls_so_far;
use crate::repairs::repairs;
use crate::restart::restart;
use crate::watched::Watched;

mod operator;
mod repairs;
mod restart;
mod watched;

/// Concurrent requests of a client.
const IN_FLIGHT: usize = 16;

/// Kinds of the children with engine HPA.
const CHILDREN: [Kind; 4] = [
    kind::SERVICE,
    kind::DISRUPTION_BUDGET,
    kind::DEPLOYMENT,
    kind::AUTOSCALER,
];

/// Kinds that the cluster's controllers create for them, and delete after them.
const GRANDCHILDREN: [Kind; 3] = [kind::REPLICA_SET, kind::POD, kind::ENDPOINT_SLICE];

/// Label and value of the objects of the bare client.
const BARE: &str = "many-models-bare";

/// Number of children that are deleted or edited, of all kinds in turn. At most one of each ModelService, because the
/// operator stops when its writes are reverted repeatedly.
const REPAIRS: usize = 200;

/// Maximum time of each step: twice that of a thousand ModelServices on two busy processors.
const LIMIT: Duration = Duration::from_secs(280);

/// Time without a change after which the operator is settled.
const QUIET: Duration = Duration::from_secs(3);

/// Time without a change after which the cluster's controllers are settled, too. HPAs sync every 15 s.
const SETTLED: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let models: usize = match std::env::args().nth(1) {
        None => 500,
        Some(count) => count
            .parse()
            .context("usage: many_models [MODELS], for example many_models 500")?,
    };
    let outcome = in_namespace_within(4 * LIMIT, "many-models", Company::Alone, async |testbed| {
        measure(testbed, models).await
    })
    .await;
    if let Err(failure) = outcome {
        bail!("{failure:?}");
    }
    Ok(())
}

/// The name of a ModelService.
pub(crate) fn name(number: usize) -> String {
    format!("many-{number}")
}

fn manifest(name: &str) -> Result<Value> {
    let change = json!({"metadata": {"name": name}, "spec": {"autoscaling": {"engine": "HPA"}}});
    example::manifest("iris", &change)
}

async fn measure(testbed: &Testbed, models: usize) -> Result<()> {
    let operator = OperatorProcess::start(&mut operator_process::of_the_chart()?)?;
    let sample = testbed.serve(&manifest("sample")?).await?;
    let templates = children(testbed, &sample).await?;
    let bare = bare_client(testbed, &sample, &templates, models).await?;

    let mut watched =
        Watched::new(testbed, &[&CHILDREN[..], &[kind::MODEL_SERVICE]].concat()).await?;
    let before = calls_so_far(testbed).await?;
    let begun = Instant::now();
    let applied = async {
        stream::iter(0..models)
            .map(async |number| testbed.apply(&manifest(&name(number))?).await)
            .buffer_unordered(IN_FLIGHT)
            .try_for_each(async |_object| Ok(()))
            .await
            .context("applying the ModelServices")?;
        Ok::<_, anyhow::Error>(begun.elapsed())
    };
    let mut progress = Progress::new(models);
    let (applied, complete) = try_join(applied, progress.until_complete(&mut watched)).await?;
    let after = calls_so_far(testbed).await?;
    let times = |at: Instant| (at - begun).as_secs_f64() / bare.as_secs_f64();
    testbed.report(&format!(
        "{models} ModelServices were complete after {:.1} s: {:.2} times the bare client. {:.1} calls of the operator each until then; {:.1} s to apply them",
        (complete - begun).as_secs_f64(),
        times(complete),
        each(after - before, models),
        applied.as_secs_f64(),
    ));
    let settled = progress.until_settled(&mut watched).await?;
    let after = calls_so_far(testbed).await?;
    testbed.report(&format!(
        "no status changed any more after {:.1} s: {:.2} times the bare client. {:.1} calls of the operator each",
        (settled - begun).as_secs_f64(),
        times(settled),
        each(after - before, models),
    ));

    watched.until_quiet(SETTLED).await?;
    let count = REPAIRS.min(models);
    let repairs = repairs(testbed, &mut watched, models, count).await?;
    let at = |percent: usize| repairs[(repairs.len() - 1) * percent / 100].as_secs_f64();
    testbed.report(&format!(
        "a child that was deleted or edited was right again after {:.2} s (median), {:.2} s (p99), {:.2} s at most, of {count}",
        at(50), at(99), at(100),
    ));

    report_memory(testbed, "the operator", &operator)?;
    let (operator, consistent, written) = restart(testbed, &mut watched, models, operator).await?;
    testbed.report(&format!(
        "started anew, the operator had looked at all after {:.1} s, and wrote {written} objects",
        consistent.as_secs_f64(),
    ));
    report_memory(testbed, "the operator that was started anew", &operator)?;
    operator.stop().await
}

fn report_memory(testbed: &Testbed, what: &str, operator: &OperatorProcess) -> Result<()> {
    let memory = operator.memory()?;
    let mebibytes = |bytes: u64| bytes >> 20;
    testbed.report(&format!(
        "{what} has {} MiB, and had {} MiB at most",
        mebibytes(memory.now),
        mebibytes(memory.peak)
    ));
    Ok(())
}

fn each(calls: u64, models: usize) -> f64 {
    calls as f64 / models as f64
}

/// Time of a client without other work for the children of this number of ModelServices. They are deleted afterwards,
/// because the work of the cluster's controllers for them would slow down the next measurement.
async fn bare_client(
    testbed: &Testbed,
    sample: &str,
    templates: &[Value],
    models: usize,
) -> Result<Duration> {
    let kinds = [&CHILDREN[..], &GRANDCHILDREN].concat();
    let mut watched = Watched::new(testbed, &kinds).await?;
    let begun = Instant::now();
    stream::iter((0..models).flat_map(|number| {
        let name = format!("{BARE}-{number}");
        templates
            .iter()
            .map(move |template| named(template, sample, &name))
    }))
    .map(async |object: Value| testbed.apply(&object).await)
    .buffer_unordered(IN_FLIGHT)
    .try_for_each(async |_object| Ok(()))
    .await
    .context("the bare client")?;
    let bare = begun.elapsed();
    testbed.report(&format!(
        "a bare client applied the {} children of {models} ModelServices in {:.1} s",
        models * CHILDREN.len(),
        bare.as_secs_f64()
    ));
    let in_background = DeleteParams::background();
    let bare_ones = ListParams::default().labels(&format!("{BARE}={BARE}"));
    for kind in CHILDREN {
        let objects = testbed.cluster.objects(kind, Some(&testbed.namespace));
        let deleting = objects.delete_collection(&in_background, &bare_ones);
        deleting
            .await
            .context("deleting the objects of the bare client")?;
    }
    gone(&mut watched).await?;
    Ok(bare)
}

/// Waits until the objects of the bare client and their dependents are deleted, and the watches have reported nothing
/// for a while.
async fn gone(watched: &mut Watched) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while watched.has(BARE) && watched.next(deadline).await?.is_some() {}
    watched.until_quiet(QUIET).await
}

/// Progress of the ModelServices.
struct Progress {
    incomplete: BTreeSet<String>,
    statuses: BTreeMap<String, Value>,
    /// Time of the last change of a status.
    changed: Instant,
    deadline: Instant,
}

impl Progress {
    fn new(models: usize) -> Self {
        Self {
            incomplete: (0..models).map(name).collect(),
            statuses: BTreeMap::new(),
            changed: Instant::now(),
            deadline: Instant::now() + LIMIT,
        }
    }

    fn take(&mut self, watched: &Watched, kind: Kind, name: String) {
        if self.incomplete.contains(&name) && is_complete(watched, &name) {
            self.incomplete.remove(&name);
        }
        if kind == kind::MODEL_SERVICE
            && let Some(service) = watched.get(kind, &name)
            && self.statuses.get(&name) != Some(&service.data["status"])
        {
            self.statuses.insert(name, service.data["status"].clone());
            self.changed = Instant::now();
        }
    }

    /// The time when all are complete.
    async fn until_complete(&mut self, watched: &mut Watched) -> Result<Instant> {
        while !self.incomplete.is_empty() {
            let (kind, name) = watched.next(self.deadline).await?.with_context(|| {
                format!("{} ModelServices aren't complete", self.incomplete.len())
            })?;
            self.take(watched, kind, name);
        }
        Ok(Instant::now())
    }

    /// The time of the last change of a status, once that is long enough ago.
    async fn until_settled(&mut self, watched: &mut Watched) -> Result<Instant> {
        while let Some((kind, name)) = watched
            .next(self.deadline.min(self.changed + QUIET))
            .await?
        {
            self.take(watched, kind, name);
            if self.changed + QUIET <= Instant::now() {
                break;
            }
        }
        Ok(self.changed)
    }
}

/// Whether all children exist, and the status has the current generation.
fn is_complete(watched: &Watched, name: &str) -> bool {
    let are_there = CHILDREN
        .iter()
        .all(|kind| watched.get(*kind, name).is_some());
    let service = watched.get(kind::MODEL_SERVICE, name);
    are_there
        && service.is_some_and(|service| {
            let status = &service.data["status"];
            let generation = service.metadata.generation;
            status["observedGeneration"].as_i64() == generation
                && !items(status, "/conditions").is_empty()
        })
}

/// The children of a ModelService, as another client can apply them.
async fn children(testbed: &Testbed, name: &str) -> Result<Vec<Value>> {
    let mut templates = Vec::new();
    for kind in CHILDREN {
        let what = format!("the {} {name}", kind.name);
        let mut object = until(&what, Duration::from_secs(30), async || {
            Ok(testbed
                .find(kind, name)
                .await?
                .map_or_else(|| Look::NotYet("none".to_owned()), Look::Seen))
        })
        .await?
        .value;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name);
        let mut labels = object["metadata"]["labels"].clone();
        labels[BARE] = json!(BARE);
        object["metadata"] = json!({"name": name, "labels": labels});
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

/// The template with another name, also in its selectors: objects that select the same pods are more work for the
/// cluster's controllers.
fn named(template: &Value, sample: &str, name: &str) -> Value {
    match template {
        Value::String(text) if text == sample => json!(name),
        Value::Array(items) => items.iter().map(|item| named(item, sample, name)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), named(value, sample, name)))
            .collect(),
        other => other.clone(),
    }
}
