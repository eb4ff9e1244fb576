//! Operators that move elements without a change.

use std::rc::Rc;

use crate::candidates::operands::Operands;
use crate::candidates::shapes::clamp;
use crate::candidates::tensor::{Axis, Elements, MAXIMUM_COLUMNS, Origin, Origins, Tensor, at};

/// What the outputs are made of.
pub(super) fn infer<'m>(operands: &Operands<'_, 'm>) -> Vec<Elements<'m>> {
    if operands.operator() == "Split" {
        return split(operands);
    }
    let origins = match operands.operator() {
        "Concat" => concat(operands),
        _ => operands
            .input(0)
            .origins()
            .and_then(|origins| moved(operands, origins)),
    };
    vec![origins.map_or(Elements::Unknown, Elements::Inputs)]
}

fn moved(operands: &Operands<'_, '_>, origins: &Origins) -> Option<Origins> {
    let tensor = operands.input(0);
    Some(match operands.operator() {
        "Reshape" => reshaped(operands, origins),
        "Flatten" => match operands.input(0).rank() {
            Some(2) if operands.integer("axis", 1) == 1 => origins.clone(),
            _ => repeated(origins, flat_width(operands)),
        },
        "Squeeze" => match (operands.list(1, "axes"), tensor.rank()) {
            (Some(axes), Some(rank))
                if !axes.is_empty() && !axes.iter().any(|axis| is_last(*axis, rank)) =>
            {
                origins.clone()
            }
            _ => origins.anywhere(),
        },
        "Unsqueeze" => match (operands.list(1, "axes"), tensor.rank()) {
            (Some(axes), Some(rank))
                if !axes.iter().any(|axis| is_last(*axis, rank + axes.len())) =>
            {
                origins.clone()
            }
            _ => origins.anywhere(),
        },
        "Transpose" => match (operands.integers("perm").last(), tensor.rank()) {
            (Some(last), Some(rank)) if is_last(*last, rank) => origins.clone(),
            _ => origins.anywhere(),
        },
        "ArrayFeatureExtractor" => match operands.input(1).integers() {
            Some(positions) => origins.pick(&positions),
            None => origins.anywhere(),
        },
        "Gather" => match (operands.input(1).integers(), tensor.rank()) {
            (Some(positions), Some(rank))
                if is_last(operands.attribute("axis").map_or(0, |axis| axis.i), rank) =>
            {
                let picked = origins.pick(&positions);
                // A single position leaves no axis.
                if operands.input(1).rank() == Some(0) {
                    picked.anywhere()
                } else {
                    picked
                }
            }
            (_, Some(_)) => origins.clone(),
            _ => origins.anywhere(),
        },
        "Slice" => sliced(operands, origins),
        "Expand" | "Tile" | "Pad" | "GatherND" | "GatherElements" | "Compress" | "TopK"
        | "Unique" | "ReverseSequence" => origins.anywhere(),
        _ => return None,
    })
}

fn is_last(axis: i64, rank: usize) -> bool {
    at(axis, rank).is_some_and(|axis| axis + 1 == rank)
}

fn reshaped(operands: &Operands<'_, '_>, origins: &Origins) -> Origins {
    let sizes = operands.input(1).integers().unwrap_or_default();
    let last = sizes
        .last()
        .and_then(|last| usize::try_from(*last).ok())
        .filter(|last| *last > 0);
    repeated(origins, last)
}

fn flat_width(operands: &Operands<'_, '_>) -> Option<usize> {
    let axes = operands.input(0).axes()?;
    let from = clamp(
        operands.attribute("axis").map_or(1, |axis| axis.i),
        axes.len(),
    );
    axes.get(from..)?.iter().try_fold(1_usize, |width, axis| {
        width.checked_mul(usize::try_from(axis.fixed()?).ok()?)
    })
}

/// The same elements in order, with a last axis of `width`.
fn repeated(origins: &Origins, width: Option<usize>) -> Origins {
    match (origins, width) {
        (Origins::Each(list), Some(width))
            if width <= MAXIMUM_COLUMNS && !list.is_empty() && width % list.len() == 0 =>
        {
            Origins::Each(list.iter().copied().cycle().take(width).collect())
        }
        _ => origins.anywhere(),
    }
}

