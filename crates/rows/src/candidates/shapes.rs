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
        "Unsqueeze" | "Squeeze" | "Cast" | "Reshape"
            if operands.input(0).rank().is_none_or(|rank| rank <= 1) =>
        {
            input(0)?.to_vec()
        }
        "Concat" => {
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
        "Add" | "Sub" | "Mul" | "Div" => {
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

fn arithmetic(operator: &str, left: &Axis, right: &Axis) -> Axis {
    match (operator, left, right) {
        ("Mul", left, right) => Axis::product([left, right]),
        ("Add", Axis::Fixed(left), Axis::Fixed(right)) => fixed(left.checked_add(*right)),
        ("Sub", Axis::Fixed(left), Axis::Fixed(right)) => fixed(left.checked_sub(*right)),
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
