//! Operators that select elements by their indices, or set them.

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::elementwise::same_place;
use crate::operators::numbers;
use crate::value::{Blame, Dependence, Layout, RowKind, Value};

/// Gather: whole slices along an axis.
pub(crate) fn gather<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    let axis = call.int_or("axis", 0);
    if let Some(value) = gathered_content(call, &data, &indices) {
        return Ok(vec![value]);
    }
    if let Some(outcome) = without_rows(&[&data, &indices]) {
        if data.is_invariant() && indices.is_invariant() {
            return Ok(vec![Value::invariant(
                gathered_shape(call, &data, &indices, axis).ok(),
            )]);
        }
        return outcome;
    }
    let old = call.shape(&data)?;
    let axis = call.axis(axis, old.len())?;
    let mut shape = gathered_shape(call, &data, &indices, call.int_or("axis", 0))?;
    let places = indices.rank().unwrap_or_default();
    let kept = |layout: &Layout| {
        if layout.axis < axis {
            layout.axis
        } else {
            layout.axis + places - 1
        }
    };
    let by_rows = indices.layout().cloned();
    match (data.layout().cloned(), by_rows) {
        (None, None) => Err(call.unproven("picks by the number of rows")),
        (None, Some(rows)) => {
            plain(call, &rows)?;
            require_invariant(call, &data)?;
            Ok(vec![call.rows(shape, rows.at(axis + rows.axis))?])
        }
        (Some(own), None) => {
            plain(call, &own)?;
            require_invariant(call, &indices)?;
            if own.axis == axis {
                return Err(call.certain("picks rows of the batch by their places in it"));
            }
            Ok(vec![call.rows(shape, own.at(kept(&own)))?])
        }
        (Some(own), Some(rows)) => {
            plain(call, &own)?;
            // x[arange(N)] is x.
            let identity = rows.kind == RowKind::Index && rows.is_single() && own.is_single();
            let one_each = indices.shape.as_deref().is_some_and(|shape| {
                shape
                    .iter()
                    .enumerate()
                    .all(|(index, dim)| index == rows.axis || dim.is(1))
            });
            if identity && own.axis == axis && one_each {
                if let Some(place) = shape.get_mut(axis + rows.axis) {
                    *place = Dim::rows();
                }
                return Ok(vec![call.rows(shape, own.at(axis + rows.axis))?]);
            }
            // The block of row i, from i times its length on.
            if let RowKind::Flat { stride, below } = &rows.kind
                && own.axis == axis
                && own.outer.is(1)
                && own.block == *stride
                && (below == stride || below.is(1))
            {
                let layout = rows.of_kind(RowKind::Plain);
                return Ok(vec![call.rows(shape, layout.at(axis + rows.axis))?]);
            }
            Err(if own.axis == axis {
                call.unproven("picks rows of the batch by the rows' values")
            } else if rows.kind == RowKind::Plain {
                call.certain("picks from each row what every other row says")
            } else {
                call.unproven("picks by a row's place in the batch")
            })
        }
    }
}

fn plain(call: &Call<'_, '_, '_>, layout: &Layout) -> Result<(), Blame> {
    match layout.kind {
        RowKind::Plain => Ok(()),
        RowKind::Padded(_) => Err(call.certain("sees how long the longest row of the batch is")),
        RowKind::Index | RowKind::IndexTuple | RowKind::Flat { .. } | RowKind::Placed(_) => {
            Err(call.certain("takes a row's place in the batch for a value"))
        }
    }
}

fn require_invariant(call: &Call<'_, '_, '_>, value: &Value<'_>) -> Result<(), Blame> {
    match &value.dependence {
        Dependence::Counted(blame) => Err(call.counted(blame)),
        Dependence::Mixed(blame) => Err(blame.clone()),
        Dependence::Invariant | Dependence::Rows(_) => Ok(()),
    }
}

/// The result if no input is by rows.
fn without_rows<'m>(values: &[&Value<'m>]) -> Option<Outcome<'m>> {
    if values.iter().any(|value| value.layout().is_some()) {
        return None;
    }
    let counted = values.iter().find_map(|value| match &value.dependence {
        Dependence::Counted(blame) => Some(Dependence::Counted(blame.clone())),
        _ => None,
    });
    Some(Ok(vec![Value::new(
        None,
        counted.unwrap_or(Dependence::Invariant),
    )]))
}

