//! What a model doesn't take, and what its labels mean.

use springtide_inference::learn_labels;
use springtide_inference::{Backend, CancelHandle, Classifier, RunError, Tensor};

use crate::support::{model, open, tensor};

#[test]
fn an_id_beyond_the_table_is_the_fault_of_the_input() {
    let mut backend = open(&model("embedding")).unwrap();
    let mut run = |ids: Vec<i64>| backend.run(&[&tensor(&[ids.len()], ids)], &CancelHandle::new());
    assert!(run(vec![0, 4]).is_ok());
    let refused = run(vec![0, 9]);
    let Err(RunError::InvalidInput(message)) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        message.starts_with("Gather: indices element out of"),
        "{message}"
    );
    assert!(message.contains("idx=9"), "{message}");
    assert!(!message.contains('/'), "{message}");
    assert!(run(vec![3]).is_ok(), "the session goes on");
}

#[test]
fn the_confidence_is_that_of_the_label_where_another_class_is_more_probable() {
    let mut backend = open(&model("threshold")).unwrap();
    let mut classifier = Classifier::new(backend.signature()).unwrap();
    let rows = 32.try_into().unwrap();
    learn_labels(&mut backend, &mut classifier, rows, &|_| None);
    let input = tensor(&[3, 2], vec![0.5_f32, 0.0, 3.0, 0.0, 0.0, 3.0]);
    let outputs = backend.run(&[&input], &CancelHandle::new()).unwrap();
    let views: Vec<_> = outputs.iter().map(Tensor::view).collect();
    let predictions = classifier.predictions(&views, 3.try_into().unwrap());
    let confidences: Vec<f32> = predictions
        .unwrap()
        .into_iter()
        .map(|prediction| prediction.confidence.unwrap())
        .collect();
    for (confidence, expected) in confidences
        .iter()
        .zip([0.377_540_68, 0.952_574_1, 0.952_574_1])
    {
        assert!((confidence - expected).abs() < 1e-5, "{confidences:?}");
    }
}
