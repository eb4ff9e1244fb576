//! Slice: parts of axes. The rows' axis must be whole.

use std::rc::Rc;

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::numbers;
use crate::value::{Blame, Dependence, RowKind, Value};

/// Slice. The rows' axis must be whole.
pub(crate) fn slice<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let old = call.shape(&value)?;
    let given = |call: &Call<'_, '_, 'm>,
                 name: &str,
                 input: usize|
     -> Result<Option<Vec<Option<Dim>>>, Blame> {
        if call.opset < 10 {
            return Ok(call
                .ints(name)
                .map(|ints| ints.iter().map(|int| Some(Dim::from(*int))).collect()));
        }
        let Some(bound) = call.optional(input) else {
            return Ok(None);
        };
        match (&bound.content, &bound.dependence) {
            (Some(content), Dependence::Invariant | Dependence::Counted(_)) => {
                Ok(Some(content.to_vec()))
            }
            (None, Dependence::Invariant) => {
                let length = bound.list_length();
                let length = length
                    .ok_or_else(|| call.unproven("slices between places that aren't known"))?;
                Ok(Some(vec![None; length]))
            }
            _ => Err(call.unproven("slices between places that depend on the rows")),
        }
    };
    let lacking = |call: &Call<'_, '_, 'm>| call.unproven("lacks an input");
    let starts = given(call, "starts", 1)?.ok_or_else(|| lacking(call))?;
    let ends = given(call, "ends", 2)?.ok_or_else(|| lacking(call))?;
    let steps = given(call, "steps", 4)?.unwrap_or_else(|| vec![Some(Dim::one()); starts.len()]);
    let axes = match given(call, "axes", 3)? {
        Some(axes) => {
            let axes: Option<Vec<i64>> = axes
                .iter()
                .map(|axis| axis.as_ref()?.as_constant())
                .collect();
            let axes = axes.ok_or_else(|| call.unproven("slices axes that aren't known"))?;
            call.axes(&axes, old.len())?
        }
        None => (0..starts.len()).collect(),
    };
    if [ends.len(), steps.len(), axes.len()]
        .iter()
        .any(|length| *length != starts.len())
    {
        return Err(call.unproven("has a different number of starts and ends"));
    }
    let row_axis = value.layout().map(|layout| layout.axis);
    let mut shape = old.clone();
    let mut cuts = false;
    let mut content = value.content.as_deref().cloned().filter(|_| old.len() == 1);
    for (((axis, start), end), step) in axes.iter().zip(&starts).zip(&ends).zip(&steps) {
        let length = old.get(*axis).cloned().unwrap_or_else(Dim::one);
        let (Some(start), Some(end), Some(step)) = (start, end, step) else {
            content = None;
            cuts = true;
            if row_axis == Some(*axis) {
                return Err(call.unproven("takes a part of the rows that isn't known"));
            }
            shape.splice(axis..=axis, [call.walk.fresh()]);
            continue;
        };
        if is_whole(&length, start, end, step) {
            continue;
        }
        cuts = true;
        if row_axis == Some(*axis) {
            return Err(call.certain("takes a part of the rows of the batch, or turns them round"));
        }
        if ![start, end, step].iter().all(|dim| dim.is_row_free()) {
            let blame = call.certain("slices at a place that the number of rows decides");
            return match row_axis {
                Some(_) => Err(blame),
                None => Ok(vec![Value::new(None, Dependence::Counted(blame))]),
            };
        }
        content = content.and_then(|content| sliced(&content, start, end, step));
        let taken = match &content {
            Some(content) => Dim::from(i64::try_from(content.len()).unwrap_or(i64::MAX)),
            None => slice_length(call, &length, start, end, step),
        };
        shape.splice(axis..=axis, [taken]);
    }
    if let Some(content) = content {
        return Ok(vec![
            numbers::known(call, shape, content).of_element(value.element),
        ]);
    }
    let mut output = Value::new(Some(shape.clone()), value.dependence.clone());
    if let Some(layout) = value.layout() {
        match layout.kind {
            RowKind::Padded(_) => {
                return Err(call.certain("sees how long the longest row of the batch is"));
            }
            // A tuple in another order is another tuple.
            RowKind::IndexTuple if cuts => {
                return Err(call.unproven("takes a row's place in the batch for a value"));
            }
            RowKind::IndexTuple
            | RowKind::Index
            | RowKind::Flat { .. }
            | RowKind::Placed(_)
            | RowKind::Plain => {}
        }
        output = call.rows(shape, layout.clone())?;
    } else if value.content.is_some() {
        // Two axes of known integers, as exporters reverse padding. The elements are not kept.
        if let Some(content) = reversed_rows(&value, &axes, &starts, &steps) {
            output.content = Some(Rc::new(content));
            output.shape = Some(old);
        } else if let Dependence::Counted(blame) = &value.dependence {
            return Ok(vec![Value::new(None, Dependence::Counted(blame.clone()))]);
        }
    }
    Ok(vec![output])
}

