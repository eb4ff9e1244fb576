use proptest::prelude::*;

use super::*;

fn tensor(shape: &[usize], numbers: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), numbers.to_vec()).unwrap()
}

#[test]
fn a_tensor_has_as_many_elements_as_its_shape() {
    for (shape, elements) in [
        (vec![], 1),
        (vec![0], 0),
        (vec![2, 3], 6),
        (vec![2, 0, 3], 0),
    ] {
        assert_eq!(element_count(&shape), Some(elements), "{shape:?}");
        assert!(Tensor::new(shape.clone(), vec![0.0_f32; elements]).is_ok());
        let refused = Tensor::new(shape.clone(), vec![0.0_f32; elements + 1]);
        let expected = ShapeMismatch::Count {
            shape,
            expected: elements,
            elements: elements + 1,
        };
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn shapes_that_nothing_can_have_are_refused_without_allocating() {
    for shape in [
        vec![usize::MAX],
        vec![1 << 32, 1 << 32],
        vec![usize::MAX / 2, 2],
        // No elements, but a dimension that ONNX Runtime's 64-bit integers can't hold.
        vec![0, usize::MAX],
        vec![usize::MAX, 0],
    ] {
        assert_eq!(element_count(&shape), None, "{shape:?}");
        let refused = Tensor::zeros(ElementType::F64, shape.clone());
        assert_eq!(refused, Err(ShapeMismatch::TooLarge { shape }));
    }
}

#[test]
fn stacking_refuses_what_differs() {
    let row = tensor(&[1, 2], &[1.0, 2.0]);
    assert_eq!(Tensor::stack(&[]), None);
    assert_eq!(Tensor::stack(&[&row, &tensor(&[1, 3], &[0.0; 3])]), None);
    assert_eq!(Tensor::stack(&[&row, &tensor(&[2], &[0.0; 2])]), None);
    let integers = Tensor::new(vec![1, 2], vec![1_i64, 2]).unwrap();
    assert_eq!(Tensor::stack(&[&row, &integers]), None);
    let scalar = tensor(&[], &[1.0]);
    assert_eq!(Tensor::stack(&[&scalar, &scalar]), None);
}

#[test]
fn views_of_rows() {
    let all = tensor(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let last = all.view_rows(1..3).unwrap();
    assert_eq!(last.shape(), [2, 2]);
    assert_eq!(last.data(), DataView::F32(&[3.0, 4.0, 5.0, 6.0]));
    assert_eq!(last.to_string(), "float32[2, 2]");
    assert_eq!(all.view_rows(3..3).unwrap().shape(), [0, 2]);
    assert_eq!(all.view_rows(2..4), None);
    #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
    let reversed = all.view_rows(2..1);
    assert_eq!(reversed, None);
    assert_eq!(tensor(&[], &[1.0]).view_rows(0..1), None, "a scalar");
    let empty_rows = tensor(&[3, 0], &[]);
    assert_eq!(empty_rows.view_rows(1..3).unwrap().shape(), [2, 0]);
    assert_eq!(all.view().to_tensor(), all);
}

proptest! {
    #[test]
    fn what_was_stacked_comes_apart_again(
        width in 0_usize..5,
        rows in prop::collection::vec(0_usize..4, 1..6),
    ) {
        let mut next = 0_i64;
        let tensors: Vec<Tensor> = rows
            .iter()
            .map(|rows| {
                let count = rows * width;
                let numbers: Vec<i64> = std::iter::repeat_with(|| { next += 1; next }).take(count).collect();
                Tensor::new(vec![*rows, width], numbers).unwrap()
            })
            .collect();
        let stacked = Tensor::stack(&tensors.iter().collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(stacked.rows(), rows.iter().sum::<usize>());
        let mut start = 0;
        for tensor in &tensors {
            let end = start + tensor.rows();
            prop_assert_eq!(&stacked.view_rows(start..end).unwrap().to_tensor(), tensor);
            start = end;
        }
    }
}
