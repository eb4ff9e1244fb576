//! Execution providers, with a library that was built for the processor only. `tests/gpu_library.rs`
//! has the one that was built for GPUs.

use springtide_inference::onnx::{Provider, ProviderSelection};

use crate::support::RUNTIME;

#[test]
fn the_processor_is_always_there() {
    let selection = RUNTIME.select(Provider::Cpu).unwrap();
    let expected = ProviderSelection {
        active: Provider::Cpu,
        fallback: None,
    };
    assert_eq!(selection, expected);
}

#[test]
fn what_the_library_was_built_without_is_named() {
    for (provider, library) in [
        (Provider::Cuda, "libonnxruntime_providers_cuda.so"),
        (Provider::TensorRt, "libonnxruntime_providers_tensorrt.so"),
    ] {
        let refused = RUNTIME.select(provider).unwrap_err();
        assert_eq!(refused.missing.as_deref(), Some(library));
        assert!(refused.to_string().contains(library), "{refused}");
    }
    let selection = RUNTIME.select_available();
    assert_eq!(selection.active, Provider::Cpu);
    assert_eq!(selection.fallback.unwrap().provider, Provider::Cuda);
}
