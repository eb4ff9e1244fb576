//! Loading: from a model file to sessions that are warm, one for each worker.

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use springtide_batching::BatchCost;
use springtide_contract::batching::BatchingStatus;
use springtide_contract::execution_provider::ExecutionProvider;
use springtide_contract::task::Task;
use springtide_contract::termination::{ModelFailure, TerminationMessage};
use springtide_inference::onnx::{
    HazardPolicy, LinkPolicy, LoadError, OnnxModel, Provider, ProviderSelection,
    ProviderUnavailable, Runtime, RuntimeError,
};
use springtide_inference::threads::available_processors;
use springtide_inference::{Backend, Classes, Signature, Threads};
use springtide_tasks::folder::ModelFolder;
use springtide_tasks::{ModelFacts, NoTask, TaskModel};

use super::batching::BatchingPreference;
use super::checksum;
use super::fingerprint::Fingerprint;
use super::isolation::failure_record::{FailureKey, FailureRecord};
use super::isolation::{IsolatedLoadFailure, IsolatedLoader};
use super::owner_files::{self, OwnerFileError, Settings};
use super::warmup::{Warmup, warm_up, warm_up_another};
use crate::memory;

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelLoadError {
    /// ONNX Runtime could not be used.
    #[error("{0}: set {variable} to the path of libonnxruntime.so", variable = springtide_contract::env::ORT_DYLIB_PATH)]
    Runtime(#[from] RuntimeError),
    /// The execution provider can't be used.
    #[error(transparent)]
    Provider(#[from] ProviderUnavailable),
    /// The file isn't there.
    #[error(
        "there is no model file {0}: set {file} to the path of an ONNX model, or {folder} to a folder of models",
        file = springtide_contract::env::MODEL_PATH,
        folder = springtide_contract::env::MODEL_DIR
    )]
    Missing(String),
    /// ONNX Runtime rejects it, or it names files that it may not read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its isolated load failed.
    #[error("the model was loaded and tried in a child process, which {failure}: {hazard}")]
    Isolated {
        /// The failure.
        failure: IsolatedLoadFailure,
        /// The node that is the probable cause.
        hazard: String,
    },
    /// A file of the owner beside it can't be used.
    #[error(transparent)]
    Shipped(#[from] OwnerFileError),
    /// The operating system refused a thread.
    #[error("the model's threads can't be started: {0}")]
    Threads(std::io::Error),
    /// The loading thread panicked.
    #[error("loading the model panicked")]
    Panicked,
}

impl ModelLoadError {
    /// Whether the same files may load later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Threads(_) => true,
            Self::Load(error) => error.is_transient(),
            Self::Isolated { failure, .. } => matches!(failure, IsolatedLoadFailure::NotStarted),
            Self::Runtime(_) | Self::Provider(_) | Self::Shipped(_) | Self::Panicked => false,
        }
    }

    /// The error as the operator reads it.
    #[must_use]
    pub fn termination_message(&self) -> TerminationMessage {
        let reason = match self {
            Self::Runtime(_) | Self::Provider(_) => ModelFailure::ExecutionProviderUnavailable,
            Self::Missing(_) => ModelFailure::ModelNotFound,
            Self::Load(_)
            | Self::Isolated { .. }
            | Self::Shipped(_)
            | Self::Threads(_)
            | Self::Panicked => ModelFailure::ModelInvalid,
        };
        TerminationMessage {
            reason,
            message: self.to_string(),
        }
    }
}

/// Properties of a loaded model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// SHA-256 of its file in lower-case hexadecimal digits. None if the file could not be read again.
    pub sha256: Option<String>,
    /// Inputs and outputs.
    pub signature: Signature,
    /// Whether requests share batches, as decided at the load.
    pub batching: BatchingStatus,
    /// How `/predict` asks it and reads its outputs, or why it doesn't serve it.
    pub task: Result<TaskModel, NoTask>,
    /// Names of the columns of outputs that hold class probabilities, by the outputs' names.
    pub classes: Vec<(String, Classes)>,
    /// Execution provider.
    pub provider: Provider,
    /// Why it doesn't run on a GPU, if it fell back to the CPU.
    pub fallback: Option<String>,
    /// Time to load and warm up all workers.
    pub load_time: Duration,
    /// Growth of the process during load and warm-up, in bytes, where it can be read. It is less than the size of
    /// the model where memory of another model was reused.
    pub memory: Option<u64>,
}

