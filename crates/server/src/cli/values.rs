//! Values that flags of several commands take.

use std::num::NonZeroUsize;

use clap::ValueEnum;
use springtide_inference::onnx::Provider;

/// Numbers of rows and threads that were checked to be at least 1 and fit any pointer size.
pub(super) fn count(number: u32) -> NonZeroUsize {
    usize::try_from(number)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MIN)
}

/// What the model runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecutionProvider {
    /// The processor
    Cpu,
    /// An NVIDIA GPU; where none can be used the server doesn't start
    Cuda,
    /// An NVIDIA GPU through TensorRT, which compiles a model for minutes when it is loaded; where it
    /// can't be used the server doesn't start
    Tensorrt,
    /// An NVIDIA GPU if one can be used, else the processor, which log, metadata and metrics show
    Auto,
}

impl From<ExecutionProvider> for Provider {
    fn from(provider: ExecutionProvider) -> Self {
        match provider {
            ExecutionProvider::Cpu => Self::Cpu,
            ExecutionProvider::Cuda => Self::Cuda,
            ExecutionProvider::Tensorrt => Self::TensorRt,
            ExecutionProvider::Auto => Self::Auto,
        }
    }
}
