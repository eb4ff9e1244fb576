//! A model file and the sessions that run it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::external_data::{self, ExternalDataError};
use super::file::{FileError, ModelFile};
use super::provider::Selected;
use super::runtime::Runtime;
use super::said;
use super::session::OnnxBackend;
use super::weights::SharedWeights;

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read or isn't a model.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is in ONNX Runtime's own format, which can name other files in ways that aren't
    /// checked.
    #[error("models in the .ort format aren't served: use the .onnx file that it was made of")]
    OrtFormat,
    /// It wants a file read that it may not.
    #[error(transparent)]
    ExternalData(#[from] ExternalDataError),
    /// ONNX Runtime doesn't take it.
    #[error("ONNX Runtime can't load the model: {0}")]
    Model(String),
}

/// A model file that was found fit to be loaded, for any number of sessions.
#[derive(Debug)]
pub struct OnnxModel {
    runtime: Runtime,
    path: PathBuf,
    provider: Selected,
    file: ModelFile,
    shared: Option<SharedWeights>,
}

impl OnnxModel {
    /// Reads a model file for `sessions` sessions on `provider`. Several sessions on the processor
    /// share their weights.
    ///
    /// # Errors
    /// When the file isn't a model or names files that it may not have read.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        provider: Selected,
        sessions: NonZeroUsize,
    ) -> Result<Self, LoadError> {
        if path.extension().is_some_and(|extension| extension == "ort") {
            return Err(LoadError::OrtFormat);
        }
        let file = ModelFile::read(path)?;
        external_data::check(path, &file.external)?;
        let shared = if sessions > NonZeroUsize::MIN && provider == Selected::Cpu {
            Some(SharedWeights::read(path, &file.weights)?)
        } else {
            None
        };
        Ok(Self {
            runtime: runtime.clone(),
            path: path.to_owned(),
            provider,
            file,
            shared,
        })
    }

    /// Opens a session that runs on `threads` threads of the processor.
    ///
    /// # Errors
    /// When ONNX Runtime doesn't take the model.
    pub fn session(&self, threads: NonZeroUsize) -> Result<OnnxBackend, LoadError> {
        let refused = |error: ort::Error| LoadError::Model(said(&error.to_string()));
        let mut builder = self.builder(threads).map_err(refused)?;
        let session = builder.commit_from_file(&self.path).map_err(refused)?;
        OnnxBackend::new(session, &self.file.unranked).map_err(refused)
    }

    fn builder(&self, threads: NonZeroUsize) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(self.runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads.get())?
            .with_inter_threads(1)?
            // A spinning thread burns the CPU quota that the next batch needs. Without a quota it
            // would take the processor from the threads that speak HTTP and from other pods, to save
            // some microseconds of waking up where one batch follows the other at once.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_execution_providers(self.provider.dispatches())?;
        match &self.shared {
            Some(shared) => shared.add_to(builder),
            None => Ok(builder),
        }
    }
}