/// A model that is loaded and warm, with one session for each worker.
pub struct LoadedModel {
    /// Its properties.
    pub info: ModelInfo,
    /// Session of the first worker.
    pub first: Box<dyn Backend>,
    /// Sessions of the other workers.
    pub others: Vec<Box<dyn Backend>>,
    /// Threads of each worker.
    pub threads: NonZeroUsize,
    /// Measured warm-up runs, where requests will have the same shapes.
    pub measured_runs: Vec<BatchCost>,
}

/// Loads models. Blocks meanwhile.
pub trait ModelLoader: Send + Sync + 'static {
    /// Loads a model file and warms it up.
    ///
    /// # Errors
    /// [`ModelLoadError`], whose text says what to do. [`LoadError::Hazardous`] where an isolated load must come
    /// first.
    fn load(&self, file: &Path, hazards: HazardPolicy) -> Result<LoadedModel, ModelLoadError>;

    /// Loads and tries a hazardous model in a child process. `fingerprint` identifies its content.
    ///
    /// # Errors
    /// When the child fails.
    fn load_isolated(
        &self,
        file: &Path,
        fingerprint: Fingerprint,
    ) -> Result<(), IsolatedLoadFailure>;
}

/// Finds the execution provider to run models on.
///
/// # Errors
/// When the provider that is asked for can't be used. [`ExecutionProvider::Auto`] always can.
pub fn select_provider(
    runtime: &Runtime,
    requested: ExecutionProvider,
) -> Result<ProviderSelection, ProviderUnavailable> {
    match requested {
        ExecutionProvider::Auto => Ok(runtime.select_available()),
        ExecutionProvider::Cpu => runtime.select(Provider::Cpu),
        ExecutionProvider::Cuda => runtime.select(Provider::Cuda),
        ExecutionProvider::TensorRt => runtime.select(Provider::TensorRt),
    }
}

/// Loads models into ONNX Runtime.
#[derive(Debug)]
pub struct OnnxLoader {
    /// ONNX Runtime.
    pub runtime: Runtime,
    /// Execution provider.
    pub selection: ProviderSelection,
    /// Where links to a model's external data may lead.
    pub links: LinkPolicy,
    /// Requested number of workers.
    pub workers: Option<NonZeroUsize>,
    /// Batching of models whose owners ship no settings.
    pub preference: BatchingPreference,
    /// Task of models whose owners ship no settings. None: found from the files beside the model.
    pub task: Option<Task>,
    /// Starts isolated loads. None in a child process, and where the running program can't be found.
    pub isolated_loader: Option<IsolatedLoader>,
    /// Record of failed isolated loads.
    pub failures: Option<FailureRecord>,
}

impl OnnxLoader {
    /// The settings in a version's folder, or else those in its model's folder.
    fn settings_of(&self, folder: &Path) -> Result<Settings, OwnerFileError> {
        let own = owner_files::settings(folder)?;
        match (&self.links, folder.parent()) {
            (LinkPolicy::Inside(_), Some(of_model)) if own == Settings::default() => {
                owner_files::settings(of_model)
            }
            _ => Ok(own),
        }
    }

    fn threads(&self) -> Threads {
        let mut threads = Threads::divide(available_processors(), self.workers);
        if self.selection.active.is_gpu() && self.workers.is_none() {
            // Several sessions would only take turns on the GPU.
            threads.workers = NonZeroUsize::MIN;
        }
        threads
    }
}

