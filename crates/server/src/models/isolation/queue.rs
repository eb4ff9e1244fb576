//! Which models are tried in a process of their own, and what came of it.
//!
//! One at a time, so that each may take what memory is free. Meanwhile other models are loaded and serve, and
//! so does the version that would be replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use springtide_inference::onnx::HazardPolicy;
use tokio::task::JoinHandle;

use super::super::fingerprint::Fingerprint;
use super::super::loader::ModelLoader;
use super::super::name::{ModelName, Version};
use super::super::plan::KnownModels;
use super::IsolatedLoadFailure;

type Key = (ModelName, Version);

/// A model that is to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::models) struct PendingLoad {
    pub(in crate::models) name: ModelName,
    pub(in crate::models) version: Version,
    pub(in crate::models) fingerprint: Fingerprint,
    pub(in crate::models) file: PathBuf,
    /// The node that makes it hazardous.
    pub(in crate::models) hazard: String,
}

struct Running {
    key: Key,
    fingerprint: Fingerprint,
    task: JoinHandle<Result<(), IsolatedLoadFailure>>,
    result: Option<Result<(), IsolatedLoadFailure>>,
}

/// All trials.
#[derive(Default)]
pub(in crate::models) struct IsolatedLoadQueue {
    /// What is tried or waits for it. One that is gone from here while it is tried is of no interest any more.
    pending_loads: BTreeMap<Key, PendingLoad>,
    running: Option<Running>,
    /// What came well through its trial, and wasn't loaded yet.
    succeeded: BTreeMap<Key, Fingerprint>,
}

impl IsolatedLoadQueue {
    pub(in crate::models) fn is_empty(&self) -> bool {
        self.pending_loads.is_empty()
    }

    /// Has a model tried; other content of the same version isn't any more.
    pub(in crate::models) fn add(&mut self, pending: PendingLoad) {
        let key = (pending.name.clone(), pending.version);
        self.pending_loads.insert(key, pending);
    }

    /// A version is of no interest any more.
    pub(in crate::models) fn forget(&mut self, name: &ModelName, version: Version) {
        let key = (name.clone(), version);
        self.pending_loads.remove(&key);
        self.succeeded.remove(&key);
    }

    /// How a version is to be loaded, which is done now.
    pub(in crate::models) fn trust(
        &mut self,
        name: &ModelName,
        version: Version,
        fingerprint: Fingerprint,
    ) -> HazardPolicy {
        let key = (name.clone(), version);
        // Other content is loaded than what was to be tried.
        self.pending_loads.remove(&key);
        match self.succeeded.remove(&key) {
            Some(succeeded) if succeeded == fingerprint => HazardPolicy::Allow,
            Some(_) | None => HazardPolicy::Reject,
        }
    }

    /// What is known, where versions that are tried or wait for it are not to be loaded now.
    pub(in crate::models) fn without(&self, mut known: KnownModels) -> KnownModels {
        for ((name, version), pending) in &self.pending_loads {
            if let Some(known) = known.get_mut(name).and_then(|known| known.get_mut(version)) {
                known.failed = Some(pending.fingerprint);
            }
        }
        known
    }

    /// Starts the next trial, where none runs.
    pub(in crate::models) fn start(&mut self, loader: &Arc<dyn ModelLoader>) {
        if self.running.is_some() {
            return;
        }
        self.running = self.pending_loads.iter().next().map(|(key, pending)| {
            let (loader, file) = (Arc::clone(loader), pending.file.clone());
            let fingerprint = pending.fingerprint;
            Running {
                key: key.clone(),
                fingerprint,
                task: tokio::task::spawn_blocking(move || loader.load_isolated(&file, fingerprint)),
                result: None,
            }
        });
    }

    /// Waits until the trial that runs has ended; for ever where there is none.
    pub(in crate::models) async fn ended(&mut self) {
        match &mut self.running {
            Some(running) if running.result.is_none() => {
                // A panic shows nothing.
                let result = (&mut running.task).await;
                running.result = Some(result.unwrap_or(Err(IsolatedLoadFailure::NotStarted)));
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }

    /// Takes note of a trial that has ended. Gives it where it failed.
    pub(in crate::models) fn take_failed(&mut self) -> Option<(PendingLoad, IsolatedLoadFailure)> {
        let running = self.running.take_if(|running| running.result.is_some())?;
        let (key, fingerprint) = (running.key, running.fingerprint);
        let is_current = |pending: &PendingLoad| pending.fingerprint == fingerprint;
        if !self.pending_loads.get(&key).is_some_and(is_current) {
            return None;
        }
        let pending = self.pending_loads.remove(&key)?;
        match running.result? {
            Ok(()) => {
                self.succeeded.insert(key, fingerprint);
                None
            }
            Err(failure) => Some((pending, failure)),
        }
    }
}
