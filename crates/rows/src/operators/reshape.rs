//! Operators that keep the order of the elements and change the axes.

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::value::{Blame, Dependence, Layout, RowKind, Value};

/// `value` with another shape, which has the same number of elements if the model runs.
///
/// The elements of a row are contiguous in `outer` pieces: the axes before the row axis and in `outer` have P pieces,
/// and each of them has N parts of equal size. The same holds for the new shape if one axis has N in its length and the
/// axes before it split the pieces evenly.
fn with_shape<'m>(
    call: &Call<'_, '_, 'm>,
    value: &Value<'m>,
    shape: Vec<Dim>,
) -> Result<Value<'m>, Blame> {
    let blame = || call.unproven("gives the rows a shape from which they can't be told apart");
    let mut output = match &value.dependence {
        Dependence::Mixed(blame) => return Err(blame.clone()),
        Dependence::Invariant if shape.iter().all(Dim::is_row_free) => {
            Value::invariant(Some(shape))
        }
        Dependence::Invariant => {
            return Err(call.unproven("gives a constant as many rows as the batch has"));
        }
        Dependence::Counted(blame) => Value::new(Some(shape), Dependence::Counted(blame.clone())),
        Dependence::Rows(layout) => {
            let old = call.shape(value)?;
            if let RowKind::Padded(_) = layout.kind {
                return same_but_for_ones(call, value, shape);
            }
            if layout.kind == RowKind::IndexTuple && (old.last() != shape.last() || shape.len() < 2)
            {
                return Err(call.unproven("takes a row's place in the batch for a value"));
            }
            // It would fail, unless a length is 1. But ONNX Runtime's optimizer may derive another shape that doesn't
            // fail.
            if differs(&old, &shape) {
                return Err(call.unproven("gives the rows a shape of another size"));
            }
            let mut with_rows = shape
                .iter()
                .enumerate()
                .filter(|(_, dim)| !dim.is_row_free());
            let (Some((axis, length)), None) = (with_rows.next(), with_rows.next()) else {
                return Err(blame());
            };
            let per_row = length.per_row().ok_or_else(blame)?;
            let before = old.iter().take(layout.axis).chain([&layout.outer]);
            let pieces = call.bounded(Dim::product(before))?;
            let before = call.bounded(Dim::product(shape.iter().take(axis)))?;
            let outer = pieces.divide(&before).ok_or_else(blame)?;
            let block = per_row.divide(&outer).ok_or_else(blame)?;
            let layout = Layout {
                axis,
                outer,
                block,
                kind: layout.kind.clone(),
            };
            call.rows(shape, layout)?
        }
    };
    output.content = value.content.clone();
    output.below.clone_from(&value.below);
    output.literal = value.literal;
    output.element = value.element;
    Ok(output)
}

/// Whether the number of elements of one shape is a multiple of the other's, or differs in any case.
fn differs(old: &[Dim], new: &[Dim]) -> bool {
    let Some((old, new)) = Dim::product(old).zip(Dim::product(new)) else {
        return false;
    };
    let divides = old.divide(&new).is_some() || new.divide(&old).is_some();
    old != new && (divides || old.equals(&new) == Some(false))
}

/// Padded rows stay padded rows if only axes of length 1 are added or removed.
fn same_but_for_ones<'m>(
    call: &Call<'_, '_, 'm>,
    value: &Value<'m>,
    shape: Vec<Dim>,
) -> Result<Value<'m>, Blame> {
    let long =
        |shape: &[Dim]| -> Vec<Dim> { shape.iter().filter(|dim| !dim.is(1)).cloned().collect() };
    let old = call.shape(value)?;
    let axis = shape.iter().position(|dim| dim.per_row().is_some());
    match (value.layout(), axis) {
        (Some(layout), Some(axis)) if long(&old) == long(&shape) && old.last() == shape.last() => {
            call.rows(shape, layout.at(axis))
        }
        _ => Err(call.certain("sees how long the longest row of the batch is")),
    }
}