impl ModelLoader for OnnxLoader {
    fn load(&self, file: &Path, hazards: HazardPolicy) -> Result<LoadedModel, ModelLoadError> {
        if !file.is_file() {
            return Err(ModelLoadError::Missing(file.display().to_string()));
        }
        let began = Instant::now();
        let digest = digest_beside(file)?;
        let memory_before = memory::resident();
        let folder = file.parent().unwrap_or(Path::new("."));
        let settings = self.settings_of(folder)?;
        let preference = BatchingPreference {
            mode: settings.batching.mode.unwrap_or(self.preference.mode),
            ..self.preference
        };
        let threads = self.threads();
        let provider = self.selection.active;
        let (runtime, links) = (&self.runtime, &self.links);
        let model = OnnxModel::open(runtime, file, links, provider, threads.workers, hazards)?;
        let session = || -> Result<Box<dyn Backend>, ModelLoadError> {
            Ok(Box::new(model.session(threads.per_worker)?))
        };
        let mut first = session()?;
        let owner_rows = owner_files::warm_up_rows(folder, first.signature());
        let facts = ModelFacts {
            signature: first.signature(),
            feature_names: model.analysis().feature_names.as_deref(),
            classes: &model.analysis().classes,
        };
        let task = TaskModel::open(
            &ModelFolder::new(folder),
            facts,
            settings.task.or(self.task),
        );
        let warmup = warm_up(&mut *first, model.analysis(), owner_rows, preference, task);
        if let Err(reason) = &warmup.task {
            tracing::info!(%reason, "not served through /predict");
        }
        let measured_runs = warmup.measure(&mut *first, threads.per_worker);
        let others = (1..threads.workers.get())
            .map(|_| {
                let mut other = session()?;
                warm_up_another(&mut *other, &warmup);
                Ok(other)
            })
            .collect::<Result<Vec<_>, ModelLoadError>>()?;
        for hazard in &model.analysis().graph.hazards {
            tracing::warn!(%hazard, "some requests may crash the process, or use all of its time or memory");
        }
        let Warmup {
            signature,
            batching,
            task,
            ..
        } = warmup;
        let sha256 = digest.join().unwrap_or(Err(ErrorKind::Other));
        if let Err(kind) = &sha256 {
            tracing::warn!(%kind, "the sha256 of the model file can't be computed");
        }
        let info = ModelInfo {
            sha256: sha256.ok(),
            signature,
            batching,
            task,
            classes: model.analysis().classes.clone(),
            provider,
            fallback: self.selection.fallback.as_ref().map(ToString::to_string),
            load_time: began.elapsed(),
            memory: memory::grown_since(memory_before),
        };
        Ok(LoadedModel {
            info,
            first,
            others,
            threads: threads.per_worker,
            measured_runs,
        })
    }

    fn load_isolated(
        &self,
        file: &Path,
        fingerprint: Fingerprint,
    ) -> Result<(), IsolatedLoadFailure> {
        let loader = self
            .isolated_loader
            .as_ref()
            .ok_or(IsolatedLoadFailure::NotStarted)?;
        let limits = loader.limits();
        let recorded = self
            .failures
            .as_ref()
            .map(|record| (record, key(loader, fingerprint)));
        if let Some((record, key)) = &recorded
            && let Some(failure) = record.find(key)
            && failure.still_applies(limits)
        {
            return Err(failure);
        }
        let result = loader.run(file, limits);
        if let (Err(failure), Some((record, key))) = (result, recorded)
            && failure != IsolatedLoadFailure::NotStarted
        {
            record.add(key, failure);
        }
        result
    }
}

/// Starts a thread that computes the SHA-256 of a file. It ends before the load does: loading takes longer.
fn digest_beside(file: &Path) -> Result<JoinHandle<Result<String, ErrorKind>>, ModelLoadError> {
    let file = file.to_owned();
    let digest = move || {
        let sha256 = checksum::of_file(&file).map_err(|error| error.kind())?;
        Ok(sha256.to_string())
    };
    let thread = thread::Builder::new().name("digest".to_owned());
    thread.spawn(digest).map_err(ModelLoadError::Threads)
}

/// Identifies an isolated load: the content, the version of the server and the arguments.
fn key(loader: &IsolatedLoader, fingerprint: Fingerprint) -> FailureKey {
    let mut digest = Sha256::new();
    digest.update(fingerprint.digest());
    digest.update(env!("CARGO_PKG_VERSION"));
    for argument in &loader.arguments {
        let argument = argument.as_bytes();
        digest.update(argument.len().to_le_bytes());
        digest.update(argument);
    }
    FailureKey::of(digest.finalize().into())
}
