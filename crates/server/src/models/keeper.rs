//! Keeps what serves as [`plan`] decides: lists the source, loads, installs and unloads.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use springtide_batching::{Config, WorkerDied};
use springtide_contract::text::plain;
use springtide_inference::onnx::{Links, LoadError, Trust};
use tokio::sync::mpsc;

use super::MAX_MESSAGE;
use super::directory::{Folder, Found, ListError, list, model_file};
use super::folder::MODEL_FILE;
use super::hint::Hint;
use super::load::{Load, Loaded, ModelError};
use super::model::{Model, ModelDriver};
use super::name::{ModelName, Version};
use super::plan::{self, Step};
use super::repository::Repository;
use super::stamp::{FileFacts, Stamp};
use super::trials::{Candidate, Trials};
use crate::metrics::Metrics;

/// Where models come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
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

impl Source {
    fn list(&self) -> Result<Found, ListError> {
        match self {
            Self::File { name, path } => {
                // It is looked at once; what tells it from other content is for notes about it.
                let facts = fs::metadata(path).map(|metadata| FileFacts::of(&metadata));
                let file = facts.as_ref().ok().map(|facts| (&**path, facts));
                let version = (Version::FIRST, Some(Stamp::of(file)));
                let folder = Folder::Versions([version].into());
                Ok(Found {
                    models: [(name.clone(), folder)].into(),
                    hints: Vec::new(),
                })
            }
            Self::Directory(directory) => list(directory),
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
    pub fn links(&self) -> Links {
        match self {
            Self::File { .. } => Links::BesideTheModel,
            Self::Directory(directory) => Links::Inside(directory.clone()),
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
pub struct Policy {
    /// The newest versions of each model that are served, as many as this.
    pub versions: NonZeroUsize,
    /// Bounds of each version's batches and queue.
    pub batching: Config,
}

/// Loads and unloads, one step after the other, so that no more than one version of one model is in
/// memory beyond those that serve.
pub struct Keeper {
    source: Source,
    policy: Policy,
    loader: Arc<dyn Load>,
    repository: Arc<Repository>,
    metrics: Arc<Metrics>,
    died: mpsc::Sender<WorkerDied>,
    before: Option<Found>,
    /// Of hazardous models, in processes of their own.
    trials: Trials,
    /// What the log has been told.
    told: Vec<Hint>,
}

impl Keeper {
    /// A keeper that has not looked yet. A worker's death is told to `died`; it is closed when the
    /// keeper and everything that it has started have ended.
    #[must_use]
    pub fn new(
        source: Source,
        policy: Policy,
        loader: Arc<dyn Load>,
        repository: Arc<Repository>,
        metrics: Arc<Metrics>,
        died: mpsc::Sender<WorkerDied>,
    ) -> Self {
        Self {
            source,
            policy,
            loader,
            repository,
            metrics,
            died,
            before: None,
            trials: Trials::default(),
            told: Vec::new(),
        }
    }

    /// Looks at the source once and does what is to be done. The first look takes everything as it
    /// is; later ones leave what has changed since the look before for the next. A model that could
    /// not be read is tried again at each. Gives the models that could not be loaded.
    ///
    /// # Errors
    /// When the source can't be read.
    pub async fn look(&mut self) -> Result<Vec<ModelError>, ListError> {
        let source = self.source.clone();
        let now = off_the_runtime(move || source.list()).await?;
        let serves = !self.repository.serving().is_empty();
        if plan::is_empty(&now.models) && self.before.is_some() && serves {
            tracing::warn!("the model directory is empty: what serves stays as it is");
        }
        self.tell(&now.hints);
        self.repository.forgive();
        let before = self.before.take();
        let failures = self.advance(&now, before.as_ref()).await;
        self.before = Some(now);
        Ok(failures)
    }

    /// Whether a model is being tried apart, or waits for that.
    #[must_use]
    pub fn is_trying(&self) -> bool {
        !self.trials.is_empty()
    }

    /// Waits until a trial ends, for ever where there is none. Can be dropped at any time.
    pub async fn trial_ended(&mut self) {
        self.trials.ended().await;
    }

    /// Does what is to be done after [`Keeper::trial_ended`]. Gives the models that could not be loaded.
    pub async fn after_trial(&mut self) -> Vec<ModelError> {
        let mut failures = Vec::new();
        if let Some((candidate, failure)) = self.trials.take_failed() {
            let Candidate {
                name,
                version,
                stamp,
                hazard,
                ..
            } = candidate;
            let error = ModelError::Apart { failure, hazard };
            self.failed(&name, version, stamp, &error);
            failures.push(error);
        }
        self.trials.start(&self.loader);
        if let Some(found) = self.before.take() {
            // What was seen last is stable: what is to be tried was so for two looks.
            failures.extend(self.advance(&found, Some(&found)).await);
            self.before = Some(found);
        }
        failures
    }

    /// Does what is to be done now.
    async fn advance(&mut self, now: &Found, before: Option<&Found>) -> Vec<ModelError> {
        let mut failures = Vec::new();
        while let Some(step) = plan::next(
            &now.models,
            before.map(|before| &before.models),
            &self.trials.without(self.repository.known()),
            self.policy.versions,
        ) {
            match step {
                Step::Load {
                    name,
                    version,
                    stamp,
                } => failures.extend(self.load(&name, version, stamp).await.err()),
                Step::Unload { name, version } => self.unload(&name, version),
            }
        }
        failures
    }

    /// Tells clients and, once, the log what is nearly right. After the first look that is only what
    /// was so at the look before, too: a model that is being put in place looks so for a moment.
    fn tell(&mut self, hints: &[Hint]) {
        let lasts = |hint: &&Hint| {
            let before = self.before.as_ref();
            before.is_none_or(|before| before.hints.contains(hint))
        };
        let lasting: Vec<Hint> = hints.iter().filter(lasts).cloned().collect();
        for hint in lasting.iter().filter(|hint| !self.told.contains(hint)) {
            let Hint {
                model,
                version,
                advice,
            } = hint;
            tracing::warn!(%model, %version, %advice, "a model is laid out so that it isn't served");
        }
        self.told.clone_from(&lasting);
        self.repository.set_hints(lasting);
    }

    async fn load(
        &mut self,
        name: &ModelName,
        version: Version,
        stamp: Stamp,
    ) -> Result<(), ModelError> {
        self.repository.begin_loading(name, version);
        let file = self.source.file(name, version);
        let loader = Arc::clone(&self.loader);
        let trust = match self.trials.trust(name, version, stamp) {
            Trust::Tried if self.is_still(name, version, stamp).await => Trust::Tried,
            // What was tried isn't what is there any more.
            Trust::Tried | Trust::Nothing => Trust::Nothing,
        };
        let loading = tokio::task::spawn_blocking({
            let file = file.clone();
            move || loader.load(&file, trust)
        });
        let loaded = match loading.await {
            Ok(loaded) => loaded,
            Err(_panic) => Err(ModelError::Panicked),
        };
        let started = loaded.and_then(|loaded| self.start(name, version, loaded));
        match started {
            Ok(model) => {
                let model = Arc::new(model);
                self.repository.install(name, Arc::clone(&model), stamp);
                let facts = model.facts();
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
            Err(ModelError::Load(LoadError::Hazardous(hazard))) if trust == Trust::Nothing => {
                tracing::info!(
                    model = %name, version = %version, hazard,
                    "a model is loaded and tried in a process of its own first"
                );
                let candidate = Candidate {
                    name: name.clone(),
                    version,
                    stamp,
                    file,
                    hazard,
                };
                self.trials.add(candidate);
                self.trials.start(&self.loader);
                Ok(())
            }
            Err(error) => {
                self.failed(name, version, stamp, &error);
                Err(error)
            }
        }
    }

    /// Whether a version's files are those of a stamp now.
    async fn is_still(&self, name: &ModelName, version: Version, stamp: Stamp) -> bool {
        let source = self.source.clone();
        let now = off_the_runtime(move || source.list()).await;
        now.is_ok_and(|now| now.stamp(name, version) == Some(stamp))
    }

    fn failed(&self, name: &ModelName, version: Version, stamp: Stamp, error: &ModelError) {
        // Clients see the reason, and it is not for them to know where files are.
        let file = self.source.file(name, version);
        let folder = file.parent().unwrap_or(&file).display().to_string();
        let reason = error.to_string().replace(&format!("{folder}/"), "");
        let reason = plain(&reason, MAX_MESSAGE).into_owned();
        self.repository
            .fail(name, version, stamp, reason, error.may_pass());
        tracing::error!(model = %name, version = %version, %error, "a model can't be loaded");
    }

    /// Starts a version's threads and watches over them.
    fn start(
        &self,
        name: &ModelName,
        version: Version,
        loaded: Loaded,
    ) -> Result<Model, ModelError> {
        let series = self.metrics.of_model(name.as_str());
        let bounds = self.policy.batching;
        let (model, driver) = Model::start(name.clone(), version, loaded, bounds, series)
            .map_err(ModelError::Threads)?;
        tokio::spawn(watch_over(driver, self.died.clone()));
        Ok(model)
    }

    fn unload(&mut self, name: &ModelName, version: Version) {
        self.trials.forget(name, version);
        let any_left = self.repository.remove(name, version);
        if !any_left {
            self.metrics.forget(name.as_str());
        }
        tracing::info!(model = %name, version = %version, "model unloaded");
    }
}

/// Runs a version's batches to its end.
async fn watch_over(driver: ModelDriver, died: mpsc::Sender<WorkerDied>) {
    let ended = tokio::spawn(driver.run()).await;
    if !matches!(ended, Ok(Ok(()))) {
        // Nobody listens where the process is about to end anyway.
        let _nobody_listens = died.send(WorkerDied).await;
    }
}

/// Does what may block on a file system.
async fn off_the_runtime<T: Send + 'static>(
    list: impl FnOnce() -> Result<T, ListError> + Send + 'static,
) -> Result<T, ListError> {
    tokio::task::spawn_blocking(list)
        .await
        .unwrap_or(Err(ListError::Panicked))
}

fn list_ports(ports: &[springtide_inference::Port]) -> String {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    ports.join("; ")
}

#[cfg(test)]
mod tests;
