//! Which values nodes take.

use crate::candidates::collect::{Collector, Strength};
use crate::candidates::operands::Operands;
use crate::candidates::tensor::{Tensor, is_integer};
use crate::candidates::valid_values::ValidValues;

use super::vocabulary;

/// Sizes, depths, counts and steps: large ones would cost memory and time.
const SMALL: ValidValues = ValidValues::Range(1, 8);
const ONE: ValidValues = ValidValues::Range(1, 1);
const ZERO: ValidValues = ValidValues::Range(0, 0);

/// Numbers of several scales that logarithms and roots take.
const POSITIVE: [f64; 10] = [1.0, 0.5, 2.0, 0.125, 4.0, 0.75, 10.0, 3.0, 37.5, 250.0];

fn positive() -> ValidValues {
    ValidValues::Numbers(POSITIVE.to_vec())
}

fn nonzero() -> ValidValues {
    ValidValues::Numbers(
        POSITIVE
            .iter()
            .flat_map(|number| [*number, -number])
            .collect(),
    )
}

/// Tells `collector` which values the node takes of its inputs.
pub(in crate::candidates) fn constrain(operands: &Operands<'_, '_>, collector: &mut Collector) {
    let input = |position: usize| operands.input(position);
    match operands.operator() {
        "OneHotEncoder" => {
            // Strings and integers exclude each other; with both, the input's kind decides.
            known(operands, collector, &["cats_strings", "cats_int64s"]);
        }
        "LabelEncoder" => known(
            operands,
            collector,
            &[
                "keys_strings",
                "keys_int64s",
                "keys_floats",
                "keys_tensor",
                "classes_strings",
            ],
        ),
        "CategoryMapper" => {
            let names = if is_integer(input(0).element) {
                ["cats_int64s"]
            } else {
                ["cats_strings"]
            };
            known(operands, collector, &names);
        }
        "TfIdfVectorizer" => {
            if let Some(grams) = vocabulary::grams(operands) {
                collector.constrain(input(0), Strength::Required, &grams);
            }
        }
        "Gather" | "GatherElements" | "GatherND" | "ScatterND" | "ScatterElements" | "Scatter" => {
            table(operands, collector);
        }
        "EmbedLayerNormalization" => {
            for (ids, rows) in [(0, 2), (1, 4), (8, 3)] {
                index(input(ids), input(rows).axis(0).fixed(), collector);
            }
            mask(input(7), collector);
        }
        "OneHot" => {
            if let Some(depth) = input(1).integers().and_then(|depth| depth.first().copied()) {
                collector.constrain(
                    input(0),
                    Strength::Meaningful,
                    &ValidValues::Range(0, depth.saturating_sub(1).max(0)),
                );
            }
            collector.constrain(input(1), Strength::Required, &ValidValues::Range(1, 16));
        }
        "Div" | "Mod" => divisor(input(1), collector),
        "Equal" => compared(operands, collector),
        "Reciprocal" => collector.constrain(input(0), Strength::Meaningful, &nonzero()),
        "Log" | "Sqrt" => collector.constrain(input(0), Strength::Meaningful, &positive()),
        "Asin" | "Acos" | "Atanh" => {
            collector.constrain(
                input(0),
                Strength::Meaningful,
                &ValidValues::Numbers(vec![0.0, 0.5, -0.5, 0.25]),
            );
        }
        "Acosh" => collector.constrain(
            input(0),
            Strength::Meaningful,
            &ValidValues::Numbers(vec![1.0, 1.5, 2.0]),
        ),
        "Pow" => {
            if input(1).numbers().is_none_or(|exponents| {
                exponents
                    .iter()
                    .any(|exponent| exponent.fract() != 0.0 || *exponent < 0.0)
            }) {
                collector.constrain(input(0), Strength::Meaningful, &positive());
            }
            collector.constrain(
                input(1),
                Strength::Meaningful,
                &ValidValues::Numbers(vec![1.0, 2.0]),
            );
        }
        "BitShift" => collector.constrain(input(1), Strength::Required, &ValidValues::Range(0, 7)),
        "Bernoulli" => collector.constrain(
            input(0),
            Strength::Required,
            &ValidValues::Numbers(vec![0.5, 0.0, 1.0]),
        ),
        "RNN" | "LSTM" | "GRU" => collector.constrain(input(4), Strength::Required, &ONE),
        "ReverseSequence" => collector.constrain(input(1), Strength::Required, &ONE),
        "Attention" | "MultiHeadAttention" | "QAttention" if !operands.node.domain.is_empty() => {
            let position = match operands.operator() {
                "Attention" => 3,
                "QAttention" => 5,
                _ => 4,
            };
            mask(input(position), collector);
        }
        "RotaryEmbedding" => index(input(1), input(2).axis(0).fixed(), collector),
        "GroupQueryAttention" => {
            collector.constrain(input(5), Strength::Required, &ZERO);
            collector.constrain(input(6), Strength::Required, &ONE);
        }
        _ => sizes(operands, collector),
    }
    joined_with_mask(operands, collector);
}

