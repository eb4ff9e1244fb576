//! The arguments of `inspect`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use springtide_contract::batching::BatchingMode;
use springtide_contract::execution_provider::ExecutionProvider;
use springtide_contract::task::Task;
use springtide_contract::{bounds, defaults, env};

use super::probe::command_line;
use super::values::{count, execution_provider, task};
use crate::models::batching::BatchingPreference;
use crate::models::isolation::IsolatedLoader;

/// The arguments.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Path of an ONNX model file, or of a folder with one
    pub path: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Task of the model. Default: found from the files beside the model
    #[arg(long, value_parser = task())]
    pub task: Option<Task>,
    /// Path of libonnxruntime.so, version 1.17 or newer
    #[arg(long, env = env::ORT_DYLIB_PATH, default_value = "libonnxruntime.so")]
    pub onnxruntime: PathBuf,
    /// Execution provider of the model
    #[arg(long, value_parser = execution_provider(), default_value_t)]
    pub execution_provider: ExecutionProvider,
    /// Maximum number of rows in one batch
    #[arg(long, default_value_t = defaults::MAX_BATCH_ROWS,
        value_parser = value_parser!(u32).range(bounds::MAX_BATCH_ROWS))]
    pub max_batch_size: u32,
    /// Timeout for the trial of a model in its own process, in seconds
    #[arg(long, default_value_t = defaults::PROBE_TIMEOUT_SECONDS,
        value_parser = value_parser!(u32).range(1..=86_400))]
    pub probe_timeout_seconds: u32,
}

impl InspectArgs {
    /// The requested batching of the model.
    #[must_use]
    pub fn batching_preference(&self) -> BatchingPreference {
        BatchingPreference {
            mode: BatchingMode::Auto,
            max_rows: count(self.max_batch_size),
        }
    }

    /// The configuration of isolated loads. None if the running program can't be found.
    #[must_use]
    pub fn isolated_loader(&self) -> Option<IsolatedLoader> {
        let arguments = command_line(
            &self.onnxruntime,
            self.execution_provider,
            self.max_batch_size,
            BatchingMode::Auto,
        );
        Some(IsolatedLoader {
            program: std::env::current_exe().ok()?,
            arguments,
            timeout: Duration::from_secs(self.probe_timeout_seconds.into()),
            max_bytes: None,
        })
    }
}
