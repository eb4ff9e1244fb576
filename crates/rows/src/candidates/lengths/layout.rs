//! What moves, cuts and joins axes.

use crate::candidates::collect::Collector;
use crate::candidates::operands::Operands;
use crate::candidates::shapes::{clamp, longer};
use crate::candidates::tensor::{Axis, MAXIMUM_COLUMNS, Trace, at};

use super::outputs::{Outputs, broadcast_two};

pub(super) fn infer(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    let input = operands.input(0).axes();
    match operands.operator() {
        "Reshape" => reshape(operands, collector),
        "Flatten" => {
            let input = input?;
            let axis = operands.attribute("axis").map_or(1, |axis| axis.i);
            let (before, after) = input.split_at_checked(clamp(axis, input.len()))?;
            Some(vec![Axis::product(before), Axis::product(after)])
        }
        "Squeeze" => squeeze(operands, collector),
        "Unsqueeze" => {
            let mut axes = input?.to_vec();
            let positions = operands.list(1, "axes")?;
            let rank = axes.len() + positions.len();
            let mut positions: Vec<usize> = positions
                .into_iter()
                .filter_map(|axis| at(axis, rank))
                .collect();
            positions.sort_unstable();
            for position in positions {
                if position <= axes.len() {
                    axes.insert(position, Axis::Fixed(1));
                }
            }
            Some(axes)
        }
        "Transpose" => {
            let axes = input?;
            match operands.attribute("perm") {
                None => Some(axes.iter().rev().cloned().collect()),
                Some(order) => order
                    .ints
                    .iter()
                    .map(|position| axes.get(usize::try_from(*position).ok()?).cloned())
                    .collect(),
            }
        }
        "Concat" => concat(operands, collector),
        "Slice" => slice(operands),
        "Gather" => {
            let (data, indices) = (input?, operands.input(1).axes()?);
            let axis = at(operands.integer("axis", 0), data.len())?;
            if let Some(last) = operands
                .input(1)
                .integers()
                .and_then(|picked| picked.into_iter().max())
            {
                collector.at_least(data.get(axis)?, last.saturating_add(1));
            }
            let mut axes = data.to_vec();
            axes.splice(axis..=axis, indices.iter().cloned());
            Some(axes)
        }
        "Pad" => pad(operands, collector),
        "Tile" => {
            let repeats = operands.input(1).lengths()?;
            let axes = input?;
            (repeats.len() == axes.len()).then(|| {
                axes.iter()
                    .zip(repeats.iter())
                    .map(|(axis, times)| Axis::product([axis, times]))
                    .collect()
            })
        }
        "Expand" => {
            let sizes = operands.input(1).lengths()?;
            Some(broadcast_two(input?, &sizes, collector))
        }
        "ConstantOfShape" => operands.input(0).lengths().map(|sizes| sizes.to_vec()),
        "Range" => {
            let is_plain =
                operands.input(0).integers()? == [0] && operands.input(2).integers()? == [1];
            is_plain.then(|| operands.input(1).lengths().map(|limit| limit.to_vec()))?
        }
        "Shape" => Some(vec![
            i64::try_from(input?.len()).map_or(Axis::Unknown, Axis::Fixed),
        ]),
        "Size" => Some(Vec::new()),
        "ArgMax" | "ArgMin" => {
            let mut axes = input?.to_vec();
            let axis = at(operands.integer("axis", 0), axes.len())?;
            reduced(&mut axes, &[axis], operands.integer("keepdims", 1) != 0);
            Some(axes)
        }
        "TopK" => {
            let mut axes = input?.to_vec();
            let axis = at(operands.integer("axis", -1), axes.len())?;
            let count = operands
                .list(1, "k")
                .and_then(|count| count.first().copied());
            if let Some(count) = count {
                collector.at_least(axes.get(axis)?, count);
            }
            *axes.get_mut(axis)? = count.map_or(Axis::Unknown, Axis::Fixed);
            Some(axes)
        }
        "OneHot" => {
            let mut axes = input?.to_vec();
            let rank = axes.len() + 1;
            let axis = at(operands.integer("axis", -1), rank)?;
            let depth = operands
                .input(1)
                .lengths()
                .and_then(|depth| depth.first().cloned());
            axes.insert(axis, depth.unwrap_or(Axis::Unknown));
            Some(axes)
        }
        "EmbedLayerNormalization" => {
            let mut axes = input?.to_vec();
            axes.push(operands.axis(2, -1).clone());
            Some(axes)
        }
        _ => None,
    }
}

