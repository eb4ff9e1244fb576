//! The source of the pods' user and group: the operator, or the cluster, as on `OpenShift`.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use serde_json::{Value, json};
use springtide_e2e::json::same;
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until the operator and the controllers have created an object.
const ACT_LIMIT: Duration = Duration::from_secs(30);

/// Maximum time until the operator has discovered the platform, which it does every 10 s.
const SEEN_LIMIT: Duration = Duration::from_secs(30);

/// Interval of the checks of that. Each check creates a ModelService.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Path of definitions, and the definition that identifies `OpenShift`.
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CONSTRAINTS: &str = "securitycontextconstraints.security.openshift.io";

/// The user and the group that the operator sets.
const NON_ROOT: i64 = 65_532;

#[tokio::test]
async fn the_spec_decides_who_chooses_the_pods_user_and_group() -> Result<(), Failure> {
    in_namespace("users", Company::Welcome, async |testbed| {
        has_users(testbed, "by-default", None, Some(NON_ROOT)).await?;
        has_users(testbed, "default", Some("Default"), Some(NON_ROOT)).await?;
        has_users(testbed, "platform", Some("Platform"), None).await
    })
    .await
}

/// It changes the pods of every new ModelService.
#[tokio::test]
async fn open_shift_chooses_the_pods_user_and_group_where_the_spec_does_not() -> Result<(), Failure>
{
    in_namespace("openshift", Company::Alone, async |testbed| {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": CONSTRAINTS},
            "spec": {
                "group": "security.openshift.io", "scope": "Cluster",
                "names": {
                    "kind": "SecurityContextConstraints", "plural": "securitycontextconstraints",
                    "singular": "securitycontextconstraints",
                },
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }],
            },
        });
        let request = Request::post(DEFINITIONS)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&definition)?)?;
        let _: Value = testbed.cluster.client().request(request).await?;
        let outcome = on_open_shift(testbed).await;
        // Also after a failure, because the other tests expect a cluster without it.
        let request = Request::delete(format!("{DEFINITIONS}/{CONSTRAINTS}")).body(Vec::new())?;
        let _: Value = testbed.cluster.client().request(request).await?;
        is_seen(testbed, "former", Some(NON_ROOT)).await?;
        outcome
    })
    .await
}

async fn on_open_shift(testbed: &Testbed) -> Result<()> {
    is_seen(testbed, "open-shift", None).await?;
    has_users(testbed, "by-default", None, None).await?;
    has_users(testbed, "default", Some("Default"), Some(NON_ROOT)).await?;
    has_users(testbed, "platform", Some("Platform"), None).await
}

/// Waits until new ModelServices have this user.
async fn is_seen(testbed: &Testbed, name: &str, user: Option<i64>) -> Result<()> {
    let mut count = 0;
    until("the operator to see the platform", SEEN_LIMIT, async || {
        count += 1;
        let name = format!("{name}-{count}");
        testbed.serve(&iris(&name, None)?).await?;
        let deployment = testbed
            .until_there(kind::DEPLOYMENT, &name, ACT_LIMIT)
            .await?;
        let found = users(&deployment["spec"]["template"]);
        let so = found == users_of(user);
        if !so {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(Look::at(so, || found.to_string()))
    })
    .await?;
    Ok(())
}

/// Creates a ModelService. Its Deployment and pods must have this user.
async fn has_users(
    testbed: &Testbed,
    name: &str,
    chosen_by: Option<&str>,
    user: Option<i64>,
) -> Result<()> {
    testbed.serve(&iris(name, chosen_by)?).await?;
    let deployment = testbed
        .until_there(kind::DEPLOYMENT, name, ACT_LIMIT)
        .await?;
    let template = users(&deployment["spec"]["template"]);
    same(&format!("Deployment {name}"), &template, &users_of(user))?;
    let pods = until(&format!("a pod of {name}"), ACT_LIMIT, async || {
        let pods = testbed.pods(name).await?;
        Ok(match pods.is_empty() {
            true => Look::NotYet("none".to_owned()),
            false => Look::Seen(pods),
        })
    })
    .await?;
    for pod in &pods.value {
        same(&format!("a pod of {name}"), &users(pod), &users_of(user))?;
    }
    let service = testbed.get(kind::MODEL_SERVICE, name).await?;
    ensure!(
        !service["status"].to_string().contains("PodsRefused"),
        "{}",
        service["status"]
    );
    Ok(())
}

fn iris(name: &str, chosen_by: Option<&str>) -> Result<Value> {
    let pod = json!({"securityContext": chosen_by});
    example::fixed_iris(name, 1, &json!({"spec": {"pod": pod}}))
}

/// Checks the users and groups of a pod or a pod template: none may be root.
fn users(pod: &Value) -> Value {
    let security = &pod["spec"]["securityContext"];
    json!({
        "runAsUser": security["runAsUser"], "runAsGroup": security["runAsGroup"],
        "fsGroup": security["fsGroup"], "runAsNonRoot": security["runAsNonRoot"],
    })
}

fn users_of(user: Option<i64>) -> Value {
    json!({"runAsUser": user, "runAsGroup": user, "fsGroup": user, "runAsNonRoot": true})
}