/// Operands that are sizes, counts, positions and the like.
fn sizes(operands: &Operands<'_, '_>, collector: &mut Collector) {
    let input = |position: usize| operands.input(position);
    match operands.operator() {
        "TopK" => {
            let longest = input(0)
                .axis(operands.integer("axis", -1))
                .fixed()
                .unwrap_or(1);
            collector.constrain(
                input(1),
                Strength::Required,
                &ValidValues::Range(1, longest.clamp(1, 8)),
            );
        }
        "Tile" => collector.constrain(input(1), Strength::Required, &ValidValues::Range(1, 2)),
        // Any number of elements fits these.
        "Reshape" => collector.constrain_each(input(1), Strength::Required, |position| {
            ValidValues::Integers(vec![if position == 0 { -1 } else { 1 }])
        }),
        "Expand" => collector.constrain(input(1), Strength::Required, &ONE),
        "ConstantOfShape" | "HannWindow" | "HammingWindow" | "BlackmanWindow" => {
            collector.constrain(input(0), Strength::Required, &SMALL);
        }
        "CenterCropPad" => collector.constrain(input(1), Strength::Required, &SMALL),
        "Range" => {
            let is_integer = is_integer(input(0).element)
                || is_integer(input(1).element)
                || is_integer(input(2).element);
            let numbers = |integer: ValidValues, number: f64| {
                if is_integer {
                    integer
                } else {
                    ValidValues::Numbers(vec![number])
                }
            };
            collector.constrain(input(0), Strength::Meaningful, &numbers(ZERO, 0.0));
            collector.constrain(input(1), Strength::Required, &numbers(SMALL, 4.0));
            collector.constrain(input(2), Strength::Required, &numbers(ONE, 1.0));
        }
        "Slice" => {
            collector.constrain(input(1), Strength::Required, &ZERO);
            collector.constrain(input(2), Strength::Required, &SMALL);
            collector.constrain(input(3), Strength::Required, &ZERO);
            collector.constrain(input(4), Strength::Required, &ONE);
        }
        "Split" => {
            let whole = input(0).axis(operands.integer("axis", 0)).fixed();
            let parts = i64::try_from(operands.node.output.len()).unwrap_or(1);
            let first = whole.map_or(1, |whole| {
                whole.saturating_sub(parts.saturating_sub(1)).max(0)
            });
            collector.constrain_each(input(1), Strength::Required, |position| {
                let size = if position == 0 { first } else { 1 };
                ValidValues::Range(size, size)
            });
        }
        "Resize" | "Upsample" => resized(operands, collector),
        "Pad" | "Trilu" => {
            collector.constrain(input(1), Strength::Required, &ValidValues::Range(0, 1));
        }
        "Squeeze" | "Unsqueeze" | "CumSum" => {
            collector.constrain(input(1), Strength::Required, &ZERO);
        }
        "DFT" | "STFT" => {
            for position in 1..=3 {
                collector.constrain(input(position), Strength::Required, &ONE);
            }
        }
        "NonMaxSuppression" => {
            collector.constrain(input(2), Strength::Required, &SMALL);
            collector.constrain(
                input(3),
                Strength::Meaningful,
                &ValidValues::Numbers(vec![0.5, 0.25, 0.75]),
            );
            collector.constrain(
                input(4),
                Strength::Meaningful,
                &ValidValues::Numbers(vec![0.25, 0.0]),
            );
        }
        "RoiAlign" => collector.constrain(input(2), Strength::Required, &ZERO),
        "Dropout" => collector.constrain(
            input(1),
            Strength::Required,
            &ValidValues::Numbers(vec![0.0, 0.5]),
        ),
        "QuantizeLinear" | "DequantizeLinear" => {
            collector.constrain(input(1), Strength::Meaningful, &positive());
        }
        operator if operator.starts_with("Reduce") => {
            collector.constrain(input(1), Strength::Required, &ZERO);
        }
        _ => {}
    }
}

