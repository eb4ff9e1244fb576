//! The arithmetic of shapes in exported models: integers that are known as polynomials.

use std::rc::Rc;

use crate::call::Call;
use crate::dimension::Dim;
use crate::proto::element;
use crate::value::{Certainty, Dependence, RowKind, Value};

pub(crate) type Content = Vec<Option<Dim>>;

/// A tensor of known elements. They determine its dependence on the rows.
pub(crate) fn known<'m>(call: &Call<'_, '_, 'm>, shape: Vec<Dim>, content: Content) -> Value<'m> {
    let dims = || content.iter().flatten();
    let dependence = if dims().any(Dim::has_wild) {
        Dependence::Mixed(call.unproven("takes a length that depends on the rows' values"))
    } else if dims().all(Dim::is_row_free) {
        Dependence::Invariant
    } else {
        Dependence::Counted(call.blame(
            Certainty::Certain,
            "gives the number of rows in the batch",
            None,
        ))
    };
    let mut value = Value::new(Some(shape), dependence);
    value.content = Some(Rc::new(content));
    value.element = element::INT64;
    value
}

/// The result of an operator on known integers, if the operator is supported.
pub(crate) fn fold<'m>(call: &Call<'_, '_, 'm>) -> Option<Value<'m>> {
    let operator = call.node.op_type.as_str();
    if !matches!(call.node.domain.as_str(), "" | "ai.onnx") {
        return None;
    }
    if operator == "Where" {
        return fold_where(call);
    }
    let inputs: Vec<Rc<Value<'m>>> = call.inputs.iter().flatten().cloned().collect();
    let contents: Option<Vec<&Content>> = inputs
        .iter()
        .map(|value| value.content.as_deref())
        .collect();
    let contents = contents?;
    let (content, rank) = match (operator, contents.as_slice()) {
        ("Neg" | "Not" | "Abs", [only]) => (
            only.iter()
                .map(|dim| unary(operator, dim.as_ref()))
                .collect(),
            inputs.first()?.rank()?,
        ),
        ("ReduceProd" | "ReduceSum", [only, ..]) => return fold_reduce(call, only, operator),
        (_, [left, right]) => {
            let length = left.len().max(right.len());
            if [left.len(), right.len()]
                .iter()
                .any(|own| *own != 1 && *own != length)
            {
                return None;
            }
            let at = |content: &Content, index: usize| {
                content
                    .get(if content.len() == 1 { 0 } else { index })
                    .cloned()
            };
            let mut content = Vec::with_capacity(length);
            for index in 0..length {
                let pair = (at(left, index)?, at(right, index)?);
                content.push(binary(operator, pair.0.as_ref(), pair.1.as_ref())?);
            }
            (content, inputs.iter().map(|value| value.rank()).max()??)
        }
        _ => return None,
    };
    let shape = match rank {
        0 => Vec::new(),
        1 => vec![Dim::from(i64::try_from(content.len()).ok()?)],
        _ => return None,
    };
    // An unknown element is invariant only if all its sources are.
    let invariant = inputs.iter().all(|value| value.is_invariant());
    if !invariant && content.iter().any(Option::is_none) {
        return None;
    }
    let element = inputs.first()?.element;
    let is_float = matches!(
        element,
        element::FLOAT | element::DOUBLE | element::FLOAT16 | element::BFLOAT16
    );
    // An integer beyond its bits would overflow.
    let wraps = element == element::INT32
        && content
            .iter()
            .flatten()
            .filter_map(Dim::as_constant)
            .any(|integer| i32::try_from(integer).is_err());
    (!is_float && !wraps).then(|| {
        let value = known(call, shape, content);
        match operator {
            "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or"
            | "Not" => value.of_element(element::BOOL),
            _ => value.of_element(element),
        }
    })
}

fn unary(operator: &str, dim: Option<&Dim>) -> Option<Dim> {
    let dim = dim?;
    match operator {
        "Neg" => dim.multiply(&Dim::from(-1)),
        "Not" => Some(Dim::from(i64::from(dim.as_constant()? == 0))),
        "Abs" => dim
            .minimum()
            .filter(|minimum| *minimum >= 0)
            .map(|_| dim.clone()),
        _ => None,
    }
}

/// One element. `None` if the operator isn't supported, `Some(None)` if its result is unknown.
fn binary(operator: &str, left: Option<&Dim>, right: Option<&Dim>) -> Option<Option<Dim>> {
    let both = left.zip(right);
    let known = |truth: Option<bool>| truth.map(|truth| Dim::from(i64::from(truth)));
    // Whether left - right is greater than (or at least) 0.
    let least = |a: &Dim, b: &Dim| a.subtract(b).and_then(|difference| difference.minimum());
    Some(match operator {
        "Add" => both.and_then(|(a, b)| a.add(b)),
        "Sub" => both.and_then(|(a, b)| a.subtract(b)),
        "Mul" => both.and_then(|(a, b)| a.multiply(b)),
        "Div" => both.and_then(|(a, b)| match (a.as_constant(), b.as_constant()) {
            (Some(a), Some(b)) => a.checked_div(b).map(Dim::from),
            _ => a.divide(b),
        }),
        "Mod" => both.and_then(|(a, b)| match (a.as_constant(), b.as_constant()) {
            (Some(a), Some(b)) if a >= 0 && b > 0 => a.checked_rem(b).map(Dim::from),
            _ => a.divide(b).map(|_| Dim::from(0)),
        }),
        "Equal" => known(both.and_then(|(a, b)| a.equals(b))),
        "Less" => known(both.and_then(|(a, b)| less(least(b, a), least(a, b)))),
        "Greater" => known(both.and_then(|(a, b)| less(least(a, b), least(b, a)))),
        "GreaterOrEqual" => {
            known(both.and_then(|(a, b)| less(least(b, a), least(a, b)).map(|less| !less)))
        }
        "LessOrEqual" => {
            known(both.and_then(|(a, b)| less(least(a, b), least(b, a)).map(|less| !less)))
        }
        "And" | "Or" => known(both.and_then(|(a, b)| {
            let (a, b) = (a.as_constant()? != 0, b.as_constant()? != 0);
            Some(if operator == "And" { a && b } else { a || b })
        })),
        "Max" | "Min" => both.and_then(|(a, b)| {
            let a_is_more = least(a, b).is_some_and(|least| least >= 0);
            let b_is_more = least(b, a).is_some_and(|least| least >= 0);
            match (operator, a_is_more, b_is_more) {
                ("Max", true, _) | ("Min", _, true) => Some(a.clone()),
                ("Max", _, true) | ("Min", true, _) => Some(b.clone()),
                _ => None,
            }
        }),
        _ => return None,
    })
}

