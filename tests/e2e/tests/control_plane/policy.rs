//! The API server allows the operator's account to create restricted pods of ModelServices and nothing else, even if
//! its roles allow more (the chart's `admissionPolicy`).

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use springtide_e2e::cluster::Cluster;
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// The operator's service account, with its name in the chart.
const OPERATOR: &str = "system:serviceaccount:springtide-system:springtide-operator";

/// Maximum time until the operator has created a Deployment.
const MADE_LIMIT: Duration = Duration::from_secs(10);

/// A name of the fault, its path in the Deployment, its value, and a part of the error message.
type Bad = (&'static str, &'static str, Value, &'static str);

fn bad() -> Vec<Bad> {
    const NODE: &str = "share namespaces or ports with their node";
    const RESTRICTED: &str = "restricted as Pod Security says";
    const VOLUMES: &str = "no volumes but";
    const ACCOUNT: &str = "service account";
    let volume = |source: Value| {
        let mut volume = json!([{"name": "models", "emptyDir": {}}, {"name": "source"}]);
        if let (Some(volume), Some(source)) = (volume[1].as_object_mut(), source.as_object()) {
            volume.extend(source.clone());
        }
        volume
    };
    let secret = json!([{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    vec![
        (
            "no owner",
            "/metadata/ownerReferences",
            json!([]),
            "belongs to a ModelService",
        ),
        (
            "host network",
            "/spec/template/spec/hostNetwork",
            json!(true),
            NODE,
        ),
        (
            "host processes",
            "/spec/template/spec/hostPID",
            json!(true),
            NODE,
        ),
        ("host IPC", "/spec/template/spec/hostIPC", json!(true), NODE),
        (
            "an account",
            "/spec/template/spec/serviceAccountName",
            json!("admin"),
            ACCOUNT,
        ),
        (
            "a token",
            "/spec/template/spec/automountServiceAccountToken",
            json!(true),
            ACCOUNT,
        ),
        (
            "a folder of the node",
            "/spec/template/spec/volumes",
            volume(json!({"hostPath": {"path": "/"}})),
            VOLUMES,
        ),
        (
            "a Secret",
            "/spec/template/spec/volumes",
            volume(json!({"secret": {"secretName": "s"}})),
            VOLUMES,
        ),
        (
            "a Secret that may hold a model's URI",
            "/spec/template/spec/volumes",
            volume(json!({"secret": {"secretName": "model-uri"}})),
            VOLUMES,
        ),
        (
            "a Secret of two sources",
            "/spec/template/spec/volumes",
            volume(json!({"projected": {"sources": [{"secret": {"name": "model-uri"}}]}})),
            VOLUMES,
        ),
        (
            "a token as a volume",
            "/spec/template/spec/volumes",
            volume(json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}})),
            VOLUMES,
        ),
        (
            "a driver that is not allowed",
            "/spec/template/spec/volumes",
            volume(json!({"csi": {"driver": "other.example.com"}})),
            VOLUMES,
        ),
        (
            "a Secret for a driver",
            "/spec/template/spec/volumes",
            volume(json!({"csi": {
                "driver": "inline.example.com", "nodePublishSecretRef": {"name": "passwords"},
            }})),
            VOLUMES,
        ),
        (
            "a variable of a Secret",
            "/spec/template/spec/containers/0/env",
            secret.clone(),
            "variables from Secrets",
        ),
        (
            "a variable of a Secret at first",
            "/spec/template/spec/initContainers/0/env",
            secret,
            "variables from Secrets",
        ),
        (
            "all variables of a Secret",
            "/spec/template/spec/containers/0/envFrom",
            json!([{"secretRef": {"name": "s"}}]),
            "variables from Secrets",
        ),
        (
            "privileges",
            "/spec/template/spec/containers/0/securityContext",
            json!({"allowPrivilegeEscalation": true}),
            RESTRICTED,
        ),
        (
            "privileges at first",
            "/spec/template/spec/initContainers/0/securityContext",
            json!({"allowPrivilegeEscalation": true}),
            RESTRICTED,
        ),
        (
            "root",
            "/spec/template/spec/containers/0/securityContext/runAsUser",
            json!(0),
            RESTRICTED,
        ),
        (
            "a capability",
            "/spec/template/spec/containers/0/securityContext/capabilities/add",
            json!(["NET_BIND_SERVICE"]),
            RESTRICTED,
        ),
        (
            "no seccomp profile",
            "/spec/template/spec/securityContext/seccompProfile",
            json!({"type": "Unconfined"}),
            RESTRICTED,
        ),
        (
            "a port of the node",
            "/spec/template/spec/containers/0/ports/0/hostPort",
            json!(8000),
            NODE,
        ),
    ]
}

/// Settings of spec.pod that the administrator must allow, and their paths.
fn further() -> Vec<(&'static str, &'static str, Value)> {
    let volumes = |source: Value| {
        let mut volume = json!({"name": "further"});
        for (kind, source) in source.as_object().into_iter().flatten() {
            volume[kind.as_str()] = source.clone();
        }
        json!([
            {"name": "models", "emptyDir": {}}, {"name": "source", "configMap": {"name": "iris"}},
            volume,
        ])
    };
    let variables = "/spec/template/spec/containers/0/env";
    vec![
        (
            "a variable of a Secret that is named",
            variables,
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "a"}}}]),
        ),
        (
            "a variable of a ConfigMap",
            variables,
            json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "a"}}}]),
        ),
        (
            "all variables of a Secret that is named",
            "/spec/template/spec/containers/0/envFrom",
            json!([{"secretRef": {"name": "settings"}}]),
        ),
        (
            "all of a Secret that is named",
            "/spec/template/spec/volumes",
            volumes(json!({"secret": {"secretName": "settings"}})),
        ),
        (
            "a driver that is named",
            "/spec/template/spec/volumes",
            volumes(json!({"csi": {"driver": "inline.example.com"}})),
        ),
        (
            "an image",
            "/spec/template/spec/volumes",
            volumes(json!({"image": {"reference": "example.com/tokenizers:1"}})),
        ),
    ]
}

