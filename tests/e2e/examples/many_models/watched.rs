//! The objects of a namespace, from watches. Polling lists of thousands of objects would slow down the measured
//! operator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, BoxStream};
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use springtide_e2e::kind::Kind;
use springtide_e2e::testbed::Testbed;
use tokio::time::{Instant, timeout_at};

use crate::LIMIT;

/// The objects of some kinds in a namespace.
pub(crate) struct Watched {
    told: BoxStream<'static, (Kind, Event<DynamicObject>)>,
    objects: BTreeMap<(Kind, String), DynamicObject>,
    /// The objects of lists in progress.
    listed: BTreeSet<(Kind, String)>,
}

impl Watched {
    /// Watches the kinds, after the first lists.
    pub(crate) async fn new(testbed: &Testbed, kinds: &[Kind]) -> Result<Self> {
        let watches = kinds.iter().map(|kind| {
            let kind = *kind;
            let api = testbed.cluster.objects(kind, Some(&testbed.namespace));
            // An interrupted watch is restarted.
            let told = watcher(api, watcher::Config::default()).default_backoff();
            told.filter_map(move |event| ready(event.ok().map(|event| (kind, event))))
                .boxed()
        });
        let mut watched = Self {
            told: stream::select_all(watches).boxed(),
            objects: BTreeMap::new(),
            listed: BTreeSet::new(),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut listed = 0;
        while listed < kinds.len() {
            let told = timeout_at(deadline, watched.told.next()).await;
            let (kind, event) = told
                .context("the watches list nothing")?
                .context("a watch ended")?;
            listed += usize::from(matches!(event, Event::InitDone));
            watched.take(kind, event);
        }
        Ok(watched)
    }

    /// The next change: its kind and name, or none until the deadline.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Result<Option<(Kind, String)>> {
        loop {
            let Ok(told) = timeout_at(deadline, self.told.next()).await else {
                return Ok(None);
            };
            let (kind, event) = told.context("a watch ended")?;
            if let Some(name) = self.take(kind, event) {
                return Ok(Some((kind, name)));
            }
        }
    }

    /// Waits until nothing was reported for this time, at most for [`LIMIT`].
    pub(crate) async fn until_quiet(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline && self.next(Instant::now() + time).await?.is_some() {}
        Ok(())
    }

    fn take(&mut self, kind: Kind, event: Event<DynamicObject>) -> Option<String> {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let name = object.metadata.name.clone()?;
                self.listed.insert((kind, name.clone()));
                self.objects.insert((kind, name.clone()), object);
                Some(name)
            }
            Event::Delete(object) => {
                let name = object.metadata.name?;
                self.objects.remove(&(kind, name.clone()));
                Some(name)
            }
            Event::Init => {
                self.listed.retain(|(listed, _)| *listed != kind);
                None
            }
            Event::InitDone => {
                let listed = &self.listed;
                self.objects
                    .retain(|key, _| key.0 != kind || listed.contains(key));
                None
            }
        }
    }

    /// Whether there is an object whose name has this prefix.
    pub(crate) fn has(&self, prefix: &str) -> bool {
        self.objects
            .keys()
            .any(|(_, name)| name.starts_with(prefix))
    }

    /// The object of a name.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&DynamicObject> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// All objects, by kind and name.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&(Kind, String), &DynamicObject)> {
        self.objects.iter()
    }
}
