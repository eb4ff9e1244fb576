//! Operators whose output doesn't depend on elements of inputs: constants, shapes, lengths and ranges.

use std::rc::Rc;

use super::elementwise;
use super::numbers::{Content, known};
use crate::call::{Call, Outcome};
use crate::constant::{self, MAXIMUM_CONTENT};
use crate::dimension::Dim;
use crate::proto::element;
use crate::value::{Blame, Dependence, Layout, RowKind, Value};

/// Constant, in all its forms.
pub(crate) fn constant<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    if let Some(tensor) = call.tensor("value") {
        return Ok(vec![constant::value(tensor)]);
    }
    let vector = |length: usize| vec![Dim::from(i64::try_from(length).unwrap_or(i64::MAX))];
    if let Some(integer) = call.int("value_int") {
        return Ok(vec![known(
            call,
            Vec::new(),
            vec![Some(Dim::from(integer))],
        )]);
    }
    if let Some(integers) = call.ints("value_ints") {
        if integers.len() > MAXIMUM_CONTENT {
            return Ok(vec![
                Value::invariant(Some(vector(integers.len()))).of_element(element::INT64),
            ]);
        }
        let content = integers
            .iter()
            .map(|integer| Some(Dim::from(*integer)))
            .collect();
        return Ok(vec![known(call, vector(integers.len()), content)]);
    }
    let value = if call.attribute("value_float").is_some() {
        Value::invariant(Some(Vec::new())).of_element(element::FLOAT)
    } else if let Some(floats) = call.attribute("value_floats") {
        Value::invariant(Some(vector(floats.floats.len()))).of_element(element::FLOAT)
    } else if call.attribute("value_string").is_some() {
        Value::invariant(Some(Vec::new())).of_element(element::STRING)
    } else if let Some(strings) = call.attribute("value_strings") {
        Value::invariant(Some(vector(strings.strings.len()))).of_element(element::STRING)
    } else {
        Value::invariant(None)
    };
    Ok(vec![value])
}

/// Shape, or the part of it between `start` and `end`.
pub(crate) fn shape<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let Some(shape) = value.shape.clone() else {
        return Err(unknown_shape(call, &value));
    };
    let bound = |name: &str, default: usize| {
        let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
        let place = match call.int(name) {
            None => return default,
            Some(place) if place < 0 => place.saturating_add(rank),
            Some(place) => place,
        };
        usize::try_from(place.clamp(0, rank)).unwrap_or_default()
    };
    let (start, end) = (bound("start", 0), bound("end", shape.len()));
    let content: Content = shape
        .get(start..end.max(start))
        .unwrap_or_default()
        .iter()
        .cloned()
        .map(Some)
        .collect();
    let length = i64::try_from(content.len()).unwrap_or(i64::MAX);
    Ok(vec![known(call, vec![Dim::from(length)], content)])
}

/// Size: the number of elements.
pub(crate) fn size<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let Some(shape) = &value.shape else {
        return Err(unknown_shape(call, &value));
    };
    let size = call.bounded(Dim::product(shape))?;
    Ok(vec![known(call, Vec::new(), vec![Some(size)])])
}

fn unknown_shape(call: &Call<'_, '_, '_>, value: &Value<'_>) -> Blame {
    match &value.dependence {
        Dependence::Mixed(blame) | Dependence::Counted(blame) => blame.clone(),
        Dependence::Invariant | Dependence::Rows(_) => {
            call.unproven("takes the shape of a tensor of unknown shape")
        }
    }
}

/// The dependence of a tensor with one constant value: by rows if one length has N in it.
fn filled<'m>(call: &mut Call<'_, '_, 'm>, content: &Content) -> Result<Value<'m>, Blame> {
    let mut axis = None;
    let mut shape = Vec::with_capacity(content.len());
    for (index, dim) in content.iter().enumerate() {
        let dim = dim.clone().unwrap_or_else(|| call.walk.fresh());
        if let Some(block) = dim.per_row() {
            if axis.replace((index, block)).is_some() {
                return Err(call.certain("makes a tensor with the rows on two axes"));
            }
        } else if !dim.is_row_free() {
            return Err(call.unproven("makes a tensor whose length isn't a multiple of the rows"));
        }
        shape.push(dim);
    }
    match axis {
        None => Ok(Value::invariant(Some(shape))),
        Some((axis, block)) => call.rows(
            shape,
            Layout {
                block,
                ..Layout::plain(axis)
            },
        ),
    }
}

