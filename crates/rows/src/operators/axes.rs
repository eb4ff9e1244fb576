//! Operators that compute over whole axes: sums, norms, sorting. They are rejected along the rows' axis.

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::elementwise::{self, same_place};
use crate::operators::labels::{self, Operand};
use crate::operators::reshape::named_axes;
use crate::value::{Blame, Certainty, Value};

/// Rejects a computation over the rows.
fn apart_from<'m>(call: &Call<'_, '_, 'm>, value: &Value<'m>, axes: &[usize]) -> Result<(), Blame> {
    match value.layout() {
        Some(layout) if axes.contains(&layout.axis) => {
            Err(call.certain("computes over the rows of the batch"))
        }
        _ => Ok(()),
    }
}

/// An output with the input's shape. Each line along `axis`, an attribute, is computed separately.
fn lines<'m>(call: &mut Call<'_, '_, 'm>, default: i64) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", default), shape.len())?;
    apart_from(call, &value, &[axis])?;
    call.require_fixed_from(1)?;
    Ok(vec![same_place(&value)])
}

/// Softmax and similar operators: along one axis since operator set 13, before over all axes from `axis` on.
pub(crate) fn softmax<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    if call.opset >= 13 {
        return lines(call, -1);
    }
    trailing(call, 1)
}

/// `com.microsoft.QLinearSoftmax`. An attribute contains the operator set that it follows.
pub(crate) fn quantized_softmax<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    trailing(call, 0)
}

/// Over all axes from `axis` on.
fn trailing<'m>(call: &mut Call<'_, '_, 'm>, default: i64) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", default), shape.len())?;
    let axes: Vec<usize> = (axis..shape.len()).collect();
    apart_from(call, &value, &axes)?;
    call.require_fixed_from(1)?;
    Ok(vec![same_place(&value)])
}

/// `LpNormalization`.
pub(crate) fn last_axis<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    lines(call, -1)
}

/// `MeanVarianceNormalization`, by default over the batch, too.
pub(crate) fn mean_variance<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let axes = if call.opset < 9 {
        let across = if call.int_or("across_channels", 0) == 0 {
            &[0, 2, 3][..]
        } else {
            &[0, 1, 2, 3]
        };
        across.to_vec()
    } else {
        call.ints("axes").unwrap_or(&[0, 2, 3]).to_vec()
    };
    let axes = call.axes(&axes, shape.len())?;
    apart_from(call, &value, &axes)?;
    Ok(vec![same_place(&value)])
}

/// Sums, means and norms over given axes, which are an attribute and in later operator sets an input.
pub(crate) fn reduce<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let old = call.shape(&value)?;
    let keeps = call.int_or("keepdims", 1) != 0;
    let axes = match named_axes(call, 1)? {
        Some(axes) if !axes.is_empty() => call.axes(&axes, old.len())?,
        _ if call.int_or("noop_with_empty_axes", 0) != 0 => return Ok(vec![same_place(&value)]),
        _ => (0..old.len()).collect(),
    };
    if value
        .layout()
        .is_some_and(|layout| axes.contains(&layout.axis))
    {
        return Err(call.blame(
            Certainty::Certain,
            "computes over the rows of the batch",
            Some("compute over the axes of one row"),
        ));
    }
    Ok(vec![reduced(call, &value, &axes, keeps)?])
}

/// `value` without `axes`, or with length 1 on them.
fn reduced<'m>(
    call: &mut Call<'_, '_, 'm>,
    value: &Value<'m>,
    axes: &[usize],
    keeps: bool,
) -> Result<Value<'m>, Blame> {
    let labels = labels::from_the_back(value.rank().unwrap_or_default());
    let output: Vec<_> = labels
        .iter()
        .enumerate()
        .filter_map(|(axis, label)| match (axes.contains(&axis), keeps) {
            (false, _) => Some(*label),
            (true, true) => Some(labels::NEW),
            (true, false) => None,
        })
        .collect();
    labels::combine(call, &[Operand { value, labels }], &output)
}

/// `ArgMax` and `ArgMin`.
pub(crate) fn arg<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let old = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", 0), old.len())?;
    apart_from(call, &value, &[axis])?;
    let keeps = call.int_or("keepdims", 1) != 0;
    let mut output = reduced(call, &value, &[axis], keeps)?;
    output.below = old.get(axis).filter(|length| length.is_row_free()).cloned();
    Ok(vec![output])
}

/// `TopK`: the largest elements along an axis, and their indices.
pub(crate) fn top_k<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let mut shape = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", -1), shape.len())?;
    if value.layout().is_some_and(|layout| layout.axis == axis) {
        // Sorted elements can be moved back to their places.
        return Err(call.unproven("sorts the rows of the batch"));
    }
    let count = if call.opset < 10 {
        Dim::from(call.int_or("k", 1))
    } else {
        let count = call.input(1)?;
        if !count.is_invariant() {
            return Err(call.unproven("takes as many as the rows say"));
        }
        match count.scalar() {
            Some(count) => count.clone(),
            None => call.walk.fresh(),
        }
    };
    shape.splice(axis..=axis, [count]);
    let output = Value::new(Some(shape), value.dependence.clone());
    Ok(vec![output.clone(), output])
}

