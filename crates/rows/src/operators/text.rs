//! Operators on strings that aren't elementwise.

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::elementwise::same_place;
use crate::value::{Dependence, Layout, RowKind, Value};

/// `StringNormalizer`: elementwise on one axis, unless it drops words.
pub(crate) fn string_normalizer<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let Some(layout) = value.layout() else {
        return Ok(vec![Value::invariant(None)]);
    };
    if call
        .attribute("stopwords")
        .is_some_and(|words| !words.strings.is_empty())
    {
        return Err(call.blame(
            crate::value::Certainty::Certain,
            "drops rows that are a stop word",
            Some("convert the vectorizer with keep_empty_string"),
        ));
    }
    match (shape.as_slice(), layout.axis) {
        ([_], _) => Ok(vec![same_place(&value)]),
        ([one, _], 1) if one.is(1) => Ok(vec![same_place(&value)]),
        _ => Err(call.unproven("takes one row only")),
    }
}

/// `com.microsoft.Tokenizer`: a new axis, whose length is that of the row with the most tokens.
pub(crate) fn tokenizer<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let Some(pad) = call
        .attribute("pad_value")
        .map(|attribute| attribute.s.clone())
    else {
        return Err(call.unproven("has no padding that is known"));
    };
    let tokens = call.walk.wild();
    padded(call, &pad, tokens).map(|value| vec![value])
}

/// `StringSplit`: as above, and the number of parts.
pub(crate) fn string_split<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let parts = call.walk.wild();
    Ok(vec![
        padded(call, &bytes::Bytes::new(), parts)?,
        same_place(&value),
    ])
}

fn padded<'m>(
    call: &Call<'_, '_, 'm>,
    pad: &bytes::Bytes,
    length: Dim,
) -> Result<Value<'m>, crate::value::Blame> {
    let value = call.input(0)?;
    let mut shape = call.shape(&value)?;
    shape.push(length);
    match value.layout() {
        None => Ok(Value::invariant(None)),
        Some(layout) => call.rows(
            shape,
            Layout {
                kind: RowKind::Padded(pad.clone()),
                ..layout.clone()
            },
        ),
    }
}

/// `TfIdfVectorizer`: counts n-grams of each row. Padding is in no n-gram, so it has no effect.
pub(crate) fn tf_idf<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let width = call
        .ints("ngram_indexes")
        .and_then(|places| places.iter().max())
        .and_then(|most| most.checked_add(1));
    let width = Dim::from(width.ok_or_else(|| call.unproven("lacks an attribute"))?);
    let layout = match &value.dependence {
        Dependence::Rows(layout) => layout,
        Dependence::Invariant => return Ok(vec![Value::invariant(None)]),
        Dependence::Counted(blame) | Dependence::Mixed(blame) => return Err(blame.clone()),
    };
    let shape = call.shape(&value)?;
    if shape.len() == 1 {
        return Err(call.certain("reads all rows of the batch as one text"));
    }
    if shape.len() != 2 || layout.axis != 0 {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    match &layout.kind {
        RowKind::Plain => {}
        RowKind::Padded(pad) => {
            let pool = call
                .attribute("pool_strings")
                .map(|pool| pool.strings.as_slice())
                .unwrap_or_default();
            if pool.is_empty() || pool.contains(pad) {
                return Err(call.certain("counts the padding of shorter rows"));
            }
        }
        RowKind::Index | RowKind::IndexTuple | RowKind::Flat { .. } | RowKind::Placed(_) => {
            return Err(call.certain("takes a row's place in the batch for a value"));
        }
    }
    let layout = Layout {
        kind: RowKind::Plain,
        ..layout.clone()
    };
    Ok(vec![call.rows(vec![Dim::one(), width], layout)?])
}
