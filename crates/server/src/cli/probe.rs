//! The arguments of `probe`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use springtide_contract::batching::BatchingMode;
use springtide_contract::bounds;
use springtide_contract::execution_provider::ExecutionProvider;
use springtide_inference::onnx::LinkPolicy;

use super::values::{batching_mode, count, execution_provider};
use crate::models::batching::BatchingPreference;

/// The arguments, which `serve` derives from its own.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Path of libonnxruntime.so
    #[arg(long)]
    pub onnxruntime: PathBuf,
    /// Execution provider of the model
    #[arg(long, value_parser = execution_provider())]
    pub execution_provider: ExecutionProvider,
    /// Maximum number of rows in one batch
    #[arg(long, value_parser = value_parser!(u32).range(bounds::MAX_BATCH_ROWS))]
    pub max_batch_size: u32,
    /// Whether requests of several clients share batches
    #[arg(long, value_parser = batching_mode())]
    pub batching_mode: BatchingMode,
    /// Folder of models that contains the model file
    #[arg(long)]
    pub model_dir: Option<PathBuf>,
    /// Path of the model file
    pub model: PathBuf,
}

/// The command line of `probe`, up to the path of the model.
pub(super) fn command_line(
    onnxruntime: &Path,
    provider: ExecutionProvider,
    max_batch_size: u32,
    mode: BatchingMode,
) -> Vec<OsString> {
    vec![
        "probe".into(),
        "--onnxruntime".into(),
        onnxruntime.into(),
        "--execution-provider".into(),
        provider.name().into(),
        "--max-batch-size".into(),
        max_batch_size.to_string().into(),
        "--batching-mode".into(),
        mode.name().into(),
    ]
}

impl ProbeArgs {
    /// The folder that links to external data must stay in.
    #[must_use]
    pub fn links(&self) -> LinkPolicy {
        self.model_dir
            .clone()
            .map_or(LinkPolicy::BesideTheModel, LinkPolicy::Inside)
    }

    /// The requested batching of the model.
    #[must_use]
    pub fn batching_preference(&self) -> BatchingPreference {
        BatchingPreference {
            mode: self.batching_mode,
            max_rows: count(self.max_batch_size),
        }
    }
}
