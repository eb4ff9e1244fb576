//! Execution providers: what ONNX Runtime runs models on.

use std::fmt;

use ort::ep::{CUDA, ExecutionProvider as _, ExecutionProviderDispatch, TensorRT};
use ort::session::Session;

use super::error_text;
use super::runtime::Runtime;

/// An execution provider of ONNX Runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU through CUDA.
    Cuda,
    /// An NVIDIA GPU through TensorRT.
    TensorRt,
}

impl Provider {
    /// The name in flags, labels and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// Whether all sessions share one device.
    #[must_use]
    pub const fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt)
    }

    /// The providers to register with a session, preferred first.
    pub(super) fn dispatches(self) -> Vec<ExecutionProviderDispatch> {
        let cuda = || CUDA::default().build().error_on_failure();
        match self {
            Self::Cpu => Vec::new(),
            Self::Cuda => vec![cuda()],
            Self::TensorRt => vec![TensorRT::default().build().error_on_failure(), cuda()],
        }
    }

    /// The library that contains the provider.
    const fn library(self) -> &'static str {
        match self {
            Self::Cpu => "libonnxruntime.so",
            Self::Cuda => "libonnxruntime_providers_cuda.so",
            Self::TensorRt => "libonnxruntime_providers_tensorrt.so",
        }
    }

    /// Whether ONNX Runtime was built with the provider. Whether it works shows only when a session is
    /// opened.
    fn is_built_in(self) -> bool {
        match self {
            Self::Cpu => Ok(true),
            Self::Cuda => CUDA::is_available(),
            Self::TensorRt => TensorRT::is_available(),
        }
        .unwrap_or(false)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The provider that models run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSelection {
    /// The provider in use.
    pub active: Provider,
    /// Why CUDA can't be used, where [`Runtime::select_available`] fell back to the CPU.
    pub fallback: Option<ProviderUnavailable>,
}

/// A provider that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the execution provider {provider} can't be used: {problem}: run an image that has it on a node \
     with an NVIDIA GPU, or use the execution provider cpu"
)]
pub struct ProviderUnavailable {
    /// The provider.
    pub provider: Provider,
    /// The missing shared library, if that is the cause.
    pub missing: Option<String>,
    /// The cause, for people.
    pub problem: String,
}

impl ProviderUnavailable {
    fn new(provider: Provider, message: &str) -> Self {
        let missing = missing_library(message);
        let problem = missing.as_ref().map_or_else(
            || error_text(message),
            |library| format!("the library {library} is missing"),
        );
        Self {
            provider,
            missing,
            problem,
        }
    }
}

impl Runtime {
    /// The provider, checked by a session of one node before any model is loaded. A model that doesn't
    /// load is therefore never mistaken for a GPU that doesn't work.
    ///
    /// # Errors
    /// When the provider can't be used. [`Provider::Cpu`] always can.
    pub fn select(&self, provider: Provider) -> Result<ProviderSelection, ProviderUnavailable> {
        self.check(provider)?;
        Ok(ProviderSelection {
            active: provider,
            fallback: None,
        })
    }

    /// CUDA if it can be used, otherwise the CPU. Never TensorRT: it compiles a model for minutes at its
    /// first run.
    #[must_use]
    pub fn select_available(&self) -> ProviderSelection {
        self.select(Provider::Cuda)
            .unwrap_or_else(|unavailable| ProviderSelection {
                active: Provider::Cpu,
                fallback: Some(unavailable),
            })
    }

    fn check(&self, provider: Provider) -> Result<(), ProviderUnavailable> {
        if provider == Provider::Cpu {
            return Ok(());
        }
        if !provider.is_built_in() {
            let library = provider.library();
            return Err(ProviderUnavailable {
                provider,
                missing: Some(library.to_owned()),
                problem: format!("this ONNX Runtime was built without it and has no {library}"),
            });
        }
        self.open_test_session(provider)
            .map_err(|error| ProviderUnavailable::new(provider, &error.to_string()))
    }

    fn open_test_session(&self, provider: Provider) -> ort::Result<()> {
        // One negation, made by tests/models/make_models.py.
        let model = include_bytes!("probe.onnx");
        Session::builder(self.environment())?
            .with_execution_providers(provider.dispatches())?
            .commit_from_memory(model)?;
        Ok(())
    }
}

/// The library that the loader didn't find, from glibc's message: `libcudnn.so.9: cannot open shared
/// object file: No such file or directory`.
fn missing_library(message: &str) -> Option<String> {
    let (before, _) = message.split_once(": cannot open shared object file")?;
    let path = before.rsplit([' ', '\t', '\n']).next()?;
    let library = path.rsplit('/').next()?;
    (!library.is_empty()).then(|| library.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named() {
        let message = "/onnxruntime_src/provider_bridge_ort.cc:2174 Get() [ONNXRuntimeError] : 1 : \
                       FAIL : Failed to load library libonnxruntime_providers_cuda.so with error: \
                       libcublasLt.so.12: cannot open shared object file: No such file or directory";
        let unavailable = ProviderUnavailable::new(Provider::Cuda, message);
        assert_eq!(unavailable.missing.as_deref(), Some("libcublasLt.so.12"));
        assert_eq!(
            unavailable.problem,
            "the library libcublasLt.so.12 is missing"
        );
        let own = "Failed to load /usr/lib/libonnxruntime_providers_cuda.so: cannot open shared \
                   object file: No such file or directory";
        assert_eq!(
            missing_library(own).as_deref(),
            Some("libonnxruntime_providers_cuda.so")
        );
    }

    #[test]
    fn other_problems_are_told_as_they_are() {
        let message = "/onnxruntime_src/cuda_call.cc:129 CudaCall() [ONNXRuntimeError] : 1 : FAIL : \
                       CUDA failure 100: no CUDA-capable device is detected\n";
        let unavailable = ProviderUnavailable::new(Provider::Cuda, message);
        assert_eq!(unavailable.missing, None);
        assert_eq!(
            unavailable.problem,
            "CUDA failure 100: no CUDA-capable device is detected"
        );
        assert_eq!(missing_library(": cannot open shared object file"), None);
    }
}