/// An object with `value` at `pointer`. The last field of the pointer may be new.
fn with(mut object: Value, pointer: &str, value: Value) -> Result<Value> {
    let (parent, field) = pointer.rsplit_once('/').context("a path")?;
    let parent = object.pointer_mut(parent).context(pointer.to_owned())?;
    parent[field] = value;
    Ok(object)
}

async fn made(testbed: &Testbed, name: &str) -> Result<Value> {
    until(&format!("Deployment {name}"), MADE_LIMIT, async || {
        let found = testbed.find(kind::DEPLOYMENT, name).await?;
        Ok(Look::at(found.is_some(), || "none".to_owned()))
    })
    .await?;
    let mut deployment = testbed
        .cluster
        .get(&testbed.namespace, kind::DEPLOYMENT, name)
        .await?;
    let metadata = &deployment["metadata"];
    deployment["metadata"] = json!({
        "name": metadata["name"], "namespace": metadata["namespace"],
        "labels": metadata["labels"], "ownerReferences": metadata["ownerReferences"],
    });
    Ok(deployment)
}

async fn dry(client: &Client, namespace: &str, deployment: &Value) -> kube::Result<Deployment> {
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let deployment = serde_json::from_value(deployment.clone()).map_err(kube::Error::SerdeError)?;
    Api::<Deployment>::namespaced(client.clone(), namespace)
        .create(&params, &deployment)
        .await
}

