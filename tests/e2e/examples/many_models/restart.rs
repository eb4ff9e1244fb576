//! Time until a restarted operator has reconciled everything, and its writes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use springtide_e2e::cluster::FIELD_MANAGER;
use springtide_e2e::kind::Kind;
use springtide_e2e::operator_process::{self, OperatorProcess};
use springtide_e2e::testbed::Testbed;
use springtide_e2e::wait::{Look, until};
use tokio::time::Instant;

use crate::watched::Watched;
use crate::{QUIET, SETTLED};

/// Maximum time of a restart: far more than any threshold.
const LIMIT: Duration = Duration::from_secs(120);

/// The operator's part of each object: field managers and the times of their last writes.
type Writes = BTreeMap<(Kind, String), Vec<String>>;

/// Ends the operator and starts another one. Returns that, the time until it had reconciled all ModelServices, and the
/// number of objects that it changed.
pub(crate) async fn restart(
    testbed: &Testbed,
    watched: &mut Watched,
    models: usize,
    former: OperatorProcess,
) -> Result<(OperatorProcess, Duration, usize)> {
    watched.until_quiet(SETTLED).await?;
    former.stop().await?;
    let before = writes(watched);
    let begun = Instant::now();
    let operator = OperatorProcess::start(&mut operator_process::of_the_chart()?)?;
    let what = format!("passes over {models} ModelServices");
    until(&what, LIMIT, async || {
        let passes = passes().await.unwrap_or_default();
        Ok(Look::at(passes >= models, || format!("{passes} passes")))
    })
    .await?;
    let consistent = begun.elapsed();
    watched.until_quiet(QUIET).await?;
    let after = writes(watched);
    ensure!(after.len() == before.len(), "objects came or went");
    let changed: Vec<_> = after
        .iter()
        .filter(|(key, now)| before.get(*key) != Some(now))
        .map(|((kind, name), _)| format!("{} {name}", kind.name))
        .collect();
    if !changed.is_empty() {
        testbed.report(&format!("written by the new operator: {changed:?}"));
    }
    Ok((operator, consistent, changed.len()))
}

/// Successful reconciles so far.
async fn passes() -> Result<usize> {
    const SERIES: &str = "springtide_operator_reconciles_total{outcome=\"success\"} ";
    let (_status, text) = operator_process::metrics(None).await?;
    let passes = text.lines().find_map(|line| line.strip_prefix(SERIES));
    Ok(passes.map_or(Ok(0), str::parse)?)
}

fn writes(watched: &Watched) -> Writes {
    let of_the_operator = watched.objects().map(|(key, object)| {
        let managers = object.metadata.managed_fields.iter().flatten();
        let ours = managers.filter(|entry| {
            let manager = entry.manager.as_deref().unwrap_or_default();
            manager.starts_with("springtide-") && manager != FIELD_MANAGER
        });
        let ours = ours.map(|entry| format!("{:?} {:?}", entry.manager, entry.time));
        (key.clone(), ours.collect())
    });
    of_the_operator.collect()
}
