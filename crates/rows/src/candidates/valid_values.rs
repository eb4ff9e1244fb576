//! Valid values of a node's input, as values of the graph input that it comes from.

use crate::proto::element;

use super::Values;
use super::tensor::{Origin, Text, is_integer};

/// Maximum number of values of a list, and of bytes of a string.
const MAXIMUM_VALUES: usize = 64;
const MAXIMUM_BYTES: usize = 256;
/// Maximum number of texts from words of a vocabulary, and of words of a text.
const SENTENCES: usize = 24;
const WORDS: usize = 4;

/// Values that a node accepts.
#[derive(Clone, Debug)]
pub(super) enum ValidValues {
    Strings(Vec<String>),
    /// Sequences of words of a vocabulary.
    Grams(Vec<Vec<String>>),
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Range(i64, i64),
}

impl ValidValues {
    /// Number of values.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Strings(list) => list.len(),
            Self::Grams(list) => list.len(),
            Self::Integers(list) => list.len(),
            Self::Numbers(list) => list.len(),
            Self::Range(..) => 1,
        }
    }

    /// As values of the graph input with element type `kind`.
    pub(super) fn of_input(&self, origin: Origin, kind: i32) -> Option<Values> {
        let values = match kind {
            element::STRING => Values::Strings(self.as_strings(origin.text)?),
            element::FLOAT | element::DOUBLE | element::FLOAT16 | element::BFLOAT16 => match self {
                Self::Range(least, greatest) => range(origin, *least, *greatest)?,
                _ => Values::Floats(self.as_numbers(origin)?),
            },
            kind if is_integer(kind) => match self {
                Self::Range(least, greatest) => range(origin, *least, *greatest)?,
                _ => Values::Integers(
                    self.as_numbers(origin)?
                        .into_iter()
                        .filter_map(whole)
                        .collect(),
                ),
            },
            _ => return None,
        };
        within(values, kind)
    }

    fn as_strings(&self, text: Text) -> Option<Vec<String>> {
        let plain: Vec<String> = match self {
            Self::Strings(list) => list.clone(),
            Self::Grams(grams) if text == Text::Whole => grams.concat(),
            Self::Grams(grams) => return Some(texts(grams, text)),
            Self::Integers(list) => list.iter().map(ToString::to_string).collect(),
            Self::Numbers(list) => list.iter().map(ToString::to_string).collect(),
            Self::Range(least, greatest) => (*least..=*greatest)
                .take(MAXIMUM_VALUES)
                .map(|value| value.to_string())
                .collect(),
        };
        if text == Text::Whole {
            return Some(plain);
        }
        let words: Vec<Vec<String>> = plain.into_iter().map(|word| vec![word]).collect();
        Some(texts(&words, text))
    }

    fn as_numbers(&self, origin: Origin) -> Option<Vec<f64>> {
        let numbers: Vec<f64> = match self {
            #[allow(
                clippy::cast_precision_loss,
                reason = "categories beyond 2^53 needn't be exact"
            )]
            Self::Integers(list) => list.iter().map(|value| *value as f64).collect(),
            Self::Numbers(list) => list.clone(),
            Self::Strings(list) => list.iter().filter_map(|text| text.parse().ok()).collect(),
            Self::Range(..) | Self::Grams(_) => return None,
        };
        Some(
            numbers
                .into_iter()
                .map(|value| (value - origin.shift) / origin.scale)
                .filter(|value| value.is_finite())
                .collect(),
        )
    }
}

/// Texts of one sequence, and of several.
fn texts(grams: &[Vec<String>], text: Text) -> Vec<String> {
    let separator = match text {
        Text::Part(separator) => separator.to_string(),
        Text::Whole | Text::Character => String::new(),
    };
    let grams: Vec<&Vec<String>> = spread(grams.iter().collect(), 4 * MAXIMUM_VALUES);
    let sentences = grams
        .chunks(WORDS)
        .filter(|chunk| chunk.len() > 1)
        .map(|chunk| {
            let words: Vec<&str> = chunk
                .iter()
                .flat_map(|gram| gram.iter().map(String::as_str))
                .collect();
            words.join(&separator)
        });
    let mut all = spread(sentences.collect(), SENTENCES);
    let rest = MAXIMUM_VALUES - all.len();
    all.extend(spread(
        grams.iter().map(|gram| gram.join(&separator)).collect(),
        rest,
    ));
    all
}

fn range(origin: Origin, least: i64, greatest: i64) -> Option<Values> {
    #[allow(
        clippy::cast_precision_loss,
        reason = "bounds beyond 2^53 needn't be exact"
    )]
    let (a, b) = (
        (least as f64 - origin.shift) / origin.scale,
        (greatest as f64 - origin.shift) / origin.scale,
    );
    let (low, high) = (whole(a.min(b).ceil())?, whole(a.max(b).floor())?);
    // Tables also take positions from the end; the plain ones are those that are meant.
    let low = if high >= 0 && least >= 0 && origin.shift > 0.0 {
        low.max(0)
    } else {
        low
    };
    (low <= high).then_some(Values::Range {
        least: low,
        greatest: high,
    })
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "whole numbers within bounds"
)]
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9.0e15).then_some(value as i64)
}

