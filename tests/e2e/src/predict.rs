//! Predictions through the Service, compared with expected ones.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_contract::paths;

use crate::example::HeldOut;
use crate::testbed::Testbed;

/// Tolerance of a confidence, relative to onnxruntime's.
pub const TOLERANCE: f64 = 1e-5;

/// Sends every held-out row through the Service in its own request, and compares class and confidence with those of
/// onnxruntime. Returns the median time of a request, including the API server's proxy.
///
/// # Errors
///
/// The first row without a correct response.
pub async fn check_rows(testbed: &Testbed, service: &str, held_out: &HeldOut) -> Result<Duration> {
    let mut times = Vec::new();
    for (index, row) in held_out.rows.iter().enumerate() {
        let start = Instant::now();
        let id = format!("row-{index}");
        let answer = predict(
            testbed,
            service,
            &json!({"features": row, "request_id": id}),
        )
        .await?;
        times.push(start.elapsed());
        let right = (held_out.predictions[index], held_out.confidence(index)?);
        compare(&answer["prediction"], &answer["confidence"], right)
            .with_context(|| format!("row {index} of {service}: {answer}"))?;
        ensure!(
            answer["request_id"] == id.as_str(),
            "row {index}: request_id is not echoed: {answer}"
        );
        ensure!(
            answer["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0),
            "row {index}: no latency_ms: {answer}"
        );
        ensure!(
            answer["batch_size"].as_u64().is_some_and(|rows| rows >= 1),
            "row {index}: no batch_size: {answer}"
        );
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no rows")
}

/// Sends the first held-out rows through the Service in one request, and compares.
///
/// # Errors
///
/// The first incorrect row, or a missing response.
pub async fn check_rows_together(
    testbed: &Testbed,
    service: &str,
    held_out: &HeldOut,
    count: usize,
) -> Result<()> {
    let answer = predict(
        testbed,
        service,
        &json!({"features": &held_out.rows[..count]}),
    )
    .await?;
    for index in 0..count {
        let right = (held_out.predictions[index], held_out.confidence(index)?);
        compare(
            &answer["prediction"][index],
            &answer["confidence"][index],
            right,
        )
        .with_context(|| format!("row {index} of {count} in one request to {service}: {answer}"))?;
    }
    Ok(())
}

async fn predict(testbed: &Testbed, service: &str, request: &Value) -> Result<Value> {
    let answer = testbed
        .cluster
        .post_to_service(&testbed.namespace, service, paths::PREDICT, request)
        .await?;
    ensure!(
        answer.status == 200,
        "{service} answered {} to {request}: {}",
        answer.status,
        answer.body
    );
    serde_json::from_str(&answer.body).with_context(|| format!("not JSON: {}", answer.body))
}

fn compare(prediction: &Value, confidence: &Value, right: (i64, f64)) -> Result<()> {
    ensure!(
        prediction.as_i64() == Some(right.0),
        "class {prediction}, onnxruntime says {}",
        right.0
    );
    let confidence = confidence.as_f64().context("no confidence")?;
    ensure!(
        (confidence - right.1).abs() <= TOLERANCE,
        "confidence {confidence}, onnxruntime says {}",
        right.1
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_class_and_confidence_are_right() {
        assert!(compare(&json!(2), &json!(0.900_001), (2, 0.9)).is_ok());
        assert!(compare(&json!(1), &json!(0.9), (2, 0.9)).is_err());
        assert!(compare(&json!(2), &json!(0.900_02), (2, 0.9)).is_err());
        assert!(compare(&json!(2), &Value::Null, (2, 0.9)).is_err());
    }
}
