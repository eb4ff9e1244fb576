//! The ONNX Runtime library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::logging::LogLevel;

/// A library that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// It is missing, isn't ONNX Runtime or is too old.
    #[error("ONNX Runtime can't be loaded from {path}: {message}")]
    Load {
        /// The path.
        path: PathBuf,
        /// The error of the loader.
        message: String,
    },
    /// It can't be initialized.
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
    /// When the library is missing or can't be initialized.
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
        // With a custom logger, ONNX Runtime logs everything by default.
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment })
    }

    /// The library's description of its own build, with its commit.
    #[must_use]
    pub fn build(&self) -> &'static str {
        ort::info()
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
