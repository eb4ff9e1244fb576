//! Sources of models other than ConfigMaps: a web server, whose address may be in a Secret, and a claim.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use kube::ResourceExt;
use serde_json::json;
use springtide_e2e::diagnosis::operator_namespace;
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::{items, text};
use springtide_e2e::kind::{self, Kind};
use springtide_e2e::predict;
use springtide_e2e::testbed::{Company, Failure, READY_LIMIT, Testbed, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::website::{LATEST, MODEL, Website};

/// Name of the claim and of its objects.
const CLAIM: &str = "models";

/// Maximum time until the claim has the model: its binding, and one pod that ends.
const FILL_LIMIT: Duration = Duration::from_secs(60);

/// Maximum time until a claim or a volume is deleted: its pods drain first.
const GONE_LIMIT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_model_on_a_web_server_is_fetched_through_a_503_and_a_redirect() -> Result<(), Failure> {
    in_namespace("website", Company::Welcome, async |testbed| {
        let website = Website::open(&testbed.cluster, example::model("iris")?).await?;
        serve(testbed, "website", &website.url(LATEST)).await?;
        let answers = website.answers();
        let all = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::FOUND,
            StatusCode::OK,
        ];
        ensure!(
            answers.starts_with(&all),
            "the website answered {answers:?}"
        );
        Ok(())
    })
    .await
}

/// The kubelet waits for the Secret and reports it. Once it exists, the pod starts.
#[tokio::test]
async fn a_uri_in_a_secret_is_read_by_the_container_that_fetches_and_shown_nowhere()
-> Result<(), Failure> {
    const SIGNATURE: &str = "signature-that-nobody-sees";
    in_namespace("secret-uri", Company::Welcome, async |testbed| {
        let website = Website::open(&testbed.cluster, example::model("iris")?).await?;
        let key = json!({"name": "presigned", "key": "iris"});
        let change = json!({"spec": {"model": {"uri": null, "uriFrom": {"secretKeyRef": key}}}});
        testbed
            .apply(&example::fixed_iris("secret-uri", 1, &change)?)
            .await?;
        until("the missing object", READY_LIMIT, async || {
            let service = testbed.get(kind::MODEL_SERVICE, "secret-uri").await?;
            let said = condition(&service, "ModelLoaded").cloned();
            let said = said.map_or_else(String::new, |said| said.to_string());
            Ok(Look::at(
                said.contains("ModelNotFound") && said.contains("the Secret presigned"),
                || said,
            ))
        })
        .await?;

        let uri = format!("{}?signature={SIGNATURE}", website.url(MODEL));
        testbed
            .apply(&json!({
                "apiVersion": "v1", "kind": kind::SECRET.name,
                "metadata": {"name": "presigned"}, "stringData": {"iris": uri},
            }))
            .await?;
        let waited = testbed.until_ready("secret-uri").await?;
        testbed.report(&format!("Ready {} after the Secret came", waited.seconds()));
        predict::check_rows(testbed, "secret-uri", &HeldOut::of("iris")?).await?;

        let service = testbed.get(kind::MODEL_SERVICE, "secret-uri").await?;
        let events = testbed
            .cluster
            .list(Some(&testbed.namespace), kind::EVENT, "")
            .await?;
        let pods = testbed
            .cluster
            .list(Some(&testbed.namespace), kind::POD, "")
            .await?;
        for shown in pods.iter().chain(&events).chain([&service]) {
            ensure!(!shown.to_string().contains(SIGNATURE), "{shown}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_model_in_a_claim_is_served() -> Result<(), Failure> {
    in_namespace("claim", Company::Welcome, async |testbed| {
        make_volume(testbed).await?;
        let website = Website::open(&testbed.cluster, example::model("iris")?).await?;
        fill_claim(testbed, &website.url(MODEL)).await?;
        drop(website);
        serve(
            testbed,
            CLAIM,
            &format!("pvc://{CLAIM}/{}/model.onnx", testbed.namespace),
        )
        .await?;

        testbed.delete(kind::MODEL_SERVICE, CLAIM).await?;
        testbed.delete(kind::CLAIM, CLAIM).await?;
        gone(testbed, Some(&testbed.namespace), kind::CLAIM, CLAIM).await?;
        testbed
            .cluster
            .delete(None, kind::VOLUME, &testbed.namespace)
            .await?;
        gone(testbed, None, kind::VOLUME, &testbed.namespace).await
    })
    .await
}

/// Serves the iris model from a URI, and checks all held-out rows.
async fn serve(testbed: &Testbed, name: &str, uri: &str) -> Result<()> {
    let change = json!({"spec": {"model": {"uri": uri}}});
    testbed
        .apply(&example::fixed_iris(name, 1, &change)?)
        .await?;
    let waited = testbed.until_ready(name).await?;
    testbed.report(&format!("{uri}: Ready after {}", waited.seconds()));
    predict::check_rows(testbed, name, &HeldOut::of("iris")?).await?;
    Ok(())
}

/// Creates a volume on one node and a claim that is bound to it, so that the test needs no provisioner. The volume is
/// deleted with the namespace. The model's few kilobytes stay in the node's `/tmp`.
async fn make_volume(testbed: &Testbed) -> Result<()> {
    let nodes = testbed.cluster.list(None, kind::NODE, "").await?;
    let open = nodes.iter().find(|node| {
        node["spec"]["unschedulable"] != true && items(node, "/spec/taints").is_empty()
    });
    let node = text(
        open.context("no node takes any pod")?,
        "/metadata/labels/kubernetes.io~1hostname",
    );
    let namespace = testbed
        .cluster
        .objects(kind::NAMESPACE, None)
        .get(&testbed.namespace)
        .await?;
    let volume = json!({
        "apiVersion": "v1",
        "kind": kind::VOLUME.name,
        "metadata": {
            "name": testbed.namespace,
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": kind::NAMESPACE.name,
                "name": testbed.namespace,
                "uid": namespace.uid(),
            }],
        },
        "spec": {
            "storageClassName": "",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Mi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": testbed.namespace, "name": CLAIM},
            // A folder of every node in which pods that aren't root may write.
            "hostPath": {"path": "/tmp", "type": "Directory"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
            ]}]}},
        },
    });
    let claim = json!({
        "apiVersion": "v1",
        "kind": kind::CLAIM.name,
        "metadata": {"name": CLAIM},
        "spec": {
            // Not the default class, so that no provisioner acts.
            "storageClassName": "",
            "accessModes": ["ReadWriteOnce"],
            "volumeName": testbed.namespace,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    });
    testbed.cluster.apply(None, &volume).await?;
    testbed.apply(&claim).await?;
    Ok(())
}

