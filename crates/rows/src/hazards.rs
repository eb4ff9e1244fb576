//! Nodes that can crash the process in ONNX Runtime's CPU kernels (seen with 1.24.4). Integer divisions by zero, and
//! of the minimum integer by -1, raise a signal. Indices beyond the end of a shape abort.
//!
//! Since 1.25 an integer division by zero is an error of the run. With 1.31.1 the minimum int32 or int64 divided by
//! -1 still raises a signal, and `Conv` and `ReverseSequence` of one axis and an `Einsum` with
//! more letters than axes still abort.

use crate::call::Call;
use crate::constant;
use crate::dimension::Dim;
use crate::proto::element::{
    BFLOAT16, BOOL, DOUBLE, FLOAT, FLOAT16, STRING, UINT8, UINT16, UINT32, UINT64,
};
use crate::value::Value;

/// Adds a hazard if the node could crash.
pub(crate) fn check(call: &mut Call<'_, '_, '_>) {
    let domain = crate::scope::canonical(&call.node.domain);
    if !matches!(domain, "" | "com.microsoft") {
        return;
    }
    let why = match call.node.op_type.as_str() {
        "Div" | "Mod" => division(call),
        "ReduceMean" => mean(call),
        "Conv" | "ConvInteger" | "ConvTranspose" | "QLinearConv" | "FusedConv" => convolution(call),
        "MaxPool" | "AveragePool" | "LpPool" | "QLinearAveragePool" => pooling(call),
        "LSTM" | "GRU" | "RNN" => other_rank(call, |rank| rank == 3),
        "Col2Im" => other_rank(call, |rank| rank == 3)
            .or_else(|| may_be_zero(call, 2, "divides by a block of size 0")),
        "Upsample" => upsample(call),
        "ReverseSequence" => other_rank(call, |rank| rank >= 2),
        "Einsum" => einsum(call),
        "DequantizeLinear" => {
            call.walk.dequantizes = true;
            None
        }
        // Seen with 1.31.1: its optimizer moves a Transpose across, and aborts where a graph within
        // takes what comes of it.
        "If" | "Loop" | "Scan" if call.walk.dequantizes => {
            Some("runs a graph that may take dequantized numbers")
        }
        "DepthToSpace" | "SpaceToDepth" if is_zero(call, "blocksize") => {
            Some("divides by a block of size 0")
        }
        "GroupNormalization" if is_zero(call, "num_groups") => {
            Some("divides by a number of groups of 0")
        }
        _ => None,
    };
    if let Some(why) = why {
        call.walk.add_hazard(call.node, why);
    }
}

fn is_zero(call: &Call<'_, '_, '_>, name: &str) -> bool {
    call.int(name) == Some(0)
}

fn has_zero(call: &Call<'_, '_, '_>, name: &str) -> bool {
    call.ints(name).is_some_and(|ints| ints.contains(&0))
}

/// What comes of an index beyond a shape's end: the build checks those, and aborts.
const RANK: &str = "takes a tensor whose number of axes may be another than it wants";

fn other_rank(call: &Call<'_, '_, '_>, wanted: impl Fn(usize) -> bool) -> Option<&'static str> {
    let rank = call.optional(0)?.rank();
    (!rank.is_some_and(wanted)).then_some(RANK)
}

/// Whether an input of integers isn't known to be above 0.
fn may_be_zero(call: &Call<'_, '_, '_>, index: usize, why: &'static str) -> Option<&'static str> {
    let value = call.optional(index)?;
    let content = value.content.as_deref();
    let positive = content.is_some_and(|content| {
        content.iter().all(|dim| {
            dim.as_ref()
                .and_then(Dim::minimum)
                .is_some_and(|least| least > 0)
        })
    });
    (!positive).then_some(why)
}

