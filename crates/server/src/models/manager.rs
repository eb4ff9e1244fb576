//! The model manager: scans the source, and loads and unloads versions as [`plan`] decides.

use std::num::NonZeroUsize;
use std::sync::Arc;

use springtide_batching::{Config, WorkerDied};
use springtide_contract::text::plain;
use springtide_inference::onnx::{HazardPolicy, LoadError};
use tokio::sync::mpsc;

use super::MAX_MESSAGE;
use super::directory::{DirectoryScan, ScanError};
use super::fingerprint::Fingerprint;
use super::isolation_queue::{IsolatedLoadQueue, PendingLoad};
use super::layout_problem::LayoutProblem;
use super::loader::{LoadedModel, ModelLoadError, ModelLoader};
use super::model::{Model, ModelDriver};
use super::name::{ModelName, Version};
use super::plan::{self, Action};
use super::repository::Repository;
use super::source::ModelSource;
use crate::metrics::Metrics;

/// Settings of the manager.
#[derive(Debug, Clone, Copy)]
pub struct ManagerConfig {
    /// Number of versions of each model that are served, newest first.
    pub versions: NonZeroUsize,
    /// Configuration of each version's batcher.
    pub batching: Config,
}

/// Loads and unloads versions one at a time, so that at most one version is in memory beyond those that are
/// served.
pub struct ModelManager {
    source: ModelSource,
    config: ManagerConfig,
    loader: Arc<dyn ModelLoader>,
    repository: Arc<Repository>,
    metrics: Arc<Metrics>,
    died: mpsc::Sender<WorkerDied>,
    previous: Option<DirectoryScan>,
    /// Hazardous models, which are first loaded in a child process.
    isolated_loads: IsolatedLoadQueue,
    /// Problems that have been logged.
    reported: Vec<LayoutProblem>,
}

impl ModelManager {
    /// A manager before its first [`ModelManager::sync`]. A worker that panics is reported to `died`, which is
    /// closed when the manager and all tasks that it has started have ended.
    #[must_use]
    pub fn new(
        source: ModelSource,
        config: ManagerConfig,
        loader: Arc<dyn ModelLoader>,
        repository: Arc<Repository>,
        metrics: Arc<Metrics>,
        died: mpsc::Sender<WorkerDied>,
    ) -> Self {
        Self {
            source,
            config,
            loader,
            repository,
            metrics,
            died,
            previous: None,
            isolated_loads: IsolatedLoadQueue::default(),
            reported: Vec::new(),
        }
    }

    /// Scans the source once, and loads and unloads versions accordingly. The first sync loads everything. Later
    /// ones skip content that has changed since the previous sync, as it may still be being written. Transient
    /// failures are retried at each sync. Returns the failed loads.
    ///
    /// # Errors
    /// When the source can't be read.
    pub async fn sync(&mut self) -> Result<Vec<ModelLoadError>, ScanError> {
        let source = self.source.clone();
        let now = run_blocking(move || source.scan()).await?;
        let serves = !self.repository.serving().is_empty();
        if plan::is_empty(&now.models) && self.previous.is_some() && serves {
            tracing::warn!("the model directory is empty: the served models stay loaded");
        }
        self.report(&now.problems);
        self.repository.allow_retries();
        let before = self.previous.take();
        let failures = self.advance(&now, before.as_ref()).await;
        self.previous = Some(now);
        Ok(failures)
    }

    /// Whether an isolated load is running or pending.
    #[must_use]
    pub fn has_pending_loads(&self) -> bool {
        !self.isolated_loads.is_empty()
    }

    /// Waits for the running isolated load to end; without one, forever. Cancel-safe.
    pub async fn isolated_load_ended(&mut self) {
        self.isolated_loads.ended().await;
    }

    /// Handles the end of an isolated load, after [`ModelManager::isolated_load_ended`]. Returns the failed loads.
    pub async fn finish_isolated_load(&mut self) -> Vec<ModelLoadError> {
        let mut failures = Vec::new();
        if let Some((pending, failure)) = self.isolated_loads.finish() {
            let PendingLoad {
                name,
                version,
                fingerprint,
                hazard,
                ..
            } = pending;
            let error = ModelLoadError::Isolated { failure, hazard };
            self.record_failure(&name, version, fingerprint, &error);
            failures.push(error);
        }
        self.isolated_loads.start(&self.loader);
        if let Some(scan) = self.previous.take() {
            // The last scan is stable: pending content was the same in two scans.
            failures.extend(self.advance(&scan, Some(&scan)).await);
            self.previous = Some(scan);
        }
        failures
    }

    /// Loads and unloads until [`plan`] has no further action.
    async fn advance(
        &mut self,
        now: &DirectoryScan,
        before: Option<&DirectoryScan>,
    ) -> Vec<ModelLoadError> {
        let mut failures = Vec::new();
        while let Some(action) = plan::next_action(
            &now.models,
            before.map(|before| &before.models),
            &self.isolated_loads.exclude_queued(self.repository.known()),
            self.config.versions,
        ) {
            match action {
                Action::Load {
                    name,
                    version,
                    fingerprint,
                } => failures.extend(self.load(&name, version, fingerprint).await.err()),
                Action::Unload { name, version } => self.unload(&name, version),
            }
        }
        failures
    }

