//! An operator with Roles in two namespaces and no permissions in others, and with authentication of readers of its
//! metrics. It needs its own control plane (`tests/control-plane/bounded.yaml`).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};
use springtide_e2e::cluster::Cluster;
use springtide_e2e::kind::Kind;
use springtide_e2e::operator_process::metrics;
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Namespaces that the operator watches.
const WATCHED: [&str; 2] = ["watched-one", "watched-two"];

/// The operator's service account, with its name in the chart.
const OPERATOR: &str = "system:serviceaccount:springtide-system:springtide-operator";

/// Maximum time until the operator has created or changed the objects of a ModelService.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn roles_in_two_namespaces_are_enough_and_a_third_is_left_alone() -> Result<(), Failure> {
    in_namespace("bounded", Company::Welcome, async |testbed| {
        let unwatched = testbed.namespace.as_str();
        let everywhere = WATCHED.into_iter().chain([unwatched]);
        for namespace in everywhere.clone() {
            let manifest = example::fixed_iris("iris", 1, &json!({}))?;
            testbed.cluster.apply(Some(namespace), &manifest).await?;
        }
        for replicas in [1, 2] {
            for namespace in everywhere.clone() {
                let change = json!({"spec": {"replicas": replicas}});
                testbed
                    .cluster
                    .merge(namespace, kind::MODEL_SERVICE, "iris", &change)
                    .await?;
            }
            for namespace in WATCHED {
                scaled(&testbed.cluster, namespace, replicas).await?;
            }
        }

        // By now each of the other namespaces would have been noticed twice.
        let left_alone = testbed.get(kind::MODEL_SERVICE, "iris").await?;
        ensure!(left_alone.get("status").is_none(), "{left_alone}");
        for child in [kind::DEPLOYMENT, kind::SERVICE, kind::DISRUPTION_BUDGET] {
            let found = testbed.find(child, "iris").await?;
            ensure!(
                found.is_none(),
                "{} in a third namespace: {found:?}",
                child.name
            );
        }

        let operator = Cluster::connect_as(OPERATOR).await?;
        for (kind, namespace, expected) in [
            (kind::DEPLOYMENT, Some(WATCHED[0]), 200),
            (kind::DEPLOYMENT, Some(unwatched), 403),
            (kind::DEPLOYMENT, None, 403),
            (kind::MODEL_SERVICE, Some(unwatched), 403),
            (kind::MODEL_SERVICE, None, 403),
            (kind::SECRET, Some(WATCHED[0]), 403),
        ] {
            let status = list(&operator, kind, namespace).await?;
            ensure!(
                status == expected,
                "a list of {} in {namespace:?}: {status}",
                kind.name
            );
        }

        let log = std::env::var("SPRINGTIDE_OPERATOR_LOG").context("the operator's log")?;
        let log = std::fs::read_to_string(log)?;
        ensure!(log.contains("watching"), "not the operator's log: {log}");
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| line.to_lowercase().contains("forbidden"))
            .collect();
        ensure!(complaints.is_empty(), "{}", complaints.join("\n"));

        for namespace in WATCHED {
            testbed
                .cluster
                .delete(Some(namespace), kind::MODEL_SERVICE, "iris")
                .await?;
        }
        Ok(())
    })
    .await
}

/// Waits until the Deployment and the status have these replicas.
async fn scaled(cluster: &Cluster, namespace: &str, replicas: i64) -> Result<()> {
    until(
        &format!("{replicas} replicas in {namespace}"),
        LIMIT,
        async || {
            let deployment = cluster.find(namespace, kind::DEPLOYMENT, "iris").await?;
            let wanted = deployment.map(|deployment| deployment["spec"]["replicas"].clone());
            let status =
                cluster.get(namespace, kind::MODEL_SERVICE, "iris").await?["status"].clone();
            let so = wanted == Some(json!(replicas)) && status["desiredReplicas"] == replicas;
            Ok(Look::at(so, || format!("{wanted:?}, {status}")))
        },
    )
    .await?;
    Ok(())
}

/// The HTTP status of a list.
async fn list(client: &Client, kind: Kind, namespace: Option<&str>) -> Result<u16> {
    let resource = kind.resource();
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    match api.list(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(200),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn metrics_are_told_to_accounts_that_are_bound_to_their_reader() -> Result<(), Failure> {
    in_namespace("metrics-readers", Company::Welcome, async |testbed| {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": testbed.namespace},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": "springtide-operator-metrics-reader.springtide-system",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": testbed.namespace}],
        });
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        post(testbed, bindings, &binding).await?;
        let (reader, other) = (token(testbed, "reader").await?, token(testbed, "other").await?);
        // The authorizer of the API server observes a binding with a short delay.
        until("the binding", LIMIT, async || {
            let (status, body) = metrics(Some(&reader)).await?;
            Ok(Look::at(status == 200, || body))
        })
        .await?;
        for (token, expected, says) in [
            (Some(&*reader), 200, "springtide_operator_leader 1"),
            (Some(&*other), 403, "may not get /metrics"),
            (Some("made-up"), 401, "Authorization: Bearer TOKEN"),
            (None, 401, "Authorization: Bearer TOKEN"),
        ] {
            let (status, body) = metrics(token).await?;
            ensure!(
                status == expected && body.contains(says),
                "{status}: {body}"
            );
            ensure!(
                body.contains("springtide_operator_leader") == (expected == 200),
                "{status}: {body}"
            );
        }
        let delete = Request::delete(format!("{bindings}/{}", testbed.namespace)).body(Vec::new())?;
        let _: Value = testbed.cluster.client().request(delete).await?;
        Ok(())
    })
    .await
}

/// Posts an object to a path of the API server.
async fn post(testbed: &Testbed, path: &str, object: &Value) -> Result<Value> {
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(object)?)?;
    Ok(testbed.cluster.client().request(request).await?)
}

/// A token of a new service account.
async fn token(testbed: &Testbed, account: &str) -> Result<String> {
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", testbed.namespace);
    let new = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
    post(testbed, &accounts, &new).await?;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    });
    let made = post(testbed, &format!("{accounts}/{account}/token"), &request).await?;
    let token = made["status"]["token"].as_str().context("a token")?;
    Ok(token.to_owned())
}