/// Whether there are scales for other axes than there are.
fn upsample(call: &Call<'_, '_, '_>) -> Option<&'static str> {
    let scales = match call.attribute("scales") {
        Some(scales) => i64::try_from(scales.floats.len()).ok(),
        None => call
            .optional(1)?
            .shape
            .as_ref()
            .and_then(|shape| shape.first()?.as_constant()),
    };
    other_rank(call, |rank| {
        scales.is_some_and(|scales| usize::try_from(scales) == Ok(rank))
    })
}

fn convolution(call: &Call<'_, '_, '_>) -> Option<&'static str> {
    if is_zero(call, "group") || has_zero(call, "strides") {
        return Some("divides by a group or stride of 0");
    }
    let weights = call
        .optional(if call.node.op_type == "QLinearConv" {
            3
        } else {
            1
        })?
        .rank();
    other_rank(call, |rank| rank >= 3 && weights == Some(rank))
}

fn pooling(call: &Call<'_, '_, '_>) -> Option<&'static str> {
    if has_zero(call, "strides") {
        return Some("divides by a stride of 0");
    }
    let window = call.ints("kernel_shape").map_or(0, <[i64]>::len);
    other_rank(call, |rank| rank == window.saturating_add(2))
}

/// Whether a term has other letters than its operand has axes.
fn einsum(call: &Call<'_, '_, '_>) -> Option<&'static str> {
    let equation = call.string("equation").unwrap_or_default().replace(' ', "");
    let terms = equation.split("->").next().unwrap_or_default();
    let fits = terms.split(',').zip(&call.inputs).all(|(term, input)| {
        let letters = term.replace("...", "").chars().count();
        let rank = input.as_ref().and_then(|input| input.rank());
        rank.is_some_and(|rank| {
            if term.contains("...") {
                letters <= rank
            } else {
                letters == rank
            }
        })
    });
    (!fits).then_some(RANK)
}

fn may_be_integer(element: i32) -> bool {
    !matches!(element, FLOAT | DOUBLE | FLOAT16 | BFLOAT16 | STRING | BOOL)
}

fn division(call: &Call<'_, '_, '_>) -> Option<&'static str> {
    let (dividend, divisor) = (call.optional(0)?, call.optional(1)?);
    let element = if dividend.element == 0 {
        divisor.element
    } else {
        dividend.element
    };
    if !may_be_integer(element) || (call.node.op_type == "Mod" && call.int_or("fmod", 0) != 0) {
        return None;
    }
    let unsigned = matches!(element, UINT8 | UINT16 | UINT32 | UINT64);
    match divisors(&divisor) {
        None | Some((true, _)) => Some("divides by integers that may be 0"),
        Some((false, true)) if !unsigned && !is_known(&dividend) => {
            Some("divides integers by -1, and the least of them has no opposite")
        }
        Some(_) => None,
    }
}

/// Whether there may be 0 and -1 among the elements, where they are known.
fn divisors(value: &Value<'_>) -> Option<(bool, bool)> {
    if let Some(content) = &value.content {
        let mut found = (false, false);
        for dim in content.iter() {
            let dim = dim.as_ref()?;
            match dim.as_constant() {
                Some(integer) => {
                    found.0 |= integer == 0;
                    found.1 |= integer == -1;
                }
                None if dim.minimum().is_some_and(|least| least > 0) => {}
                None => return None,
            }
        }
        return Some(found);
    }
    let tensor = value.literal?;
    let unsigned = matches!(tensor.data_type, UINT64);
    let integers = if unsigned {
        None
    } else {
        constant::integers(tensor)
    }?;
    Some((integers.contains(&0), integers.contains(&-1)))
}

/// Whether all elements are known, so that none is the least integer.
fn is_known(value: &Value<'_>) -> bool {
    value.content.as_ref().is_some_and(|content| {
        content.iter().all(|dim| {
            dim.as_ref().is_some_and(|dim| match dim.as_constant() {
                Some(integer) => integer > i64::from(i32::MIN),
                None => dim.minimum().is_some(),
            })
        })
    })
}

fn mean(call: &Call<'_, '_, '_>) -> Option<&'static str> {
    let value = call.optional(0)?;
    if !may_be_integer(value.element) {
        return None;
    }
    let never_empty = value.shape.as_ref().is_some_and(|shape| {
        shape
            .iter()
            .all(|dim| dim.minimum().is_some_and(|least| least > 0))
    });
    let constant = value.shape.as_ref().is_some_and(|shape| {
        shape
            .iter()
            .all(|dim: &Dim| dim.as_constant().is_some_and(|length| length > 0))
    });
    (!never_empty && !constant).then_some("takes the mean of integers that may be none")
}
