//! The response of `/predict`.

use std::time::Duration;

use serde::Serialize;
use springtide_inference::{Class, Prediction};

use super::error::ApiError;
use crate::models::InferError;

/// The body of a successful response.
#[derive(Debug, Serialize)]
pub struct PredictResponse {
    prediction: OneOrMany<Label>,
    /// None if it isn't known which of the model's probabilities belongs to the prediction.
    confidence: OneOrMany<Option<f32>>,
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

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Label {
    Number(i64),
    Name(String),
}

impl From<Class> for Label {
    fn from(class: Class) -> Self {
        match class {
            Class::Number(number) => Self::Number(number),
            Class::Name(name) => Self::Name(name),
        }
    }
}

impl PredictResponse {
    /// Answers a request that sent a list of rows (`list`) or a single row.
    ///
    /// # Errors
    /// [`ApiError::NotFinite`] if a confidence isn't finite, because JSON has no such number.
    /// [`InferError::Failed`] if there is no prediction.
    pub fn new(
        predictions: Vec<Prediction>,
        list: bool,
        latency: Duration,
        batch_size: usize,
        request_id: Option<String>,
    ) -> Result<Self, ApiError> {
        let not_finite = predictions
            .iter()
            .position(|prediction| prediction.confidence.is_some_and(|one| !one.is_finite()));
        if let Some(row) = not_finite {
            let field = if list {
                format!("features[{row}]")
            } else {
                "features".to_owned()
            };
            return Err(ApiError::NotFinite { field });
        }
        let (mut labels, mut confidences): (Vec<Label>, Vec<Option<f32>>) = predictions
            .into_iter()
            .map(|prediction| (Label::from(prediction.class), prediction.confidence))
            .unzip();
        let (prediction, confidence) = if list {
            (OneOrMany::Many(labels), OneOrMany::Many(confidences))
        } else {
            let (Some(label), Some(confidence)) = (labels.pop(), confidences.pop()) else {
                return Err(InferError::Failed.into());
            };
            (OneOrMany::One(label), OneOrMany::One(confidence))
        };
        let latency_ms = milliseconds(latency);
        Ok(Self {
            prediction,
            confidence,
            latency_ms,
            batch_size,
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
    use serde_json::{Value, json};

    use super::*;

    fn prediction(class: Class, confidence: f32) -> Prediction {
        let confidence = Some(confidence);
        Prediction { class, confidence }
    }

    fn answer(predictions: Vec<Prediction>, list: bool, request_id: Option<&str>) -> Value {
        let latency = Duration::from_nanos(1_234_567);
        let request_id = request_id.map(ToOwned::to_owned);
        let response = PredictResponse::new(predictions, list, latency, 7, request_id).unwrap();
        serde_json::to_value(response).unwrap()
    }

    #[test]
    fn one_row_gets_scalars_and_its_id_back() {
        let answer = answer(vec![prediction(Class::Number(2), 0.5)], false, Some("abc"));
        let expected = json!({
            "prediction": 2, "confidence": 0.5, "latency_ms": 1.235, "batch_size": 7,
            "request_id": "abc",
        });
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_list_of_rows_gets_lists_and_no_id_without_one() {
        let names = ["setosa", "virginica"].map(|name| Class::Name(name.to_owned()));
        let answer = answer(
            names.map(|name| prediction(name, 0.25)).to_vec(),
            true,
            None,
        );
        let expected = json!({
            "prediction": ["setosa", "virginica"], "confidence": [0.25, 0.25],
            "latency_ms": 1.235, "batch_size": 7,
        });
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_confidence_that_is_not_known_is_null() {
        let unknown = Prediction {
            class: Class::Number(1),
            confidence: None,
        };
        let one = answer(vec![unknown.clone()], false, None);
        assert_eq!(one.get("confidence"), Some(&Value::Null));
        let known = prediction(Class::Number(0), 0.5);
        let answer = answer(vec![unknown, known], true, None);
        assert_eq!(answer["confidence"], json!([null, 0.5]));
    }

    #[test]
    fn a_list_of_one_row_gets_lists_of_one() {
        let answer = answer(vec![prediction(Class::Number(1), 1.0)], true, None);
        assert_eq!(answer["prediction"], json!([1]));
    }

    #[test]
    fn the_error_of_a_confidence_that_is_not_finite_names_its_row() {
        let rows = || {
            vec![
                prediction(Class::Number(0), 1.0),
                prediction(Class::Number(0), f32::NAN),
            ]
        };
        let refused = PredictResponse::new(rows(), true, Duration::ZERO, 2, None).unwrap_err();
        assert_eq!(refused.field(), Some("features[1]"));
        let one = rows().split_off(1);
        let refused = PredictResponse::new(one, false, Duration::ZERO, 1, None).unwrap_err();
        assert_eq!(refused.field(), Some("features"));
    }
}
