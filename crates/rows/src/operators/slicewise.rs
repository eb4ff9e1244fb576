//! Operators that process each element along axis 0 separately: convolutions, pooling, images.

use crate::call::{Call, Outcome};
use crate::constant;
use crate::dimension::Dim;
use crate::operators::elementwise::same_place;
use crate::value::{Blame, Certainty, Dependence, Layout, RowKind, Value};

/// The layout of an input whose rows must be on axis 0, and its shape.
pub(crate) fn first_axis<'m>(
    call: &Call<'_, '_, 'm>,
    value: &Value<'m>,
) -> Result<(Vec<Dim>, Option<Layout>), Blame> {
    let shape = call.shape(value)?;
    match value.layout() {
        Some(layout) if layout.axis == 1 => {
            Err(call.unproven("has the rows where it wants the channels"))
        }
        Some(layout) if layout.axis != 0 => {
            Err(call.unproven("has the rows on another axis than the first"))
        }
        layout => Ok((shape, layout.cloned())),
    }
}

/// An output with axis 0 of the input, and this shape otherwise.
pub(crate) fn with_first_axis<'m>(
    call: &Call<'_, '_, 'm>,
    first: Dim,
    rest: Vec<Dim>,
    layout: Option<Layout>,
) -> Result<Value<'m>, Blame> {
    let mut shape = vec![first];
    shape.extend(rest);
    match layout {
        None => Ok(Value::invariant(Some(shape))),
        Some(layout) => call.rows(shape, layout),
    }
}

/// The shape is unchanged: batch normalization in inference, `LRN`, `InstanceNormalization`.
pub(crate) fn same_shape<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    first_axis(call, &value)?;
    call.require_fixed_from(1)?;
    Ok(vec![same_place(&value)])
}

/// `BatchNormalization`, outside of training.
pub(crate) fn batch_normalization<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let outputs = call
        .node
        .output
        .iter()
        .filter(|name| !name.is_empty())
        .count();
    let value = call.input(0)?;
    if call.opset < 7 || call.int_or("spatial", 1) != 1 {
        return Err(call.unproven("is of an operator set before 9"));
    }
    if call.int_or("training_mode", 0) != 0 || outputs > 1 {
        return Err(call.blame(
            Certainty::Certain,
            "normalizes by the whole batch, as in training",
            Some("export the model in inference mode"),
        ));
    }
    // A single axis would be the channels.
    if value.rank().is_some_and(|rank| rank < 2) {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    same_shape(call)
}

/// The length of an axis after a sliding window.
fn windows(
    call: &mut Call<'_, '_, '_>,
    length: &Dim,
    size: &Dim,
    step: i64,
    dilation: i64,
    pads: i64,
    ceil: bool,
) -> Dim {
    let exact = (|| {
        let length = length.as_constant()?;
        let span = size
            .as_constant()?
            .checked_sub(1)?
            .checked_mul(dilation)?
            .checked_add(1)?;
        let room = length.checked_add(pads)?.checked_sub(span)?;
        (room >= 0 && step > 0 && !ceil)
            .then(|| Some(Dim::from(room.checked_div(step)?.checked_add(1)?)))?
    })();
    match exact {
        Some(exact) => exact,
        None => {
            let numbers = [step, dilation, pads, i64::from(ceil)].map(Dim::from);
            let [step, dilation, pads, ceil] = &numbers;
            call.walk
                .derive("windows", &[length, size, step, dilation, pads, ceil])
        }
    }
}

/// The lengths of the spatial axes after sliding windows of `sizes`.
fn spatial(call: &mut Call<'_, '_, '_>, old: &[Dim], sizes: &[Dim]) -> Result<Vec<Dim>, Blame> {
    let auto = call.string("auto_pad").unwrap_or("NOTSET");
    let ceil = call.int_or("ceil_mode", 0) != 0;
    let at = |name: &str, index: usize, default: i64| {
        call.ints(name)
            .and_then(|ints| ints.get(index))
            .copied()
            .unwrap_or(default)
    };
    let mut plan = Vec::new();
    for (axis, (length, size)) in old.iter().zip(sizes).enumerate() {
        let step = at("strides", axis, 1);
        let dilation = at("dilations", axis, 1);
        let pads = at("pads", axis, 0).saturating_add(at("pads", axis + sizes.len(), 0));
        plan.push((length, size, step, dilation, pads));
    }
    if old.len() != sizes.len() {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    let mut shape = Vec::new();
    for (length, size, step, dilation, pads) in plan {
        shape.push(match auto {
            "NOTSET" | "VALID" => windows(
                call,
                length,
                size,
                step,
                dilation,
                if auto == "VALID" { 0 } else { pads },
                ceil,
            ),
            // The number of steps, rounded up.
            _ => match length.as_constant() {
                Some(length) if length > 0 && step > 0 => Dim::from((length - 1) / step + 1),
                _ if step == 1 => length.clone(),
                _ => call.walk.derive("same", &[length, &Dim::from(step)]),
            },
        });
    }
    Ok(shape)
}

/// Convolutions with constant weights, in the input with the index `weights`.
fn convolution<'m>(call: &mut Call<'_, '_, 'm>, weights: usize) -> Outcome<'m> {
    let value = call.input(0)?;
    let (shape, layout) = first_axis(call, &value)?;
    let own = call.input(weights)?;
    if !own.is_invariant() {
        return Err(call.unproven("has weights that depend on the rows"));
    }
    call.require_fixed_from(1)?;
    if shape.len() < 3 {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    let (batch, old) = (
        shape.first().cloned().unwrap_or_else(Dim::one),
        shape.get(2..).unwrap_or_default(),
    );
    let weights = own.shape.clone();
    let channels = weights.as_ref().and_then(|shape| shape.first()).cloned();
    let mut rest = vec![match channels {
        Some(channels) => channels,
        None => call.walk.fresh(),
    }];
    match weights
        .as_ref()
        .and_then(|shape| shape.get(2..))
        .filter(|sizes| sizes.len() == old.len())
    {
        Some(sizes) => rest.extend(spatial(call, old, sizes)?),
        None => rest.extend((0..old.len()).map(|_| call.walk.fresh())),
    }
    Ok(vec![with_first_axis(call, batch, rest, layout)?])
}

