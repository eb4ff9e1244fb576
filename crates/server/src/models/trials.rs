//! Which models are tried in a process of their own, and what came of it.
//!
//! One at a time, so that each may take what memory is free. Meanwhile other models are loaded and serve, and
//! so does the version that would be replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use springtide_inference::onnx::Trust;
use tokio::task::JoinHandle;

use super::load::Load;
use super::name::{ModelName, Version};
use super::plan::KnownModels;
use super::probe::ProbeFailure;
use super::stamp::Stamp;

type Key = (ModelName, Version);

/// A model that is to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: ModelName,
    pub(super) version: Version,
    pub(super) stamp: Stamp,
    pub(super) file: PathBuf,
    /// The node that makes it hazardous.
    pub(super) hazard: String,
}

struct Running {
    key: Key,
    stamp: Stamp,
    task: JoinHandle<Result<(), ProbeFailure>>,
    result: Option<Result<(), ProbeFailure>>,
}

/// All trials.
#[derive(Default)]
pub(super) struct Trials {
    /// What is tried or waits for it. One that is gone from here while it is tried is of no interest any more.
    waiting: BTreeMap<Key, Candidate>,
    running: Option<Running>,
    /// What came well through its trial, and wasn't loaded yet.
    passed: BTreeMap<Key, Stamp>,
}

impl Trials {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Has a model tried; other content of the same version isn't any more.
    pub(super) fn add(&mut self, candidate: Candidate) {
        let key = (candidate.name.clone(), candidate.version);
        self.waiting.insert(key, candidate);
    }

    /// A version is of no interest any more.
    pub(super) fn forget(&mut self, name: &ModelName, version: Version) {
        let key = (name.clone(), version);
        self.waiting.remove(&key);
        self.passed.remove(&key);
    }

    /// How a version is to be loaded, which is done now.
    pub(super) fn trust(&mut self, name: &ModelName, version: Version, stamp: Stamp) -> Trust {
        let key = (name.clone(), version);
        // Other content is loaded than what was to be tried.
        self.waiting.remove(&key);
        match self.passed.remove(&key) {
            Some(passed) if passed == stamp => Trust::Tried,
            Some(_) | None => Trust::Nothing,
        }
    }

    /// What is known, where versions that are tried or wait for it are not to be loaded now.
    pub(super) fn without(&self, mut known: KnownModels) -> KnownModels {
        for ((name, version), candidate) in &self.waiting {
            if let Some(known) = known.get_mut(name).and_then(|known| known.get_mut(version)) {
                known.failed = Some(candidate.stamp);
            }
        }
        known
    }

    /// Starts the next trial, where none runs.
    pub(super) fn start(&mut self, loader: &Arc<dyn Load>) {
        if self.running.is_some() {
            return;
        }
        self.running = self.waiting.iter().next().map(|(key, candidate)| {
            let (loader, file) = (Arc::clone(loader), candidate.file.clone());
            let stamp = candidate.stamp;
            Running {
                key: key.clone(),
                stamp,
                task: tokio::task::spawn_blocking(move || loader.try_apart(&file, stamp)),
                result: None,
            }
        });
    }

    /// Waits until the trial that runs has ended; for ever where there is none.
    pub(super) async fn ended(&mut self) {
        match &mut self.running {
            Some(running) if running.result.is_none() => {
                // A panic shows nothing.
                let result = (&mut running.task).await;
                running.result = Some(result.unwrap_or(Err(ProbeFailure::NotStarted)));
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }

    /// Takes note of a trial that has ended. Gives it where it failed.
    pub(super) fn take_failed(&mut self) -> Option<(Candidate, ProbeFailure)> {
        let running = self.running.take_if(|running| running.result.is_some())?;
        let (key, stamp) = (running.key, running.stamp);
        let is_current = |candidate: &Candidate| candidate.stamp == stamp;
        if !self.waiting.get(&key).is_some_and(is_current) {
            return None;
        }
        let candidate = self.waiting.remove(&key)?;
        match running.result? {
            Ok(()) => {
                self.passed.insert(key, stamp);
                None
            }
            Err(failure) => Some((candidate, failure)),
        }
    }
}
