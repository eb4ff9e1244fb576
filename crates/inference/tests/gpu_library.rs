//! The library that was built for GPUs, where there is none. In a process of its own, since a library
//! that is loaded stays loaded. The wheel exists for x86-64 only.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use springtide_inference::onnx::{HazardPolicy, LinkPolicy, OnnxModel, Provider, Runtime};
use springtide_inference::{Backend, CancelHandle, ElementType, Tensor};

/// Brings the library into the cache if it isn't there: some 300 MB.
fn runtime() -> Runtime {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/onnxruntime");
    let output = Command::new(script).arg("cuda").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let library = String::from_utf8(output.stdout).unwrap();
    Runtime::load(Path::new(library.trim())).unwrap()
}

#[test]
fn without_its_libraries_a_gpu_is_an_error_that_names_one_and_auto_falls_back() {
    let runtime = runtime();
    for (provider, libraries) in [
        (Provider::Cuda, &["libcu", "libnv"][..]),
        (Provider::TensorRt, &["libnvinfer.so.10", "libcu"][..]),
    ] {
        let refused = runtime.select(provider).unwrap_err();
        let missing = refused.missing.as_deref().unwrap_or_default();
        assert!(
            libraries.iter().any(|library| missing.starts_with(library)),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(missing), "{refused}");
    }
    let selection = runtime.select_available();
    assert_eq!(selection.active, Provider::Cpu);
    let fallback = selection.fallback.unwrap();
    assert_eq!(fallback.provider, Provider::Cuda);
    assert!(fallback.missing.is_some(), "{fallback:?}");

    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/iris.onnx");
    let one = NonZeroUsize::MIN;
    let model = OnnxModel::open(
        &runtime,
        &model,
        &LinkPolicy::BesideTheModel,
        selection.active,
        one,
        HazardPolicy::Allow,
    )
    .unwrap();
    let zeros = Tensor::zeros(ElementType::F32, vec![1, 4]).unwrap();
    let outputs = model
        .session(one)
        .unwrap()
        .run(&[&zeros], &CancelHandle::new());
    assert_eq!(outputs.unwrap().len(), 2);
}
