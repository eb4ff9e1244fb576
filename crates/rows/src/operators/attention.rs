//! Attention as single operators: each row of the batch attends to itself.

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::slicewise;
use crate::value::{Blame, Layout, Value};

/// The rows of an input on axis 0, one element each.
fn batch<'m>(call: &Call<'_, '_, 'm>, index: usize) -> Result<(Vec<Dim>, Layout), Blame> {
    let value = call.input(index)?;
    match slicewise::first_axis(call, &value)? {
        (shape, Some(layout)) if layout.is_single() => Ok((shape, layout)),
        _ => Err(call.unproven("has inputs whose first axis isn't the rows")),
    }
}

/// Rejects an input that is neither absent nor by rows on axis 0.
fn by_rows(call: &Call<'_, '_, '_>, index: usize, layout: &Layout) -> Result<(), Blame> {
    match call.optional(index) {
        None => Ok(()),
        Some(value) if value.layout() == Some(layout) => Ok(()),
        Some(_) => Err(call.unproven("has inputs whose first axis isn't the rows")),
    }
}

/// Like `by_rows`. Also accepts a value that is the same for all rows, with length 1 on axis 0 if it has `rank` axes.
fn by_rows_or_common(
    call: &Call<'_, '_, '_>,
    index: usize,
    rank: usize,
    layout: &Layout,
) -> Result<(), Blame> {
    let Some(value) = call.optional(index) else {
        return Ok(());
    };
    if value.is_invariant() {
        let shape = call.shape(&value)?;
        let common = shape.len() + 1 < rank
            || (shape.len() == rank && shape.first().is_some_and(|first| first.is(1)));
        if common {
            return Ok(());
        }
    } else if value.rank() == Some(rank) && value.layout() == Some(layout) {
        return Ok(());
    }
    Err(call.unproven("joins the rows with others of fixed number"))
}

fn absent(call: &Call<'_, '_, '_>, indices: &[usize]) -> Result<(), Blame> {
    if indices.iter().all(|index| call.optional(*index).is_none()) {
        Ok(())
    } else {
        Err(call.unproven("has a state from earlier calls"))
    }
}

/// Axis 0 by rows, and `rest` unknown lengths after it.
fn output<'m>(
    call: &mut Call<'_, '_, 'm>,
    layout: &Layout,
    rest: usize,
) -> Result<Value<'m>, Blame> {
    let mut shape = vec![Dim::one()];
    shape.extend((0..rest).map(|_| call.walk.fresh()));
    call.rows(shape, layout.clone())
}

/// `com.microsoft.Attention`: input, weights, bias, mask, past, attention bias.
pub(crate) fn packed<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (mut shape, layout) = batch(call, 0)?;
    call.require_fixed([1, 2])?;
    absent(call, &[4, 6])?;
    mask(call, 3, &layout)?;
    by_rows_or_common(call, 5, 4, &layout)?;
    if shape.len() != 3 {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    // The width is that of V, a third of the bias unless attributes set another.
    let bias = call
        .optional(2)
        .and_then(|bias| bias.shape.as_ref()?.first()?.divide(&Dim::from(3)));
    let width = match (call.ints("qkv_hidden_sizes"), bias) {
        (Some([_, _, width]), _) => Dim::from(*width),
        (None, Some(width)) => width,
        _ => call.walk.fresh(),
    };
    shape.splice(2.., [width]);
    Ok(vec![call.rows(shape, layout)?])
}

/// `com.microsoft.QAttention`: input, weights, bias, scales, mask, zero points, past.
pub(crate) fn quantized<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (mut shape, layout) = batch(call, 0)?;
    call.require_fixed([1, 2, 3, 4, 6, 7])?;
    absent(call, &[8])?;
    mask(call, 5, &layout)?;
    if shape.len() != 3 {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    let width = call
        .optional(2)
        .and_then(|bias| bias.shape.as_ref()?.first()?.divide(&Dim::from(3)));
    let width = match width {
        Some(width) => width,
        None => call.walk.fresh(),
    };
    shape.splice(2.., [width]);
    Ok(vec![call.rows(shape, layout)?])
}