/// Whether a difference is greater than 0, from its minimum and that of its opposite.
fn less(difference: Option<i64>, opposite: Option<i64>) -> Option<bool> {
    if difference.is_some_and(|least| least > 0) {
        Some(true)
    } else if opposite.is_some_and(|least| least >= 0) {
        Some(false)
    } else {
        None
    }
}

fn fold_where<'m>(call: &Call<'_, '_, 'm>) -> Option<Value<'m>> {
    let inputs = [call.optional(0)?, call.optional(1)?, call.optional(2)?];
    let condition = inputs[0].content.as_deref()?;
    let (yes, no) = (inputs[1].content.as_deref()?, inputs[2].content.as_deref()?);
    let length = condition.len().max(yes.len()).max(no.len());
    let at = |content: &Content, index: usize| {
        content
            .get(if content.len() == 1 { 0 } else { index })
            .cloned()
    };
    let mut content = Vec::with_capacity(length);
    for index in 0..length {
        let (yes, no) = (at(yes, index)?, at(no, index)?);
        content.push(match at(condition, index)?.as_ref().map(Dim::as_constant) {
            Some(Some(0)) => no,
            Some(Some(_)) => yes,
            _ if yes == no && yes.is_some() => yes,
            _ => None,
        });
    }
    let invariant = inputs.iter().all(|value| value.is_invariant());
    if !invariant && content.iter().any(Option::is_none) {
        return None;
    }
    let shape = match inputs.iter().map(|value| value.rank()).max()?? {
        0 => Vec::new(),
        1 => vec![Dim::from(i64::try_from(length).ok()?)],
        _ => return None,
    };
    Some(known(call, shape, content).of_element(inputs[1].element))
}

/// The product or sum of all elements of a vector.
fn fold_reduce<'m>(
    call: &Call<'_, '_, 'm>,
    content: &Content,
    operator: &str,
) -> Option<Value<'m>> {
    let input = call.optional(0)?;
    if input.rank()? != 1 || call.int_or("noop_with_empty_axes", 0) != 0 {
        return None;
    }
    let start = if operator == "ReduceProd" {
        Dim::one()
    } else {
        Dim::from(0)
    };
    let total = content
        .iter()
        .try_fold(start, |total, dim| match operator {
            "ReduceProd" => total.multiply(dim.as_ref()?),
            _ => total.add(dim.as_ref()?),
        })?;
    let shape = if call.int_or("keepdims", 1) == 0 {
        Vec::new()
    } else {
        vec![Dim::one()]
    };
    Some(known(call, shape, vec![Some(total)]).of_element(input.element))
}

/// The layout of an operator's output that contains the numbers of rows. `None` if no input does.
pub(crate) fn kind_of_places(call: &Call<'_, '_, '_>) -> Option<RowKind> {
    let kinds = call
        .inputs
        .iter()
        .map(|input| input.as_ref()?.layout().map(|layout| &layout.kind));
    let first = kinds.flatten().find(|kind| **kind != RowKind::Plain)?;
    if let Some(flat) = flat_place(call) {
        return Some(flat);
    }
    Some(match first {
        RowKind::Placed(finding) => RowKind::Placed(Rc::clone(finding)),
        _ => RowKind::Placed(
            call.certain("takes a row's place in the batch for a value")
                .finding,
        ),
    })
}

/// An index among all elements of all rows, as exporters compute it: the number of the row times the length of a row,
/// plus an index within the row.
fn flat_place(call: &Call<'_, '_, '_>) -> Option<RowKind> {
    if !matches!(call.node.domain.as_str(), "" | "ai.onnx") || call.inputs.len() != 2 {
        return None;
    }
    let (left, right) = (call.optional(0)?, call.optional(1)?);
    let is_plain = |value: &Value<'_>| {
        value
            .layout()
            .is_none_or(|layout| layout.kind == RowKind::Plain)
    };
    let (row, other) = if is_plain(&left) {
        (right, left)
    } else {
        (left, right)
    };
    if !is_plain(&other) {
        return None;
    }
    match (call.node.op_type.as_str(), &row.layout()?.kind) {
        ("Mul", RowKind::Index) => {
            let stride = other
                .scalar()
                .filter(|stride| stride.minimum().is_some_and(|least| least > 0))?;
            Some(RowKind::Flat {
                stride: stride.clone(),
                below: Dim::one(),
            })
        }
        ("Add", RowKind::Flat { stride, below }) if below.is(1) => Some(RowKind::Flat {
            stride: stride.clone(),
            below: other.below.clone()?,
        }),
        _ => None,
    }
}