fn reshape(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    let sizes = match operands.attribute("shape") {
        Some(shape) => shape.ints.iter().copied().map(Axis::Fixed).collect(),
        None => operands.input(1).lengths()?,
    };
    let input = operands.input(0).axes();
    let keeps_zero = operands.integer("allowzero", 0) != 0;
    let mut axes: Vec<Axis> = Vec::with_capacity(sizes.len());
    let mut rest = None;
    for (position, size) in sizes.iter().enumerate() {
        axes.push(match size {
            Axis::Fixed(0) if !keeps_zero => input
                .and_then(|axes| axes.get(position))
                .cloned()
                .unwrap_or(Axis::Unknown),
            Axis::Fixed(-1) => {
                rest = Some(position);
                Axis::Unknown
            }
            size => size.clone(),
        });
    }
    let Some(input) = input else {
        return Some(axes);
    };
    match rest {
        None => fits(input, &axes, collector),
        Some(rest) => {
            let others: Vec<Axis> = axes
                .iter()
                .enumerate()
                .filter(|(position, _)| *position != rest)
                .map(|(_, axis)| axis.clone())
                .collect();
            let remaining = divide(&Axis::product(input), &Axis::product(&others));
            if remaining == Axis::Unknown && rest == 0 {
                // The rest are the rows, then.
                fits(input.get(1..)?, &others, collector);
            }
            *axes.get_mut(rest)? = match remaining {
                Axis::Unknown if rest == 0 => input.first()?.clone(),
                remaining => remaining,
            };
        }
    }
    Some(axes)
}

/// Says that both have as many elements, where the known lengths alone don't already agree.
fn fits(left: &[Axis], right: &[Axis], collector: &mut Collector) {
    let (left, right) = (Axis::product(left), Axis::product(right));
    let (product, whole) = match (&left, &right) {
        (Axis::Fixed(whole), product) | (product, Axis::Fixed(whole)) => (product, *whole),
        _ => return,
    };
    let is_more = match product {
        Axis::Traced(_) => true,
        Axis::Product { factor, .. } => *factor > 0 && whole % factor == 0 && whole > *factor,
        _ => false,
    };
    if is_more {
        collector.exactly(product, whole);
    }
}

/// The quotient, where it is one whatever the lengths.
fn divide(product: &Axis, divisor: &Axis) -> Axis {
    let parts = |axis: &Axis| -> Option<(i64, Vec<Trace>)> {
        match axis {
            Axis::Unknown => None,
            Axis::Fixed(length) => Some((*length, Vec::new())),
            Axis::Traced(trace) => Some((1, vec![*trace])),
            Axis::Product { factor, traces } => Some((*factor, traces.to_vec())),
        }
    };
    let (Some((factor, mut traces)), Some((by, gone))) = (parts(product), parts(divisor)) else {
        return Axis::Unknown;
    };
    for trace in gone {
        let Some(position) = traces.iter().position(|other| *other == trace) else {
            return Axis::Unknown;
        };
        traces.remove(position);
    }
    match factor.checked_rem(by) {
        Some(0) => Axis::of_product(factor / by, traces),
        _ => Axis::Unknown,
    }
}

