//! The readings of autoscalers: the metrics APIs, and the queries behind them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::addon;
use crate::cluster::Cluster;
use crate::json::{items, text};
use crate::kind;
use crate::testbed::{Testbed, condition};
use crate::{diagnosis, wait};
use wait::{Look, Waited, until};

/// Maximum time until an autoscaler has readings. The CPU of a new pod needs two measurements, 15 s each, and the
/// autoscaler reads every 15 s.
pub const READINGS_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// Waits until an HPA has a reading of each of its metrics and scales by them.
///
/// # Errors
///
/// If the time is over.
pub async fn until_all(testbed: &Testbed, hpa: &str, metrics: usize) -> Result<Waited<()>> {
    let waited = until(
        &format!("{hpa} to read {metrics} metrics"),
        READINGS_LIMIT,
        async || {
            let object = testbed.get(kind::AUTOSCALER, hpa).await?;
            let active = condition(&object, "ScalingActive")
                .is_some_and(|active| active["status"] == "True");
            let readings = items(&object, "/status/currentMetrics")
                .iter()
                .filter(|metric| has_reading(metric))
                .count();
            Ok(Look::at(active && readings == metrics, || {
                format!("{readings} readings; {}", diagnosis::conditions(&object))
            }))
        },
    )
    .await?;
    let status = testbed.get(kind::AUTOSCALER, hpa).await?["status"]["currentMetrics"].to_string();
    testbed.report(&format!(
        "{hpa} reads {metrics} metrics after {}: {status}",
        waited.seconds()
    ));
    Ok(waited)
}

/// Whether a current metric has a value. A metric without a reading is missing or has no value.
fn has_reading(metric: &Value) -> bool {
    let current = [
        "/resource/current",
        "/containerResource/current",
        "/external/current",
        "/pods/current",
    ]
    .into_iter()
    .find_map(|path| metric.pointer(path));
    current.is_some_and(|current| {
        ["averageUtilization", "averageValue", "value"]
            .iter()
            .any(|field| !current[*field].is_null())
    })
}

/// A metric of a ScaledObject, as an HPA receives it from KEDA.
///
/// # Errors
///
/// If the API server rejects the request.
pub async fn external(testbed: &Testbed, scaled_object: &str, metric: &str) -> Result<Option<f64>> {
    let namespace = &testbed.namespace;
    let selector = format!("labelSelector=scaledobject.keda.sh%2Fname%3D{scaled_object}");
    let path =
        format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}?{selector}");
    let values = testbed.cluster.read(&path).await?;
    Ok(quantity(text(&values, "/items/0/value")))
}

/// A metric of the pods of a ModelService by pod, as an HPA receives it from an adapter.
///
/// # Errors
///
/// What the API server says, or a value that is no number.
pub async fn of_pods(testbed: &Testbed, name: &str, metric: &str) -> Result<BTreeMap<String, f64>> {
    let namespace = &testbed.namespace;
    let selector = format!("app.kubernetes.io%2Finstance%3D{name}");
    let path = format!(
        "/apis/custom.metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/*/{metric}?labelSelector={selector}"
    );
    let values = testbed.cluster.read(&path).await?;
    items(&values, "/items")
        .iter()
        .map(|item| {
            let value = quantity(text(item, "/value")).with_context(|| item.to_string())?;
            Ok((text(item, "/describedObject/name").to_owned(), value))
        })
        .collect()
}

/// The response of Prometheus to a query: the labels and the value of each series.
///
/// # Errors
///
/// If it doesn't respond, or not with numbers.
pub async fn query(cluster: &Cluster, query: &str) -> Result<Vec<(Value, f64)>> {
    let addon::Addon {
        namespace, name, ..
    } = addon::PROMETHEUS;
    let path = format!(
        "/api/v1/namespaces/{namespace}/services/{name}:9090/proxy/api/v1/query?query={}",
        percent_encoded(query)
    );
    let answer = cluster.read(&path).await?;
    if answer["status"] != "success" {
        bail!("Prometheus says to {query}: {answer}");
    }
    items(&answer, "/data/result")
        .iter()
        .map(|series| {
            let value = text(series, "/value/1");
            let value = value.parse().with_context(|| series.to_string())?;
            Ok((series["metric"].clone(), value))
        })
        .collect()
}

/// A quantity in units or thousandths, as metrics have it.
fn quantity(text: &str) -> Option<f64> {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().ok().map(|value| value / 1000.0),
        None => text.parse().ok(),
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn readings_are_told_from_their_absence() {
        for source in ["resource", "containerResource", "external", "pods"] {
            let with = json!({"type": "X", source: {"current": {"averageValue": "10"}}});
            let without = json!({"type": "X", source: {"current": {}}});
            assert!(has_reading(&with), "{with}");
            assert!(!has_reading(&without), "{without}");
        }
        assert!(!has_reading(&json!({"type": ""})));
    }

    #[test]
    fn quantities_come_in_units_and_thousandths() {
        assert_eq!(quantity("1500m"), Some(1.5));
        assert_eq!(quantity("12"), Some(12.0));
        assert_eq!(quantity(""), None);
    }

    #[test]
    fn queries_survive_a_url() {
        assert_eq!(
            percent_encoded("sum(a{b=\"c\"})"),
            "sum%28a%7Bb%3D%22c%22%7D%29"
        );
    }
}
