//! The queue of isolated loads, and their results.
//!
//! One load runs at a time, so that it may use all free memory. Meanwhile other models are loaded and served, and
//! so is the version that would be replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use springtide_inference::onnx::HazardPolicy;
use tokio::task::JoinHandle;

use super::fingerprint::Fingerprint;
use super::isolation::IsolatedLoadFailure;
use super::loader::ModelLoader;
use super::name::{ModelName, Version};
use super::plan::KnownModels;

type Key = (ModelName, Version);

/// A model that waits for an isolated load, or is in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingLoad {
    pub(super) name: ModelName,
    pub(super) version: Version,
    pub(super) fingerprint: Fingerprint,
    pub(super) file: PathBuf,
    /// The node that makes it hazardous.
    pub(super) hazard: String,
}

struct Running {
    key: Key,
    fingerprint: Fingerprint,
    task: JoinHandle<Result<(), IsolatedLoadFailure>>,
    result: Option<Result<(), IsolatedLoadFailure>>,
}

/// The queue.
#[derive(Default)]
pub(super) struct IsolatedLoadQueue {
    /// Running and pending loads. The result of a running load that was removed from here is ignored.
    pending_loads: BTreeMap<Key, PendingLoad>,
    running: Option<Running>,
    /// Content that passed its isolated load and isn't loaded yet.
    succeeded: BTreeMap<Key, Fingerprint>,
}

impl IsolatedLoadQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.pending_loads.is_empty()
    }

    /// Queues a load. It replaces one of other content of the same version.
    pub(super) fn add(&mut self, pending: PendingLoad) {
        let key = (pending.name.clone(), pending.version);
        self.pending_loads.insert(key, pending);
    }

    /// Removes a version.
    pub(super) fn forget(&mut self, name: &ModelName, version: Version) {
        let key = (name.clone(), version);
        self.pending_loads.remove(&key);
        self.succeeded.remove(&key);
    }

    /// The policy for a version that is now loaded: hazards are allowed where its content passed.
    pub(super) fn take_policy(
        &mut self,
        name: &ModelName,
        version: Version,
        fingerprint: Fingerprint,
    ) -> HazardPolicy {
        let key = (name.clone(), version);
        // Content that waits here has been replaced.
        self.pending_loads.remove(&key);
        match self.succeeded.remove(&key) {
            Some(succeeded) if succeeded == fingerprint => HazardPolicy::Allow,
            Some(_) | None => HazardPolicy::Reject,
        }
    }

    /// Marks queued content as failed, so that it isn't loaded now.
    pub(super) fn exclude_queued(&self, mut known: KnownModels) -> KnownModels {
        for ((name, version), pending) in &self.pending_loads {
            if let Some(known) = known.get_mut(name).and_then(|known| known.get_mut(version)) {
                known.failed = Some(pending.fingerprint);
            }
        }
        known
    }

    /// Starts the next load, unless one is running.
    pub(super) fn start(&mut self, loader: &Arc<dyn ModelLoader>) {
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

    /// Waits for the running load to end; without one, forever.
    pub(super) async fn ended(&mut self) {
        match &mut self.running {
            Some(running) if running.result.is_none() => {
                // A panic says nothing about the model.
                let result = (&mut running.task).await;
                running.result = Some(result.unwrap_or(Err(IsolatedLoadFailure::NotStarted)));
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }

    /// Handles a load that has ended. Returns it if it failed.
    pub(super) fn finish(&mut self) -> Option<(PendingLoad, IsolatedLoadFailure)> {
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