fn squeeze(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    let mut axes = operands.input(0).axes()?.to_vec();
    let positions = operands.list(1, "axes")?;
    if positions.is_empty() {
        axes.retain(|axis| *axis != Axis::Fixed(1));
        return Some(axes);
    }
    let positions: Vec<usize> = positions
        .into_iter()
        .filter_map(|axis| at(axis, axes.len()))
        .collect();
    for position in &positions {
        collector.equal(axes.get(*position)?, &Axis::Fixed(1));
    }
    reduced(&mut axes, &positions, false);
    Some(axes)
}

/// Makes the axes at these positions 1 long, or removes them.
fn reduced(axes: &mut Vec<Axis>, positions: &[usize], keep: bool) {
    if keep {
        for position in positions {
            if let Some(axis) = axes.get_mut(*position) {
                *axis = Axis::Fixed(1);
            }
        }
        return;
    }
    let mut position = 0;
    axes.retain(|_| {
        position += 1;
        !positions.contains(&(position - 1))
    });
}

pub(super) fn reduce(operands: &Operands<'_, '_>) -> Option<Vec<Axis>> {
    let mut axes = operands.input(0).axes()?.to_vec();
    let mut positions = operands.list(1, "axes")?;
    if positions.is_empty() {
        if operands.integer("noop_with_empty_axes", 0) != 0 {
            return Some(axes);
        }
        positions = (0..i64::try_from(axes.len()).ok()?).collect();
    }
    let positions: Vec<usize> = positions
        .into_iter()
        .filter_map(|axis| at(axis, axes.len()))
        .collect();
    reduced(&mut axes, &positions, operands.integer("keepdims", 1) != 0);
    Some(axes)
}

fn concat(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    let mut axes: Vec<Axis> = operands.input(0).axes()?.to_vec();
    let axis = at(operands.integer("axis", 1), axes.len())?;
    let mut joined = axes.get(axis)?.fixed();
    for part in operands.inputs.get(1..)? {
        let Some(part) = part.axes().filter(|part| part.len() == axes.len()) else {
            joined = None;
            continue;
        };
        for (position, (known, other)) in axes.iter_mut().zip(part).enumerate() {
            if position == axis {
                joined = joined
                    .zip(other.fixed())
                    .and_then(|(left, right)| left.checked_add(right));
                continue;
            }
            collector.equal(known, other);
            if known.fixed().is_none() && *other != Axis::Unknown {
                *known = other.clone();
            }
        }
    }
    if operands.inputs.len() > 1 {
        *axes.get_mut(axis)? = joined.map_or(Axis::Unknown, Axis::Fixed);
    }
    Some(axes)
}

fn slice(operands: &Operands<'_, '_>) -> Option<Vec<Axis>> {
    let mut axes = operands.input(0).axes()?.to_vec();
    let positions = match operands.list(3, "axes") {
        Some(positions) if positions.is_empty() => (0..i64::try_from(axes.len()).ok()?).collect(),
        Some(positions) => positions,
        None => return Some(vec![Axis::Unknown; axes.len()]),
    };
    let starts = operands.list(1, "starts");
    let steps = operands
        .list(4, "steps")
        .unwrap_or_else(|| vec![0; positions.len()]);
    let ends = match operands.attribute("ends") {
        Some(ends) => Some(ends.ints.iter().copied().map(Axis::Fixed).collect()),
        None => operands.input(2).lengths(),
    };
    for (order, position) in positions.into_iter().enumerate() {
        let rank = axes.len();
        let axis = at(position, rank).and_then(|position| axes.get_mut(position))?;
        let start = starts
            .as_ref()
            .and_then(|starts| starts.get(order))
            .copied();
        let end = ends
            .as_ref()
            .and_then(|ends| ends.get(order))
            .cloned()
            .unwrap_or(Axis::Unknown);
        let step = steps.get(order).copied().unwrap_or(1);
        *axis = cut(axis, start, &end, step);
    }
    Some(axes)
}

