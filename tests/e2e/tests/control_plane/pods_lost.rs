//! Lost pods: evicted for disk space, preempted, deleted with their node, or killed for memory. The tests write the
//! statuses that a kubelet and a scheduler would write.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use k8s_openapi::api::core::v1::LimitRange;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use springtide_e2e::json::text;
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

use crate::kubelet;

/// Maximum time until the operator or a controller has acted.
const ACT_LIMIT: Duration = Duration::from_secs(30);

/// A kind of loss: its name, the status of the pod, and the reason and parts of the message of `WorkloadAvailable`.
type Loss = (&'static str, Value, &'static str, &'static [&'static str]);

fn losses() -> Vec<Loss> {
    let target = |reason: &str| {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": now}])
    };
    let evicted = |message: &str| {
        let conditions = target("TerminationByKubelet");
        json!({"phase": "Failed", "reason": "Evicted", "message": message, "conditions": conditions})
    };
    let killed = {
        let ended = json!({
            "exitCode": 137, "reason": "OOMKilled", "startedAt": Timestamp::now(), "finishedAt": Timestamp::now(),
        });
        json!({"phase": "Running", "containerStatuses": [{
            "name": "server", "image": "server", "imageID": "", "ready": true, "restartCount": 1,
            "state": {"running": {}}, "lastState": {"terminated": ended},
        }]})
    };
    vec![
        (
            "disk",
            evicted("Container server exceeded its local ephemeral storage limit \"100Mi\". "),
            "PodsEvicted",
            &["limit \"100Mi\"", "spec.model.maxSizeMebibytes"],
        ),
        (
            "volume",
            evicted("Usage of EmptyDir volume \"models\" exceeds the limit \"2Gi\". "),
            "PodsEvicted",
            &["exceeds the limit \"2Gi\""],
        ),
        (
            "node-memory",
            evicted(
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. ",
            ),
            "PodsEvicted",
            &[
                "low on resource: memory",
                "spec.server.resources.requests.memory",
            ],
        ),
        (
            "priority",
            json!({"conditions": target("PreemptionByScheduler")}),
            "PodsPreempted",
            &["higher priority"],
        ),
        (
            "taint",
            json!({"conditions": target("DeletionByTaintManager")}),
            "NodeLost",
            &["a taint"],
        ),
        (
            "node",
            json!({"phase": "Failed", "conditions": target("DeletionByPodGC")}),
            "NodeLost",
            &["node no longer exists"],
        ),
        ("memory", killed, "OutOfMemory", &["limits.memory"]),
    ]
}

#[tokio::test]
async fn a_lost_pod_is_told_with_its_cause() -> Result<(), Failure> {
    in_namespace("pods-lost", Company::Welcome, async |testbed| {
        let losses = losses();
        for (name, ..) in &losses {
            testbed
                .serve(&example::fixed_iris(name, 1, &json!({}))?)
                .await?;
        }
        for (name, status, reason, says) in &losses {
            let pod = one_pod(testbed, name).await?;
            kubelet::says(testbed, &pod, status).await?;
            testbed
                .until_said(name, "WorkloadAvailable", reason, says, ACT_LIMIT)
                .await?;
        }
        Ok(())
    })
    .await
}

/// The Eviction API, as `kubectl drain` uses it, for pods whose finalizer delays their deletion.
#[tokio::test]
async fn a_drained_pod_is_told() -> Result<(), Failure> {
    in_namespace("pods-drained", Company::Welcome, async |testbed| {
        let name = testbed
            .serve(&example::fixed_iris("iris", 1, &json!({}))?)
            .await?;
        let pod = one_pod(testbed, &name).await?;
        let held = json!({"metadata": {"finalizers": ["springtide-e2e/held"]}});
        testbed.merge(kind::POD, &pod, &held).await?;
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": testbed.namespace},
        });
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}/eviction",
            testbed.namespace
        );
        let request = Request::post(path)
            .header("Content-Type", "application/json")
            .body(serde_json::to_vec(&eviction)?)?;
        testbed.cluster.client().request_text(request).await?;
        let says = &["kubectl drain"];
        let said = testbed
            .until_said(&name, "WorkloadAvailable", "PodsEvicted", says, ACT_LIMIT)
            .await;
        let let_go = json!({"metadata": {"finalizers": null}});
        testbed.merge(kind::POD, &pod, &let_go).await?;
        said.map(drop)
    })
    .await
}

/// The default limits of a namespace don't apply to serving pods: they have limits for their model.
#[tokio::test]
async fn the_defaults_of_a_limit_range_evict_no_pod() -> Result<(), Failure> {
    in_namespace("disk-defaults", Company::Welcome, async |testbed| {
        let range: LimitRange = serde_json::from_value(json!({
            "metadata": {"name": "disk"},
            "spec": {"limits": [{
                "type": "Container",
                "default": {"ephemeral-storage": "100Mi"}, "defaultRequest": {"ephemeral-storage": "50Mi"},
            }]},
        }))?;
        Api::<LimitRange>::namespaced(testbed.cluster.client(), &testbed.namespace)
            .create(&PostParams::default(), &range)
            .await?;
        let sized = json!({"spec": {"model": {"maxSizeMebibytes": 400}}});
        let name = testbed.serve(&example::fixed_iris("iris", 1, &sized)?).await?;
        let pod = one_pod(testbed, &name).await?;
        let pod = testbed.get(kind::POD, &pod).await?;
        // Two files of 400 MiB, while a new one is fetched, and 1 GiB of logs.
        for (place, expected) in [
            ("/spec/volumes/0/emptyDir/sizeLimit", "800Mi"),
            ("/spec/containers/0/resources/limits/ephemeral-storage", "1824Mi"),
            ("/spec/initContainers/0/resources/limits/ephemeral-storage", "1824Mi"),
        ] {
            ensure!(text(&pod, place) == expected, "{place} of {}", pod["spec"]);
        }
        Ok(())
    })
    .await
}

/// The pod of a ModelService, once it exists.
async fn one_pod(testbed: &Testbed, name: &str) -> Result<String> {
    let found = until("a pod", ACT_LIMIT, async || {
        let pods = testbed.pods(name).await?;
        Ok(match &pods[..] {
            [pod] => Look::Seen(text(pod, "/metadata/name").to_owned()),
            other => Look::NotYet(format!("{} pods", other.len())),
        })
    })
    .await?;
    Ok(found.value)
}
