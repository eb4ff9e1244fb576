//! Operators that split, repeat or join tensors.

use std::rc::Rc;

use crate::call::{Call, Outcome};
use crate::constant;
use crate::dimension::Dim;
use crate::operators::labels;
use crate::operators::numbers;
use crate::operators::reshape::named_axes;
use crate::value::{Blame, Dependence, Layout, RowKind, Value};

/// Concat. Along the rows' axis, the pieces of each operand follow those of the others.
pub(crate) fn concat<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let values: Vec<Rc<Value<'m>>> = call.inputs.iter().flatten().cloned().collect();
    let given: Vec<&Value<'m>> = values.iter().map(AsRef::as_ref).collect();
    Ok(vec![joined(call, &given, call.int_or("axis", 1))?])
}

/// Tensors joined along an axis.
pub(crate) fn joined<'m>(
    call: &mut Call<'_, '_, 'm>,
    values: &[&Value<'m>],
    axis: i64,
) -> Result<Value<'m>, Blame> {
    if let Some(value) = joined_content(call, values) {
        return Ok(value);
    }
    let layout = values.iter().find_map(|value| value.layout());
    if let Some(Dependence::Counted(blame)) = values
        .iter()
        .map(|value| &value.dependence)
        .find(|dependence| matches!(dependence, Dependence::Counted(_)))
    {
        return match layout {
            Some(_) => Err(call.counted(blame)),
            None => Ok(Value::new(None, Dependence::Counted(blame.clone()))),
        };
    }
    let first = values
        .first()
        .ok_or_else(|| call.unproven("joins nothing"))?;
    let mut shape = call.shape(first)?;
    let axis = call.axis(axis, shape.len())?;
    let mut length = Some(Dim::from(0));
    for value in values {
        let other = call.shape(value)?;
        if other.len() != shape.len() {
            return Err(call.unproven("joins tensors of different rank"));
        }
        for (index, (dim, other)) in shape.iter_mut().zip(&other).enumerate() {
            if index == axis {
                length = length.and_then(|length| length.add(other));
            } else if dim.as_constant().is_none() && other.as_constant().is_some() {
                *dim = other.clone();
            }
        }
    }
    let length = call.bounded(length)?;
    if let Some(place) = shape.get_mut(axis) {
        *place = length;
    }
    let Some(layout) = layout.cloned() else {
        return Ok(Value::invariant(Some(shape)));
    };
    let mut outer = Dim::from(0);
    let mut kind = RowKind::Plain;
    let mut placed = None;
    for (index, value) in values.iter().enumerate() {
        let Some(own) = value.layout() else {
            return Err(if layout.axis == axis {
                call.unproven("adds fixed rows to those of the batch")
            } else {
                call.unproven("joins the rows with a fixed number of others")
            });
        };
        let same_place = own.axis == layout.axis && own.block == layout.block;
        if !same_place || (layout.axis != axis && own.outer != layout.outer) {
            return Err(call.unproven("joins tensors whose rows lie differently"));
        }
        outer = call.bounded(outer.add(&own.outer))?;
        match (&own.kind, index) {
            (RowKind::Plain, _) => {}
            (RowKind::Placed(finding), _) => placed = Some(Rc::clone(finding)),
            // The number of the row, followed by indices of its elements.
            (RowKind::Index, 0)
                if axis != layout.axis && axis + 1 == shape.len() && is_single_column(value) =>
            {
                kind = RowKind::IndexTuple;
            }
            (RowKind::Padded(_), _) => {
                return Err(call.certain("sees how long the longest row of the batch is"));
            }
            _ => return Err(call.unproven("takes a row's place in the batch for a value")),
        }
    }
    if let Some(finding) = placed {
        kind = RowKind::Placed(finding);
    }
    let outer = if layout.axis == axis {
        outer
    } else {
        layout.outer.clone()
    };
    call.rows(
        shape,
        Layout {
            outer,
            kind,
            ..layout
        },
    )
}

fn is_single_column(value: &Value<'_>) -> bool {
    value
        .shape
        .as_deref()
        .and_then(<[Dim]>::last)
        .is_some_and(|dim| dim.is(1))
}