fn sliced(operands: &Operands<'_, '_>, origins: &Origins) -> Origins {
    let tensor = operands.input(0);
    let (Some(starts), Some(ends), Some(axes), Some(rank)) = (
        operands.list(1, "starts"),
        operands.list(2, "ends"),
        operands.list(3, "axes"),
        tensor.rank(),
    ) else {
        return origins.anywhere();
    };
    let order = if axes.is_empty() {
        Some(rank.saturating_sub(1)).filter(|last| *last < starts.len())
    } else {
        axes.iter().position(|axis| is_last(*axis, rank))
    };
    let Some(order) = order else {
        return origins.clone();
    };
    let step = operands
        .list(4, "steps")
        .and_then(|steps| steps.get(order).copied().or(Some(1)));
    let (Some(start), Some(end), Some(step @ 1..)) = (starts.get(order), ends.get(order), step)
    else {
        return origins.anywhere();
    };
    // Without a known width, positions from the start are known anyway.
    let length = match width(tensor) {
        Some(length) => length,
        None if *start >= 0 && *end >= 0 && *end < 1 << 16 => {
            usize::try_from(*end).unwrap_or_default()
        }
        None => return origins.anywhere(),
    };
    let positions: Vec<i64> = (clamp(*start, length)..clamp(*end, length))
        .step_by(usize::try_from(step).unwrap_or(1))
        .filter_map(|position| i64::try_from(position).ok())
        .collect();
    origins.pick(&positions)
}

fn concat(operands: &Operands<'_, '_>) -> Option<Origins> {
    let of = |tensor: &Tensor<'_>| tensor.origins().map(Origins::all).unwrap_or_default();
    let all: Vec<Origin> = operands.inputs.iter().flat_map(of).collect();
    if all.is_empty() {
        return None;
    }
    let rank = operands.inputs.iter().find_map(Tensor::rank);
    let is_last = rank.is_some_and(|rank| is_last(operands.integer("axis", 1), rank));
    let columns = |tensor: &Tensor<'_>| -> Option<Vec<Option<Origin>>> {
        let width = width(tensor)?;
        match tensor.origins() {
            Some(origins) => origins.each(width),
            None => (width <= MAXIMUM_COLUMNS).then(|| vec![None; width]),
        }
    };
    let aligned: Option<Vec<Vec<Option<Origin>>>> = if is_last {
        operands.inputs.iter().map(columns).collect()
    } else {
        None
    };
    Some(match aligned.map(|columns| columns.concat()) {
        Some(columns) if columns.len() <= MAXIMUM_COLUMNS => Origins::Each(columns.into()),
        _ => Origins::Any(all.into()),
    })
}

fn split<'m>(operands: &Operands<'_, 'm>) -> Vec<Elements<'m>> {
    let outputs = operands.node.output.len();
    let Some(origins) = operands.input(0).origins() else {
        return vec![Elements::Unknown; outputs];
    };
    let tensor = operands.input(0);
    let along_last = tensor
        .rank()
        .is_none_or(|rank| is_last(operands.integer("axis", 0), rank));
    if !along_last || outputs > MAXIMUM_COLUMNS {
        return vec![Elements::Inputs(origins.clone()); outputs];
    }
    let sizes = operands
        .list(1, "split")
        .filter(|sizes| !sizes.is_empty())
        .or_else(|| {
            let width = i64::try_from(width(tensor)?).ok()?;
            let outputs = i64::try_from(outputs).ok().filter(|outputs| *outputs > 0)?;
            Some(vec![
                width.checked_add(outputs - 1)? / outputs;
                usize::try_from(outputs).ok()?
            ])
        });
    let Some(sizes) = sizes.filter(|_| width(tensor).is_none_or(|width| width <= MAXIMUM_COLUMNS))
    else {
        return vec![Elements::Inputs(origins.anywhere()); outputs];
    };
    let mut next = 0_i64;
    sizes
        .into_iter()
        .take(outputs)
        .map(|size| {
            let from = next;
            next = next.saturating_add(size.max(0));
            let most = from.saturating_add(i64::try_from(MAXIMUM_COLUMNS).unwrap_or(0));
            let positions: Vec<i64> = (from..next.min(most)).collect();
            let part: Rc<[i64]> = positions.into();
            Elements::Inputs(origins.pick(&part))
        })
        .collect()
}

/// The width of a tensor's last axis.
pub(super) fn width(tensor: &Tensor<'_>) -> Option<usize> {
    tensor
        .axes()?
        .last()
        .and_then(Axis::fixed)
        .and_then(|width| usize::try_from(width).ok())
}