/// Reshape, to a partly known shape.
pub(crate) fn reshape<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let copies = call.int_or("allowzero", 0) == 0;
    let target: Vec<Option<Dim>> = if call.opset < 5 {
        let ints = call.ints("shape").unwrap_or_default();
        ints.iter().map(|length| Some(Dim::from(*length))).collect()
    } else {
        let target = call.input(1)?;
        match (&target.content, &target.dependence) {
            (_, Dependence::Mixed(blame)) => return Err(blame.clone()),
            (Some(content), _) => content.to_vec(),
            (None, Dependence::Invariant) => {
                let length = target.list_length();
                vec![None; length.ok_or_else(|| call.unproven("gives a shape that isn't known"))?]
            }
            _ => return Err(call.unproven("gives a shape that depends on the rows")),
        }
    };
    let old = call.shape(&value)?;
    let row_axis = value.layout().map(|layout| layout.axis);
    let mut shape = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (index, dim) in target.into_iter().enumerate() {
        shape.push(match dim {
            Some(dim) if dim.is(-1) => {
                inferred = Some(index);
                Dim::one()
            }
            Some(dim) if dim.is(0) && copies => {
                let copied = old.get(index).cloned();
                copied
                    .ok_or_else(|| call.unproven("copies the length of an axis that isn't there"))?
            }
            // A polynomial that may be 0 or less would have another meaning.
            Some(dim) if dim.minimum().is_some_and(|least| least >= 0) => match &dim {
                dim if copies
                    && dim.minimum() == Some(0)
                    && row_axis == Some(index)
                    && dim.is_row_free() =>
                {
                    return Err(call.unproven("gives a shape that isn't known"));
                }
                dim => dim.clone(),
            },
            Some(dim) if !dim.is_row_free() => {
                return Err(call.unproven("gives a shape that isn't known"));
            }
            // Unknown, but independent of the rows. So is the length, unless it is a 0 that copies the rows.
            _ if copies && row_axis == Some(index) => {
                return Err(call.unproven("gives a shape that isn't known"));
            }
            _ => call.walk.fresh(),
        });
    }
    if let Some(index) = inferred {
        let inferred = infer(call, &value, &old, &shape)?;
        if let Some(place) = shape.get_mut(index) {
            *place = inferred;
        }
    } else if value.layout().is_some() && shape.iter().all(Dim::is_row_free) {
        return Err(call.blame(
            crate::value::Certainty::Unproven,
            "gives the batch a shape of fixed lengths",
            Some("export the model with a dynamic first axis"),
        ));
    }
    Ok(vec![with_shape(call, &value, shape)?])
}

/// The length for -1, which is 1 in `shape`.
fn infer(
    call: &mut Call<'_, '_, '_>,
    value: &Value<'_>,
    old: &[Dim],
    shape: &[Dim],
) -> Result<Dim, Blame> {
    let total = call.bounded(Dim::product(old))?;
    let others = call.bounded(Dim::product(shape))?;
    if let Some(exact) = total.divide(&others) {
        return Ok(exact);
    }
    // Not divisible for all lengths. If N cancels out, the division is the same for one row.
    let (total, others) = match (total.per_row(), others.per_row()) {
        (Some(total), Some(others)) => (total, others),
        _ if total.is_row_free() && others.is_row_free() => (total, others),
        _ if value.layout().is_some() => {
            return Err(
                call.unproven("may join elements of several rows in one, as its shape has it")
            );
        }
        _ => return Err(call.unproven("gives a shape that isn't known")),
    };
    Ok(call.walk.derive("quotient", &[&total, &others]))
}

/// Flatten: the axes before `axis` become one axis, and those from it on become another.
pub(crate) fn flatten<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let old = call.shape(&value)?;
    let axis = call.int_or("axis", 1);
    let split = if usize::try_from(axis) == Ok(old.len()) {
        old.len()
    } else {
        call.axis(axis, old.len())?
    };
    let (before, after) = old.split_at_checked(split).unwrap_or((&old, &[]));
    let shape = vec![
        call.bounded(Dim::product(before))?,
        call.bounded(Dim::product(after))?,
    ];
    Ok(vec![with_shape(call, &value, shape)?])
}

/// The axes in an attribute or, in later operator sets, an input. `None` if there are none.
pub(crate) fn named_axes(call: &Call<'_, '_, '_>, input: usize) -> Result<Option<Vec<i64>>, Blame> {
    if let Some(axes) = call.ints("axes") {
        return Ok(Some(axes.to_vec()));
    }
    match call.optional(input) {
        None => Ok(None),
        Some(axes) => match axes.integers() {
            Some(axes) => Ok(Some(axes)),
            None => Err(call.unproven("names axes that aren't known")),
        },
    }
}

