//! Operators on quantized numbers, with fixed scales or scales from the batch.

use crate::call::{Call, Outcome};
use crate::operators::elementwise::{self, same_place};
use crate::operators::{contraction, slicewise};
use crate::value::{Blame, Certainty, Value};

/// `DynamicQuantizeLinear` and operators that include it: one scale for the whole tensor.
pub(crate) fn from_the_batch<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    if value.is_invariant() {
        let number = Value::invariant(Some(Vec::new()));
        return match call.node.op_type.as_str() {
            "DynamicQuantizeLinear" => Ok(vec![same_place(&value), number.clone(), number]),
            _ => Ok(vec![Value::invariant(None); call.node.output.len()]),
        };
    }
    if call
        .inputs
        .iter()
        .skip(1)
        .flatten()
        .any(|other| !other.is_invariant())
    {
        return Err(call.unproven("has parameters that depend on the rows"));
    }
    Err(call.blame(
        Certainty::Certain,
        "takes its scale from the whole batch",
        Some("quantize statically, or per row"),
    ))
}

/// Whether scales or zero points are the same for all places along the rows' axis.
fn same_for_rows<'m>(
    call: &Call<'_, '_, 'm>,
    value: &Value<'m>,
    axis: i64,
    index: usize,
) -> Result<(), Blame> {
    let Some(parameter) = call.optional(index) else {
        return Ok(());
    };
    let Some(layout) = value.layout() else {
        return call.require_fixed([index]);
    };
    let shape = call.shape(&parameter)?;
    let rank = call.shape(value)?.len();
    if let Some(own) = parameter.layout() {
        // Quantized per row: a scale for each.
        let along = shape.len() == 1
            && call.axis(axis, rank)? == layout.axis
            && own.at(layout.axis) == *layout;
        return if along {
            Ok(())
        } else {
            Err(call.unproven("has parameters that depend on the rows"))
        };
    }
    call.require_fixed([index])?;
    let single = shape.iter().all(|dim| dim.is(1));
    if single || (shape.len() == 1 && call.axis(axis, rank)? != layout.axis) {
        return Ok(());
    }
    // In blocks along an axis: a scale for each block at each place of the others.
    Err(call.unproven("has other parameters for each row"))
}

/// `QuantizeLinear` and `DequantizeLinear`.
pub(crate) fn linear<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let axis = call.int_or("axis", 1);
    // With a single axis there is no axis 1. Per-axis parameters are then rejected, and scalars are accepted.
    same_for_rows(call, &value, axis, 1)?;
    same_for_rows(call, &value, axis, 2)?;
    Ok(vec![same_place(&value)])
}

/// Rejects parameters that aren't scalars, or depend on the rows.
fn single(call: &Call<'_, '_, '_>, indices: &[usize]) -> Result<(), Blame> {
    call.require_fixed(indices.iter().copied())?;
    for index in indices {
        let Some(parameter) = call.optional(*index) else {
            continue;
        };
        if !call.shape(&parameter)?.iter().all(|dim| dim.is(1)) {
            return Err(call.unproven("has parameters of several numbers"));
        }
    }
    Ok(())
}

/// `MatMulInteger`, `com.microsoft.MatMulIntegerToFloat`: A, B, then parameters.
pub(crate) fn matmul_integer<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (left, right) = (call.input(0)?, call.input(1)?);
    call.require_fixed_from(2)?;
    // The parameters of A are scalars. Those of B may have one element for each of its columns.
    let left_parameters: &[usize] = if call.node.op_type == "MatMulInteger" {
        &[2]
    } else {
        &[2, 4]
    };
    single(call, left_parameters)?;
    if right.layout().is_some() {
        call.require_fixed([2, 3])?;
        single(call, &[3])?;
    }
    Ok(vec![contraction::product(call, &left, &right)?])
}

/// `QLinearMatMul`: a, b and the result, each with its scale and zero point.
pub(crate) fn qlinear_matmul<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (left, right) = (call.input(0)?, call.input(3)?);
    single(call, &[1, 2, 6, 7])?;
    call.require_fixed([4, 5])?;
    if right.layout().is_some() {
        single(call, &[4, 5])?;
    }
    Ok(vec![contraction::product(call, &left, &right)?])
}

/// `com.microsoft.QGemm`: A and B, each with its scale and zero point, C, and those of the result.
pub(crate) fn qgemm<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (left, right) = (call.input(0)?, call.input(3)?);
    if !right.is_invariant() || call.int_or("transA", 0) != 0 {
        return Err(call.unproven("has parameters that depend on the rows"));
    }
    single(call, &[1, 2, 7, 8])?;
    call.require_fixed_from(1)?;
    let (shape, other) = (call.shape(&left)?, call.shape(&right)?);
    let ([rows, _], [depth, width]) = (shape.as_slice(), other.as_slice()) else {
        return Err(call.unproven("has inputs of unexpected rank"));
    };
    let columns = if call.int_or("transB", 0) == 0 {
        width
    } else {
        depth
    };
    // C has one number for each column, or is the same for all rows.
    let bias = call.optional(6);
    let common = match bias.as_ref().and_then(|bias| bias.shape.as_deref()) {
        None => bias.is_none(),
        Some([]) | Some([_]) => true,
        Some([first, ..]) => first.is(1),
    };
    if !common {
        return Err(call.unproven("joins the rows with others of fixed number"));
    }
    let (_, layout) = slicewise::first_axis(call, &left)?;
    Ok(vec![slicewise::with_first_axis(
        call,
        rows.clone(),
        vec![columns.clone()],
        layout,
    )?])
}

/// `com.microsoft.QLinearAdd` and `QLinearMul`: A and B, each with its scale and zero point, and those of C.
pub(crate) fn qlinear_binary<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (left, right) = (call.input(0)?, call.input(3)?);
    single(call, &[1, 2, 4, 5, 6, 7])?;
    Ok(vec![elementwise::broadcast(call, &[&left, &right])?])
}

/// `com.microsoft.QLinearSigmoid` and similar operators: scalar parameters.
pub(crate) fn qlinear_unary<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    single(call, &[1, 2, 3, 4])?;
    elementwise::unary(call)
}

/// `com.microsoft.QLinearAveragePool` and `QLinearGlobalAveragePool`.
pub(crate) fn qlinear_pool<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    single(call, &[1, 2, 3, 4])?;
    if call.node.op_type == "QLinearGlobalAveragePool" {
        return slicewise::global_pool(call);
    }
    if call.int_or("channels_last", 0) != 0 {
        return Err(call.unproven("has its channels last"));
    }
    slicewise::pool(call)
}

/// `com.microsoft.QLinearConcat`: the parameters of the result, then each tensor with its own.
pub(crate) fn qlinear_concat<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let parameters: Vec<usize> = (0..call.inputs.len())
        .filter(|index| *index < 2 || index % 3 != 2)
        .collect();
    single(call, &parameters)?;
    let values: Vec<_> = call
        .inputs
        .iter()
        .skip(2)
        .step_by(3)
        .flatten()
        .cloned()
        .collect();
    let values: Vec<&Value<'m>> = values.iter().map(AsRef::as_ref).collect();
    let axis = call
        .int("axis")
        .ok_or_else(|| call.unproven("lacks an attribute"))?;
    Ok(vec![super::layout::joined(call, &values, axis)?])
}
