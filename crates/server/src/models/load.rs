//! From a model file to workers that are warm.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use springtide_batching::Ran;
use springtide_contract::termination::{ModelFailure, TerminationMessage};
use springtide_inference::onnx::{
    LoadError, OnnxModel, ProviderUnavailable, Runtime, RuntimeError, Selected, Selection,
};
use springtide_inference::threads::available_processors;
use springtide_inference::{Backend, Classifier, RunError, Signature, Threads, UnsupportedModel};

use super::trial::{Trial, trial};

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// ONNX Runtime could not be used.
    #[error("{0}: set {variable} to the path of libonnxruntime.so", variable = springtide_contract::env::ORT_DYLIB_PATH)]
    Runtime(#[from] RuntimeError),
    /// What models shall run on can't be used.
    #[error(transparent)]
    Provider(#[from] ProviderUnavailable),
    /// The file isn't there.
    #[error(
        "there is no model file {0}: set {file} to the path of an ONNX model, or {folder} to a folder of models",
        file = springtide_contract::env::MODEL_PATH,
        folder = springtide_contract::env::MODEL_DIR
    )]
    Missing(String),
    /// ONNX Runtime refuses it, or it wants files that it may not have.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It failed in a trial run.
    #[error("the model failed in a trial run: {0}")]
    Trial(RunError),
    /// The operating system gave no thread for it.
    #[error("the model's threads can't be started: {0}")]
    Threads(std::io::Error),
    /// The loading thread panicked.
    #[error("loading the model panicked")]
    Panicked,
}

impl ModelError {
    /// Whether the same files may load at another time.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Threads(_) => true,
            Self::Load(error) => error.may_pass(),
            Self::Runtime(_) | Self::Provider(_) | Self::Trial(_) | Self::Panicked => false,
        }
    }

    /// The error as the operator reads it.
    #[must_use]
    pub fn termination_message(&self) -> TerminationMessage {
        let reason = match self {
            Self::Runtime(_) | Self::Provider(_) => ModelFailure::ExecutionProviderUnavailable,
            Self::Missing(_) => ModelFailure::ModelNotFound,
            Self::Load(_) | Self::Trial(_) | Self::Threads(_) | Self::Panicked => {
                ModelFailure::ModelInvalid
            }
        };
        TerminationMessage {
            reason,
            message: self.to_string(),
        }
    }
}

/// What is known of a model that was loaded.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What it takes and gives.
    pub signature: Signature,
    /// Whether the requests of several clients may run as one.
    pub batches: bool,
    /// How its outputs read as classes, or why they don't.
    pub classifier: Result<Classifier, UnsupportedModel>,
    /// What it runs on.
    pub provider: Selected,
    /// Why it doesn't run on a GPU, where that was tried and wasn't required.
    pub fallback: Option<String>,
    /// Time that it took to load it and to warm it up, in all workers.
    pub load_time: Duration,
}

/// A model, loaded and warm, once for each worker.
pub struct Loaded {
    /// What is known of it.
    pub facts: Facts,
    /// The first worker's: there is always one.
    pub first: Box<dyn Backend>,
    /// The other workers'.
    pub others: Vec<Box<dyn Backend>>,
    /// Threads that work on a batch of one worker.
    pub threads: NonZeroUsize,
    /// What batches cost in trial runs, where requests will have the same shapes.
    pub before: Vec<Ran>,
}

/// Loads models. Blocks for as long as that takes.
pub trait Load: Send + Sync + 'static {
    /// Loads a model file and warms it up.
    ///
    /// # Errors
    /// [`ModelError`], which says what to do.
    fn load(&self, file: &Path) -> Result<Loaded, ModelError>;
}

/// Loads models into ONNX Runtime.
#[derive(Debug)]
pub struct OnnxLoader {
    /// The library.
    pub runtime: Runtime,
    /// What to run on.
    pub selection: Selection,
    /// Workers that were asked for.
    pub workers: Option<NonZeroUsize>,
    /// Most rows of one batch.
    pub max_rows: NonZeroUsize,
}

impl OnnxLoader {
    fn threads(&self) -> Threads {
        let mut threads = Threads::divide(available_processors(), self.workers);
        if self.selection.active.is_gpu() && self.workers.is_none() {
            // Batches of several sessions would only take turns on the one GPU.
            threads.workers = NonZeroUsize::MIN;
        }
        threads
    }
}

impl Load for OnnxLoader {
    fn load(&self, file: &Path) -> Result<Loaded, ModelError> {
        if !file.is_file() {
            return Err(ModelError::Missing(file.display().to_string()));
        }
        let began = Instant::now();
        let threads = self.threads();
        let provider = self.selection.active;
        let model = OnnxModel::open(&self.runtime, file, provider, threads.workers)?;
        let warm = || {
            let mut backend: Box<dyn Backend> = Box::new(model.session(threads.per_worker)?);
            let trial = trial(&mut *backend, self.max_rows).map_err(ModelError::Trial)?;
            Ok::<_, ModelError>((backend, trial))
        };
        let (mut first, mut trial) = warm()?;
        trial.compare_rows(&mut *first);
        let before = trial.measure(&mut *first, threads.per_worker);
        let others = (1..threads.workers.get())
            .map(|_| Ok(warm()?.0))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let Trial {
            signature,
            batches,
            classifier,
            ..
        } = trial;
        let facts = Facts {
            signature,
            batches,
            classifier,
            provider,
            fallback: self.selection.fallback.as_ref().map(ToString::to_string),
            load_time: began.elapsed(),
        };
        Ok(Loaded {
            facts,
            first,
            others,
            threads: threads.per_worker,
            before,
        })
    }
}