/// A mask [batch] or [batch, …]. Masks with two lists of rows on one axis are rejected.
fn mask(call: &Call<'_, '_, '_>, index: usize, layout: &Layout) -> Result<(), Blame> {
    by_rows(call, index, layout)
}

/// `com.microsoft.MultiHeadAttention`: query, key, value, bias, padding mask, attention bias, past.
pub(crate) fn multi_head<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (shape, layout) = batch(call, 0)?;
    by_rows(call, 1, &layout)?;
    by_rows(call, 2, &layout)?;
    call.require_fixed([3])?;
    mask(call, 4, &layout)?;
    by_rows_or_common(call, 5, 4, &layout)?;
    absent(call, &[6, 7, 8, 9])?;
    if shape.len() != 3 {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    let width = call
        .optional(2)
        .and_then(|value| value.shape.clone())
        .filter(|shape| shape.len() == 3);
    let width = match width.and_then(|shape| shape.last().cloned()) {
        Some(width) => width,
        None => call.walk.fresh(),
    };
    let length = shape.get(1).cloned().unwrap_or_else(Dim::one);
    Ok(vec![call.rows(vec![Dim::one(), length, width], layout)?])
}

/// Attention of ONNX: Q, K, V, a mask, past keys and values, lengths.
pub(crate) fn scaled_dot_product<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (shape, layout) = batch(call, 0)?;
    by_rows(call, 1, &layout)?;
    by_rows(call, 2, &layout)?;
    by_rows_or_common(call, 3, 4, &layout)?;
    by_rows(call, 4, &layout)?;
    by_rows(call, 5, &layout)?;
    by_rows(call, 6, &layout)?;
    let values = call.input(2)?;
    let value_shape = call.shape(&values)?;
    if shape.len() != value_shape.len() || !(3..=4).contains(&shape.len()) {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    let mut own = shape.clone();
    let last = own.len() - 1;
    let width = if shape.len() == 4 {
        value_shape.last().cloned()
    } else {
        None
    };
    let width = match width {
        Some(width) => width,
        None => call.walk.fresh(),
    };
    own.splice(last.., [width]);
    let mut outputs = vec![call.rows(own, layout.clone())?];
    for _ in 0..3 {
        outputs.push(output(call, &layout, 3)?);
    }
    Ok(outputs)
}

/// `RotaryEmbedding` of com.microsoft (input, position ids, caches) and of ONNX (input, caches, position ids).
pub(crate) fn rotary<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (shape, layout) = batch(call, 0)?;
    let own = call.node.domain.is_empty() || call.node.domain == "ai.onnx";
    let (positions, caches) = if own { (3, [1, 2]) } else { (1, [2, 3]) };
    match call.optional(positions) {
        None => {
            for cache in caches {
                by_rows(call, cache, &layout)?;
            }
        }
        Some(value) => {
            call.require_fixed(caches)?;
            // A single number is the start of all rows.
            let start = value.is_invariant()
                && call.shape(&value)?.iter().all(|dim| dim.is(1))
                && value.rank() == Some(1)
                && !own;
            if !start {
                by_rows(call, positions, &layout)?;
            }
        }
    }
    Ok(vec![call.rows(shape, layout)?])
}

/// `com.microsoft.EmbedLayerNormalization`: ids, segments, five weights, mask, positions.
pub(crate) fn embeddings<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (shape, layout) = batch(call, 0)?;
    if shape.len() != 2 {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    by_rows(call, 1, &layout)?;
    call.require_fixed(2..=6)?;
    by_rows(call, 7, &layout)?;
    by_rows_or_common(call, 8, 2, &layout)?;
    let width = call
        .optional(2)
        .and_then(|weights| weights.shape.as_ref()?.get(1).cloned());
    let width = match width {
        Some(width) => width,
        None => call.walk.fresh(),
    };
    let length = shape.get(1).cloned().unwrap_or_else(Dim::one);
    let embedded = call.rows(vec![Dim::one(), length, width], layout.clone())?;
    let mask = call.rows(vec![Dim::one()], layout)?;
    Ok(vec![embedded.clone(), mask, embedded])
}