/// Conv, and `ConvInteger` with zero points that are the same for all rows.
pub(crate) fn conv<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    convolution(call, 1)
}

/// `com.microsoft.FusedConv`: its fourth input is added to the output.
pub(crate) fn fused_conv<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let added = call.optional(3);
    if let Some(place) = call.inputs.get_mut(3) {
        *place = None;
    }
    let output = convolution(call, 1)?;
    let Some(added) = added else {
        return Ok(output);
    };
    match (output.first().and_then(Value::layout), added.layout()) {
        (Some(own), Some(other)) if own == other => Ok(output),
        (None, None) => Ok(output),
        _ => Err(call.unproven("joins tensors whose rows lie differently")),
    }
}

/// `QLinearConv`: weights are its fourth input.
pub(crate) fn quantized_conv<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    convolution(call, 3)
}

/// `ConvTranspose`.
pub(crate) fn conv_transpose<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let (shape, layout) = first_axis(call, &value)?;
    call.require_fixed_from(1)?;
    let weights = call.input(1)?;
    let group = call.int_or("group", 1);
    let channels = weights
        .shape
        .as_ref()
        .and_then(|shape| shape.get(1))
        .and_then(|dim| dim.multiply(&Dim::from(group)));
    let mut rest = vec![match channels {
        Some(channels) => channels,
        None => call.walk.fresh(),
    }];
    rest.extend(shape.iter().skip(2).map(|_| call.walk.fresh()));
    let first = shape.first().cloned().unwrap_or_else(Dim::one);
    Ok(vec![with_first_axis(call, first, rest, layout)?])
}

/// Pooling by windows.
pub(crate) fn pool<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let (shape, layout) = first_axis(call, &value)?;
    call.require_fixed_from(1)?;
    // The second output of MaxPool has indices in the whole batch.
    let places = call.node.output.get(1).is_some_and(|name| !name.is_empty());
    let sizes: Vec<Dim> = call
        .ints("kernel_shape")
        .unwrap_or_default()
        .iter()
        .map(|size| Dim::from(*size))
        .collect();
    let [first, channels, old @ ..] = shape.as_slice() else {
        return Err(call.unproven("has inputs of unexpected rank"));
    };
    let mut rest = vec![channels.clone()];
    rest.extend(spatial(call, old, &sizes)?);
    let mut outputs = vec![with_first_axis(call, first.clone(), rest, layout.clone())?];
    if places {
        outputs.push(match layout {
            None => Value::invariant(outputs.first().and_then(|output| output.shape.clone())),
            Some(_) => Value::mixed(call.certain("numbers places in the whole batch")),
        });
    }
    Ok(outputs)
}

/// Pooling over whole images.
pub(crate) fn global_pool<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let (shape, layout) = first_axis(call, &value)?;
    call.require_fixed_from(1)?;
    let [first, channels, old @ ..] = shape.as_slice() else {
        return Err(call.unproven("has inputs of unexpected rank"));
    };
    let mut rest = vec![channels.clone()];
    rest.extend(old.iter().map(|_| Dim::one()));
    if call.int_or("channels_last", 0) != 0 {
        return Err(call.unproven("has its channels last"));
    }
    Ok(vec![with_first_axis(call, first.clone(), rest, layout)?])
}

/// Operators that change all axes but the first in ways that no property depends on.
pub(crate) fn reshaping<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let (shape, layout) = first_axis(call, &value)?;
    call.require_fixed_from(1)?;
    let rank = match call.node.op_type.as_str() {
        "Col2Im" => {
            2 + call
                .optional(1)
                .and_then(|size| size.shape.as_ref()?.first()?.as_constant())
                .and_then(|length| usize::try_from(length).ok())
                .filter(|length| *length < 16)
                .ok_or_else(|| call.unproven("has inputs of unexpected rank"))?
        }
        _ => shape.len(),
    };
    let first = shape
        .first()
        .cloned()
        .ok_or_else(|| call.unproven("has inputs of unexpected rank"))?;
    let rest = (1..rank).map(|_| call.walk.fresh()).collect();
    Ok(vec![with_first_axis(call, first, rest, layout)?])
}

