//! Sequences of tensors with known items.

use std::rc::Rc;

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::layout;
use crate::value::{Blame, Dependence, Sequence, Value};

/// A sequence as a value. Its items determine its dependence on the rows.
fn of<'m>(sequence: Sequence<'m>) -> Value<'m> {
    let mut value = Value::new(None, Dependence::Invariant);
    value.sequence = Some(sequence);
    value
}

fn items<'m>(call: &Call<'_, '_, 'm>, index: usize) -> Result<Rc<Vec<Rc<Value<'m>>>>, Blame> {
    match &call.input(index)?.sequence {
        Some(Sequence::Items(items)) => Ok(Rc::clone(items)),
        _ => Err(call.unproven("takes a sequence of which not every item is known")),
    }
}

/// `SequenceConstruct`.
pub(crate) fn construct<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let items: Vec<_> = call.inputs.iter().flatten().cloned().collect();
    if items.iter().any(|item| item.sequence.is_some()) {
        return Err(call.unproven("makes a sequence of sequences"));
    }
    Ok(vec![of(Sequence::Items(Rc::new(items)))])
}

/// `SequenceEmpty`.
pub(crate) fn empty<'m>(_: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    Ok(vec![of(Sequence::Items(Rc::default()))])
}

/// `SequenceInsert`, at the end.
pub(crate) fn insert<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let items = items(call, 0)?;
    let item = call.input(1)?;
    if call.optional(2).is_some() || items.len() >= 1024 || item.sequence.is_some() {
        return Err(call.unproven("inserts at a place that isn't known"));
    }
    let mut items = items.as_ref().clone();
    items.push(item);
    Ok(vec![of(Sequence::Items(Rc::new(items)))])
}

/// `SequenceAt`, with a constant index.
pub(crate) fn at<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let items = items(call, 0)?;
    let place = call.input(1)?;
    let place = place.scalar().and_then(Dim::as_constant);
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = place.map(|place| {
        if place < 0 {
            place.saturating_add(length)
        } else {
            place
        }
    });
    let item = place
        .and_then(|place| usize::try_from(place).ok())
        .and_then(|place| items.get(place));
    let item = item.ok_or_else(|| call.unproven("takes an item that isn't known"))?;
    Ok(vec![item.as_ref().clone()])
}

/// `ConcatFromSequence`, along an existing axis.
pub(crate) fn concat<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let items = items(call, 0)?;
    if call.int_or("new_axis", 0) != 0 {
        return Err(call.unproven("stacks the items of a sequence"));
    }
    let axis = call
        .int("axis")
        .ok_or_else(|| call.unproven("lacks an attribute"))?;
    for item in items.iter() {
        if let Dependence::Mixed(blame) = &item.dependence {
            return Err(blame.clone());
        }
    }
    let items: Vec<&Value<'m>> = items.iter().map(AsRef::as_ref).collect();
    Ok(vec![layout::joined(call, &items, axis)?])
}

/// `SplitToSequence`, into a known number of equal parts of an axis other than the rows'.
pub(crate) fn split<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let mut shape = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", 0), shape.len())?;
    if value.layout().is_some_and(|layout| layout.axis == axis) {
        return Err(call.certain("splits the rows of the batch"));
    }
    let unknown = || call.unproven("splits into parts that aren't known");
    let length = shape
        .get(axis)
        .and_then(Dim::as_constant)
        .ok_or_else(unknown)?;
    let sizes: Vec<i64> = match call.optional(1) {
        None if call.int_or("keepdims", 1) != 0 && length <= 1024 => {
            (0..length).map(|_| 1).collect()
        }
        Some(sizes) if sizes.rank() == Some(1) => sizes.integers().ok_or_else(unknown)?,
        None | Some(_) => return Err(unknown()),
    };
    if value.layout().is_none() && !value.is_invariant() {
        return Err(unknown());
    }
    let items = sizes
        .into_iter()
        .map(|size| {
            shape.splice(axis..=axis, [Dim::from(size)]);
            Rc::new(Value::new(Some(shape.clone()), value.dependence.clone()))
        })
        .collect();
    Ok(vec![of(Sequence::Items(Rc::new(items)))])
}
