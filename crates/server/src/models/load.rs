//! From a model file to workers that are warm.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use springtide_batching::Ran;
use springtide_contract::batching::BatchingStatus;
use springtide_contract::termination::{ModelFailure, TerminationMessage};
use springtide_inference::onnx::{
    Links, LoadError, OnnxModel, ProviderUnavailable, Runtime, RuntimeError, Selected, Selection,
    Trust,
};
use springtide_inference::threads::available_processors;
use springtide_inference::trial::learn_labels;
use springtide_inference::{Backend, Classes, Classifier, Signature, Threads, UnsupportedModel};

use super::batching::Wish;
use super::probe::notes::{Key, Notes};
use super::probe::{Probe, ProbeFailure};
use super::shipped::{self, Settings, ShippedError};
use super::stamp::Stamp;
use super::trial::{Trial, trial, warm_up};
use crate::memory;

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
    /// It was loaded and tried in a process of its own, and that went wrong.
    #[error("the model was loaded and tried in a process of its own, which {failure}: {hazard}")]
    Apart {
        /// What went wrong.
        failure: ProbeFailure,
        /// The node that may be to blame.
        hazard: String,
    },
    /// A file that its owner ships beside it can't be used.
    #[error(transparent)]
    Shipped(#[from] ShippedError),
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
            Self::Apart { failure, .. } => matches!(failure, ProbeFailure::NotStarted),
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
            | Self::Apart { .. }
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

/// What is known of a model that was loaded.
#[derive(Debug, Clone)]
pub struct Facts {
    /// SHA-256 of its file in lower-case hexadecimal digits, where that could be read a second time.
    pub sha256: Option<String>,
    /// What it takes and gives.
    pub signature: Signature,
    /// Whether the requests of several clients may run as one, as it was decided at the load.
    pub batching: BatchingStatus,
    /// How its outputs read as classes, or why they don't.
    pub classifier: Result<Classifier, UnsupportedModel>,
    /// Names of the columns of outputs that hold class probabilities, by the outputs' names.
    pub classes: Vec<(String, Classes)>,
    /// What it runs on.
    pub provider: Selected,
    /// Why it doesn't run on a GPU, where that was tried and wasn't required.
    pub fallback: Option<String>,
    /// Time that it took to load it and to warm it up, in all workers.
    pub load_time: Duration,
    /// Bytes that the process has grown by when it was loaded and warm, where that can be read. Less
    /// than the model takes where memory of another model was used again.
    pub memory: Option<u64>,
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
    /// [`ModelError`], which says what to do; [`LoadError::Hazardous`] where it is to be tried apart first.
    fn load(&self, file: &Path, trust: Trust) -> Result<Loaded, ModelError>;

    /// Loads and tries a hazardous model where that does no harm. `stamp` tells its content from others.
    ///
    /// # Errors
    /// What went wrong.
    fn try_apart(&self, file: &Path, stamp: Stamp) -> Result<(), ProbeFailure>;
}

/// Loads models into ONNX Runtime.
#[derive(Debug)]
pub struct OnnxLoader {
    /// The library.
    pub runtime: Runtime,
    /// What to run on.
    pub selection: Selection,
    /// Where links to a model's external data may lead.
    pub links: Links,
    /// Workers that were asked for.
    pub workers: Option<NonZeroUsize>,
    /// How models are served where their owners ship no settings.
    pub wish: Wish,
    /// How hazardous models are tried first; none in a probe itself, and where this program can't be found.
    pub probe: Option<Probe>,
    /// Where it is noted which of them failed.
    pub notes: Option<Notes>,
}

impl OnnxLoader {
    /// The settings in a version's folder, and where it has none those in its model's.
    fn settings_of(&self, folder: &Path) -> Result<Settings, ShippedError> {
        let own = shipped::settings(folder)?;
        match (&self.links, folder.parent()) {
            (Links::Inside(_), Some(of_model)) if own == Settings::default() => {
                shipped::settings(of_model)
            }
            _ => Ok(own),
        }
    }

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
    fn load(&self, file: &Path, trust: Trust) -> Result<Loaded, ModelError> {
        if !file.is_file() {
            return Err(ModelError::Missing(file.display().to_string()));
        }
        let began = Instant::now();
        let digest = digest_beside(file)?;
        let memory_before = memory::resident();
        let folder = file.parent().unwrap_or(Path::new("."));
        let mode = self.settings_of(folder)?.batching.mode.map(Into::into);
        let wish = Wish {
            mode: mode.unwrap_or(self.wish.mode),
            ..self.wish
        };
        let threads = self.threads();
        let provider = self.selection.active;
        let (runtime, links) = (&self.runtime, &self.links);
        let model = OnnxModel::open(runtime, file, links, provider, threads.workers, trust)?;
        let session = || -> Result<Box<dyn Backend>, ModelError> {
            Ok(Box::new(model.session(threads.per_worker)?))
        };
        let mut first = session()?;
        let owner_rows = shipped::warm_up_rows(folder, first.signature());
        let mut trial = trial(&mut *first, model.knowledge(), owner_rows, wish);
        if let Ok(classifier) = &mut trial.classifier {
            let rows = if trial.batching.enabled {
                wish.max_rows
            } else {
                NonZeroUsize::MIN
            };
            learn_labels(&mut *first, classifier, rows);
        }
        let before = trial.measure(&mut *first, threads.per_worker);
        let others = (1..threads.workers.get())
            .map(|_| {
                let mut other = session()?;
                warm_up(&mut *other, &trial);
                Ok(other)
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        for hazard in &model.knowledge().analysis.hazards {
            tracing::warn!(%hazard, "some requests may end the process or take all of its time or memory");
        }
        let Trial {
            signature,
            batching,
            classifier,
            ..
        } = trial;
        let sha256 = digest.join().unwrap_or(Err(ErrorKind::Other));
        if let Err(kind) = &sha256 {
            tracing::warn!(%kind, "the model file can't be read for its sha256");
        }
        let facts = Facts {
            sha256: sha256.ok(),
            signature,
            batching,
            classifier,
            classes: model.knowledge().classes.clone(),
            provider,
            fallback: self.selection.fallback.as_ref().map(ToString::to_string),
            load_time: began.elapsed(),
            memory: memory::grown_since(memory_before),
        };
        Ok(Loaded {
            facts,
            first,
            others,
            threads: threads.per_worker,
            before,
        })
    }

    fn try_apart(&self, file: &Path, stamp: Stamp) -> Result<(), ProbeFailure> {
        let probe = self.probe.as_ref().ok_or(ProbeFailure::NotStarted)?;
        let bounds = probe.bounds();
        let noted = self.notes.as_ref().map(|notes| (notes, key(probe, stamp)));
        if let Some((notes, key)) = &noted
            && let Some(failure) = notes.find(key)
            && failure.holds(bounds)
        {
            return Err(failure);
        }
        let result = probe.run(file, bounds);
        if let (Err(failure), Some((notes, key))) = (result, noted)
            && failure != ProbeFailure::NotStarted
        {
            notes.add(key, failure);
        }
        result
    }
}

/// Begins to read a file for its SHA-256: a model that is large enough for that to take time takes longer to load.
fn digest_beside(file: &Path) -> Result<JoinHandle<Result<String, ErrorKind>>, ModelError> {
    let file = file.to_owned();
    let digest = move || sha256_of(&file).map_err(|error| error.kind());
    let thread = thread::Builder::new().name("digest".to_owned());
    thread.spawn(digest).map_err(ModelError::Threads)
}

fn sha256_of(file: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut File::open(file)?, &mut digest)?;
    Ok(format!("{:x}", digest.finalize()))
}

/// What tells a trial from others: the content, and what tries it and how.
fn key(probe: &Probe, stamp: Stamp) -> Key {
    let mut digest = Sha256::new();
    digest.update(stamp.digest());
    digest.update(env!("CARGO_PKG_VERSION"));
    for argument in &probe.arguments {
        let argument = argument.as_bytes();
        digest.update(argument.len().to_le_bytes());
        digest.update(argument);
    }
    Key::of(digest.finalize().into())
}
