//! The history of the objects of a namespace, from watches, so that no change between two polls is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::{StreamExt, pin_mut};
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::json::text;
use crate::kind::Kind;
use crate::testbed::Testbed;
use crate::wait::{Look, until};

/// Maximum time until a watch reports the state of a list.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(10);

/// Maximum time of a watch: the maximum of the API server, and of a test.
const WATCH_SECONDS: u32 = 290;

/// Objects by kind and name, at one moment.
pub type State = BTreeMap<(Kind, String), Value>;

/// A change of an object.
#[derive(Debug, Clone)]
struct Change {
    /// The revision of the API server's store. It orders changes of objects of all kinds.
    revision: u64,
    kind: Kind,
    /// The object after the change. After a deletion, the last state.
    object: Value,
    gone: bool,
}

/// A recording in progress.
pub struct Recording {
    kinds: Vec<Kind>,
    changes: Arc<Mutex<Vec<Change>>>,
    watches: JoinSet<Result<()>>,
}

/// All changes from the start of a recording to its end.
pub struct History(Vec<Change>);

impl Recording {
    /// Begins to record the changes of objects of some kinds in the test's namespace.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn of(testbed: &Testbed, kinds: &[Kind]) -> Result<Self> {
        let changes = Arc::new(Mutex::new(Vec::new()));
        let mut watches = JoinSet::new();
        for &kind in kinds {
            let objects = testbed.cluster.objects(kind, Some(&testbed.namespace));
            let listed = objects.list(&ListParams::default()).await?;
            let from = listed.metadata.resource_version.unwrap_or_default();
            for object in listed.items {
                record(&changes, kind, serde_json::to_value(object)?, false)?;
            }
            let changes = Arc::clone(&changes);
            watches.spawn(async move {
                let watched = objects
                    .watch(&WatchParams::default().timeout(WATCH_SECONDS), &from)
                    .await?;
                pin_mut!(watched);
                while let Some(event) = watched.next().await {
                    let (object, gone) = match event? {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                        WatchEvent::Deleted(object) => (object, true),
                        WatchEvent::Bookmark(_) => continue,
                        WatchEvent::Error(error) => bail!("watching {}: {error:?}", kind.name),
                    };
                    record(&changes, kind, serde_json::to_value(object)?, gone)?;
                }
                Err(anyhow!("the watch on {} ended", kind.name))
            });
        }
        Ok(Self {
            kinds: kinds.to_vec(),
            changes,
            watches,
        })
    }

    /// Ends the recording, after all changes until now.
    ///
    /// # Errors
    ///
    /// If a watch was interrupted, or doesn't catch up.
    pub async fn end(mut self, testbed: &Testbed) -> Result<History> {
        let mut listed = BTreeSet::new();
        for &kind in &self.kinds {
            for object in testbed
                .cluster
                .list(Some(&testbed.namespace), kind, "")
                .await?
            {
                listed.insert((kind, revision(&object)?));
            }
        }
        until("the watches to catch up", CATCH_UP_LIMIT, async || {
            let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let seen: BTreeSet<_> = changes
                .iter()
                .map(|change| (change.kind, change.revision))
                .collect();
            let missing = listed.difference(&seen).count();
            Ok(Look::at(missing == 0, || format!("{missing} behind")))
        })
        .await?;
        if let Some(ended) = self.watches.try_join_next() {
            ended??;
        }
        self.watches.abort_all();
        let mut changes = self
            .changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        changes.sort_by_key(|change| change.revision);
        Ok(History(changes))
    }
}

impl History {
    /// Checks the state of the namespace after each change, in order.
    ///
    /// # Errors
    ///
    /// The first error of the check.
    pub fn replay(&self, mut look: impl FnMut(&State) -> Result<()>) -> Result<()> {
        let mut state = State::new();
        for change in &self.0 {
            let name = text(&change.object, "/metadata/name").to_owned();
            if change.gone {
                state.remove(&(change.kind, name));
            } else {
                state.insert((change.kind, name), change.object.clone());
            }
            look(&state).with_context(|| format!("at revision {}", change.revision))?;
        }
        Ok(())
    }

    /// The versions of an object, in order.
    pub fn versions<'a>(&'a self, kind: Kind, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0
            .iter()
            .filter(move |change| {
                change.kind == kind && text(&change.object, "/metadata/name") == name
            })
            .map(|change| &change.object)
    }

    /// The values at a JSON pointer of an object, in order. Equal consecutive values count once.
    #[must_use]
    pub fn numbers(&self, kind: Kind, name: &str, pointer: &str) -> Vec<i64> {
        let mut numbers: Vec<_> = self
            .versions(kind, name)
            .filter_map(|object| object.pointer(pointer)?.as_i64())
            .collect();
        numbers.dedup();
        numbers
    }
}

fn record(changes: &Mutex<Vec<Change>>, kind: Kind, object: Value, gone: bool) -> Result<()> {
    let change = Change {
        revision: revision(&object)?,
        kind,
        object,
        gone,
    };
    changes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(change);
    Ok(())
}

fn revision(object: &Value) -> Result<u64> {
    let version = text(object, "/metadata/resourceVersion");
    version
        .parse()
        .with_context(|| format!("resourceVersion {version:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{DEPLOYMENT, POD};
    use serde_json::json;

    fn change(revision: u64, kind: Kind, name: &str, replicas: i64, gone: bool) -> Change {
        let object = json!({"metadata": {"name": name}, "spec": {"replicas": replicas}});
        Change {
            revision,
            kind,
            object,
            gone,
        }
    }

    #[test]
    fn a_replay_knows_what_there_was_at_each_moment() {
        let history = History(vec![
            change(1, DEPLOYMENT, "a", 1, false),
            change(2, POD, "a", 0, false),
            change(3, DEPLOYMENT, "a", 1, true),
        ]);
        let mut states = Vec::new();
        history
            .replay(|state| {
                states.push(state.keys().map(|(kind, _)| kind.name).collect::<Vec<_>>());
                Ok(())
            })
            .unwrap();
        assert_eq!(
            states,
            [vec!["Deployment"], vec!["Pod", "Deployment"], vec!["Pod"]]
        );
        let error = history.replay(|state| {
            anyhow::ensure!(state.len() < 2, "two");
            Ok(())
        });
        assert_eq!(format!("{:#}", error.unwrap_err()), "at revision 2: two");
    }

    #[test]
    fn numbers_are_told_once_for_as_long_as_they_hold() {
        let history = History(vec![
            change(1, DEPLOYMENT, "a", 1, false),
            change(2, DEPLOYMENT, "a", 1, false),
            change(3, DEPLOYMENT, "b", 7, false),
            change(4, DEPLOYMENT, "a", 3, false),
            change(5, DEPLOYMENT, "a", 1, false),
        ]);
        assert_eq!(
            history.numbers(DEPLOYMENT, "a", "/spec/replicas"),
            [1, 3, 1]
        );
    }
}