/// `DepthToSpace` and `SpaceToDepth`.
pub(crate) fn depth_and_space<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let (shape, layout) = first_axis(call, &value)?;
    let [first, channels, height, width] = shape.as_slice() else {
        return Err(call.unproven("has inputs of unexpected rank"));
    };
    let block = Dim::from(call.int_or("blocksize", 1));
    let square = call.bounded(block.multiply(&block))?;
    let to_space = call.node.op_type == "DepthToSpace";
    let mut scaled = |dim: &Dim, by: &Dim, up: bool| {
        let exact = if up { dim.multiply(by) } else { dim.divide(by) };
        exact.unwrap_or_else(|| call.walk.derive("blocks", &[dim, by]))
    };
    let rest = vec![
        scaled(channels, &square, !to_space),
        scaled(height, &block, to_space),
        scaled(width, &block, to_space),
    ];
    Ok(vec![with_first_axis(call, first.clone(), rest, layout)?])
}

/// `GridSample`: samples of each row's image at each row's places.
pub(crate) fn grid_sample<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (value, grid) = (call.input(0)?, call.input(1)?);
    let (shape, layout) = first_axis(call, &value)?;
    let (places, other) = first_axis(call, &grid)?;
    if layout != other {
        return Err(call.unproven("joins tensors whose rows lie differently"));
    }
    let first = shape.first().cloned().unwrap_or_else(Dim::one);
    let mut rest = vec![shape.get(1).cloned().unwrap_or_else(Dim::one)];
    rest.extend(
        places
            .iter()
            .take(places.len().saturating_sub(1))
            .skip(1)
            .cloned(),
    );
    Ok(vec![with_first_axis(call, first, rest, layout)?])
}

/// Resize and Upsample. They are rejected along the rows.
pub(crate) fn resize<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    match &value.dependence {
        Dependence::Rows(layout) if layout.kind == RowKind::Plain => {}
        Dependence::Invariant => {}
        _ => return Err(call.unproven("resizes what doesn't go row by row")),
    }
    let old = call.shape(&value)?;
    let older = call.node.op_type == "Upsample" || call.opset < 11;
    if call.string("coordinate_transformation_mode") == Some("tf_crop_and_resize") {
        return Err(call.unproven("crops by coordinates"));
    }
    if call
        .string("keep_aspect_ratio_policy")
        .is_some_and(|policy| policy != "stretch")
    {
        return Err(call.unproven("keeps an aspect ratio"));
    }
    let row_axis = value.layout().map(|layout| layout.axis);
    let named = match call.ints("axes") {
        Some(axes) => call.axes(axes, old.len())?,
        None => (0..old.len()).collect(),
    };
    let (scales, sizes) = match (older, call.opset) {
        (true, ..=8) => (None, None),
        (true, _) => (call.optional(1), None),
        (false, _) => (call.optional(2), call.optional(3)),
    };
    let is_empty = |value: &Value<'m>| {
        value
            .shape
            .as_deref()
            .is_some_and(|shape| shape.iter().any(|dim| dim.is(0)))
    };
    let scales = scales.filter(|scales| !is_empty(scales));
    let mut shape: Vec<Dim> = old.clone();
    let mut row_is_kept = row_axis.is_none_or(|row_axis| !named.contains(&row_axis));
    if let Some(sizes) = sizes.filter(|sizes| !is_empty(sizes)) {
        let content = sizes
            .content
            .as_deref()
            .ok_or_else(|| call.unproven("gives sizes that aren't known"))?;
        for (axis, size) in named.iter().zip(content) {
            let own = old.get(*axis);
            if row_axis == Some(*axis) {
                row_is_kept = size.is_some() && size.as_ref() == own;
                continue;
            }
            let size = match size {
                Some(size) if !size.is_row_free() => {
                    return Err(call.certain("resizes by the number of rows"));
                }
                Some(size) => size.clone(),
                None => call.walk.fresh(),
            };
            shape.splice(axis..=axis, [size]);
        }
    } else {
        let factors: Option<Vec<f64>> = match &scales {
            Some(scales) if scales.is_invariant() => scales.literal.and_then(constant::floats),
            Some(_) => return Err(call.unproven("gives scales that depend on the rows")),
            None => call.attribute("scales").map(|scales| {
                scales
                    .floats
                    .iter()
                    .map(|float| f64::from(*float))
                    .collect()
            }),
        };
        for (place, axis) in named.iter().enumerate() {
            let factor = factors
                .as_ref()
                .and_then(|factors| factors.get(place))
                .copied();
            #[allow(clippy::float_cmp, reason = "exactly 1 means that nothing changes")]
            let kept = factor == Some(1.0);
            if row_axis == Some(*axis) {
                row_is_kept = kept;
            } else if !kept {
                let length = call.walk.fresh();
                shape.splice(axis..=axis, [length]);
            }
        }
    }
    if !row_is_kept {
        return Err(call.unproven("may resize along the rows"));
    }
    Ok(vec![Value::new(Some(shape), value.dependence.clone())])
}