    /// Reports layout problems to clients and, once, to the log. After the first sync a problem must last for
    /// two scans, since a model that is being copied looks misplaced for a moment.
    fn report(&mut self, problems: &[LayoutProblem]) {
        let lasts = |problem: &&LayoutProblem| {
            let before = self.previous.as_ref();
            before.is_none_or(|before| before.problems.contains(problem))
        };
        let lasting: Vec<LayoutProblem> = problems.iter().filter(lasts).cloned().collect();
        for problem in lasting
            .iter()
            .filter(|problem| !self.reported.contains(problem))
        {
            let LayoutProblem {
                model,
                version,
                advice,
            } = problem;
            tracing::warn!(%model, %version, %advice, "a model is not served because of its place in the model directory");
        }
        self.reported.clone_from(&lasting);
        self.repository.set_layout_problems(lasting);
    }

    async fn load(
        &mut self,
        name: &ModelName,
        version: Version,
        fingerprint: Fingerprint,
    ) -> Result<(), ModelLoadError> {
        self.repository.begin_loading(name, version);
        let file = self.source.file(name, version);
        let loader = Arc::clone(&self.loader);
        let hazards = match self.isolated_loads.take_policy(name, version, fingerprint) {
            HazardPolicy::Allow if self.is_still(name, version, fingerprint).await => {
                HazardPolicy::Allow
            }
            // The content has changed since the isolated load.
            HazardPolicy::Allow | HazardPolicy::Reject => HazardPolicy::Reject,
        };
        let loading = tokio::task::spawn_blocking({
            let file = file.clone();
            move || loader.load(&file, hazards)
        });
        let loaded = match loading.await {
            Ok(loaded) => loaded,
            Err(_panic) => Err(ModelLoadError::Panicked),
        };
        let started = loaded.and_then(|loaded| self.start(name, version, loaded));
        match started {
            Ok(model) => {
                let model = Arc::new(model);
                self.repository
                    .install(name, Arc::clone(&model), fingerprint);
                let facts = model.info();
                tracing::info!(
                    model = %name,
                    version = %version,
                    inputs = list_ports(&facts.signature.inputs),
                    outputs = list_ports(&facts.signature.outputs),
                    batching = facts.batching.enabled,
                    batching_reason = facts.batching.reason.name(),
                    batching_message = facts.batching.message,
                    memory_mib = facts.memory.map(|bytes| bytes >> 20),
                    execution_provider = facts.provider.name(),
                    load_ms = u64::try_from(facts.load_time.as_millis()).unwrap_or(u64::MAX),
                    "model loaded"
                );
                Ok(())
            }
            Err(ModelLoadError::Load(LoadError::Hazardous(hazard)))
                if hazards == HazardPolicy::Reject =>
            {
                tracing::info!(
                    model = %name, version = %version, hazard,
                    "the model is first loaded and tried in a child process"
                );
                let pending = PendingLoad {
                    name: name.clone(),
                    version,
                    fingerprint,
                    file,
                    hazard,
                };
                self.isolated_loads.add(pending);
                self.isolated_loads.start(&self.loader);
                Ok(())
            }
            Err(error) => {
                self.record_failure(name, version, fingerprint, &error);
                Err(error)
            }
        }
    }

    /// Whether a version's files still have this fingerprint.
    async fn is_still(&self, name: &ModelName, version: Version, fingerprint: Fingerprint) -> bool {
        let source = self.source.clone();
        let now = run_blocking(move || source.scan()).await;
        now.is_ok_and(|now| now.fingerprint(name, version) == Some(fingerprint))
    }

    fn record_failure(
        &self,
        name: &ModelName,
        version: Version,
        fingerprint: Fingerprint,
        error: &ModelLoadError,
    ) {
        // Clients see the reason, which must not disclose paths.
        let file = self.source.file(name, version);
        let folder = file.parent().unwrap_or(&file).display().to_string();
        let reason = error.to_string().replace(&format!("{folder}/"), "");
        let reason = plain(&reason, MAX_MESSAGE).into_owned();
        self.repository
            .fail(name, version, fingerprint, reason, error.is_transient());
        tracing::error!(model = %name, version = %version, %error, "the model can't be loaded");
    }

    /// Starts a version's threads.
    fn start(
        &self,
        name: &ModelName,
        version: Version,
        loaded: LoadedModel,
    ) -> Result<Model, ModelLoadError> {
        let series = self.metrics.of_model(name.as_str());
        let bounds = self.config.batching;
        let (model, driver) = Model::start(name.clone(), version, loaded, bounds, series)
            .map_err(ModelLoadError::Threads)?;
        tokio::spawn(run_driver(driver, self.died.clone()));
        Ok(model)
    }

    fn unload(&mut self, name: &ModelName, version: Version) {
        self.isolated_loads.forget(name, version);
        let any_left = self.repository.remove(name, version);
        if !any_left {
            self.metrics.forget(name.as_str());
        }
        tracing::info!(model = %name, version = %version, "model unloaded");
    }
}

/// Runs a version's batches until its queue is closed.
async fn run_driver(driver: ModelDriver, died: mpsc::Sender<WorkerDied>) {
    let ended = tokio::spawn(driver.run()).await;
    if !matches!(ended, Ok(Ok(()))) {
        // There is no receiver where the process is already ending.
        let _no_receiver = died.send(WorkerDied).await;
    }
}

/// Runs file-system access on a thread that may block.
async fn run_blocking<T: Send + 'static>(
    list: impl FnOnce() -> Result<T, ScanError> + Send + 'static,
) -> Result<T, ScanError> {
    tokio::task::spawn_blocking(list)
        .await
        .unwrap_or(Err(ScanError::Panicked))
}

fn list_ports(ports: &[springtide_inference::Port]) -> String {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    ports.join("; ")
}

#[cfg(test)]
mod tests;
