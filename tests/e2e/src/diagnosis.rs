//! The state of a namespace as text, for the analysis of a failed test.

use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::json::{items, text};
use crate::kind::{self, Kind};

/// Maximum number of lines of the operator's log.
const LOG_LINES: i64 = 40;

/// The conditions of an object in one line: `Ready=False (Reason: message), …`.
#[must_use]
pub fn conditions(object: &Value) -> String {
    let words = items(object, "/status/conditions").iter().map(|condition| {
        let (reason, message) = (text(condition, "/reason"), text(condition, "/message"));
        format!(
            "{}={} ({reason}: {message})",
            text(condition, "/type"),
            text(condition, "/status")
        )
    });
    let generation = &object["metadata"]["generation"];
    format!(
        "generation {generation}: {}",
        words.collect::<Vec<_>>().join(", ")
    )
}

/// The namespace of the operator.
#[must_use]
pub fn operator_namespace() -> String {
    std::env::var("SPRINGTIDE_E2E_OPERATOR_NAMESPACE")
        .unwrap_or_else(|_| "springtide-system".to_owned())
}

/// The objects and events of a namespace, and the end of the operator's log.
pub async fn of(cluster: &Cluster, namespace: &str) -> String {
    let mut told = format!("state of namespace {namespace}:\n");
    for kind in [
        kind::MODEL_SERVICE,
        kind::DEPLOYMENT,
        kind::AUTOSCALER,
        kind::SCALED_OBJECT,
    ] {
        for object in listed(cluster, namespace, kind, &mut told).await {
            let _ = writeln!(
                told,
                "  {} {}: {}",
                kind.name,
                text(&object, "/metadata/name"),
                conditions(&object)
            );
        }
    }
    for pod in listed(cluster, namespace, kind::POD, &mut told).await {
        let _ = writeln!(
            told,
            "  Pod {}: {} {}",
            text(&pod, "/metadata/name"),
            text(&pod, "/status/phase"),
            containers(&pod)
        );
    }
    for event in listed(cluster, namespace, kind::EVENT, &mut told).await {
        let of = format!(
            "{} {}",
            text(&event, "/involvedObject/kind"),
            text(&event, "/involvedObject/name")
        );
        let _ = writeln!(
            told,
            "  Event {of}: {}: {}",
            text(&event, "/reason"),
            text(&event, "/message")
        );
    }
    log_of_operator(cluster, &mut told).await;
    told
}

async fn listed(cluster: &Cluster, namespace: &str, kind: Kind, told: &mut String) -> Vec<Value> {
    match cluster.list(Some(namespace), kind, "").await {
        Ok(objects) => objects,
        Err(error) => {
            let _ = writeln!(told, "  {}: {error:#}", kind.name);
            Vec::new()
        }
    }
}

fn containers(pod: &Value) -> String {
    let all =
        ["/status/initContainerStatuses", "/status/containerStatuses"].map(|list| items(pod, list));
    let words = all.into_iter().flatten().map(|status| {
        let (ready, restarts) = (&status["ready"], &status["restartCount"]);
        format!(
            "[{} ready={ready} restarts={restarts} {}]",
            text(status, "/name"),
            status["state"]
        )
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn log_of_operator(cluster: &Cluster, told: &mut String) {
    let namespace = operator_namespace();
    let pods: Api<Pod> = Api::namespaced(cluster.client(), &namespace);
    for pod in listed(cluster, &namespace, kind::POD, told).await {
        let name = text(&pod, "/metadata/name");
        let limits = LogParams {
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        let log = pods
            .logs(name, &limits)
            .await
            .unwrap_or_else(|error| error.to_string());
        let _ = writeln!(told, "  log of {namespace}/{name}:\n{log}");
    }
}
