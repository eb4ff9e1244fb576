//! The ONNX Runtime library and its execution providers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider as _};
use ort::logging::LogLevel;

/// What a model may run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU; without one, loading a model fails.
    Cuda,
    /// An NVIDIA GPU if there is one, else the processor.
    Auto,
}

/// What a model runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl Selected {
    /// The name as users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// The library could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// It is missing, isn't ONNX Runtime or is too old.
    #[error("ONNX Runtime can't be loaded from {path}: {message}")]
    Load {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        message: String,
    },
    /// It refuses to start.
    #[error("ONNX Runtime can't start: {0}")]
    Start(String),
}

/// ONNX Runtime, loaded into this process.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads `libonnxruntime.so`, version 1.17 or newer. Once per process: a second load gives an
    /// error.
    ///
    /// # Errors
    /// When the library is missing or refuses to start.
    pub fn load(library: &Path) -> Result<Self, RuntimeError> {
        let environment = ort::init_from(library)
            .map_err(|error| RuntimeError::Load {
                path: library.to_owned(),
                message: error.to_string(),
            })?
            .with_name("springtide")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|error| RuntimeError::Start(error.to_string()))?;
        // With a logger of one's own, ONNX Runtime starts out saying everything.
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment })
    }

    /// Whether the library was built with CUDA. Whether a GPU is there shows when a model is loaded.
    #[must_use]
    pub fn has_cuda(&self) -> bool {
        CUDA::is_available().unwrap_or(false)
    }

    pub(super) const fn environment(&self) -> &Environment {
        &self.environment
    }
}

fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {
            tracing::debug!(target: "onnxruntime", category, location, "{message}");
        }
        LogLevel::Warning => {
            tracing::warn!(target: "onnxruntime", category, location, "{message}");
        }
        LogLevel::Error | LogLevel::Fatal => {
            tracing::error!(target: "onnxruntime", category, location, "{message}");
        }
    }
}
