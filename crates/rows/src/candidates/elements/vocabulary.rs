//! Categories, keys and vocabularies of the operators that have them.

use crate::candidates::constants::{strings, tensor_attribute};
use crate::candidates::operands::Operands;
use crate::candidates::valid_values::ValidValues;

/// The most values that are read of a list.
const MOST: usize = 1 << 16;

/// The lists among these attributes that aren't empty, the first of them.
pub(super) fn listed(operands: &Operands<'_, '_>, names: &[&str]) -> Option<ValidValues> {
    names.iter().find_map(|name| {
        let attribute = operands.attribute(name)?;
        if let Some(constant) = tensor_attribute(operands.node, name) {
            return constant
                .strings(MOST)
                .map(ValidValues::Strings)
                .or_else(|| constant.integers(MOST).map(ValidValues::Integers))
                .or_else(|| constant.numbers(MOST).map(ValidValues::Numbers));
        }
        if !attribute.strings.is_empty() {
            return Some(ValidValues::Strings(strings(&attribute.strings)));
        }
        if !attribute.ints.is_empty() {
            return Some(ValidValues::Integers(attribute.ints.clone()));
        }
        let floats: Vec<f64> = attribute.floats.iter().copied().map(f64::from).collect();
        (!floats.is_empty()).then_some(ValidValues::Numbers(floats))
    })
}

/// What a `TfIdfVectorizer` counts.
pub(super) fn grams(operands: &Operands<'_, '_>) -> Option<ValidValues> {
    let integers = operands.integers("pool_int64s");
    if !integers.is_empty() {
        return Some(ValidValues::Integers(integers.to_vec()));
    }
    let pool = strings(&operands.attribute("pool_strings")?.strings);
    // Where the runs of one word begin in the pool, those of two words, and so on.
    let starts: Vec<usize> = operands
        .integers("ngram_counts")
        .iter()
        .map(|start| usize::try_from(*start).unwrap_or_default())
        .collect();
    let ends = starts.iter().skip(1).copied().chain([pool.len()]);
    let grams = starts
        .iter()
        .zip(ends)
        .enumerate()
        .flat_map(|(order, (start, end))| {
            pool.get(*start..end)
                .unwrap_or_default()
                .chunks(order + 1)
                .map(<[String]>::to_vec)
                .collect::<Vec<_>>()
        });
    Some(ValidValues::Grams(grams.collect()))
}