fn cut(axis: &Axis, start: Option<i64>, end: &Axis, step: i64) -> Axis {
    match (axis, start, end) {
        (axis, Some(0), Axis::Fixed(end)) if step == 1 && *end >= i64::from(i32::MAX) => {
            axis.clone()
        }
        (Axis::Fixed(length), Some(start), Axis::Fixed(end)) if step > 0 => {
            let Ok(length) = usize::try_from(*length) else {
                return Axis::Unknown;
            };
            let taken = clamp(*end, length).saturating_sub(clamp(start, length));
            let step = usize::try_from(step).unwrap_or(1);
            i64::try_from(taken.div_ceil(step)).map_or(Axis::Unknown, Axis::Fixed)
        }
        (axis, Some(-1), Axis::Fixed(end)) if step == -1 && *end <= i64::from(i32::MIN) => {
            axis.clone()
        }
        (Axis::Traced(trace), Some(start @ 0..), Axis::Fixed(end))
            if step == 1 && *end >= i64::from(i32::MAX) =>
        {
            longer(*trace, -start)
        }
        (Axis::Traced(trace), Some(0), Axis::Fixed(end)) if step == 1 && *end < 0 => {
            longer(*trace, *end)
        }
        // A table of positions is cut to the length of a sequence.
        (_, Some(0), end @ Axis::Traced(_)) if step == 1 => end.clone(),
        _ => Axis::Unknown,
    }
}

fn pad(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    let axes = operands.input(0).axes()?;
    let pads = operands
        .list(1, "pads")
        .filter(|pads| pads.len() == 2 * axes.len());
    let Some(pads) = pads else {
        return Some(vec![Axis::Unknown; axes.len()]);
    };
    if operands.text("mode") == "reflect" {
        // A reflection begins beside the edge.
        for (position, axis) in axes.iter().enumerate() {
            let sides = [pads.get(position), pads.get(position + axes.len())];
            let most = sides.into_iter().flatten().max().copied().unwrap_or(0);
            collector.at_least(axis, most.saturating_add(1));
        }
    }
    let padded = |(position, axis): (usize, &Axis)| {
        let more = pads
            .get(position)?
            .checked_add(*pads.get(position + axes.len())?)?;
        Some(match axis {
            axis if more == 0 => axis.clone(),
            Axis::Fixed(length) => Axis::Fixed(length.checked_add(more)?),
            Axis::Traced(trace) => longer(*trace, more),
            Axis::Unknown | Axis::Product { .. } => Axis::Unknown,
        })
    };
    axes.iter().enumerate().map(padded).collect()
}

pub(super) fn split(operands: &Operands<'_, '_>, collector: &mut Collector) -> Outputs {
    let outputs = operands.node.output.len();
    let Some(axes) = operands.input(0).axes() else {
        return Vec::new();
    };
    let Some(axis) = at(operands.integer("axis", 0), axes.len()) else {
        return Vec::new();
    };
    let Some(sizes) = operands
        .list(1, "split")
        .filter(|_| outputs <= MAXIMUM_COLUMNS)
    else {
        return Vec::new();
    };
    if let Some(whole) = sizes
        .iter()
        .try_fold(0_i64, |whole, size| whole.checked_add(*size))
        && !sizes.is_empty()
        && let Some(length) = axes.get(axis)
    {
        collector.equal(length, &Axis::Fixed(whole));
    }
    let even = || match (axes.get(axis), i64::try_from(outputs)) {
        (Some(Axis::Fixed(length)), Ok(outputs)) if outputs > 0 && length % outputs == 0 => {
            Axis::Fixed(length / outputs)
        }
        _ => Axis::Unknown,
    };
    (0..outputs)
        .map(|output| {
            let mut axes = axes.to_vec();
            *axes.get_mut(axis)? = sizes.get(output).copied().map_or_else(even, Axis::Fixed);
            Some(axes)
        })
        .collect()
}