fn gathered_shape<'m>(
    call: &Call<'_, '_, 'm>,
    data: &Value<'m>,
    indices: &Value<'m>,
    axis: i64,
) -> Result<Vec<Dim>, Blame> {
    let (old, places) = (call.shape(data)?, call.shape(indices)?);
    let axis = call.axis(axis, old.len())?;
    let mut shape = old;
    shape.splice(axis..=axis, places);
    Ok(shape)
}

/// Elements of a vector of known integers.
fn gathered_content<'m>(
    call: &Call<'_, '_, 'm>,
    data: &Value<'m>,
    indices: &Value<'m>,
) -> Option<Value<'m>> {
    let content = data.content.as_deref().filter(|_| data.rank() == Some(1))?;
    let places = indices.integers()?;
    let length = i64::try_from(content.len()).ok()?;
    let mut picked = Vec::with_capacity(places.len());
    for place in places {
        let place = if place < 0 {
            place.checked_add(length)?
        } else {
            place
        };
        picked.push(content.get(usize::try_from(place).ok()?)?.clone());
    }
    Some(numbers::known(call, indices.shape.clone()?, picked).of_element(data.element))
}

/// `GatherElements`: each index selects along its own line.
pub(crate) fn gather_elements<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    let rank = call.shape(&data)?.len();
    let axis = call.axis(call.int_or("axis", 0), rank)?;
    along_lines(call, &[&data, &indices], axis)?;
    Ok(vec![same_place(&indices)])
}

/// `ScatterElements`: each index sets along its own line.
pub(crate) fn scatter_elements<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (data, indices, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let rank = call.shape(&data)?.len();
    let axis = call.axis(call.int_or("axis", 0), rank)?;
    along_lines(call, &[&data, &indices, &updates], axis)?;
    Ok(vec![same_place(&data)])
}

/// Rejects tensors that aren't all by rows along one axis other than `axis`.
fn along_lines(call: &Call<'_, '_, '_>, values: &[&Value<'_>], axis: usize) -> Result<(), Blame> {
    let mut layouts = values.iter().map(|value| value.layout());
    let first = layouts.next().flatten();
    if first.is_none() || layouts.any(|layout| layout != first) {
        return Err(call.unproven("picks by places in the batch"));
    }
    if first.is_some_and(|layout| layout.axis == axis) {
        return Err(call.certain("picks among the rows of the batch"));
    }
    Ok(())
}

/// `GatherND`: each line of the last axis of the indices is a place.
pub(crate) fn gather_nd<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    if let Some(outcome) = without_rows(&[&data, &indices]) {
        return outcome;
    }
    let (old, places) = (call.shape(&data)?, call.shape(&indices)?);
    let batches = usize::try_from(call.int_or("batch_dims", 0)).unwrap_or(usize::MAX);
    let broken = || call.unproven("picks by places that aren't known");
    let (last, lead) = places.split_last().ok_or_else(broken)?;
    let width = last
        .as_constant()
        .and_then(|width| usize::try_from(width).ok())
        .ok_or_else(broken)?;
    let start = batches.checked_add(width).ok_or_else(broken)?;
    let mut shape = lead.to_vec();
    shape.extend(old.get(start..).ok_or_else(broken)?.iter().cloned());
    let among_rows = || call.unproven("picks among the rows of the batch");
    match (data.layout(), indices.layout()) {
        (None, Some(rows)) if rows.axis < lead.len() => {
            plain(call, rows)?;
            require_invariant(call, &data)?;
            // Without batch dimensions: with them, an index of the indices would be one of fixed data.
            if rows.axis < batches {
                return Err(call.unproven("joins the rows with others of fixed number"));
            }
            Ok(vec![call.rows(shape, rows.clone())?])
        }
        (Some(own), Some(rows)) if batches > 0 => {
            plain(call, own)?;
            plain(call, rows)?;
            if own.axis < batches && own == rows {
                Ok(vec![call.rows(shape, rows.clone())?])
            } else {
                Err(among_rows())
            }
        }
        (Some(own), Some(rows)) => {
            plain(call, own)?;
            // x[arange(N), …]: each row selects among its own elements.
            let whole =
                rows.kind == RowKind::IndexTuple || (rows.kind == RowKind::Index && width == 1);
            if own.axis == 0
                && own.is_single()
                && rows.is_single()
                && whole
                && rows.axis < lead.len()
            {
                let layout = Layout {
                    kind: RowKind::Plain,
                    ..rows.clone()
                };
                Ok(vec![call.rows(shape, layout)?])
            } else {
                Err(among_rows())
            }
        }
        (Some(own), None) => {
            plain(call, own)?;
            require_invariant(call, &indices)?;
            if own.axis >= start && batches == 0 {
                let axis = own.axis - start + lead.len();
                Ok(vec![call.rows(shape, own.at(axis))?])
            } else {
                Err(among_rows())
            }
        }
        _ => Err(among_rows()),
    }
}

