//! The arguments of `probe`.

use std::path::PathBuf;

use clap::{Args, value_parser};
use springtide_inference::onnx::Links;

use super::values::{ExecutionProvider, count};
use crate::models::batching::Wish;
use crate::models::shipped::Mode;

/// What to try, as `serve` was told to serve it.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Path of libonnxruntime.so
    #[arg(long)]
    pub onnxruntime: PathBuf,
    /// Execution provider of the model
    #[arg(long, value_enum)]
    pub execution_provider: ExecutionProvider,
    /// Maximum number of rows in one batch
    #[arg(long, value_parser = value_parser!(u32).range(1..=4096))]
    pub max_batch_size: u32,
    /// Who decides whether requests share a batch
    #[arg(long, value_enum)]
    pub batching_mode: Mode,
    /// Folder of models that contains the model file
    #[arg(long)]
    pub model_dir: Option<PathBuf>,
    /// Path of the model file
    pub model: PathBuf,
}

impl ProbeArgs {
    /// Where links to external data may lead.
    #[must_use]
    pub fn links(&self) -> Links {
        self.model_dir
            .clone()
            .map_or(Links::BesideTheModel, Links::Inside)
    }

    /// What the model is batched by.
    #[must_use]
    pub fn wish(&self) -> Wish {
        Wish {
            mode: self.batching_mode.into(),
            max_rows: count(self.max_batch_size),
        }
    }
}
