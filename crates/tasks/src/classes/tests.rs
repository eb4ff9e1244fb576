use std::fs;

use springtide_inference::Tensor;

use super::*;

fn folder(file: &str, content: &[u8]) -> (tempfile::TempDir, ModelFolder) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), content).unwrap();
    let files = ModelFolder::new(folder.path());
    (folder, files)
}

fn configuration(content: &str) -> Result<ClassConfiguration, FolderError> {
    let (_folder, files) = folder(CONFIGURATION, content.as_bytes());
    ClassConfiguration::read(&files).map(Option::unwrap)
}

fn labels(content: &[u8]) -> Result<Vec<String>, FolderError> {
    let (_folder, files) = folder(LABELS, content);
    Classes::from_labels(&files).map(|classes| classes.unwrap().names)
}

fn output(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), values.to_vec()).unwrap()
}

#[test]
fn id2label_is_sorted_by_its_numbers() {
    let written: Vec<String> = (0..12)
        .rev()
        .map(|index| format!(r#""{index}": "name {index}""#))
        .collect();
    let read = configuration(&format!(r#"{{"id2label": {{{}}}}}"#, written.join(","))).unwrap();
    let classes = read.classes.unwrap();
    let expected: Vec<String> = (0..12).map(|index| format!("name {index}")).collect();
    assert_eq!(classes.names(), expected);
    assert_eq!(
        (classes.name(2), classes.name(12)),
        ("name 2".into(), "12".into())
    );
    assert_eq!(read.activation, Activation::Softmax);
}

#[test]
fn other_keys_of_id2label_are_refused() {
    for keys in [
        r#""1": "a""#,
        r#""a": "a""#,
        r#""0": "a", "00": "b""#,
        r#""+0": "a""#,
    ] {
        let error = configuration(&format!(r#"{{"id2label": {{{keys}}}}}"#)).unwrap_err();
        assert!(error.to_string().contains("numbers from 0"), "{error}");
    }
    assert!(configuration(r#"{"id2label": {"0": 1}}"#).is_err());
    assert!(configuration(r#"{"num_labels": 1000000000000}"#).is_err());
}

#[test]
fn classes_without_names_are_counted() {
    let names = |content| {
        configuration(content)
            .unwrap()
            .classes
            .map(|classes| classes.names)
    };
    let two = vec!["LABEL_0".to_owned(), "LABEL_1".to_owned()];
    assert_eq!(names(r#"{"num_labels": 2}"#), Some(two));
    assert_eq!(names(r#"{"other": [1, 2]}"#), None);
}

#[test]
fn the_activation_is_the_one_of_transformers() {
    for (content, expected) in [
        (r#"{"num_labels": 3}"#, Activation::Softmax),
        (r#"{"num_labels": 1}"#, Activation::Sigmoid),
        (
            r#"{"problem_type": "multi_label_classification"}"#,
            Activation::Sigmoid,
        ),
        (
            r#"{"problem_type": "regression", "num_labels": 1}"#,
            Activation::Identity,
        ),
        (r#"{"problem_type": null}"#, Activation::Softmax),
    ] {
        assert_eq!(
            configuration(content).unwrap().activation,
            expected,
            "{content}"
        );
    }
}

#[test]
fn labels_are_lines() {
    assert_eq!(
        labels(b"\xef\xbb\xbfcat\r\n the dog \n\n").unwrap(),
        ["cat", "the dog"]
    );
    for content in [&b""[..], b"\n\n", b"cat\n\ndog", b"\xff\xfe"] {
        assert!(labels(content).is_err(), "{content:?}");
    }
    let too_many = "a\n".repeat(MAX_CLASSES + 1);
    assert!(labels(too_many.as_bytes()).is_err());
    assert_eq!(
        labels(&too_many.as_bytes()[2..]).unwrap().len(),
        MAX_CLASSES
    );
}

#[test]
fn probabilities_of_logits_have_the_sum_1() {
    let logits = output(&[2, 3], &[1000.0, 1000.0, -1000.0, 0.0, 1.0, 2.0]);
    let scores = class_scores(&logits.view(), 2, Activation::Softmax).unwrap();
    assert_eq!(scores[0].probabilities, [0.5, 0.5, 0.0]);
    let expected = [0.090_030_57, 0.244_728_48, 0.665_240_94];
    for (value, expected) in scores[1].probabilities.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6);
    }
    assert_eq!(scores[1].top(2), [2, 1]);
    assert_eq!(scores[0].top(9), [0, 1, 2]);
    let scores = class_scores(&logits.view(), 2, Activation::Sigmoid).unwrap();
    assert_eq!(scores[0].probabilities, [1.0, 1.0, 0.0]);
    assert_eq!(scores[1].probabilities[0], 0.5);
}

#[test]
fn probabilities_are_left_alone_in_any_float_type() {
    let values = [0.25_f32, 0.75];
    let halves: Vec<half::f16> = values
        .iter()
        .map(|&value| half::f16::from_f32(value))
        .collect();
    let doubles: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    for tensor in [
        output(&[1, 2], &values),
        output(&[1, 2, 1, 1], &values),
        Tensor::new(vec![1, 2], halves).unwrap(),
        Tensor::new(vec![1, 2], doubles).unwrap(),
    ] {
        assert_eq!(activation_of(&tensor.view()), Ok(Activation::Identity));
        let scores = class_scores(&tensor.view(), 1, Activation::Identity).unwrap();
        assert_eq!(scores[0].probabilities, values);
    }
    for logits in [[0.25, 0.5], [1.5, -0.5]] {
        let activation = activation_of(&output(&[1, 2], &logits).view());
        assert_eq!(activation, Ok(Activation::Softmax));
    }
}

#[test]
fn outputs_without_scores_are_refused() {
    for (tensor, rows) in [
        (output(&[2], &[0.0; 2]), 2),
        (output(&[2, 0], &[]), 2),
        (output(&[2, 2, 2], &[0.0; 8]), 2),
        (output(&[2, 2], &[0.0; 4]), 3),
        (Tensor::new(vec![1, 2], vec![1_i64, 2]).unwrap(), 1),
        (Tensor::new(vec![], vec![1.0_f32]).unwrap(), 1),
    ] {
        let refused = class_scores(&tensor.view(), rows, Activation::Identity);
        assert!(
            matches!(refused, Err(ScoresError::Shape { .. })),
            "{tensor:?}"
        );
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let refused = class_scores(
            &output(&[1, 2], &[value, 0.0]).view(),
            1,
            Activation::Softmax,
        );
        assert_eq!(refused, Err(ScoresError::NotFinite));
    }
}
