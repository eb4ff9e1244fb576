//! Keeps what serves as [`plan`] decides: lists the source, loads, installs and unloads.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use springtide_batching::{Config, WorkerDied};
use springtide_contract::text::plain;
use springtide_inference::onnx::{HazardPolicy, LinkPolicy, LoadError};
use tokio::sync::mpsc;

use super::MAX_MESSAGE;
use super::directory::{DirectoryScan, ModelFolder, ScanError, model_file, scan};
use super::fingerprint::{FileStat, Fingerprint};
use super::folder::MODEL_FILE;
use super::isolation::queue::{IsolatedLoadQueue, PendingLoad};
use super::layout_problem::LayoutProblem;
use super::loader::{LoadedModel, ModelLoadError, ModelLoader};
use super::model::{Model, ModelDriver};
use super::name::{ModelName, Version};
use super::plan::{self, Action};
use super::repository::Repository;
use crate::metrics::Metrics;

/// Where models come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// One file, which is version 1 of a model.
    File {
        /// The model.
        name: ModelName,
        /// The file.
        path: PathBuf,
    },
    /// A directory of models: `<name>/<version>/model.onnx`.
    Directory(PathBuf),
}

impl ModelSource {
    fn scan(&self) -> Result<DirectoryScan, ScanError> {
        match self {
            Self::File { name, path } => {
                // It is looked at once; what tells it from other content is for notes about it.
                let facts = fs::metadata(path).map(|metadata| FileStat::of(&metadata));
                let file = facts.as_ref().ok().map(|facts| (&**path, facts));
                let version = (Version::FIRST, Some(Fingerprint::of(file)));
                let folder = ModelFolder::Versions([version].into());
                Ok(DirectoryScan {
                    models: [(name.clone(), folder)].into(),
                    problems: Vec::new(),
                })
            }
            Self::Directory(directory) => scan(directory),
        }
    }

    /// Where the model files are, as people write it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Directory(directory) => {
                format!("{}/<name>/<version>/{MODEL_FILE}", directory.display())
            }
        }
    }

    /// Where links to the models' external data may lead.
    #[must_use]
    pub fn links(&self) -> LinkPolicy {
        match self {
            Self::File { .. } => LinkPolicy::BesideTheModel,
            Self::Directory(directory) => LinkPolicy::Inside(directory.clone()),
        }
    }

    fn file(&self, name: &ModelName, version: Version) -> PathBuf {
        match self {
            Self::File { path, .. } => path.clone(),
            Self::Directory(directory) => model_file(directory, name, version),
        }
    }
}

/// How versions are chosen and run.
#[derive(Debug, Clone, Copy)]
pub struct ManagerConfig {
    /// The newest versions of each model that are served, as many as this.
    pub versions: NonZeroUsize,
    /// Bounds of each version's batches and queue.
    pub batching: Config,
}

/// Loads and unloads, one action after the other, so that no more than one version of one model is in
/// memory beyond those that serve.
pub struct ModelManager {
    source: ModelSource,
    config: ManagerConfig,
    loader: Arc<dyn ModelLoader>,
    repository: Arc<Repository>,
    metrics: Arc<Metrics>,
    died: mpsc::Sender<WorkerDied>,
    previous: Option<DirectoryScan>,
    /// Of hazardous models, in processes of their own.
    isolated_loads: IsolatedLoadQueue,
    /// What the log has been told.
    reported: Vec<LayoutProblem>,
}

impl ModelManager {
    /// A manager that has not looked yet. A worker's death is told to `died`; it is closed when the
    /// manager and everything that it has started have ended.
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

    /// Looks at the source once and does what is to be done. The first sync takes everything as it
    /// is; later ones leave what has changed since the sync before for the next. A model that could
    /// not be read is tried again at each. Gives the models that could not be loaded.
    ///
    /// # Errors
    /// When the source can't be read.
    pub async fn sync(&mut self) -> Result<Vec<ModelLoadError>, ScanError> {
        let source = self.source.clone();
        let now = run_blocking(move || source.scan()).await?;
        let serves = !self.repository.serving().is_empty();
        if plan::is_empty(&now.models) && self.previous.is_some() && serves {
            tracing::warn!("the model directory is empty: what serves stays as it is");
        }
        self.report(&now.problems);
        self.repository.allow_retries();
        let before = self.previous.take();
        let failures = self.advance(&now, before.as_ref()).await;
        self.previous = Some(now);
        Ok(failures)
    }

    /// Whether a model is being tried apart, or waits for that.
    #[must_use]
    pub fn has_pending_loads(&self) -> bool {
        !self.isolated_loads.is_empty()
    }

    /// Waits until a trial ends, for ever where there is none. Can be dropped at any time.
    pub async fn isolated_load_ended(&mut self) {
        self.isolated_loads.ended().await;
    }

    /// Does what is to be done after [`ModelManager::isolated_load_ended`]. Gives the models that could not be loaded.
    pub async fn finish_isolated_load(&mut self) -> Vec<ModelLoadError> {
        let mut failures = Vec::new();
        if let Some((pending, failure)) = self.isolated_loads.take_failed() {
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
            // What was seen last is stable: what is to be tried was so for two looks.
            failures.extend(self.advance(&scan, Some(&scan)).await);
            self.previous = Some(scan);
        }
        failures
    }

    /// Does what is to be done now.
    async fn advance(
        &mut self,
        now: &DirectoryScan,
        before: Option<&DirectoryScan>,
    ) -> Vec<ModelLoadError> {
        let mut failures = Vec::new();
        while let Some(action) = plan::next_action(
            &now.models,
            before.map(|before| &before.models),
            &self.isolated_loads.without(self.repository.known()),
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

    /// Tells clients and, once, the log what is nearly right. After the first sync that is only what
    /// was so at the sync before, too: a model that is being put in place looks so for a moment.
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
            tracing::warn!(%model, %version, %advice, "a model is laid out so that it isn't served");
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
        let trust = match self.isolated_loads.trust(name, version, fingerprint) {
            HazardPolicy::Allow if self.is_still(name, version, fingerprint).await => {
                HazardPolicy::Allow
            }
            // What was tried isn't what is there any more.
            HazardPolicy::Allow | HazardPolicy::Reject => HazardPolicy::Reject,
        };
        let loading = tokio::task::spawn_blocking({
            let file = file.clone();
            move || loader.load(&file, trust)
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
                if trust == HazardPolicy::Reject =>
            {
                tracing::info!(
                    model = %name, version = %version, hazard,
                    "a model is loaded and tried in a process of its own first"
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

    /// Whether a version's files are those of a fingerprint now.
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
        // Clients see the reason, and it is not for them to know where files are.
        let file = self.source.file(name, version);
        let folder = file.parent().unwrap_or(&file).display().to_string();
        let reason = error.to_string().replace(&format!("{folder}/"), "");
        let reason = plain(&reason, MAX_MESSAGE).into_owned();
        self.repository
            .fail(name, version, fingerprint, reason, error.is_transient());
        tracing::error!(model = %name, version = %version, %error, "a model can't be loaded");
    }

    /// Starts a version's threads and watches over them.
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

/// Runs a version's batches to its end.
async fn run_driver(driver: ModelDriver, died: mpsc::Sender<WorkerDied>) {
    let ended = tokio::spawn(driver.run()).await;
    if !matches!(ended, Ok(Ok(()))) {
        // Nobody listens where the process is about to end anyway.
        let _nobody_listens = died.send(WorkerDied).await;
    }
}

/// Does what may block on a file system.
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