/// Copies the model into the claim, in a folder with the name of the namespace, by a restricted pod.
async fn fill_claim(testbed: &Testbed, url: &str) -> Result<()> {
    let name = "fill";
    testbed.apply(&json!({
        "apiVersion": "v1",
        "kind": kind::POD.name,
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": name,
                "image": server_image(testbed).await?,
                "imagePullPolicy": "IfNotPresent",
                "args": ["fetch", "--uri", url, "--sha256", example::sha256("iris")?, "--to", "/claim/model.onnx"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                // A new folder: the kubelet gives it the permissions of its parent.
                "volumeMounts": [{"name": CLAIM, "mountPath": "/claim", "subPath": testbed.namespace}],
            }],
            "volumes": [{"name": CLAIM, "persistentVolumeClaim": {"claimName": CLAIM}}],
        },
    }))
    .await?;
    let waited = until("the claim to be filled", FILL_LIMIT, async || {
        let pod = testbed.get(kind::POD, name).await?;
        let succeeded = pod["status"]["phase"] == "Succeeded";
        Ok(Look::at(succeeded, || pod["status"].to_string()))
    })
    .await?;
    testbed.report(&format!("claim filled after {}", waited.seconds()));
    // A claim is kept while a pod uses it, even if the pod has ended.
    testbed.delete(kind::POD, name).await
}

/// The server image of the operator.
async fn server_image(testbed: &Testbed) -> Result<String> {
    let pods = testbed
        .cluster
        .list(Some(&operator_namespace()), kind::POD, "")
        .await?;
    let images = pods
        .iter()
        .flat_map(|pod| items(pod, "/spec/containers"))
        .flat_map(|container| items(container, "/args"))
        .filter_map(|arg| arg.as_str()?.strip_prefix("--server-image="));
    images
        .map(ToOwned::to_owned)
        .next()
        .with_context(|| format!("no pod in {} has --server-image", operator_namespace()))
}

async fn gone(testbed: &Testbed, namespace: Option<&str>, kind: Kind, name: &str) -> Result<()> {
    let objects = testbed.cluster.objects(kind, namespace);
    let what = format!("{} {name} to be gone", kind.name);
    let waited = until(&what, GONE_LIMIT, async || {
        let left = objects.get_opt(name).await?;
        Ok(Look::at(left.is_none(), || {
            serde_json::to_string(&left).unwrap_or_default()
        }))
    })
    .await?;
    testbed.report(&format!("waited {} for {what}", waited.seconds()));
    Ok(())
}