/// `ConstantOfShape`.
pub(crate) fn constant_of_shape<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let shape = call.input(0)?;
    let Some(content) = shape.content.as_deref() else {
        return match &shape.dependence {
            Dependence::Invariant => {
                let rank = shape
                    .shape
                    .as_deref()
                    .and_then(|shape| shape.first())
                    .and_then(Dim::as_constant);
                let rank = rank
                    .and_then(|rank| usize::try_from(rank).ok())
                    .filter(|rank| *rank <= 16);
                let dims = rank.map(|rank| (0..rank).map(|_| call.walk.fresh()).collect());
                Ok(vec![Value::invariant(dims)])
            }
            Dependence::Counted(blame) => {
                Ok(vec![Value::new(None, Dependence::Counted(blame.clone()))])
            }
            Dependence::Rows(_) => {
                Err(call.unproven("makes a tensor as long as the rows' values say"))
            }
            Dependence::Mixed(blame) => Err(blame.clone()),
        };
    };
    let mut value = filled(call, content)?;
    let fill = match call.tensor("value") {
        Some(tensor) if tensor.data_type == element::INT64 => {
            constant::integers(tensor).and_then(|integers| integers.first().copied())
        }
        // The default is a float 0. Smaller integer types aren't supported.
        _ => None,
    };
    value.element = call
        .tensor("value")
        .map_or(element::FLOAT, |tensor| tensor.data_type);
    let elements = value
        .shape
        .as_ref()
        .and_then(Dim::product)
        .and_then(|size| size.as_constant());
    let elements = elements
        .and_then(|elements| usize::try_from(elements).ok())
        .filter(|elements| *elements <= 64);
    if let (Some(fill), Some(elements), true) = (fill, elements, value.is_invariant()) {
        value.content = Some(Rc::new(vec![Some(Dim::from(fill)); elements]));
    }
    Ok(vec![value])
}

/// Range: consecutive numbers, and the numbers of the rows if it is from 0 to N.
pub(crate) fn range<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let inputs = [call.input(0)?, call.input(1)?, call.input(2)?];
    for value in &inputs {
        match &value.dependence {
            Dependence::Rows(_) => {
                return Err(call.unproven("makes a tensor as long as the rows' values say"));
            }
            Dependence::Mixed(blame) => return Err(blame.clone()),
            Dependence::Invariant | Dependence::Counted(_) => {}
        }
    }
    let blame = inputs.iter().find_map(|value| match &value.dependence {
        Dependence::Counted(blame) => Some(blame.clone()),
        _ => None,
    });
    let (start, limit, step) = (inputs[0].scalar(), inputs[1].scalar(), inputs[2].scalar());
    let length = match (start, limit, step) {
        (Some(start), Some(limit), Some(step)) if step.is(1) => limit
            .subtract(start)
            .filter(|length| length.minimum().is_some_and(|least| least >= 0)),
        _ => None,
    };
    if let (Some(length), Some(start)) = (&length, start)
        && start.is(0)
        && *length == Dim::rows()
    {
        let layout = Layout {
            kind: RowKind::Index,
            ..Layout::plain(0)
        };
        return Ok(vec![
            call.rows(vec![Dim::one()], layout)?
                .of_element(inputs[0].element),
        ]);
    }
    if let Some(blame) = blame {
        return Ok(vec![Value::new(
            length.map(|length| vec![length]),
            Dependence::Counted(blame),
        )]);
    }
    let mut value = Value::invariant(Some(vec![match &length {
        Some(length) => length.clone(),
        None => call.walk.fresh(),
    }]));
    if start.is_some_and(|start| start.is(0)) {
        value.below.clone_from(&length);
    }
    if let (Some(length), Some(start)) = (
        length.as_ref().and_then(Dim::as_constant),
        start.and_then(Dim::as_constant),
    ) && length <= 256
    {
        let integers = (0..length).map(|index| start.checked_add(index).map(Dim::from));
        value.content = Some(Rc::new(integers.collect()));
    }
    Ok(vec![value.of_element(inputs[0].element)])
}

/// Values of unknown shape that are the same for all rows: windows, mel matrices and similar ones.
pub(crate) fn generated<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    call.require_fixed_from(0)?;
    Ok(vec![elementwise::same_place(&Value::invariant(None))])
}

/// Random numbers, different in each run.
pub(crate) fn random<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    Err(call.opaque("gives other random numbers each time"))
}
