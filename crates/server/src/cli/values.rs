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
    /// CPU
    Cpu,
    /// NVIDIA GPU; the server does not start if none is usable
    Cuda,
    /// NVIDIA GPU through TensorRT, which compiles a model for minutes when it is loaded; the server does not start if
    /// it is not usable
    Tensorrt,
    /// NVIDIA GPU if one is usable, otherwise the CPU; log, metadata and metrics show the choice
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
