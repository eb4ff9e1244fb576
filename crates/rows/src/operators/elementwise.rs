//! Operators whose output elements are functions of the input elements at the same place.

use std::rc::Rc;

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::labels::{self, Operand};
use crate::proto::element;
use crate::value::{Blame, Dependence, RowKind, Value};

/// One input determines shape and layout. The others are parameters that are the same for all elements.
pub(crate) fn unary<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    call.require_fixed_from(1)?;
    Ok(vec![same_place(&value)])
}

/// The inputs are broadcast as in NumPy.
pub(crate) fn broadcasting<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let given: Vec<_> = call.inputs.iter().flatten().cloned().collect();
    let values: Vec<_> = given.iter().map(std::convert::AsRef::as_ref).collect();
    Ok(vec![broadcast(call, &values)?])
}

/// Like `broadcasting`, for operators that broadcast since operator set 7.
pub(crate) fn broadcasting_since_7<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    if call.opset < 7 {
        return Err(call.unproven("is of an operator set before 7"));
    }
    broadcasting(call)
}

/// Sum, Min, Max and Mean: they broadcast since operator set 8, and before all inputs had one shape.
pub(crate) fn broadcast<'m>(
    call: &mut Call<'_, '_, 'm>,
    values: &[&Value<'m>],
) -> Result<Value<'m>, Blame> {
    let rank = values
        .iter()
        .try_fold(0, |most, value| value.rank().map(|rank| rank.max(most)));
    let Some(rank) = rank else {
        if values.iter().all(|value| value.is_invariant()) {
            return Ok(Value::invariant(None));
        }
        return Err(call.unproven("meets a tensor of unknown rank"));
    };
    let operands: Vec<_> = values
        .iter()
        .map(|value| Operand {
            value,
            labels: labels::from_the_back(value.rank().unwrap_or_default()),
        })
        .collect();
    labels::combine(call, &operands, &labels::from_the_back(rank))
}

/// Dropout, which is the identity outside of training.
pub(crate) fn dropout<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let trains = match call.optional(2) {
        Some(mode) => mode.scalar().and_then(Dim::as_constant) != Some(0),
        None => call.opset < 7,
    };
    if trains {
        return Err(call.opaque("is in training mode"));
    }
    let value = call.input(0)?;
    call.require_fixed_from(1)?;
    Ok(vec![same_place(&value), same_place(&value)])
}

/// Identity: the value itself, with all its properties.
pub(crate) fn identity<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    Ok(vec![call.input(0)?.as_ref().clone()])
}

/// Cast: integers stay known as integers, and the number of a row as any number type.
pub(crate) fn cast<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let to = call.int_or("to", 0);
    let to_integer = [element::INT32, element::INT64]
        .map(i64::from)
        .contains(&to);
    let mut output = same_place(&value);
    output.content = value
        .content
        .as_deref()
        .and_then(|content| cast_content(content, to))
        .map(Rc::new);
    output.element = i32::try_from(to).unwrap_or_default();
    if to_integer {
        output.below.clone_from(&value.below);
    }
    if let Dependence::Rows(layout) = &mut output.dependence {
        match &layout.kind {
            RowKind::Padded(_) => {
                return Err(call.certain("sees how long the longest row of the batch is"));
            }
            // Other element types have no number for each row.
            RowKind::Index | RowKind::IndexTuple | RowKind::Flat { .. } if !to_integer => {
                let blame = call.certain("takes a row's place in the batch for a value");
                layout.kind = RowKind::Placed(blame.finding);
            }
            _ => {}
        }
    }
    Ok(vec![output])
}

/// `CastLike`: only the type of the second input is used.
pub(crate) fn cast_like<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    Ok(vec![same_place(&call.input(0)?.as_ref().clone())])
}

/// Integers as integers of another type. A length is at most 32 bits if it is used as one.
fn cast_content(content: &[Option<Dim>], to: i64) -> Option<Vec<Option<Dim>>> {
    let to = i32::try_from(to).ok()?;
    let cast = |dim: &Dim| match (to, dim.as_constant()) {
        (element::INT64, _) | (element::INT32, None) => Some(Some(dim.clone())),
        (element::INT32, Some(integer)) => i32::try_from(integer).ok().map(|_| Some(dim.clone())),
        (element::BOOL, Some(integer)) => Some(Some(Dim::from(i64::from(integer != 0)))),
        _ => None,
    };
    content
        .iter()
        .map(|dim| dim.as_ref().map_or(Some(None), cast))
        .collect()
}

/// The same shape and dependence, with other elements.
pub(crate) fn same_place<'m>(value: &Value<'m>) -> Value<'m> {
    Value::new(value.shape.clone(), value.dependence.clone())
}