#[tokio::test]
async fn the_operator_can_make_restricted_pods_of_model_services_only() -> Result<(), Failure> {
    in_namespace("policy", Company::Welcome, async |testbed| {
        // Its existence shows that the operator may create it.
        let name = testbed
            .serve(&example::manifest("iris", &json!({}))?)
            .await?;
        let mut good = made(testbed, &name).await?;
        let operator = Cluster::connect_as(OPERATOR).await?;

        // An object of another owner, which the operator may not adopt.
        let mut foreign = good.clone();
        foreign["metadata"] = json!({"name": "foreign", "namespace": testbed.namespace});
        testbed
            .cluster
            .create(&testbed.namespace, kind::DEPLOYMENT, &foreign)
            .await?;
        let theft = json!({"metadata": {"ownerReferences": [{
            "apiVersion": "serving.springtide.dev/v1alpha1", "kind": "ModelService",
            "name": "foreign", "uid": "1", "controller": true,
        }]}});
        let stolen = Api::<Deployment>::namespaced(operator.clone(), &testbed.namespace)
            .patch("foreign", &PatchParams::default(), &Patch::Merge(&theft))
            .await;
        ensure!(
            stolen
                .as_ref()
                .is_err_and(|error| error.to_string().contains("may not take over")),
            "taken over: {stolen:?}"
        );

        // A dry run, because an object of the name exists already. After a deletion it would be restored.
        good["metadata"]["name"] = json!("another");
        good["metadata"]["ownerReferences"][0]["name"] = json!("another");
        dry(&operator, &testbed.namespace, &good)
            .await
            .with_context(|| format!("the Deployment of {name}"))?;
        let of_models = with(
            good.clone(),
            "/spec/template/spec/serviceAccountName",
            json!("models"),
        )?;
        dry(&operator, &testbed.namespace, &of_models)
            .await
            .context("an account that the administrator names")?;
        for (what, pointer, value) in further() {
            dry(
                &operator,
                &testbed.namespace,
                &with(good.clone(), pointer, value)?,
            )
            .await
            .context(what)?;
        }
        let mut wrong = String::new();
        for (what, pointer, value, says) in bad() {
            let deployment = with(good.clone(), pointer, value)?;
            match dry(&operator, &testbed.namespace, &deployment).await {
                Ok(_) => writeln!(wrong, "  {what}: accepted")?,
                Err(error) if error.to_string().contains(says) => {}
                Err(error) => writeln!(wrong, "  {what}: {error}")?,
            }
        }
        ensure!(wrong.is_empty(), "not refused as it should be:\n{wrong}");
        Ok(())
    })
    .await
}

/// A ModelService with this name whose URI is in this Secret.
fn presigned(name: &str, secret: &str) -> Result<Value> {
    let key = json!({"name": secret, "key": "iris"});
    example::manifest(
        "presigned-model",
        &json!({
            "metadata": {"name": name},
            "spec": {"model": {"uriFrom": {"secretKeyRef": key}}},
        }),
    )
}

#[tokio::test]
async fn pods_have_a_secret_that_the_administrator_names_where_they_fetch() -> Result<(), Failure> {
    in_namespace("policy-secrets", Company::Welcome, async |testbed| {
        testbed.apply(&presigned("refused", "passwords")?).await?;
        until("the refusal", MADE_LIMIT, async || {
            let found = testbed.get(kind::MODEL_SERVICE, "refused").await?;
            let found = condition(&found, "WorkloadAvailable").cloned();
            let text = found.map_or_else(String::new, |found| found.to_string());
            Ok(Look::at(
                text.contains("admissionPolicy.secretNames"),
                || text,
            ))
        })
        .await?;
        ensure!(
            testbed.find(kind::DEPLOYMENT, "refused").await?.is_none(),
            "there is a Deployment with the Secret"
        );

        testbed.apply(&presigned("allowed", "model-uri")?).await?;
        let mut another = made(testbed, "allowed").await?;
        let operator = Cluster::connect_as(OPERATOR).await?;
        another["metadata"]["name"] = json!("another");
        another["metadata"]["ownerReferences"][0]["name"] = json!("another");
        dry(&operator, &testbed.namespace, &another).await?;
        let variable = |name: &str| json!([{"name": name, "valueFrom": {"secretKeyRef": {"name": "model-uri", "key": "iris"}}}]);
        for (what, container, name) in [
            ("the container that serves", "containers", "SPRINGTIDE_MODEL_URI"),
            ("a variable of another name", "initContainers", "OTHER"),
        ] {
            let env = format!("/spec/template/spec/{container}/0/env");
            let bad = with(another.clone(), &env, variable(name))?;
            let outcome = dry(&operator, &testbed.namespace, &bad).await;
            ensure!(
                outcome
                    .as_ref()
                    .is_err_and(|error| error.to_string().contains("must not take variables from Secrets")),
                "the Secret is in {what}: {outcome:?}"
            );
        }
        Ok(())
    })
    .await
}
