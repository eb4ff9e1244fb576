//! Nodes that may use unbounded memory or time in ONNX Runtime, when a model is loaded or run. Loading computes all
//! nodes whose inputs are constants.
//!
//! Sizes are estimated for the rows and lengths of the first trial runs. A tensor whose length depends on a request's
//! values is a hazard where the operator's inputs don't bound it, or where their shapes are unknown.

use crate::call::Call;
use crate::constant;
use crate::dimension::{Dim, Symbol};
use crate::value::Value;

/// Maximum number of elements of a tensor, and of all tensors computed from constants, without a hazard: 1 GiB of
/// 64-bit integers.
const LARGE: i64 = 1 << 27;

/// Assumed value of lengths that clients choose.
const LENGTH: i64 = 64;

/// Maximum number of iterations of nested loops without a hazard.
const MAXIMUM_ROUNDS: u64 = 4096;

/// Maximum scale of a `Resize` without a hazard.
const MAXIMUM_SCALE: f64 = 16.0;

const SIZE: &str = "may make a tensor of any size";
const LARGE_TENSOR: &str = "makes a very large tensor";
const LARGE_CONSTANTS: &str = "makes very large tensors of constants";
const ROUNDS: &str = "may repeat its graph without end";
const GROWS: &str = "may make a tensor larger each time that it repeats its graph";

/// Maximum number of iterations of a `Loop`, where it is known.
pub(crate) fn rounds(call: &Call<'_, '_, '_>) -> Option<u64> {
    let trips = call.optional(0)?;
    let trips = match trips.scalar().and_then(Dim::as_constant) {
        Some(trips) => trips,
        None => *constant::integers(trips.literal?)?.first()?,
    };
    Some(u64::try_from(trips).unwrap_or(0))
}

/// Adds a hazard if the node could use too much, given its outputs.
pub(crate) fn check(call: &mut Call<'_, '_, '_>, outputs: &[Value<'_>]) {
    if let Some(why) = found(call, outputs) {
        call.walk.add_hazard(call.node, why);
    }
}

fn found(call: &mut Call<'_, '_, '_>, outputs: &[Value<'_>]) -> Option<&'static str> {
    let operator = call.node.op_type.as_str();
    if crate::scope::canonical(&call.node.domain).is_empty() {
        if operator == "Loop" {
            let own = rounds(call);
            let all = own.and_then(|rounds| rounds.checked_mul(call.walk.rounds));
            if all.is_none_or(|all| all > MAXIMUM_ROUNDS) {
                return Some(ROUNDS);
            }
            let mut states = outputs.iter().take(call.inputs.len().saturating_sub(2));
            if own.is_some_and(|rounds| rounds > 1) && states.any(|state| !is_followed(call, state))
            {
                return Some(GROWS);
            }
        }
        if makes_from_nothing(call, operator)
            && !is_given_small(call, operator)
            && outputs.iter().any(|output| !is_followed(call, output))
        {
            return Some(SIZE);
        }
    }
    let largest = call
        .inputs
        .iter()
        .flatten()
        .map(|input| elements(input))
        .max();
    let largest = largest.unwrap_or(0);
    for output in outputs {
        let elements = elements(output);
        if elements > LARGE && elements > largest {
            return Some(LARGE_TENSOR);
        }
        if output.is_invariant() {
            let grown = if contracts(operator) {
                elements
            } else {
                elements.saturating_sub(largest)
            };
            call.walk.made_of_constants = call.walk.made_of_constants.saturating_add(grown.max(0));
            if grown > 0 && call.walk.made_of_constants > LARGE {
                return Some(LARGE_CONSTANTS);
            }
        }
    }
    None
}

/// Whether the sizes of the node's outputs come from the values of its inputs.
fn makes_from_nothing(call: &Call<'_, '_, '_>, operator: &str) -> bool {
    match operator {
        "ConstantOfShape" | "Expand" | "Tile" | "Range" | "Pad" | "OneHot" | "CenterCropPad"
        | "Col2Im" | "MaxUnpool" | "AffineGrid" | "HannWindow" | "HammingWindow"
        | "BlackmanWindow" | "DFT" | "STFT" | "MelWeightMatrix" => true,
        "Resize" | "Upsample" => !has_small_scales(call, operator),
        _ => false,
    }
}

/// Whether the numbers that decide the size are known from lengths and come to little, though how the
/// output depends on the rows isn't followed.
fn is_given_small(call: &Call<'_, '_, '_>, operator: &str) -> bool {
    let decisive: &[usize] = match operator {
        "ConstantOfShape" => &[0],
        "Expand" | "Tile" | "Pad" | "OneHot" => &[1],
        "Range" => &[0, 1, 2],
        _ => return false,
    };
    let given = call
        .inputs
        .iter()
        .flatten()
        .map(|input| elements(input))
        .max();
    let mut size = given.unwrap_or(0).max(1);
    for &index in decisive {
        let Some(content) = call.optional(index).and_then(|value| value.content.clone()) else {
            return false;
        };
        for dim in content.iter() {
            let is_length = |symbol| matches!(symbol, Symbol::Rows | Symbol::Length(_));
            match dim {
                Some(dim) if dim.symbols().all(is_length) => {
                    size = size.saturating_mul(dim.magnitude(LENGTH).saturating_add(1));
                }
                _ => return false,
            }
        }
    }
    size <= LARGE
}

/// Operators whose work grows with more than the tensors that they take and give.
fn contracts(operator: &str) -> bool {
    matches!(
        operator,
        "MatMul" | "MatMulInteger" | "Gemm" | "Einsum" | "Conv" | "ConvTranspose"
    )
}

fn has_small_scales(call: &Call<'_, '_, '_>, operator: &str) -> bool {
    let scales = match call.attribute("scales") {
        Some(scales) => Some(
            scales
                .floats
                .iter()
                .map(|scale| f64::from(*scale))
                .collect(),
        ),
        None => {
            // `Resize` has them third since operator set 11.
            let index = if operator == "Resize" && call.opset >= 11 {
                2
            } else {
                1
            };
            let literal = call.optional(index).and_then(|scales| scales.literal);
            literal.and_then(constant::floats)
        }
    };
    scales.is_some_and(|scales: Vec<f64>| {
        !scales.is_empty() && scales.iter().all(|scale| *scale <= MAXIMUM_SCALE)
    })
}

/// Whether a size is known from the lengths of the node's inputs and the lengths in them.
fn is_followed(call: &Call<'_, '_, '_>, output: &Value<'_>) -> bool {
    let Some(shape) = &output.shape else {
        return false;
    };
    let known = |symbol: Symbol| {
        matches!(symbol, Symbol::Rows | Symbol::Length(_))
            || call.inputs.iter().flatten().any(|input| {
                let content = input
                    .content
                    .iter()
                    .flat_map(|content| content.iter().flatten());
                let lengths = input.shape.iter().flatten().chain(content);
                lengths.flat_map(Dim::symbols).any(|other| other == symbol)
            })
    };
    shape.iter().flat_map(Dim::symbols).all(known)
}

/// Elements of a tensor, roughly and never too few; 0 where its shape isn't known.
fn elements(value: &Value<'_>) -> i64 {
    let Some(shape) = &value.shape else {
        return 0;
    };
    let lengths = shape.iter().map(|dim| dim.magnitude(LENGTH));
    lengths.fold(1, i64::saturating_mul)
}
