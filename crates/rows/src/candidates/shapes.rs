//! Small tensors of lengths, as exporters compute shapes: `Shape`, `Gather`, `Concat` and the like.

use std::rc::Rc;

use super::operands::Operands;
use super::tensor::{Axis, Elements, MAXIMUM_COLUMNS, Trace, at};

/// What the node gives, where that is made of lengths.
pub(super) fn infer<'m>(operands: &Operands<'_, 'm>) -> Option<Vec<Elements<'m>>> {
    let list: Vec<Axis> = match operands.operator() {
        "Shape" => {
            let axes = operands.input(0).axes()?;
            let start = clamp(operands.integer("start", 0), axes.len());
            let end = clamp(
                operands.attribute("end").map_or(i64::MAX, |end| end.i),
                axes.len(),
            );
            axes.get(start..end)?.to_vec()
        }
        "Size" => vec![Axis::product(operands.input(0).axes()?)],
        _ => computed(operands)?,
    };
    (list.len() <= MAXIMUM_COLUMNS).then(|| vec![Elements::Lengths(list.into())])
}

fn computed(operands: &Operands<'_, '_>) -> Option<Vec<Axis>> {
    let input = |position: usize| operands.input(position).lengths();
    let list = match operands.operator() {
        // The order of the elements stays, whatever the rank.
        "Unsqueeze" | "Squeeze" | "Cast" | "Reshape" | "Identity" => input(0)?.to_vec(),
        "ConstantOfShape" => constant_of_shape(operands)?,
        "Transpose" => transposed(operands)?,
        "Not" => {
            let negated =
                |axis: &Axis| axis.fixed().map(|value| Axis::Fixed(i64::from(value == 0)));
            input(0)?
                .iter()
                .map(negated)
                .collect::<Option<Vec<Axis>>>()?
        }
        "Slice" if operands.input(0).rank() == Some(2) => upside_down(operands)?,
        "Concat" if operands.input(0).rank() == Some(1) => {
            let parts: Option<Vec<Rc<[Axis]>>> = (0..operands.inputs.len()).map(input).collect();
            parts?.concat()
        }
        "Gather" => {
            let data = input(0).filter(|_| operands.input(0).rank() == Some(1))?;
            let indices = operands.input(1).integers()?;
            let pick = |index: i64| {
                at(index, data.len())
                    .and_then(|index| data.get(index))
                    .cloned()
            };
            indices
                .into_iter()
                .map(pick)
                .collect::<Option<Vec<Axis>>>()?
        }
        "Slice" => {
            let data = input(0).filter(|_| operands.input(0).rank() == Some(1))?;
            let start = *operands.list(1, "starts")?.first()?;
            let end = *operands.list(2, "ends")?.first()?;
            if operands.has(4) && operands.input(4).integers()? != [1] {
                return None;
            }
            data.get(clamp(start, data.len())..clamp(end, data.len()))?
                .to_vec()
        }
        "Add" | "Sub" | "Mul" | "Div" | "Equal" => {
            let (left, right) = (input(0)?, input(1)?);
            // Constants of other shapes are no lengths.
            if operands
                .inputs
                .iter()
                .any(|tensor| tensor.rank().is_some_and(|rank| rank > 1))
            {
                return None;
            }
            let count = left.len().max(right.len());
            let of = |list: &Rc<[Axis]>, position: usize| {
                list.get(if list.len() == 1 { 0 } else { position })
                    .cloned()
            };
            (0..count)
                .map(|position| {
                    Some(arithmetic(
                        operands.operator(),
                        &of(&left, position)?,
                        &of(&right, position)?,
                    ))
                })
                .collect::<Option<Vec<Axis>>>()?
        }
        _ => return None,
    };
    Some(list)
}