/// The values that the element type can hold and that aren't too long. None where there are none.
fn within(values: Values, kind: i32) -> Option<Values> {
    let (lowest, highest) = match kind {
        element::UINT8 => (0, i64::from(u8::MAX)),
        element::INT8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        element::UINT16 => (0, i64::from(u16::MAX)),
        element::INT16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        element::INT32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        element::UINT32 => (0, i64::from(u32::MAX)),
        element::UINT64 => (0, i64::MAX),
        _ => (i64::MIN, i64::MAX),
    };
    let values = match values {
        Values::Integers(mut list) => {
            list.retain(|value| (lowest..=highest).contains(value));
            Values::Integers(list)
        }
        Values::Strings(mut list) => {
            list.retain(|text| text.len() <= MAXIMUM_BYTES);
            Values::Strings(list)
        }
        Values::Range { least, greatest } => Values::Range {
            least: least.max(lowest),
            greatest: greatest.min(highest),
        },
        Values::Floats(list) => Values::Floats(list),
    };
    (!is_empty(&values)).then_some(values)
}

pub(super) fn is_empty(values: &Values) -> bool {
    match values {
        Values::Strings(list) => list.is_empty(),
        Values::Integers(list) => list.is_empty(),
        Values::Floats(list) => list.is_empty(),
        Values::Range { least, greatest } => least > greatest,
    }
}

/// The values that both allow. None where there are none.
pub(super) fn both(left: &Values, right: &Values) -> Option<Values> {
    let values = match (left, right) {
        (Values::Strings(left), Values::Strings(right)) => Values::Strings(common(left, right)),
        (Values::Integers(left), Values::Integers(right)) => Values::Integers(common(left, right)),
        (Values::Floats(left), Values::Floats(right)) => Values::Floats(common(left, right)),
        (
            Values::Range { least, greatest },
            Values::Range {
                least: other_least,
                greatest: other_greatest,
            },
        ) => Values::Range {
            least: *least.max(other_least),
            greatest: *greatest.min(other_greatest),
        },
        (Values::Range { least, greatest }, Values::Integers(list))
        | (Values::Integers(list), Values::Range { least, greatest }) => Values::Integers(
            list.iter()
                .copied()
                .filter(|value| (least..=greatest).contains(&value))
                .collect(),
        ),
        (Values::Range { least, greatest }, Values::Floats(list))
        | (Values::Floats(list), Values::Range { least, greatest }) => Values::Floats(
            list.iter()
                .copied()
                .filter(|value| {
                    whole(*value).is_some_and(|value| (*least..=*greatest).contains(&value))
                })
                .collect(),
        ),
        _ => return None,
    };
    (!is_empty(&values)).then_some(values)
}

fn common<T: Clone + PartialEq>(left: &[T], right: &[T]) -> Vec<T> {
    // Long lists are rarely of two encoders; those of one are equal.
    if left == right {
        return left.to_vec();
    }
    let right: Vec<&T> = right.iter().take(16 * MAXIMUM_VALUES).collect();
    left.iter()
        .take(16 * MAXIMUM_VALUES)
        .filter(|value| right.contains(value))
        .cloned()
        .collect()
}

/// The values that either allows, where they are lists.
pub(super) fn either(left: Values, right: Values) -> Values {
    fn joined<T: PartialEq>(mut left: Vec<T>, right: Vec<T>) -> Vec<T> {
        for value in right.into_iter().take(MAXIMUM_VALUES) {
            if left.len() < 2 * MAXIMUM_VALUES && !left.contains(&value) {
                left.push(value);
            }
        }
        left
    }
    match (left, right) {
        (Values::Strings(left), Values::Strings(right)) => Values::Strings(joined(left, right)),
        (Values::Integers(left), Values::Integers(right)) => Values::Integers(joined(left, right)),
        (Values::Floats(left), Values::Floats(right)) => Values::Floats(joined(left, right)),
        (left, _) => left,
    }
}

/// Adds values that a comparison distinguishes from these.
pub(super) fn with_others(values: Values) -> Values {
    match values {
        Values::Integers(list) => {
            let others = list
                .iter()
                .flat_map(|value| [value.saturating_add(1), value.saturating_sub(1)]);
            let others: Vec<i64> = others
                .filter(|value| *value >= 0)
                .take(8)
                .chain([0, 1, 2, 3])
                .collect();
            either(Values::Integers(list), Values::Integers(others))
        }
        Values::Strings(list) => {
            let others = ["", "a", "b c"].map(ToOwned::to_owned).to_vec();
            either(Values::Strings(list), Values::Strings(others))
        }
        values => values,
    }
}

/// Only the first of a list.
pub(super) fn first(values: Values) -> Values {
    match values {
        Values::Strings(list) => Values::Strings(spread(list, 1)),
        Values::Integers(list) => Values::Integers(spread(list, 1)),
        Values::Floats(list) => Values::Floats(spread(list, 1)),
        range @ Values::Range { .. } => range,
    }
}

/// At most the maximum number of values.
pub(super) fn bounded(values: Values) -> Values {
    match values {
        Values::Strings(list) => Values::Strings(spread(list, MAXIMUM_VALUES)),
        Values::Integers(list) => Values::Integers(spread(list, MAXIMUM_VALUES)),
        Values::Floats(list) => Values::Floats(spread(list, MAXIMUM_VALUES)),
        range @ Values::Range { .. } => range,
    }
}

/// At most `most` of a list, spread over the whole of it, with the first and the last.
fn spread<T>(list: Vec<T>, most: usize) -> Vec<T> {
    let length = list.len();
    if length <= most || most < 2 {
        return list.into_iter().take(most).collect();
    }
    let mut next = 0;
    list.into_iter()
        .enumerate()
        .filter(|(position, _)| {
            let valid = *position == next * (length - 1) / (most - 1);
            next += usize::from(valid);
            valid
        })
        .map(|(_, value)| value)
        .collect()
}
