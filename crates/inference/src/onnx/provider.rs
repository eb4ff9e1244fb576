//! What models run on.

use std::fmt;

use ort::ep::{CUDA, ExecutionProvider as _, ExecutionProviderDispatch, TensorRT};
use ort::session::Session;

use super::runtime::Runtime;
use super::said;

/// What models shall run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU through CUDA.
    Cuda,
    /// An NVIDIA GPU through TensorRT, and through CUDA for what TensorRT doesn't have.
    TensorRt,
    /// CUDA if it can be used, else the processor. Never TensorRT, which compiles a model for
    /// minutes at its first run: that is for those who ask for it.
    Auto,
}

/// What models run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Selected {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU through CUDA.
    Cuda,
    /// An NVIDIA GPU through TensorRT.
    TensorRt,
}

impl Selected {
    /// The name as users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// Whether several sessions would only take turns on the one device.
    #[must_use]
    pub const fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt)
    }

    /// What a session needs registered, most wanted first.
    pub(super) fn dispatches(self) -> Vec<ExecutionProviderDispatch> {
        let cuda = || CUDA::default().build().error_on_failure();
        match self {
            Self::Cpu => Vec::new(),
            Self::Cuda => vec![cuda()],
            Self::TensorRt => vec![TensorRT::default().build().error_on_failure(), cuda()],
        }
    }

    /// The library that has it.
    const fn library(self) -> &'static str {
        match self {
            Self::Cpu => "libonnxruntime.so",
            Self::Cuda => "libonnxruntime_providers_cuda.so",
            Self::TensorRt => "libonnxruntime_providers_tensorrt.so",
        }
    }

    /// Whether ONNX Runtime was built with it. Whether it works shows when a session is opened.
    fn is_built_in(self) -> bool {
        match self {
            Self::Cpu => Ok(true),
            Self::Cuda => CUDA::is_available(),
            Self::TensorRt => TensorRT::is_available(),
        }
        .unwrap_or(false)
    }
}

impl fmt::Display for Selected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What was found for a [`Provider`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What models run on.
    pub active: Selected,
    /// Why it isn't CUDA, where [`Provider::Auto`] fell back.
    pub fallback: Option<ProviderUnavailable>,
}

/// What was asked for can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the execution provider {provider} can't be used: {problem}: run an image that has it on a node \
     with an NVIDIA GPU, or use the execution provider cpu"
)]
pub struct ProviderUnavailable {
    /// What can't be used.
    pub provider: Selected,
    /// The shared library that isn't there, if that is why.
    pub missing: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl ProviderUnavailable {
    fn new(provider: Selected, message: &str) -> Self {
        let missing = missing_library(message);
        let problem = missing.as_ref().map_or_else(
            || said(message),
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
    /// Finds what models shall run on by opening a session of one node, before any model is loaded:
    /// so a model that doesn't load is never taken for a GPU that doesn't work.
    ///
    /// # Errors
    /// When something is asked for and can't be used. [`Provider::Auto`] and [`Provider::Cpu`]
    /// always can.
    pub fn select(&self, provider: Provider) -> Result<Selection, ProviderUnavailable> {
        let wanted = match provider {
            Provider::Cpu => Selected::Cpu,
            Provider::Cuda | Provider::Auto => Selected::Cuda,
            Provider::TensorRt => Selected::TensorRt,
        };
        match (self.probe(wanted), provider) {
            (Ok(()), _) => Ok(Selection {
                active: wanted,
                fallback: None,
            }),
            (Err(unavailable), Provider::Auto) => Ok(Selection {
                active: Selected::Cpu,
                fallback: Some(unavailable),
            }),
            (Err(unavailable), _) => Err(unavailable),
        }
    }

    fn probe(&self, provider: Selected) -> Result<(), ProviderUnavailable> {
        if provider == Selected::Cpu {
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
        self.open_probe(provider)
            .map_err(|error| ProviderUnavailable::new(provider, &error.to_string()))
    }

    fn open_probe(&self, provider: Selected) -> ort::Result<()> {
        // One negation, made by tests/models/make_models.py.
        let model = include_bytes!("probe.onnx");
        Session::builder(self.environment())?
            .with_execution_providers(provider.dispatches())?
            .commit_from_memory(model)?;
        Ok(())
    }
}

/// The library that the loader didn't find, as glibc says it: `libcudnn.so.9: cannot open shared
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
        let unavailable = ProviderUnavailable::new(Selected::Cuda, message);
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
        let unavailable = ProviderUnavailable::new(Selected::Cuda, message);
        assert_eq!(unavailable.missing, None);
        assert_eq!(
            unavailable.problem,
            "CUDA failure 100: no CUDA-capable device is detected"
        );
        assert_eq!(missing_library(": cannot open shared object file"), None);
    }
}