/// A value that no axis reaches: exporters use it, 2³¹ or 2⁶³ for slices to the end.
const NO_LENGTH: i64 = 1_000_000_000;

/// Whether a slice is the whole axis.
fn is_whole(length: &Dim, start: &Dim, end: &Dim, step: &Dim) -> bool {
    let to_the_end = end == length || end.as_constant().is_some_and(|end| end >= NO_LENGTH);
    start.is(0) && step.is(1) && to_the_end
}

/// The indices of a slice in an axis: the first, their number, and the step.
fn places(length: i64, start: &Dim, end: &Dim, step: &Dim) -> Option<(i64, i64, i64)> {
    let (start, end, step) = (
        start.as_constant()?,
        end.as_constant()?,
        step.as_constant()?,
    );
    let bounded = |place: i64, low: i64, high: i64| {
        let from_front = if place < 0 {
            place.saturating_add(length)
        } else {
            place
        };
        from_front.min(high).max(low)
    };
    let (first, span) = if step > 0 {
        let first = bounded(start, 0, length);
        (first, bounded(end, 0, length).checked_sub(first)?)
    } else {
        let last = length.checked_sub(1)?;
        let first = bounded(start, 0, last);
        (first, first.checked_sub(bounded(end, -1, last))?)
    };
    let size = step.checked_abs().filter(|size| *size > 0)?;
    let count = span.max(0).checked_add(size - 1)?.checked_div(size)?;
    Some((first, count, step))
}

/// Known elements of a vector from `start` to `end`.
fn sliced(content: &[Option<Dim>], start: &Dim, end: &Dim, step: &Dim) -> Option<Vec<Option<Dim>>> {
    let length = i64::try_from(content.len()).ok()?;
    let (first, count, step) = places(length, start, end, step)?;
    (0..count)
        .map(|index| {
            let place = first.checked_add(index.checked_mul(step)?)?;
            content.get(usize::try_from(place).ok()?).cloned()
        })
        .collect()
}

/// A matrix of known integers with its rows reversed.
fn reversed_rows(
    value: &Value<'_>,
    axes: &[usize],
    starts: &[Option<Dim>],
    steps: &[Option<Dim>],
) -> Option<Vec<Option<Dim>>> {
    let ([0], [Some(start)], [Some(step)]) = (axes, starts, steps) else {
        return None;
    };
    let [_, columns] = value.shape.as_deref()? else {
        return None;
    };
    let columns = usize::try_from(columns.as_constant()?)
        .ok()
        .filter(|columns| *columns > 0)?;
    let whole = start.is(-1) && step.is(-1);
    whole.then(|| {
        value
            .content
            .as_deref()
            .into_iter()
            .flat_map(|content| content.rchunks(columns))
            .flatten()
            .cloned()
            .collect()
    })
}

fn slice_length(
    call: &mut Call<'_, '_, '_>,
    length: &Dim,
    start: &Dim,
    end: &Dim,
    step: &Dim,
) -> Dim {
    let known = length
        .as_constant()
        .and_then(|length| places(length, start, end, step));
    if let Some((_, count, _)) = known {
        return Dim::from(count);
    }
    let taken = call.walk.derive("slice", &[length, start, end, step]);
    let is_positive = |dim: &Dim| dim.minimum().is_some_and(|least| least > 0);
    if length.as_constant().is_some()
        && start.is(0)
        && step.is(1)
        && is_positive(length)
        && is_positive(end)
    {
        call.walk.cap(&taken, end);
    }
    taken
}
