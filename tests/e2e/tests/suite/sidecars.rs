//! A container without requests that a service mesh adds to each pod: autoscalers follow the server container alone.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use springtide_e2e::json::{items, text};
use springtide_e2e::testbed::{Company, Failure, READY_LIMIT, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind, readings};

/// Name of the container.
const SIDECAR: &str = "mesh-proxy";

#[tokio::test]
async fn a_sidecar_without_requests_keeps_no_reading_from_the_hpa() -> Result<(), Failure> {
    in_namespace("sidecars", Company::Welcome, async |testbed| {
        inject(testbed).await?;
        let targets = json!({"cpuUtilizationPercent": 70, "memoryUtilizationPercent": 80});
        let autoscaling = json!({"engine": "HPA", "minReplicas": 1, "targets": targets});
        let change = json!({"spec": {"autoscaling": autoscaling}});
        let name = testbed
            .serve_until_ready(&example::manifest("iris", &change)?)
            .await?;
        for pod in testbed.pods(&name).await? {
            let containers = items(&pod, "/spec/containers").iter();
            let names: Vec<_> = containers.map(|it| text(it, "/name")).collect();
            ensure!(names == ["server", SIDECAR], "a pod has {names:?}");
        }
        readings::until_all(testbed, &name, 2).await?;
        testbed
            .until_condition(&name, "MetricsHealthy", "True", READY_LIMIT)
            .await
            .map(drop)
    })
    .await
}

/// Makes the API server add the container to each pod of the namespace. The policy is deleted with the namespace.
async fn inject(testbed: &Testbed) -> Result<()> {
    let namespace = testbed.cluster.objects(kind::NAMESPACE, None);
    let uid = namespace.get(&testbed.namespace).await?.uid();
    let metadata = json!({"name": testbed.namespace, "ownerReferences": [{
        "apiVersion": "v1", "kind": kind::NAMESPACE.name, "name": testbed.namespace, "uid": uid,
    }]});
    let image = image_on_nodes(testbed, "/pause:").await?;
    let expression = format!(
        r#"[JSONPatch{{op: "add", path: "/spec/containers/-", value: Object.spec.containers{{
            name: "{SIDECAR}", image: "{image}", imagePullPolicy: "IfNotPresent",
            securityContext: Object.spec.containers.securityContext{{
                allowPrivilegeEscalation: false,
                capabilities: Object.spec.containers.securityContext.capabilities{{drop: ["ALL"]}}
            }}
        }}}}]"#
    );
    let policy = json!({
        "apiVersion": kind::MUTATING_POLICY.api_version(),
        "kind": kind::MUTATING_POLICY.name,
        "metadata": metadata,
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
            ]},
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    });
    let of_the_namespace = json!({"kubernetes.io/metadata.name": testbed.namespace});
    let binding = json!({
        "apiVersion": kind::MUTATING_POLICY_BINDING.api_version(),
        "kind": kind::MUTATING_POLICY_BINDING.name,
        "metadata": metadata,
        "spec": {
            "policyName": testbed.namespace,
            "matchResources": {"namespaceSelector": {"matchLabels": of_the_namespace}},
        },
    });
    for object in [policy, binding] {
        testbed.cluster.apply(None, &object).await?;
    }
    has_taken_effect(testbed, &image).await
}

/// Waits until the policy changes pods. The API server observes it with a short delay.
async fn has_taken_effect(testbed: &Testbed, image: &str) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": kind::POD.name, "metadata": {"name": "probe"},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe", "image": image,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    until("the policy to take effect", READY_LIMIT, async || {
        let made: Value = testbed.cluster.apply_dry(&testbed.namespace, &pod).await?;
        let containers = items(&made, "/spec/containers").len();
        Ok(Look::at(containers == 2, || made["spec"].to_string()))
    })
    .await?;
    Ok(())
}

/// An image of every node, so that none is pulled.
async fn image_on_nodes(testbed: &Testbed, part: &str) -> Result<String> {
    let nodes = testbed.cluster.list(None, kind::NODE, "").await?;
    let images = nodes
        .iter()
        .flat_map(|node| items(node, "/status/images"))
        .flat_map(|image| items(image, "/names"))
        .filter_map(Value::as_str);
    images
        .filter(|name| name.contains(part) && !name.contains('@'))
        .map(ToOwned::to_owned)
        .next()
        .with_context(|| format!("no node has an image with {part} in its name"))
}