/// `CumSum` and `CumProd`: the axis is an input.
pub(crate) fn cumulative<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let axis = call.input(1)?;
    let axis = axis.scalar().and_then(Dim::as_constant);
    let axis = axis.ok_or_else(|| call.unproven("names an axis that isn't known"))?;
    let shape = call.shape(&value)?;
    let axis = call.axis(axis, shape.len())?;
    apart_from(call, &value, &[axis])?;
    Ok(vec![same_place(&value)])
}

/// `LayerNormalization`, `RMSNormalization` and `SimplifiedLayerNormalization`: over all axes from `axis` on.
pub(crate) fn layer_normalization<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", -1), shape.len())?;
    let axes: Vec<usize> = (axis..shape.len()).collect();
    apart_from(call, &value, &axes)?;
    call.require_fixed_from(1)?;
    let output = scaled(call, &value, 1)?;
    let statistics = reduced(call, &value, &axes, true)?;
    Ok(vec![output, statistics.clone(), statistics])
}

/// `value` multiplied by and added to the inputs from `first` on, which are broadcast to it.
fn scaled<'m>(
    call: &mut Call<'_, '_, 'm>,
    value: &Value<'m>,
    first: usize,
) -> Result<Value<'m>, Blame> {
    let given: Vec<_> = call.inputs.iter().skip(first).flatten().cloned().collect();
    let mut values = vec![value];
    values.extend(given.iter().map(AsRef::as_ref));
    elementwise::broadcast(call, &values)
}

/// `SkipLayerNormalization` and its simplified form: the sum of the first two, normalized over the last axis.
pub(crate) fn skip_layer_normalization<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    call.require_fixed_from(2)?;
    let output = scaled(call, &call.input(0)?.as_ref().clone(), 1)?;
    let rank = output.rank().unwrap_or_default();
    apart_from(call, &output, &[rank.saturating_sub(1)])?;
    let statistics = reduced(call, &output, &[rank.saturating_sub(1)], true)?;
    Ok(vec![output.clone(), statistics.clone(), statistics, output])
}

/// `ReverseSequence`: the first elements of each row are reversed.
pub(crate) fn reverse_sequence<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (value, lengths) = (call.input(0)?, call.input(1)?);
    let shape = call.shape(&value)?;
    let batch = call.axis(call.int_or("batch_axis", 1), shape.len())?;
    let time = call.axis(call.int_or("time_axis", 0), shape.len())?;
    apart_from(call, &value, &[time])?;
    match (value.layout(), lengths.layout()) {
        (Some(own), Some(lengths))
            if own.axis == batch && lengths.axis == 0 && own.at(0) == *lengths => {}
        (Some(own), None) if own.axis != batch && lengths.is_invariant() => {}
        _ => return Err(call.unproven("turns sequences round that aren't the rows")),
    }
    Ok(vec![same_place(&value)])
}

/// `Trilu`, `Det`, `Inverse`: of matrices on the last two axes.
pub(crate) fn matrices<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let last: Vec<usize> = (shape.len().saturating_sub(2)..shape.len()).collect();
    if value
        .layout()
        .is_some_and(|layout| last.contains(&layout.axis))
    {
        return Err(call.certain("computes over the rows of the batch"));
    }
    call.require_fixed_from(1)?;
    if call.node.op_type == "Det" {
        return Ok(vec![reduced(call, &value, &last, false)?]);
    }
    Ok(vec![same_place(&value)])
}

/// `OneHot`: a new axis, with one different element.
pub(crate) fn one_hot<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    call.require_fixed_from(1)?;
    let mut shape = call.shape(&value)?;
    let axis = call.axis(call.int_or("axis", -1), shape.len() + 1)?;
    let depth = match call.input(1)?.scalar() {
        Some(depth) if depth.minimum().is_some_and(|least| least >= 0) => depth.clone(),
        _ => call.walk.fresh(),
    };
    shape.insert(axis, depth);
    Ok(vec![match value.layout() {
        None => Value::invariant(Some(shape)),
        Some(layout) => {
            let shift = usize::from(layout.axis >= axis);
            call.rows(shape, layout.at(layout.axis + shift))?
        }
    }])
}

/// `DFT`: along one axis, an attribute or (since operator set 20) an input.
pub(crate) fn dft<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let mut shape = call.shape(&value)?;
    call.require_fixed_from(1)?;
    let axis = match call.optional(2) {
        Some(axis) => axis
            .scalar()
            .and_then(Dim::as_constant)
            .ok_or_else(|| call.unproven("names an axis that isn't known"))?,
        None => call.int_or("axis", if call.opset < 20 { 1 } else { -2 }),
    };
    let axis = call.axis(axis, shape.len())?;
    apart_from(call, &value, &[axis, shape.len() - 1])?;
    let length = call.walk.fresh();
    shape.splice(axis..=axis, [length]);
    let last = shape.len() - 1;
    let parts = call.walk.fresh();
    shape.splice(last.., [parts]);
    Ok(vec![Value::new(Some(shape), value.dependence.clone())])
}