/// `ScatterND`: sets elements of each row, by the number of the row or along other axes only.
pub(crate) fn scatter_nd<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (data, indices, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if let Some(outcome) = without_rows(&[&data, &indices, &updates]) {
        return outcome;
    }
    let blame = || call.unproven("writes to places in the batch");
    let (Some(own), Some(rows), Some(given)) = (data.layout(), indices.layout(), updates.layout())
    else {
        return Err(blame());
    };
    plain(call, own)?;
    plain(call, given)?;
    let lead = indices
        .rank()
        .and_then(|rank| rank.checked_sub(1))
        .ok_or_else(blame)?;
    let by_number = matches!(rows.kind, RowKind::IndexTuple) && rows.axis < lead;
    let single = own.is_single() && rows.is_single() && given.is_single();
    if own.axis == 0 && by_number && single && given.axis == rows.axis {
        Ok(vec![same_place(&data)])
    } else {
        Err(blame())
    }
}

/// `Compress`: keeps some indices along an axis.
pub(crate) fn compress<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (value, condition) = (call.input(0)?, call.input(1)?);
    let (Some(layout), Some(axis)) = (value.layout(), call.int("axis")) else {
        return Err(call.unproven("gives as many elements as the rows' values say"));
    };
    let mut shape = call.shape(&value)?;
    let axis = call.axis(axis, shape.len())?;
    if !condition.is_invariant() || layout.axis == axis {
        return Err(call.unproven("gives as many elements as the rows' values say"));
    }
    let length = call.walk.fresh();
    shape.splice(axis..=axis, [length]);
    Ok(vec![call.rows(shape, layout.clone())?])
}

/// Operators whose number of output elements depends on the values of all rows. Later operators may assign them to
/// their rows again, which isn't analyzed.
pub(crate) fn selection<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    Err(call.unproven("gives as many elements as the values of all rows say"))
}

/// `ai.onnx.ml.ArrayFeatureExtractor`: indices along the last axis, as a single line.
pub(crate) fn array_feature_extractor<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    let places = call.shape(&indices)?;
    let count = call.bounded(Dim::product(&places))?;
    let mut shape = call.shape(&data)?;
    if shape.len() == 1 {
        // The result has two axes.
        shape.insert(0, Dim::one());
    }
    let last = shape
        .len()
        .checked_sub(1)
        .ok_or_else(|| call.unproven("has inputs of unexpected rank"))?;
    shape.splice(last.., [count]);
    let data_rank = data.rank().unwrap_or_default();
    match (data.layout(), indices.layout()) {
        (Some(own), None) if data_rank > 1 && own.axis != last && indices.is_invariant() => {
            Ok(vec![call.rows(shape, own.clone())?])
        }
        (Some(_), None) => Err(call.certain("picks rows of the batch by their places in it")),
        (None, Some(rows)) if data.is_invariant() => {
            // The indices are one line: the rows' axis and all axes after it in one block.
            let before = call.bounded(Dim::product(places.iter().take(rows.axis)))?;
            let after = call.bounded(Dim::product(places.iter().skip(rows.axis + 1)))?;
            let layout = Layout {
                axis: last,
                outer: call.bounded(before.multiply(&rows.outer))?,
                block: call.bounded(rows.block.multiply(&after))?,
                kind: RowKind::Plain,
            };
            Ok(vec![call.rows(shape, layout)?])
        }
        (None, None) => Ok(vec![Value::invariant(Some(shape))]),
        _ => Err(call.unproven("picks by places in the batch")),
    }
}
