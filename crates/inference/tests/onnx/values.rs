//! Tensors of every type and shape, and values that aren't tensors.

use half::{bf16, f16};
use springtide_inference::{
    Backend, CancelHandle, Data, Dimension, ElementType, Port, RunError, Tensor,
};

use crate::support::{model, open, tensor};

/// Rows of every type, and a scalar, for `every_type.onnx`.
fn every_type() -> Vec<Tensor> {
    let rows: [Data; 14] = [
        vec![true, false].into(),
        vec![u8::MIN, u8::MAX].into(),
        vec![u16::MIN, u16::MAX].into(),
        vec![u32::MIN, u32::MAX].into(),
        vec![u64::MIN, u64::MAX].into(),
        vec![i8::MIN, i8::MAX].into(),
        vec![i16::MIN, i16::MAX].into(),
        vec![i32::MIN, i32::MAX].into(),
        vec![i64::MIN, i64::MAX].into(),
        vec![f16::MIN, f16::EPSILON].into(),
        vec![bf16::MIN, bf16::EPSILON].into(),
        vec![f32::MIN, f32::INFINITY].into(),
        vec![f64::MIN, f64::NEG_INFINITY].into(),
        vec![String::new(), "ünï → 文".to_owned()].into(),
    ];
    rows.into_iter()
        .map(|data| tensor(&[1, 2], data))
        .chain([tensor(&[], vec![0.5_f32])])
        .collect()
}

#[test]
fn every_type_goes_in_and_comes_out() {
    let mut backend = open(&model("every_type")).unwrap();
    let elements: Vec<_> = backend
        .signature()
        .inputs
        .iter()
        .map(Port::element)
        .collect();
    let expected: Vec<_> = ElementType::ALL
        .into_iter()
        .chain([ElementType::F32])
        .map(Some)
        .collect();
    assert_eq!(elements, expected);
    assert_eq!(
        backend.signature().inputs[14].shape,
        Some(vec![]),
        "a scalar"
    );

    let tensors = every_type();
    let inputs: Vec<_> = tensors.iter().collect();
    assert_eq!(backend.signature().check(&inputs), Ok(()));
    assert_eq!(backend.run(&inputs, &CancelHandle::new()), Ok(tensors));
}

#[test]
fn a_tensor_may_have_no_elements() {
    let mut backend = open(&model("every_type")).unwrap();
    let tensors: Vec<Tensor> = every_type()
        .iter()
        .map(|tensor| match tensor.shape() {
            [] => tensor.clone(),
            _ => Tensor::zeros(tensor.element(), vec![0, 3]).unwrap(),
        })
        .collect();
    let inputs: Vec<_> = tensors.iter().collect();
    assert_eq!(backend.run(&inputs, &CancelHandle::new()), Ok(tensors));
}

#[test]
fn a_string_with_nul_fails_the_run() {
    let mut backend = open(&model("every_type")).unwrap();
    let mut tensors = every_type();
    tensors[13] = tensor(&[1, 1], vec!["a\0b".to_owned()]);
    let inputs: Vec<_> = tensors.iter().collect();
    let refused = backend.run(&inputs, &CancelHandle::new());
    assert!(matches!(refused, Err(RunError::Failed(_))), "{refused:?}");
}

#[test]
fn the_probabilities_of_a_zipmap_are_given_as_a_tensor() {
    let mut backend = open(&model("zipmap")).unwrap();
    let signature = backend.signature();
    assert!(signature.has_row_axis());
    let names: Vec<_> = signature.tensor_outputs().map(|port| &*port.name).collect();
    assert_eq!(names, ["maps", "negated"]);
    let outputs = backend.run(
        &[&tensor(&[1, 2], vec![0.25_f32, 0.75])],
        &CancelHandle::new(),
    );
    let expected = vec![
        tensor(&[1, 2], vec![0.25_f32, 0.75]),
        tensor(&[1, 2], vec![-0.25_f32, -0.75]),
    ];
    assert_eq!(outputs, Ok(expected));
}

#[test]
fn a_port_without_a_rank_takes_any() {
    let mut backend = open(&model("unranked")).unwrap();
    let [input] = &*backend.signature().inputs else {
        panic!("{:?}", backend.signature());
    };
    assert_eq!(input.shape, None);
    assert_eq!(backend.signature().outputs[0].shape, None);
    assert!(!backend.signature().has_row_axis());
    for shape in [&[][..], &[2], &[1, 1, 2]] {
        let zeros = Tensor::zeros(ElementType::F32, shape.to_vec()).unwrap();
        assert_eq!(backend.signature().check(&[&zeros]), Ok(()));
        let outputs = backend.run(&[&zeros], &CancelHandle::new()).unwrap();
        assert_eq!(outputs[0].shape(), shape);
    }
}

#[test]
fn dimensions_are_free_or_fixed() {
    let backend = open(&model("dense")).unwrap();
    assert_eq!(
        backend.signature().inputs[0].shape,
        Some(vec![Dimension::Any, Dimension::Fixed(64)])
    );
}
