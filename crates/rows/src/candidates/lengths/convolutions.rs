//! Convolutions, pools, and what scales images.

use crate::candidates::collect::Collector;
use crate::candidates::operands::Operands;
use crate::candidates::tensor::{Axis, Trace};

pub(super) fn infer(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    match operands.operator() {
        "Conv" | "ConvInteger" | "FusedConv" => convolution(operands, 1, collector),
        "QLinearConv" => convolution(operands, 3, collector),
        "ConvTranspose" => transposed(operands, collector),
        "Resize" | "Upsample" => resize(operands),
        "DepthToSpace" => {
            let block = operands.integer("blocksize", 1);
            if operands.axis(0, 1).fixed().is_none() {
                collector.exactly(operands.axis(0, 1), block.checked_mul(block)?);
            }
            None
        }
        "SpaceToDepth" => {
            let block = operands.integer("blocksize", 1);
            for axis in [2, 3] {
                collector.exactly(operands.axis(0, axis), block);
            }
            None
        }
        operator if operator.contains("Global") => {
            let mut axes = operands.input(0).axes()?.to_vec();
            axes.iter_mut()
                .skip(2)
                .for_each(|axis| *axis = Axis::Fixed(1));
            Some(axes)
        }
        _ => {
            let mut axes = operands.input(0).axes()?.to_vec();
            let kernel: Vec<Axis> = operands
                .integers("kernel_shape")
                .iter()
                .copied()
                .map(Axis::Fixed)
                .collect();
            slide(operands, &kernel, &mut axes, collector);
            Some(axes)
        }
    }
}

fn convolution(
    operands: &Operands<'_, '_>,
    weight: usize,
    collector: &mut Collector,
) -> Option<Vec<Axis>> {
    let weights = operands.input(weight).axes()?;
    let [filters, channels, kernel @ ..] = weights else {
        return None;
    };
    if let Some(channels) = channels
        .fixed()
        .and_then(|channels| channels.checked_mul(operands.integer("group", 1)))
    {
        collector.equal(operands.axis(0, 1), &Axis::Fixed(channels));
    }
    let mut axes = match operands.input(0).axes() {
        Some(axes) if axes.len() == weights.len() => axes.to_vec(),
        _ => vec![Axis::Unknown; weights.len()],
    };
    slide(operands, kernel, &mut axes, collector);
    *axes.get_mut(1)? = filters.clone();
    Some(axes)
}

/// Sets the spatial axes to what is left of them where a kernel slides along them.
fn slide(
    operands: &Operands<'_, '_>,
    kernel: &[Axis],
    axes: &mut [Axis],
    collector: &mut Collector,
) {
    let of = |name: &str, position: usize, otherwise: i64| {
        operands
            .integers(name)
            .get(position)
            .copied()
            .unwrap_or(otherwise)
    };
    let is_same = operands.text("auto_pad").starts_with("SAME");
    for (position, (axis, kernel)) in axes.iter_mut().skip(2).zip(kernel).enumerate() {
        let pads = if operands.text("auto_pad") == "VALID" {
            0
        } else {
            of("pads", position, 0).saturating_add(of(
                "pads",
                position + operands.integers("pads").len() / 2,
                0,
            ))
        };
        let stride = of("strides", position, 1).max(1);
        let Some(kernel) = kernel.fixed() else {
            *axis = Axis::Unknown;
            continue;
        };
        let reach = kernel
            .saturating_sub(1)
            .saturating_mul(of("dilations", position, 1))
            .saturating_add(1);
        // An output of k needs an input of stride · (k - 1) + reach - pads, or + 1 where it is padded to fit.
        let rest = if is_same {
            1
        } else {
            reach.saturating_sub(pads)
        }
        .saturating_sub(stride);
        *axis = match axis {
            Axis::Fixed(length) => {
                let room = length.saturating_sub(rest);
                Axis::Fixed(room.div_euclid(stride))
            }
            Axis::Traced(trace) => scaled(trace, stride, rest),
            Axis::Unknown | Axis::Product { .. } => Axis::Unknown,
        };
        collector.at_least(axis, 1);
    }
}

/// The length of which k needs `stride` · k + `rest` of this one.
fn scaled(trace: &Trace, stride: i64, rest: i64) -> Axis {
    let multiplier = trace.multiplier.checked_mul(stride);
    let addend = trace.needed(rest);
    match (multiplier, addend) {
        (Some(multiplier), Some(addend)) => Axis::Traced(Trace {
            multiplier,
            addend,
            ..*trace
        }),
        _ => Axis::Unknown,
    }
}

fn enlarged(axis: &Axis) -> Axis {
    match axis {
        Axis::Traced(trace) => Axis::Traced(Trace {
            resized: true,
            ..*trace
        }),
        _ => Axis::Unknown,
    }
}

fn transposed(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    let weights = operands.input(1).axes()?;
    let [channels, filters, ..] = weights else {
        return None;
    };
    collector.equal(operands.axis(0, 1), channels);
    let mut axes = operands.input(0).axes()?.to_vec();
    axes.iter_mut()
        .skip(2)
        .for_each(|axis| *axis = enlarged(axis));
    let group = operands.integer("group", 1);
    *axes.get_mut(1)? = filters
        .fixed()
        .and_then(|filters| filters.checked_mul(group))
        .map_or(Axis::Unknown, Axis::Fixed);
    Some(axes)
}

fn resize(operands: &Operands<'_, '_>) -> Option<Vec<Axis>> {
    let axes = operands.input(0).axes()?;
    let [scales, sizes] = match (operands.operator(), operands.node.input.len()) {
        ("Upsample", _) | (_, 2) => [1, usize::MAX],
        _ => [2, 3],
    };
    if let Some(scales) = operands
        .input(scales)
        .numbers()
        .filter(|scales| scales.len() == axes.len())
    {
        let resized = |(axis, scale): (&Axis, f64)| match axis {
            _ if (scale - 1.0).abs() < f64::EPSILON => axis.clone(),
            _ => enlarged(axis),
        };
        return Some(axes.iter().zip(scales).map(resized).collect());
    }
    let sizes = operands
        .input(sizes)
        .lengths()
        .filter(|sizes| sizes.len() == axes.len())?;
    Some(sizes.to_vec())
}
