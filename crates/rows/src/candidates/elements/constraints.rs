//! Which values nodes take.

use crate::candidates::collect::{Collector, Need};
use crate::candidates::operands::Operands;
use crate::candidates::tensor::{Tensor, is_integer};
use crate::candidates::wanted::Wanted;

use super::vocabulary;

/// Sizes, depths, counts and steps: large ones would cost memory and time.
const SMALL: Wanted = Wanted::Range(1, 8);
const ONE: Wanted = Wanted::Range(1, 1);
const ZERO: Wanted = Wanted::Range(0, 0);

/// Numbers of several scales that logarithms and roots take.
const POSITIVE: [f64; 10] = [1.0, 0.5, 2.0, 0.125, 4.0, 0.75, 10.0, 3.0, 37.5, 250.0];

fn positive() -> Wanted {
    Wanted::Numbers(POSITIVE.to_vec())
}

fn nonzero() -> Wanted {
    Wanted::Numbers(
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
                collector.want(input(0), Need::Must, &grams);
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
                collector.want(
                    input(0),
                    Need::Sense,
                    &Wanted::Range(0, depth.saturating_sub(1).max(0)),
                );
            }
            collector.want(input(1), Need::Must, &Wanted::Range(1, 16));
        }
        "Div" | "Mod" => divisor(input(1), collector),
        "Equal" => compared(operands, collector),
        "Reciprocal" => collector.want(input(0), Need::Sense, &nonzero()),
        "Log" | "Sqrt" => collector.want(input(0), Need::Sense, &positive()),
        "Asin" | "Acos" | "Atanh" => {
            collector.want(
                input(0),
                Need::Sense,
                &Wanted::Numbers(vec![0.0, 0.5, -0.5, 0.25]),
            );
        }
        "Acosh" => collector.want(input(0), Need::Sense, &Wanted::Numbers(vec![1.0, 1.5, 2.0])),
        "Pow" => {
            if input(1).numbers().is_none_or(|exponents| {
                exponents
                    .iter()
                    .any(|exponent| exponent.fract() != 0.0 || *exponent < 0.0)
            }) {
                collector.want(input(0), Need::Sense, &positive());
            }
            collector.want(input(1), Need::Sense, &Wanted::Numbers(vec![1.0, 2.0]));
        }
        "BitShift" => collector.want(input(1), Need::Must, &Wanted::Range(0, 7)),
        "Bernoulli" => collector.want(input(0), Need::Must, &Wanted::Numbers(vec![0.5, 0.0, 1.0])),
        "RNN" | "LSTM" | "GRU" => collector.want(input(4), Need::Must, &ONE),
        "ReverseSequence" => collector.want(input(1), Need::Must, &ONE),
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
            collector.want(input(5), Need::Must, &ZERO);
            collector.want(input(6), Need::Must, &ONE);
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
            collector.want(input(1), Need::Must, &Wanted::Range(1, longest.clamp(1, 8)));
        }
        "Tile" => collector.want(input(1), Need::Must, &Wanted::Range(1, 2)),
        // Any number of elements fits these.
        "Reshape" => collector.want_each(input(1), Need::Must, |position| {
            Wanted::Integers(vec![if position == 0 { -1 } else { 1 }])
        }),
        "Expand" => collector.want(input(1), Need::Must, &ONE),
        "ConstantOfShape" | "HannWindow" | "HammingWindow" | "BlackmanWindow" => {
            collector.want(input(0), Need::Must, &SMALL);
        }
        "CenterCropPad" => collector.want(input(1), Need::Must, &SMALL),
        "Range" => {
            let is_integer = is_integer(input(0).element)
                || is_integer(input(1).element)
                || is_integer(input(2).element);
            let numbers = |integer: Wanted, number: f64| {
                if is_integer {
                    integer
                } else {
                    Wanted::Numbers(vec![number])
                }
            };
            collector.want(input(0), Need::Sense, &numbers(ZERO, 0.0));
            collector.want(input(1), Need::Must, &numbers(SMALL, 4.0));
            collector.want(input(2), Need::Must, &numbers(ONE, 1.0));
        }
        "Slice" => {
            collector.want(input(1), Need::Must, &ZERO);
            collector.want(input(2), Need::Must, &SMALL);
            collector.want(input(3), Need::Must, &ZERO);
            collector.want(input(4), Need::Must, &ONE);
        }
        "Split" => {
            let whole = input(0).axis(operands.integer("axis", 0)).fixed();
            let parts = i64::try_from(operands.node.output.len()).unwrap_or(1);
            let first = whole.map_or(1, |whole| {
                whole.saturating_sub(parts.saturating_sub(1)).max(0)
            });
            collector.want_each(input(1), Need::Must, |position| {
                let size = if position == 0 { first } else { 1 };
                Wanted::Range(size, size)
            });
        }
        "Resize" | "Upsample" => resized(operands, collector),
        "Pad" | "Trilu" => collector.want(input(1), Need::Must, &Wanted::Range(0, 1)),
        "Squeeze" | "Unsqueeze" | "CumSum" => collector.want(input(1), Need::Must, &ZERO),
        "DFT" | "STFT" => {
            for position in 1..=3 {
                collector.want(input(position), Need::Must, &ONE);
            }
        }
        "NonMaxSuppression" => {
            collector.want(input(2), Need::Must, &SMALL);
            collector.want(
                input(3),
                Need::Sense,
                &Wanted::Numbers(vec![0.5, 0.25, 0.75]),
            );
            collector.want(input(4), Need::Sense, &Wanted::Numbers(vec![0.25, 0.0]));
        }
        "RoiAlign" => collector.want(input(2), Need::Must, &ZERO),
        "Dropout" => collector.want(input(1), Need::Must, &Wanted::Numbers(vec![0.0, 0.5])),
        "QuantizeLinear" | "DequantizeLinear" => {
            collector.want(input(1), Need::Sense, &positive());
        }
        operator if operator.starts_with("Reduce") => collector.want(input(1), Need::Must, &ZERO),
        _ => {}
    }
}

