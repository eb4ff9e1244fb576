//! The response of `/predict`.

use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use springtide_tasks::answer::{Answer, Value};

use super::error::ApiError;
use super::predictions::Predictions;
use crate::models::InferError;

/// The body of a successful response.
#[derive(Debug, Serialize)]
pub struct PredictResponse {
    prediction: OneOrMany<Value>,
    /// None if the model has no probabilities, or if it isn't known which of them belongs to the prediction.
    confidence: OneOrMany<Option<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<OneOrMany<Probabilities>>,
    /// Whether texts were truncated to the maximum number of tokens, if any was.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<OneOrMany<bool>>,
    latency_ms: f64,
    batch_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// A value for one row, or a list for a list of rows.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// None if one value is wanted and there is none.
    fn new(mut values: Vec<T>, list: bool) -> Option<Self> {
        if list {
            return Some(Self::Many(values));
        }
        values.pop().map(Self::One)
    }
}

/// Probabilities by class, in their order.
#[derive(Debug)]
struct Probabilities(Vec<(String, f32)>);

impl Serialize for Probabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (class, probability) in &self.0 {
            map.serialize_entry(class, probability)?;
        }
        map.end()
    }
}

impl PredictResponse {
    /// Answers a request that sent a list of rows or a single row.
    ///
    /// # Errors
    /// [`InferError::Failed`] if there is no prediction.
    pub(super) fn new(predictions: Predictions) -> Result<Self, ApiError> {
        let Predictions {
            answers,
            list,
            request_id,
            latency,
            batch_rows,
            tokens: _,
        } = predictions;
        let (mut values, mut confidences) = (Vec::new(), Vec::new());
        let (mut by_class, mut truncated) = (Vec::new(), Vec::new());
        for Answer {
            prediction,
            confidence,
            probabilities,
            truncated: is_truncated,
        } in answers
        {
            truncated.push(is_truncated);
            values.push(prediction);
            confidences.push(confidence);
            by_class.extend(probabilities.map(Probabilities));
        }
        let probabilities = (!by_class.is_empty()).then(|| OneOrMany::new(by_class, list));
        let is_truncated = truncated.contains(&true);
        let truncated = is_truncated.then(|| OneOrMany::new(truncated, list));
        Ok(Self {
            prediction: OneOrMany::new(values, list).ok_or(InferError::Failed)?,
            confidence: OneOrMany::new(confidences, list).ok_or(InferError::Failed)?,
            probabilities: probabilities.flatten(),
            truncated: truncated.flatten(),
            latency_ms: milliseconds(latency),
            batch_size: batch_rows,
            request_id,
        })
    }
}

/// Milliseconds, rounded to microseconds.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn class(prediction: Value, confidence: f32) -> Answer {
        Answer {
            prediction,
            confidence: Some(confidence),
            probabilities: None,
            truncated: false,
        }
    }

    fn response(answers: Vec<Answer>, list: bool, request_id: Option<&str>) -> Json {
        let response = PredictResponse::new(Predictions {
            answers,
            list,
            request_id: request_id.map(ToOwned::to_owned),
            latency: Duration::from_nanos(1_234_567),
            batch_rows: 7,
            tokens: 0,
        });
        serde_json::to_value(response.unwrap()).unwrap()
    }

    #[test]
    fn one_row_gets_scalars_and_its_id_back() {
        let response = response(vec![class(Value::Integer(2), 0.5)], false, Some("abc"));
        let expected = json!({
            "prediction": 2, "confidence": 0.5, "latency_ms": 1.235, "batch_size": 7,
            "request_id": "abc",
        });
        assert_eq!(response, expected);
    }

    #[test]
    fn a_list_of_rows_gets_lists_and_no_id_without_one() {
        let names = ["setosa", "virginica"].map(|name| Value::Text(name.to_owned()));
        let answers = names.map(|name| class(name, 0.25)).to_vec();
        let expected = json!({
            "prediction": ["setosa", "virginica"], "confidence": [0.25, 0.25],
            "latency_ms": 1.235, "batch_size": 7,
        });
        assert_eq!(response(answers, true, None), expected);
        let one = response(vec![class(Value::Integer(1), 1.0)], true, None);
        assert_eq!(one["prediction"], json!([1]));
    }

    #[test]
    fn a_confidence_that_is_not_known_is_null() {
        let unknown = Answer::of(Value::Integer(1));
        let one = response(vec![unknown.clone()], false, None);
        assert_eq!(one.get("confidence"), Some(&Json::Null));
        let both = response(vec![unknown, class(Value::Integer(0), 0.5)], true, None);
        assert_eq!(both["confidence"], json!([null, 0.5]));
    }

    #[test]
    fn truncation_is_reported_where_it_happens() {
        let cut = Answer {
            truncated: true,
            ..class(Value::Integer(1), 0.5)
        };
        let whole = class(Value::Integer(1), 0.5);
        let both = response(vec![cut, whole], true, None);
        assert_eq!(both["truncated"], json!([true, false]));
    }

    #[test]
    fn probabilities_are_by_class() {
        let with_probabilities = Answer {
            probabilities: Some(vec![("spam".to_owned(), 0.75), ("ham".to_owned(), 0.25)]),
            ..class(Value::Text("spam".to_owned()), 0.75)
        };
        let one = response(vec![with_probabilities.clone()], false, None);
        assert_eq!(one["probabilities"], json!({"spam": 0.75, "ham": 0.25}));
        let many = response(vec![with_probabilities], true, None);
        assert_eq!(many["probabilities"], json!([{"spam": 0.75, "ham": 0.25}]));
    }
}
