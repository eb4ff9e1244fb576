//! Time until a deleted or edited child is restored.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use springtide_e2e::json::text;
use springtide_e2e::kind::{self, Kind};
use springtide_e2e::testbed::Testbed;
use tokio::time::Instant;

use crate::watched::Watched;
use crate::{CHILDREN, name};

/// Concurrent changes.
const AT_ONCE: usize = 8;

/// Maximum time of a restoration: far more than any threshold.
const LIMIT: Duration = Duration::from_secs(30);

enum Harmed {
    /// The object with this UID was deleted.
    Deleted(Option<String>),
    /// A write created this version.
    Edited(u64),
}

/// The change of a child, and its time.
struct Harm {
    kind: Kind,
    name: String,
    /// The expected object.
    spec: Value,
    harmed: Harmed,
    begun: Instant,
}

/// The times until children were restored, shortest first. Half of them were deleted and half edited, of all kinds in
/// turn.
pub(crate) async fn repairs(
    testbed: &Testbed,
    watched: &mut Watched,
    models: usize,
    count: usize,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(AT_ONCE.min(models)) {
        let harms = numbers.iter().map(|number| {
            let is_deletion = number % 2 == 0;
            let kind = CHILDREN[number / 2 % CHILDREN.len()];
            harm(testbed, watched, kind, name(number % models), is_deletion)
        });
        let mut harms = try_join_all(harms).await?;
        let deadline = Instant::now() + LIMIT;
        while !harms.is_empty() {
            let changed = watched.next(deadline).await?;
            let (kind, name) = changed.context("a child isn't right again")?;
            harms.retain(|harm| {
                let is_right = harm.kind == kind && harm.name == name && harm.is_mended(watched);
                if is_right {
                    times.push(harm.begun.elapsed());
                }
                !is_right
            });
        }
    }
    times.sort_unstable();
    Ok(times)
}

async fn harm(
    testbed: &Testbed,
    watched: &Watched,
    kind: Kind,
    name: String,
    is_deletion: bool,
) -> Result<Harm> {
    let object = watched.get(kind, &name).context("no such child")?;
    let spec = object.data["spec"].clone();
    let edit = match kind {
        kind::SERVICE => json!({"selector": {"app.kubernetes.io/instance": "another"}}),
        kind::DISRUPTION_BUDGET => json!({"maxUnavailable": 7}),
        kind::DEPLOYMENT => json!({"minReadySeconds": 77}),
        _ => json!({"maxReplicas": 99}),
    };
    let begun = Instant::now();
    let harmed = if is_deletion {
        testbed.delete(kind, &name).await?;
        Harmed::Deleted(object.metadata.uid.clone())
    } else {
        let edited = testbed.merge(kind, &name, &json!({"spec": edit})).await?;
        ensure!(edited["spec"] != spec, "the edit changes nothing");
        Harmed::Edited(text(&edited, "/metadata/resourceVersion").parse()?)
    };
    Ok(Harm {
        kind,
        name,
        spec,
        harmed,
        begun,
    })
}

impl Harm {
    fn is_mended(&self, watched: &Watched) -> bool {
        let Some(object) = watched.get(self.kind, &self.name) else {
            return false;
        };
        match &self.harmed {
            Harmed::Deleted(uid) => object.metadata.uid != *uid,
            Harmed::Edited(edited) => {
                let version = object.metadata.resource_version.as_deref();
                let version = version.and_then(|version| version.parse::<u64>().ok());
                version > Some(*edited)
                    && without_replicas(&object.data["spec"]) == without_replicas(&self.spec)
            }
        }
    }
}

/// An autoscaler may have set the replicas meanwhile.
fn without_replicas(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("replicas");
    }
    spec
}