/// Squeeze: removes axes of length 1.
pub(crate) fn squeeze<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let old = call.shape(&value)?;
    let row_axis = value.layout().map(|layout| layout.axis);
    let axes = match named_axes(call, 1)? {
        Some(axes) => call.axes(&axes, old.len())?,
        None => {
            if old.iter().any(|dim| dim.as_constant().is_none()) {
                return Err(call.blame(
                    crate::value::Certainty::Unproven,
                    "drops every axis of length 1, and the rows' axis is one of them when there is one row",
                    Some("name the axes that it drops"),
                ));
            }
            (0..old.len())
                .filter(|axis| old.get(*axis).is_some_and(|dim| dim.is(1)))
                .collect()
        }
    };
    if row_axis.is_some_and(|row_axis| axes.contains(&row_axis)) {
        return Err(call.unproven("drops the axis of the rows"));
    }
    let kept: Vec<usize> = (0..old.len()).filter(|axis| !axes.contains(axis)).collect();
    let shape = kept
        .iter()
        .filter_map(|axis| old.get(*axis).cloned())
        .collect();
    Ok(vec![moved(call, &value, shape, &kept)?])
}

/// Unsqueeze: adds axes of length 1.
pub(crate) fn unsqueeze<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let old = call.shape(&value)?;
    let axes = named_axes(call, 1)?.ok_or_else(|| call.unproven("names no axes"))?;
    let rank = old.len().saturating_add(axes.len());
    if rank > 64 {
        return Err(call.unproven("gives a tensor of too many axes"));
    }
    let axes = call.axes(&axes, rank)?;
    let mut rest = old.iter().enumerate();
    let mut shape = Vec::with_capacity(rank);
    let mut places = Vec::with_capacity(rank);
    for axis in 0..rank {
        if axes.contains(&axis) {
            shape.push(Dim::one());
            places.push(usize::MAX);
        } else if let Some((place, dim)) = rest.next() {
            shape.push(dim.clone());
            places.push(place);
        } else {
            return Err(call.unproven("names an axis twice"));
        }
    }
    Ok(vec![moved(call, &value, shape, &places)?])
}

/// `value` with its axes `places`. New axes have no place.
fn moved<'m>(
    call: &Call<'_, '_, 'm>,
    value: &Value<'m>,
    shape: Vec<Dim>,
    places: &[usize],
) -> Result<Value<'m>, Blame> {
    let mut output = Value::new(Some(shape.clone()), value.dependence.clone());
    if let Dependence::Rows(layout) = &value.dependence {
        let axis = places.iter().position(|place| *place == layout.axis);
        let axis = axis.ok_or_else(|| call.unproven("drops the axis of the rows"))?;
        let keeps_last =
            places.last().copied() == value.rank().and_then(|rank| rank.checked_sub(1));
        if layout.kind == RowKind::IndexTuple && !keeps_last {
            return Err(call.unproven("takes a row's place in the batch for a value"));
        }
        output = call.rows(shape, layout.at(axis))?;
    }
    output.content = value.content.clone();
    output.below.clone_from(&value.below);
    output.element = value.element;
    output.literal = value.literal;
    Ok(output)
}

/// Transpose: permutes the axes.
pub(crate) fn transpose<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let old = call.shape(&value)?;
    let order: Vec<usize> = match call.ints("perm") {
        Some(order) => call.axes(order, old.len())?,
        None => (0..old.len()).rev().collect(),
    };
    if order.len() != old.len() || (0..old.len()).any(|axis| !order.contains(&axis)) {
        return Err(call.unproven("has an order of axes that isn't one"));
    }
    if old.len() > 1 && value.layout().is_none() {
        let shape = order
            .iter()
            .filter_map(|axis| old.get(*axis).cloned())
            .collect();
        let mut output = Value::new(Some(shape), value.dependence.clone());
        if let (Some(content), [rows, columns], [1, 0]) =
            (&value.content, old.as_slice(), order.as_slice())
        {
            let lengths = rows.as_constant().zip(columns.as_constant());
            let lengths = lengths
                .and_then(|(r, c)| Some((usize::try_from(r).ok()?, usize::try_from(c).ok()?)));
            if let Some((rows, columns)) = lengths {
                let places = (0..columns)
                    .flat_map(|column| (0..rows).map(move |row| row * columns + column));
                let content: Option<Vec<_>> =
                    places.map(|place| content.get(place).cloned()).collect();
                output.content = content.map(std::rc::Rc::new);
            }
        }
        return Ok(vec![output]);
    }
    let shape = order
        .iter()
        .filter_map(|axis| old.get(*axis).cloned())
        .collect();
    let mut output = moved(call, &value, shape, &order)?;
    output.literal = None;
    Ok(vec![output])
}
