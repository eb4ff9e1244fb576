//! The ONNX Runtime backend with the real library and the example models.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;
use springtide_inference::onnx::{
    LoadError, OnnxBackend, Provider, Runtime, RuntimeError, Selected,
};
use springtide_inference::{Backend, Class, Classifier, ElementType, Prediction, Stop, Tensor};

/// Rows that no training saw, and what onnxruntime for Python makes of them.
#[derive(Deserialize)]
struct HeldOut {
    rows: Vec<Vec<f32>>,
    predictions: Vec<i64>,
    probabilities: Vec<Vec<f32>>,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let library = std::env::var("ORT_DYLIB_PATH")
        .expect("ORT_DYLIB_PATH must be set: export ORT_DYLIB_PATH=$(scripts/onnxruntime)");
    Runtime::load(Path::new(&library)).unwrap()
});

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models")
}

fn load(model: &Path, provider: Provider) -> Result<(OnnxBackend, Selected), LoadError> {
    OnnxBackend::load(&RUNTIME, model, provider, NonZeroUsize::MIN)
}

fn check_model(name: &str) {
    let json = std::fs::read(models().join(format!("{name}.test.json"))).unwrap();
    let held_out: HeldOut = serde_json::from_slice(&json).unwrap();
    let (mut backend, selected) =
        load(&models().join(format!("{name}.onnx")), Provider::Cpu).unwrap();
    assert_eq!(selected, Selected::Cpu);
    let classifier = Classifier::new(backend.signature()).unwrap();
    let mut predict = |rows: &[Vec<f32>]| -> Vec<Prediction> {
        let shape = vec![rows.len(), classifier.features().get()];
        let input = Tensor::new(shape, rows.concat()).unwrap();
        let outputs = backend.run(&[&input], &Stop::new()).unwrap();
        let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
        let count = NonZeroUsize::new(rows.len()).unwrap();
        classifier.predictions(&views, count).unwrap()
    };
    let together = predict(&held_out.rows);
    assert_eq!(together.len(), held_out.rows.len());
    for (index, prediction) in together.iter().enumerate() {
        assert_eq!(
            prediction.class,
            Class::Number(held_out.predictions[index]),
            "row {index}"
        );
        let highest = held_out.probabilities[index]
            .iter()
            .copied()
            .fold(0.0, f32::max);
        assert!(
            (prediction.confidence - highest).abs() < 1e-5,
            "row {index}: {prediction:?}"
        );
        let alone = &predict(&held_out.rows[index..=index])[0];
        assert_eq!(alone.class, prediction.class, "row {index}");
        assert!(
            (alone.confidence - prediction.confidence).abs() < 1e-5,
            "row {index}"
        );
    }
}

#[test]
fn iris_predicts_as_onnxruntime_for_python_does_alone_and_in_a_batch() {
    check_model("iris");
}

#[test]
fn digits_predict_as_onnxruntime_for_python_does_alone_and_in_a_batch() {
    check_model("digits");
}

#[test]
fn without_a_gpu_cuda_is_an_error_and_auto_falls_back() {
    if RUNTIME.has_cuda() {
        // The library has CUDA; whether there is a GPU decides, and both answers must agree.
        let cuda = load(&models().join("iris.onnx"), Provider::Cuda).is_ok();
        let (_, selected) = load(&models().join("iris.onnx"), Provider::Auto).unwrap();
        assert_eq!(selected == Selected::Cuda, cuda);
        return;
    }
    let refused = load(&models().join("iris.onnx"), Provider::Cuda).unwrap_err();
    assert!(
        matches!(refused, LoadError::CudaUnavailable(_)),
        "{refused}"
    );
    let (_, selected) = load(&models().join("iris.onnx"), Provider::Auto).unwrap();
    assert_eq!(selected, Selected::Cpu);
}

#[test]
fn what_is_not_a_model_is_refused() {
    let refused = load(&models().join("iris.test.json"), Provider::Cpu).unwrap_err();
    assert!(matches!(refused, LoadError::Model(_)), "{refused}");
}

#[test]
fn a_row_of_the_wrong_length_fails_and_the_session_goes_on() {
    let (mut backend, _) = load(&models().join("iris.onnx"), Provider::Cpu).unwrap();
    let mut run = |columns| {
        let zeros = Tensor::zeros(ElementType::F32, vec![1, columns]).unwrap();
        backend.run(&[&zeros], &Stop::new())
    };
    assert!(run(5).is_err());
    assert!(run(4).is_ok());
}

#[test]
fn the_library_is_loaded_once_per_process() {
    LazyLock::force(&RUNTIME);
    let refused = Runtime::load(Path::new("libonnxruntime.so")).unwrap_err();
    assert!(matches!(refused, RuntimeError::Start(_)), "{refused}");
}
