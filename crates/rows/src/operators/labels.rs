//! Matching axes. Broadcasting, products of matrices and sums over axes are described by labels: which axes of the
//! inputs are the same, and which of them the output has.

use crate::call::Call;
use crate::dimension::Dim;
use crate::value::{Blame, Dependence, Layout, RowKind, Value};

/// The label of an axis within one operator.
pub(crate) type Label = u32;

/// The label of a new axis of the output with length 1.
pub(crate) const NEW: Label = Label::MAX;

/// A tensor and the labels of its axes.
pub(crate) struct Operand<'v, 'm> {
    pub(crate) value: &'v Value<'m>,
    pub(crate) labels: Vec<Label>,
}

/// The output with the axes `output`. Each element is a function of the operands' elements at the same place, over all
/// places of the axes that the output lacks.
pub(crate) fn combine<'m>(
    call: &mut Call<'_, '_, 'm>,
    operands: &[Operand<'_, 'm>],
    output: &[Label],
) -> Result<Value<'m>, Blame> {
    let mut row: Option<(Label, Layout)> = None;
    for operand in operands {
        let layout = match &operand.value.dependence {
            Dependence::Invariant => continue,
            Dependence::Rows(layout) => layout,
            Dependence::Counted(blame) => return Err(call.counted(blame)),
            Dependence::Mixed(blame) => return Err(blame.clone()),
        };
        let label = *operand
            .labels
            .get(layout.axis)
            .ok_or_else(|| call.unproven("has inputs of unexpected rank"))?;
        match &row {
            None => row = Some((label, layout.clone())),
            Some((known, first)) if *known == label => {
                if first.outer != layout.outer
                    || first.block != layout.block
                    || first.kind != layout.kind
                {
                    return Err(call.unproven("joins tensors whose rows lie differently"));
                }
            }
            Some((known, _)) => {
                let output_has_both = output.contains(known) && output.contains(&label);
                let apart = operands
                    .iter()
                    .all(|operand| !crosses(operand, *known, label));
                return Err(if output_has_both && apart {
                    call.certain("pairs each row with every other")
                } else {
                    call.unproven("joins tensors whose rows are on different axes")
                });
            }
        }
    }
    let shape = merged_shape(call, operands, output, row.as_ref())?;
    let Some((label, layout)) = row else {
        return Ok(Value::invariant(shape));
    };
    for operand in operands {
        if operand.value.layout().is_some() {
            let repeated = operand
                .labels
                .iter()
                .filter(|other| **other == label)
                .count()
                > 1;
            if repeated {
                return Err(call.unproven("takes a diagonal through the rows"));
            }
            continue;
        }
        let shape = call.shape(operand.value)?;
        for (dim, other) in shape.iter().zip(&operand.labels) {
            if *other == label && !dim.is(1) {
                return Err(fixed_rows(call, dim));
            }
        }
    }
    let Some(axis) = output.iter().position(|other| *other == label) else {
        return Err(call.certain("computes over the rows of the batch"));
    };
    if layout.kind != RowKind::Plain && operands.len() > 1 {
        return Err(call.unproven("takes a row's place in the batch for a value"));
    }
    let shape = shape.ok_or_else(|| call.unproven("takes a tensor of unknown rank"))?;
    call.rows(shape, layout.at(axis))
}

fn crosses(operand: &Operand<'_, '_>, one: Label, other: Label) -> bool {
    let Some(layout) = operand.value.layout() else {
        return false;
    };
    let own = operand.labels.get(layout.axis).copied();
    let foreign = if own == Some(one) { other } else { one };
    let Some(shape) = &operand.value.shape else {
        return true;
    };
    shape
        .iter()
        .zip(&operand.labels)
        .any(|(dim, label)| *label == foreign && !dim.is(1))
}

/// An operand that isn't by rows has a fixed length on the rows' axis of the others.
pub(crate) fn fixed_rows(call: &Call<'_, '_, '_>, dim: &Dim) -> Blame {
    match dim.as_constant() {
        Some(length) => call.unproven(&format!("joins the rows with {length} fixed ones")),
        None => call.unproven("joins the rows with others of unknown number"),
    }
}

/// The lengths of the output's axes. `None` if the rank of an operand is unknown.
fn merged_shape(
    call: &mut Call<'_, '_, '_>,
    operands: &[Operand<'_, '_>],
    output: &[Label],
    row: Option<&(Label, Layout)>,
) -> Result<Option<Vec<Dim>>, Blame> {
    let mut known = Vec::new();
    for operand in operands {
        let Some(shape) = &operand.value.shape else {
            return Ok(None);
        };
        if shape.len() != operand.labels.len() {
            return Err(call.unproven("has inputs of unexpected rank"));
        }
        known.extend(shape.iter().zip(&operand.labels));
    }
    let mut shape = Vec::with_capacity(output.len());
    for label in output {
        if row.is_some_and(|(row, _)| row == label) || *label == NEW {
            shape.push(Dim::one());
            continue;
        }
        let mut length = Dim::one();
        for (dim, _) in known.iter().filter(|(_, other)| *other == label) {
            length = broadcast(call, &length, dim);
        }
        shape.push(length);
    }
    Ok(Some(shape))
}

/// The length of an axis on which two lengths are broadcast: one is 1, or both are equal.
pub(crate) fn broadcast(call: &mut Call<'_, '_, '_>, left: &Dim, right: &Dim) -> Dim {
    if left == right || right.is(1) {
        return left.clone();
    }
    if left.is(1) {
        return right.clone();
    }
    // A table of c entries truncated to the first n has n or c entries, whichever is less. It is broadcast to n only if
    // that is 1.
    if call.walk.is_capped(left, right) {
        return right.clone();
    }
    if call.walk.is_capped(right, left) {
        return left.clone();
    }
    match (left.as_constant(), right.as_constant()) {
        (Some(_), _) => left.clone(),
        (_, Some(_)) => right.clone(),
        _ => {
            let (low, high) = if left < right {
                (left, right)
            } else {
                (right, left)
            };
            call.walk.derive("broadcast", &[low, high])
        }
    }
}

/// Labels of the axes of a tensor of `rank`, aligned at the last axis as in broadcasting: the last axis of each is 0.
pub(crate) fn from_the_back(rank: usize) -> Vec<Label> {
    (0..rank)
        .rev()
        .map(|place| Label::try_from(place).unwrap_or(NEW))
        .collect()
}