/// The known integers of joined vectors.
fn joined_content<'m>(call: &Call<'_, '_, 'm>, values: &[&Value<'m>]) -> Option<Value<'m>> {
    let mut content = Vec::new();
    for value in values {
        if value.rank() != Some(1) {
            return None;
        }
        match (&value.content, &value.dependence, value.shape.as_deref()) {
            (Some(own), ..) => content.extend(own.iter().cloned()),
            (None, Dependence::Invariant, Some([length])) if !is_float(value.element) => {
                let length = usize::try_from(length.as_constant()?).ok()?;
                content.resize(
                    content
                        .len()
                        .checked_add(length)
                        .filter(|length| *length <= constant::MAXIMUM_CONTENT)?,
                    None,
                );
            }
            _ => return None,
        }
    }
    let length = i64::try_from(content.len())
        .ok()
        .filter(|_| content.len() <= constant::MAXIMUM_CONTENT)?;
    let element = values.first()?.element;
    (!is_float(element))
        .then(|| numbers::known(call, vec![Dim::from(length)], content).of_element(element))
}

fn is_float(element: i32) -> bool {
    use crate::proto::element::{BFLOAT16, DOUBLE, FLOAT, FLOAT16, STRING};
    matches!(element, FLOAT | DOUBLE | FLOAT16 | BFLOAT16 | STRING)
}

/// Split: parts along an axis. All other axes are unchanged.
pub(crate) fn split<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", 0), shape.len())?;
    let count = call.node.output.len();
    if value.layout().is_some_and(|layout| layout.axis == axis) {
        return Err(call.certain("splits the rows of the batch"));
    }
    let sizes: Option<Vec<Dim>> = match (call.ints("split"), call.optional(1)) {
        (Some(sizes), _) => Some(sizes.iter().map(|size| Dim::from(*size)).collect()),
        (None, Some(sizes)) => {
            if !sizes.is_invariant() {
                return Err(call.unproven("splits by the rows' values"));
            }
            sizes
                .content
                .as_deref()
                .and_then(|sizes| sizes.iter().cloned().collect())
        }
        (None, None) => {
            let whole = shape.get(axis).cloned().unwrap_or_else(Dim::one);
            let parts = i64::try_from(count).unwrap_or(i64::MAX);
            whole
                .divide(&Dim::from(parts))
                .map(|part| vec![part; count])
        }
    };
    let sizes = match sizes {
        Some(sizes) if sizes.len() == count => sizes,
        _ => (0..count).map(|_| call.walk.fresh()).collect(),
    };
    let mut from = 0_usize;
    sizes
        .into_iter()
        .map(|size| {
            let length = size
                .as_constant()
                .and_then(|size| usize::try_from(size).ok());
            let content = length
                .zip(value.content.as_deref())
                .filter(|_| shape.len() == 1);
            let content = content.and_then(|(length, content)| {
                Some(content.get(from..from.checked_add(length)?)?.to_vec())
            });
            from = from.saturating_add(length.unwrap_or(usize::MAX));
            if let Some(content) = content {
                return Ok(numbers::known(call, vec![size], content));
            }
            let mut shape = shape.clone();
            if let Some(place) = shape.get_mut(axis) {
                *place = size;
            }
            Ok(Value::new(Some(shape), value.dependence.clone()))
        })
        .collect()
}

/// Expand: broadcasts to a shape.
pub(crate) fn expand<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let target = call.input(1)?;
    let content: Vec<Option<Dim>> = match (&target.content, &target.dependence) {
        (_, Dependence::Mixed(blame)) => return Err(blame.clone()),
        (Some(content), _) => content.to_vec(),
        (None, Dependence::Invariant) => {
            let length = target.list_length();
            vec![None; length.ok_or_else(|| call.unproven("expands to a shape that isn't known"))?]
        }
        _ => return Err(call.unproven("expands to a shape that depends on the rows")),
    };
    let old = call.shape(&value)?;
    let rank = old.len().max(content.len());
    let mut row = value
        .layout()
        .map(|layout| layout.at(rank - old.len() + layout.axis));
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        let own = axis
            .checked_sub(rank - old.len())
            .and_then(|axis| old.get(axis))
            .cloned()
            .unwrap_or_else(Dim::one);
        let wanted = match axis
            .checked_sub(rank - content.len())
            .and_then(|axis| content.get(axis))
        {
            None => Dim::one(),
            Some(Some(dim)) => dim.clone(),
            Some(None) => call.walk.fresh(),
        };
        let is_row = row.as_ref().is_some_and(|layout| layout.axis == axis);
        if is_row {
            if !wanted.is(1) && wanted != own {
                return Err(labels::fixed_rows(call, &wanted));
            }
            shape.push(own);
        } else if wanted.is_row_free() {
            shape.push(labels::broadcast(call, &own, &wanted));
        } else {
            let block = wanted.per_row().filter(|_| own.is(1));
            let block = block
                .ok_or_else(|| call.unproven("expands to a shape that depends on the rows"))?;
            let layout = Layout {
                block,
                ..Layout::plain(axis)
            };
            if row.replace(layout).is_some() {
                return Err(call.certain("pairs each row with every other"));
            }
            shape.push(wanted);
        }
    }
    let mut output = match (row, &value.dependence) {
        (_, Dependence::Mixed(blame)) => return Err(blame.clone()),
        (None, Dependence::Counted(blame)) => Value::new(None, Dependence::Counted(blame.clone())),
        (Some(_), Dependence::Counted(blame)) => return Err(call.counted(blame)),
        (Some(layout), _) => {
            if matches!(layout.kind, RowKind::Padded(_) | RowKind::IndexTuple) && shape != old {
                return Err(call.unproven("expands places in the batch"));
            }
            call.rows(shape, layout)?
        }
        (None, _) => Value::invariant(Some(shape)),
    };
    if output.shape == value.shape {
        output.content = value.content.clone();
    }
    output.below.clone_from(&value.below);
    Ok(vec![output])
}