fn known(operands: &Operands<'_, '_>, collector: &mut Collector, names: &[&str]) {
    if let Some(valid) = vocabulary::listed(operands, names) {
        collector.constrain(operands.input(0), Strength::Required, &valid);
    }
}

/// Positions in a table of this many rows.
fn index(positions: &Tensor<'_>, rows: Option<i64>, collector: &mut Collector) {
    let last = rows.unwrap_or(1).saturating_sub(1).max(0);
    collector.constrain(positions, Strength::Required, &ValidValues::Range(0, last));
}

fn table(operands: &Operands<'_, '_>, collector: &mut Collector) {
    let data = operands.input(0);
    let default = operands.attribute("axis").map_or(0, |axis| axis.i);
    match operands.operator() {
        "GatherND" | "ScatterND" => {
            let skipped = operands.integer("batch_dims", 0);
            collector.constrain_each(operands.input(1), Strength::Required, |position| {
                let axis = i64::try_from(position).unwrap_or(0).saturating_add(skipped);
                ValidValues::Range(
                    0,
                    data.axis(axis)
                        .fixed()
                        .unwrap_or(1)
                        .saturating_sub(1)
                        .max(0),
                )
            });
        }
        _ => index(operands.input(1), data.axis(default).fixed(), collector),
    }
}

fn divisor(tensor: &Tensor<'_>, collector: &mut Collector) {
    let is_float = tensor.element != crate::proto::element::UNDEFINED && !tensor.is_integer();
    if is_float {
        collector.constrain(tensor, Strength::Meaningful, &nonzero());
    } else {
        collector.constrain(tensor, Strength::Required, &ValidValues::Range(1, 16));
    }
}

/// What inputs are compared with tells what they may be.
fn compared(operands: &Operands<'_, '_>, collector: &mut Collector) {
    for (values, constant) in [(0, 1), (1, 0)] {
        let Some(constant) = operands.input(constant).constant_value() else {
            continue;
        };
        let valid = constant
            .strings(1024)
            .map(ValidValues::Strings)
            .or_else(|| constant.integers(1024).map(ValidValues::Integers));
        if let Some(valid) = valid {
            collector.constrain(operands.input(values), Strength::Hint, &valid);
        }
    }
}

fn resized(operands: &Operands<'_, '_>, collector: &mut Collector) {
    let data = operands.input(0);
    let last = operands.node.input.len().saturating_sub(1);
    for position in 1..=last {
        let sizes = operands.input(position);
        if sizes.is_integer() {
            // Rows and channels stay as they are.
            collector.constrain_each(sizes, Strength::Required, |axis| {
                match data.axis(i64::try_from(axis).unwrap_or(0)).fixed() {
                    Some(length) => ValidValues::Range(length, length),
                    None if axis < 2 => ONE,
                    None => SMALL,
                }
            });
        } else if position == 1 && last == 1 || position == 2 {
            collector.constrain_each(sizes, Strength::Required, |axis| {
                ValidValues::Numbers(if axis < 2 { vec![1.0] } else { vec![1.0, 2.0] })
            });
        }
    }
}

/// The one input that a tensor is made of by casts and comparisons alone.
pub(in crate::candidates) fn single_source(tensor: &Tensor<'_>) -> Option<usize> {
    match tensor.sources.as_ref() {
        [input] if tensor.simple => Some(*input),
        _ => None,
    }
}

fn mask(tensor: &Tensor<'_>, collector: &mut Collector) {
    if let Some(input) = single_source(tensor) {
        collector.mask(input);
    }
}

/// What is added to, multiplied with or chosen by what the model computes is a mask, if it is made of
/// one input of integers by casts and comparisons alone.
fn joined_with_mask(operands: &Operands<'_, '_>, collector: &mut Collector) {
    if !matches!(operands.operator(), "Add" | "Sub" | "Mul" | "Div" | "Where") {
        return;
    }
    let is_computed = |tensor: &Tensor<'_>| !tensor.simple && !tensor.sources.is_empty();
    if operands.inputs.iter().any(is_computed) {
        for tensor in operands.inputs {
            mask(tensor, collector);
        }
    }
}
