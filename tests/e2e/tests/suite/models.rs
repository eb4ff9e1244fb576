//! An unusable model is reported in conditions with the reason, and a corrected spec recovers.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_contract::termination::ModelFailure;
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::text;
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{diagnosis, kind, predict};

/// Maximum time until a fault of the model is reported: the start of a pod, and for an unreachable source all attempts
/// of `fetch`.
const TOLD_LIMIT: Duration = Duration::from_secs(120);

/// Maximum time between a condition and its event.
const EVENT_LIMIT: Duration = Duration::from_secs(10);

/// A SHA-256 that no file here has.
const NO_SUCH_SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_bad_model_is_told_with_its_reason_and_a_good_spec_recovers() -> Result<(), Failure> {
    in_namespace("models", Company::Welcome, async |testbed| {
        let iris = example::model("iris")?;
        testbed
            .config_map(
                "iris-model",
                &[("iris.onnx", iris), ("text.onnx", b"not a model".to_vec())],
            )
            .await?;
        nobody_answers(testbed).await?;
        let refused = format!("http://nobody.{}.svc/iris.onnx", testbed.namespace);
        let bad = [
            (
                "checksum",
                json!({"sha256": NO_SUCH_SUM}),
                ModelFailure::ChecksumMismatch,
            ),
            (
                "key",
                json!({"uri": "configMap://iris-model/other.onnx"}),
                ModelFailure::ModelNotFound,
            ),
            (
                "config-map",
                json!({"uri": "configMap://no-such-map/iris.onnx"}),
                ModelFailure::ModelNotFound,
            ),
            (
                "content",
                json!({"uri": "configMap://iris-model/text.onnx", "sha256": null}),
                ModelFailure::ModelInvalid,
            ),
            (
                "refused",
                json!({"uri": refused}),
                ModelFailure::ModelUnreachable,
            ),
        ];
        for (name, model, _) in &bad {
            apply(testbed, name, model).await?;
        }
        for (name, _, reason) in &bad {
            told(testbed, name, *reason).await?;
        }
        let checksum = testbed.get(kind::MODEL_SERVICE, "checksum").await?;
        let words =
            condition(&checksum, "ModelLoaded").map_or("", |loaded| text(loaded, "/message"));
        let sum = example::sha256("iris")?;
        ensure!(
            words.contains(NO_SUCH_SUM) && !words.contains(&sum),
            "the message lacks the expected hash, or has the hash of the content: {words:?}"
        );

        testbed
            .merge(
                kind::MODEL_SERVICE,
                "checksum",
                &json!({"spec": {"model": {"sha256": sum}}}),
            )
            .await?;
        let recovered = testbed.until_ready("checksum").await?;
        testbed.report(&format!(
            "the right sha256: Ready after {}",
            recovered.seconds()
        ));
        predict::check_rows_together(testbed, "checksum", &HeldOut::of("iris")?, 10).await?;

        // The new pods are also a web server without such a page.
        let not_there = format!("http://checksum.{}.svc/iris.onnx", testbed.namespace);
        apply(testbed, "page", &json!({"uri": not_there})).await?;
        told(testbed, "page", ModelFailure::ModelNotFound).await
    })
    .await
}

async fn apply(testbed: &Testbed, name: &str, model: &Value) -> Result<()> {
    testbed
        .apply(&example::fixed_iris(
            name,
            1,
            &json!({"spec": {"model": model}}),
        )?)
        .await?;
    Ok(())
}

/// A Service without pods: connections to it are refused.
async fn nobody_answers(testbed: &Testbed) -> Result<()> {
    testbed
        .apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "nobody"},
            "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]},
        }))
        .await?;
    Ok(())
}

/// Waits until the ModelService reports why it has no model, in its conditions, its events and `kubectl get`.
async fn told(testbed: &Testbed, name: &str, reason: ModelFailure) -> Result<()> {
    let reason = reason.reason();
    let waited = until(
        &format!("{name} to have ModelLoaded=False, {reason}"),
        TOLD_LIMIT,
        async || {
            let service = testbed.get(kind::MODEL_SERVICE, name).await?;
            let so = condition(&service, "ModelLoaded").is_some_and(|loaded| {
                loaded["status"] == "False"
                    && loaded["reason"] == reason
                    && !text(loaded, "/message").is_empty()
            });
            let summary =
                condition(&service, "Ready").is_some_and(|ready| ready["status"] == "False");
            Ok(Look::at(so && summary, || diagnosis::conditions(&service)))
        },
    )
    .await?;
    until(
        &format!("an event {reason} of {name}"),
        EVENT_LIMIT,
        async || {
            let events = testbed
                .cluster
                .list(Some(&testbed.namespace), kind::EVENT, "")
                .await?;
            let of_it = events
                .iter()
                .filter(|event| text(event, "/involvedObject/name") == name);
            let reasons: Vec<_> = of_it.map(|event| text(event, "/reason")).collect();
            Ok(Look::at(reasons.contains(&reason), || {
                format!("{reasons:?}")
            }))
        },
    )
    .await?;
    let service = testbed.get(kind::MODEL_SERVICE, name).await?;
    let message = condition(&service, "ModelLoaded").map_or("", |loaded| text(loaded, "/message"));
    testbed.report(&format!(
        "{name}: {reason} reported after {}: {message}",
        waited.seconds()
    ));
    Ok(())
}
