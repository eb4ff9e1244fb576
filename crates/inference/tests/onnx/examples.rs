//! The example models, against what onnxruntime for Python makes of them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use springtide_inference::learn_labels;
use springtide_inference::{Backend, CancelHandle, Class, Classifier, Prediction, Tensor};

use crate::support::open;

/// Rows that no training saw, and what onnxruntime for Python makes of them.
#[derive(Deserialize)]
struct HeldOut {
    rows: Vec<Vec<f32>>,
    predictions: Vec<i64>,
    probabilities: Vec<Vec<f32>>,
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models")
}

fn check_model(name: &str) {
    let json = std::fs::read(models().join(format!("{name}.test.json"))).unwrap();
    let held_out: HeldOut = serde_json::from_slice(&json).unwrap();
    let mut backend = open(&models().join(format!("{name}.onnx"))).unwrap();
    let mut classifier = Classifier::new(backend.signature()).unwrap();
    let rows = NonZeroUsize::new(32).unwrap();
    learn_labels(&mut backend, &mut classifier, rows, &|_| None);
    let mut predict = |rows: &[Vec<f32>]| -> Vec<Prediction> {
        let shape = vec![rows.len(), rows[0].len()];
        let input = Tensor::new(shape, rows.concat()).unwrap();
        let outputs = backend.run(&[&input], &CancelHandle::new()).unwrap();
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
            (prediction.confidence.unwrap() - highest).abs() < 1e-5,
            "row {index}: {prediction:?}"
        );
        let alone = &predict(&held_out.rows[index..=index])[0];
        assert_eq!(alone.class, prediction.class, "row {index}");
        assert!(
            (alone.confidence.unwrap() - prediction.confidence.unwrap()).abs() < 1e-5,
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
