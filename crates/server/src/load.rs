//! Loads the model into every worker.

use std::path::Path;

use springtide_contract::termination::{ModelFailure, TerminationMessage};
use springtide_inference::onnx::{
    LoadError, OnnxBackend, Provider, Runtime, RuntimeError, Selected,
};
use springtide_inference::threads::available_processors;
use springtide_inference::{Threads, UnsupportedModel};

use crate::cli::ServeArgs;
use crate::predictor::{Predictor, RunFailed};

/// The model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// ONNX Runtime could not be used.
    #[error("{0}: set {variable} to the path of libonnxruntime.so", variable = springtide_contract::env::ORT_DYLIB_PATH)]
    Runtime(#[from] RuntimeError),
    /// The file isn't there.
    #[error("there is no model file {0}: set {variable} to the path of an ONNX model", variable = springtide_contract::env::MODEL_PATH)]
    Missing(String),
    /// ONNX Runtime refuses it, or the GPU is missing.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It isn't a classifier of the kind that is served.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedModel),
    /// It failed in a trial run.
    #[error("the model failed in a trial run: {0}")]
    WarmUp(RunFailed),
}

impl ModelError {
    /// The error as the operator reads it.
    #[must_use]
    pub fn termination_message(&self) -> TerminationMessage {
        let reason = match self {
            Self::Runtime(_) | Self::Load(LoadError::CudaUnavailable(_)) => {
                ModelFailure::ExecutionProviderUnavailable
            }
            Self::Missing(_) => ModelFailure::ModelNotFound,
            Self::Load(LoadError::Model(_)) | Self::Unsupported(_) | Self::WarmUp(_) => {
                ModelFailure::ModelInvalid
            }
        };
        TerminationMessage {
            reason,
            message: self.to_string(),
        }
    }
}

/// The model, loaded and warm, once for each worker.
#[derive(Debug)]
pub struct Loaded {
    /// The first worker: there is always one.
    pub first: Predictor<OnnxBackend>,
    /// The other workers.
    pub others: Vec<Predictor<OnnxBackend>>,
}

/// Loads the model and warms it up. Blocks for as long as that takes.
///
/// # Errors
/// [`ModelError`], which says what to do.
pub fn load(args: &ServeArgs) -> Result<Loaded, ModelError> {
    if !args.model_path.is_file() {
        return Err(ModelError::Missing(args.model_path.display().to_string()));
    }
    let runtime = Runtime::load(&args.onnxruntime)?;
    let processors = available_processors();
    let mut threads = Threads::divide(processors, args.worker_count());
    let load_one =
        |provider, threads: Threads| predictor(&runtime, &args.model_path, provider, threads, args);
    let (first, selected) = load_one(args.execution_provider.into(), threads)?;
    if selected == Selected::Cuda && args.workers.is_none() {
        // Batches of several sessions would only take turns on the one GPU.
        threads.workers = std::num::NonZeroUsize::MIN;
    }
    let provider = match selected {
        Selected::Cpu => Provider::Cpu,
        Selected::Cuda => Provider::Cuda,
    };
    let others = (1..threads.workers.get())
        .map(|_| Ok(load_one(provider, threads)?.0))
        .collect::<Result<Vec<_>, ModelError>>()?;
    tracing::info!(
        model = args.model_name,
        features = first.features(),
        execution_provider = selected.name(),
        processors,
        workers = threads.workers,
        threads_per_worker = threads.per_worker,
        "model loaded"
    );
    Ok(Loaded { first, others })
}

fn predictor(
    runtime: &Runtime,
    model: &Path,
    provider: Provider,
    threads: Threads,
    args: &ServeArgs,
) -> Result<(Predictor<OnnxBackend>, Selected), ModelError> {
    let (backend, selected) = OnnxBackend::load(runtime, model, provider, threads.per_worker)?;
    let mut predictor = Predictor::new(backend)?;
    predictor
        .warm_up(args.max_rows())
        .map_err(ModelError::WarmUp)?;
    Ok((predictor, selected))
}