fn known(operands: &Operands<'_, '_>, collector: &mut Collector, names: &[&str]) {
    if let Some(wanted) = vocabulary::listed(operands, names) {
        collector.want(operands.input(0), Need::Must, &wanted);
    }
}

/// Positions in a table of this many rows.
fn index(positions: &Tensor<'_>, rows: Option<i64>, collector: &mut Collector) {
    let last = rows.unwrap_or(1).saturating_sub(1).max(0);
    collector.want(positions, Need::Must, &Wanted::Range(0, last));
}

fn table(operands: &Operands<'_, '_>, collector: &mut Collector) {
    let data = operands.input(0);
    let default = operands.attribute("axis").map_or(0, |axis| axis.i);
    match operands.operator() {
        "GatherND" | "ScatterND" => {
            let skipped = operands.integer("batch_dims", 0);
            collector.want_each(operands.input(1), Need::Must, |position| {
                let axis = i64::try_from(position).unwrap_or(0).saturating_add(skipped);
                Wanted::Range(
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
        collector.want(tensor, Need::Sense, &nonzero());
    } else {
        collector.want(tensor, Need::Must, &Wanted::Range(1, 16));
    }
}

/// What inputs are compared with tells what they may be.
fn compared(operands: &Operands<'_, '_>, collector: &mut Collector) {
    for (values, constant) in [(0, 1), (1, 0)] {
        let Some(constant) = operands.input(constant).constant_value() else {
            continue;
        };
        let wanted = constant
            .strings(1024)
            .map(Wanted::Strings)
            .or_else(|| constant.integers(1024).map(Wanted::Integers));
        if let Some(wanted) = wanted {
            collector.want(operands.input(values), Need::Hint, &wanted);
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
            collector.want_each(sizes, Need::Must, |axis| {
                match data.axis(i64::try_from(axis).unwrap_or(0)).fixed() {
                    Some(length) => Wanted::Range(length, length),
                    None if axis < 2 => ONE,
                    None => SMALL,
                }
            });
        } else if position == 1 && last == 1 || position == 2 {
            collector.want_each(sizes, Need::Must, |axis| {
                Wanted::Numbers(if axis < 2 { vec![1.0] } else { vec![1.0, 2.0] })
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