/// Tile: repeats the whole tensor along each axis.
pub(crate) fn tile<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let repeats = call.input(1)?;
    let mut shape = call.shape(&value)?;
    if call.opset < 6 {
        return Err(call.unproven("is of an operator set before 6"));
    }
    let repeats = match (&repeats.content, &repeats.dependence) {
        (Some(content), _) => content.to_vec(),
        (None, Dependence::Invariant) => vec![None; shape.len()],
        _ => return Err(call.unproven("repeats as often as the rows say")),
    };
    if repeats.len() != shape.len() {
        return Err(call.unproven("has a number of repeats for other axes"));
    }
    let mut row = value.layout().cloned();
    if row
        .as_ref()
        .is_some_and(|layout| layout.kind != RowKind::Plain)
    {
        return Err(call.unproven("repeats places in the batch"));
    }
    for (axis, (dim, repeat)) in shape.iter_mut().zip(&repeats).enumerate() {
        let fresh = call.walk.fresh();
        let repeat = repeat.clone().unwrap_or(fresh);
        if let Some(layout) = row.as_mut().filter(|layout| layout.axis == axis) {
            if !repeat.is_row_free() {
                return Err(call.certain("repeats the rows as often as there are rows"));
            }
            layout.outer = call.bounded(layout.outer.multiply(&repeat))?;
        } else if !repeat.is_row_free() {
            let times = repeat
                .per_row()
                .ok_or_else(|| call.unproven("repeats as often as the rows say"))?;
            let block = call.bounded(times.multiply(dim))?;
            if row
                .replace(Layout {
                    block,
                    ..Layout::plain(axis)
                })
                .is_some()
            {
                return Err(call.certain("pairs each row with every other"));
            }
        }
        *dim = call.bounded(dim.multiply(&repeat))?;
    }
    match (row, &value.dependence) {
        (_, Dependence::Mixed(blame)) => Err(blame.clone()),
        (Some(_), Dependence::Counted(blame)) => Err(call.counted(blame)),
        (None, Dependence::Counted(blame)) => {
            Ok(vec![Value::new(None, Dependence::Counted(blame.clone()))])
        }
        (Some(layout), _) => Ok(vec![call.rows(shape, layout)?]),
        (None, _) => Ok(vec![Value::invariant(Some(shape))]),
    }
}

/// Pad, of ONNX and of com.microsoft. It is rejected along the rows.
pub(crate) fn pad<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let mut shape = call.shape(&value)?;
    let pads: Vec<Option<Dim>> =
        if let Some(pads) = call.ints("pads").or_else(|| call.ints("paddings")) {
            pads.iter().map(|pad| Some(Dim::from(*pad))).collect()
        } else {
            let pads = call.input(1)?;
            if !pads.is_invariant() {
                return Err(call.unproven("pads as far as the rows say"));
            }
            pads.content
                .as_deref()
                .cloned()
                .ok_or_else(|| call.unproven("pads by lengths that aren't known"))?
        };
    call.require_fixed_from(1)?;
    let axes = match named_axes(call, 3)? {
        Some(axes) => call.axes(&axes, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    if pads.len() != axes.len().saturating_mul(2) {
        return Err(call.unproven("has pads for other axes"));
    }
    let (before, after) = pads.split_at(axes.len());
    for ((axis, before), after) in axes.iter().zip(before).zip(after) {
        let none = |pad: &Option<Dim>| pad.as_ref().is_some_and(|pad| pad.is(0));
        if none(before) && none(after) {
            continue;
        }
        if value.layout().is_some_and(|layout| layout.axis == *axis) {
            return Err(call.unproven("adds rows to those of the batch"));
        }
        let old = shape.get(*axis).cloned().unwrap_or_else(Dim::one);
        let length = before
            .as_ref()
            .zip(after.as_ref())
            .and_then(|(before, after)| old.add(before)?.add(after));
        let length = length.filter(|length| length.minimum().is_some_and(|least| least >= 0));
        let length = match length {
            Some(length) => length,
            None => call.walk.fresh(),
        };
        shape.splice(axis..=axis, [length]);
    }
    Ok(vec![Value::new(Some(shape), value.dependence.clone())])
}
