//! Tensors of every type and small shapes, for property tests.

use half::{bf16, f16};
use proptest::prelude::*;
use springtide_inference::{Data, ElementType, Tensor};

pub(crate) fn element_type() -> impl Strategy<Value = ElementType> {
    prop::sample::select(ElementType::ALL.to_vec())
}

/// Of any element that its type has.
pub(crate) fn any_tensor() -> impl Strategy<Value = Tensor> {
    tensor(true)
}

/// Without NaN and infinity.
pub(crate) fn finite_tensor() -> impl Strategy<Value = Tensor> {
    tensor(false)
}

fn tensor(special: bool) -> impl Strategy<Value = Tensor> {
    (element_type(), prop::collection::vec(0..4_usize, 0..4)).prop_flat_map(
        move |(element, shape)| {
            let count = shape.iter().product();
            data(element, count, special)
                .prop_map(move |data| Tensor::new(shape.clone(), data).unwrap())
        },
    )
}

fn data(element: ElementType, count: usize, special: bool) -> BoxedStrategy<Data> {
    macro_rules! list {
        ($strategy:expr) => {
            prop::collection::vec($strategy, count)
                .prop_map(Data::from)
                .boxed()
        };
    }
    match element {
        ElementType::Bool => list!(any::<bool>()),
        ElementType::U8 => list!(any::<u8>()),
        ElementType::U16 => list!(any::<u16>()),
        ElementType::U32 => list!(any::<u32>()),
        ElementType::U64 => list!(any::<u64>()),
        ElementType::I8 => list!(any::<i8>()),
        ElementType::I16 => list!(any::<i16>()),
        ElementType::I32 => list!(any::<i32>()),
        ElementType::I64 => list!(any::<i64>()),
        ElementType::F16 => list!(
            any::<u16>()
                .prop_map(f16::from_bits)
                .prop_map(move |float| if special || float.is_finite() {
                    float
                } else {
                    f16::ONE
                })
        ),
        ElementType::Bf16 => list!(
            any::<u16>()
                .prop_map(bf16::from_bits)
                .prop_map(move |float| if special || float.is_finite() {
                    float
                } else {
                    bf16::ONE
                })
        ),
        ElementType::F32 => list!(
            any::<u32>()
                .prop_map(f32::from_bits)
                .prop_map(move |float| if special || float.is_finite() {
                    float
                } else {
                    1.0
                })
        ),
        ElementType::F64 => list!(
            any::<u64>()
                .prop_map(f64::from_bits)
                .prop_map(move |float| if special || float.is_finite() {
                    float
                } else {
                    1.0
                })
        ),
        ElementType::String => list!("[^\0]{0,4}"),
    }
}