fn constant_of_shape(operands: &Operands<'_, '_>) -> Option<Vec<Axis>> {
    let count = operands
        .input(0)
        .integers()?
        .into_iter()
        .try_fold(1_usize, |count, length| {
            count.checked_mul(usize::try_from(length).ok()?)
        })
        .filter(|count| *count <= MAXIMUM_COLUMNS)?;
    let value = match operands.attribute("value") {
        Some(value) => *crate::constant::integers(value.t.as_deref()?)?.first()?,
        None => 0,
    };
    Some(vec![Axis::Fixed(value); count])
}

/// The rows of a matrix of two columns: pads as `torch.onnx` writes them.
fn pairs(operands: &Operands<'_, '_>) -> Option<Vec<[Axis; 2]>> {
    let list = operands.input(0).lengths()?;
    if operands.input(0).axis(1) != &Axis::Fixed(2) {
        return None;
    }
    list.chunks(2)
        .map(|pair| match pair {
            [left, right] => Some([left.clone(), right.clone()]),
            _ => None,
        })
        .collect()
}

/// The rows in reverse.
fn upside_down(operands: &Operands<'_, '_>) -> Option<Vec<Axis>> {
    let is_reverse = operands.list(1, "starts")? == [-1]
        && operands.list(3, "axes")? == [0]
        && operands.list(4, "steps")? == [-1]
        && operands.list(2, "ends")?.first() < Some(&-(1 << 30));
    let pairs = pairs(operands).filter(|_| is_reverse)?;
    Some(pairs.into_iter().rev().flatten().collect())
}

fn transposed(operands: &Operands<'_, '_>) -> Option<Vec<Axis>> {
    let pairs = pairs(operands).filter(|_| operands.input(0).rank() == Some(2))?;
    let column = |position: usize| {
        pairs
            .iter()
            .filter_map(move |pair| pair.get(position).cloned())
    };
    Some(column(0).chain(column(1)).collect())
}

fn arithmetic(operator: &str, left: &Axis, right: &Axis) -> Axis {
    match (operator, left, right) {
        ("Mul", left, right) => Axis::product([left, right]),
        ("Add", Axis::Fixed(left), Axis::Fixed(right)) => fixed(left.checked_add(*right)),
        ("Sub", Axis::Fixed(left), Axis::Fixed(right)) => fixed(left.checked_sub(*right)),
        ("Equal", Axis::Fixed(left), Axis::Fixed(right)) => Axis::Fixed(i64::from(left == right)),
        ("Div", Axis::Fixed(left), Axis::Fixed(right)) => fixed(left.checked_div(*right)),
        ("Add", Axis::Traced(trace), Axis::Fixed(more))
        | ("Add", Axis::Fixed(more), Axis::Traced(trace)) => longer(*trace, *more),
        ("Sub", Axis::Traced(trace), Axis::Fixed(less)) => longer(*trace, less.saturating_neg()),
        ("Div", Axis::Traced(trace), Axis::Fixed(divisor)) if *divisor > 0 => trace
            .multiplier
            .checked_mul(*divisor)
            .map_or(Axis::Unknown, |multiplier| {
                Axis::Traced(Trace {
                    multiplier,
                    ..*trace
                })
            }),
        _ => Axis::Unknown,
    }
}

fn fixed(length: Option<i64>) -> Axis {
    length.map_or(Axis::Unknown, Axis::Fixed)
}

/// The length with this much added.
pub(super) fn longer(trace: Trace, more: i64) -> Axis {
    let addend = trace
        .multiplier
        .checked_mul(more)
        .and_then(|more| trace.addend.checked_sub(more));
    addend.map_or(Axis::Unknown, |addend| {
        Axis::Traced(Trace { addend, ..trace })
    })
}

/// A bound of a slice, from the end where it is negative, within the length.
pub(super) fn clamp(bound: i64, length: usize) -> usize {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = if bound < 0 {
        bound.saturating_add(length)
    } else {
        bound
    };
    usize::try_from(from_start.clamp(0, length)).unwrap_or_default()
}
