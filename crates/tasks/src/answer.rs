//! What a model answers for a row.

use std::num::NonZeroUsize;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// The answer for a row, a text or an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The class, the number, the embedding, or several of them by the names of the outputs.
    pub prediction: Value,
    /// The probability of the predicted class, from 0 to 1. None where there is none, or where it is unknown which
    /// of the model's probabilities belongs to the class.
    pub confidence: Option<f32>,
    /// The probabilities by class, if they were requested.
    pub probabilities: Option<Vec<(String, f32)>>,
    /// Whether a text was truncated to the maximum number of tokens.
    pub truncated: bool,
}

impl Answer {
    /// An answer without a confidence.
    #[must_use]
    pub const fn of(prediction: Value) -> Self {
        Self {
            prediction,
            confidence: None,
            probabilities: None,
            truncated: false,
        }
    }

    /// Whether all numbers are finite. JSON has no others.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.prediction.is_finite()
            && self.confidence.is_none_or(f32::is_finite)
            && self
                .probabilities
                .iter()
                .flatten()
                .all(|(_, probability)| probability.is_finite())
    }
}

/// A value of an answer, serialized as JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A truth value.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// An integer from 0.
    Unsigned(u64),
    /// A 32-bit float.
    Float(f32),
    /// A 64-bit float.
    Double(f64),
    /// A text.
    Text(String),
    /// 32-bit floats.
    Floats(Vec<f32>),
    /// A list.
    List(Vec<Value>),
    /// Named values, in this order.
    Named(Vec<(String, Value)>),
}

impl Value {
    /// Whether all numbers are finite. JSON has no others.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Boolean(_) | Self::Integer(_) | Self::Unsigned(_) | Self::Text(_) => true,
            Self::Float(number) => number.is_finite(),
            Self::Double(number) => number.is_finite(),
            Self::Floats(numbers) => numbers.iter().all(|number| number.is_finite()),
            Self::List(values) => values.iter().all(Self::is_finite),
            Self::Named(values) => values.iter().all(|(_, value)| value.is_finite()),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(value) => value.serialize(serializer),
            Self::Integer(number) => number.serialize(serializer),
            Self::Unsigned(number) => number.serialize(serializer),
            Self::Float(number) => number.serialize(serializer),
            Self::Double(number) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::Floats(numbers) => numbers.serialize(serializer),
            Self::List(values) => values.serialize(serializer),
            Self::Named(values) => {
                let mut map = serializer.serialize_map(Some(values.len()))?;
                for (name, value) in values {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// The most probable classes, the highest first; all in the model's order without a maximum.
#[must_use]
pub fn top(
    mut probabilities: Vec<(String, f32)>,
    top_k: Option<NonZeroUsize>,
) -> Vec<(String, f32)> {
    if let Some(most) = top_k {
        // Stable: equal ones stay in the model's order.
        probabilities.sort_by(|(_, first), (_, second)| second.total_cmp(first));
        probabilities.truncate(most.get());
    }
    probabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_as_clients_expect_them() {
        let value = Value::Named(vec![
            ("b".to_owned(), Value::Float(0.1)),
            (
                "a".to_owned(),
                Value::List(vec![Value::Integer(-1), Value::Text("x".to_owned())]),
            ),
            ("c".to_owned(), Value::Floats(vec![0.5, 0.25])),
        ]);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, r#"{"b":0.1,"a":[-1,"x"],"c":[0.5,0.25]}"#);
    }

    #[test]
    fn a_number_that_is_not_finite_is_found_anywhere() {
        for value in [
            Value::Float(f32::NAN),
            Value::Double(f64::INFINITY),
            Value::Floats(vec![0.0, f32::NEG_INFINITY]),
            Value::List(vec![Value::Float(f32::NAN)]),
            Value::Named(vec![("x".to_owned(), Value::Float(f32::NAN))]),
        ] {
            assert!(!value.is_finite());
            assert!(!Answer::of(value).is_finite());
        }
        assert!(Answer::of(Value::Integer(1)).is_finite());
    }
}
