//! The library and the models of the tests.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use springtide_inference::onnx::{
    HazardPolicy, LinkPolicy, LoadError, OnnxBackend, OnnxModel, Provider, Runtime,
};
use springtide_inference::{Data, Tensor};

pub(crate) const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// The library is loaded once per process.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let library = std::env::var("ORT_DYLIB_PATH")
        .expect("ORT_DYLIB_PATH must be set: export ORT_DYLIB_PATH=$(scripts/onnxruntime)");
    Runtime::load(Path::new(&library)).unwrap()
});

/// A model made by `tests/models/make_models.py`.
pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/models")
        .join(format!("{name}.onnx"))
}

/// A model in one session on the processor.
pub(crate) fn open(model: &Path) -> Result<OnnxBackend, LoadError> {
    OnnxModel::open(
        &RUNTIME,
        model,
        &LinkPolicy::BesideTheModel,
        Provider::Cpu,
        ONE,
        HazardPolicy::Allow,
    )?
    .session(ONE)
}

pub(crate) fn tensor(shape: &[usize], data: impl Into<Data>) -> Tensor {
    Tensor::new(shape.to_vec(), data).unwrap()
}
