//! The objects of the operator are restored after changes.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::LimitRange;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use springtide_e2e::json::{items, text};
use springtide_e2e::kind::Kind;
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until a deleted or edited child is restored.
const BACK_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_children_of_engine_hpa_come_back_within_10_seconds() -> Result<(), Failure> {
    in_namespace("children-hpa", Company::Welcome, async |testbed| {
        come_back(testbed, "iris", kind::AUTOSCALER).await
    })
    .await
}

#[tokio::test]
async fn the_children_of_engine_keda_come_back_within_10_seconds() -> Result<(), Failure> {
    in_namespace("children-keda", Company::Welcome, async |testbed| {
        come_back(testbed, "digits", kind::SCALED_OBJECT).await
    })
    .await
}

#[tokio::test]
async fn the_number_of_pods_stays_when_the_deployment_is_applied_again() -> Result<(), Failure> {
    in_namespace("replicas", Company::Welcome, async |testbed| {
        let created = testbed
            .serve(&example::manifest("iris", &json!({}))?)
            .await?;
        let other = json!({"metadata": {"name": "scaled"}});
        let scaled = testbed.serve(&example::manifest("iris", &other)?).await?;
        for name in [&created, &scaled] {
            let deployment = testbed
                .until_there(kind::DEPLOYMENT, name, BACK_LIMIT)
                .await?;
            ensure!(deployment["spec"]["replicas"] == 2, "{deployment}");
        }
        let five = json!({"spec": {"replicas": 5}});
        testbed.merge(kind::DEPLOYMENT, &scaled, &five).await?;
        for (name, replicas, owner) in [
            (&created, 2, "springtide-initial-replicas"),
            (&scaled, 5, "springtide-e2e"),
        ] {
            let change = json!({"spec": {"rollout": {"progressDeadlineSeconds": 1234}}});
            testbed.merge(kind::MODEL_SERVICE, name, &change).await?;
            let deployment = until("the Deployment to follow", BACK_LIMIT, async || {
                let deployment = testbed.get(kind::DEPLOYMENT, name).await?;
                Ok(if deployment["spec"]["progressDeadlineSeconds"] == 1234 {
                    Look::Seen(deployment)
                } else {
                    Look::NotYet(deployment["spec"].to_string())
                })
            })
            .await?
            .value;
            ensure!(deployment["spec"]["replicas"] == replicas, "{deployment}");
            let owners: Vec<_> = items(&deployment, "/metadata/managedFields")
                .iter()
                .filter(|entry| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some())
                .map(|entry| text(entry, "/manager"))
                .collect();
            ensure!(owners == [owner], "spec.replicas is owned by {owners:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_time_zone_that_does_not_exist_leaves_the_last_valid_spec_in_force() -> Result<(), Failure>
{
    in_namespace("last-valid", Company::Welcome, async |testbed| {
        let name = testbed
            .serve(&example::manifest("iris", &json!({}))?)
            .await?;
        let made = |kind| {
            until("the child", BACK_LIMIT, async move || {
                let found = testbed.find(kind, "iris").await?;
                Ok(Look::at(found.is_some(), || "none".to_owned()))
            })
        };
        made(kind::DEPLOYMENT).await?;
        let schedule = json!({
            "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
            "timezone": "Europe/Atlantis",
        });
        let change = json!({"spec": {"autoscaling": {"schedules": [schedule]}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &change).await?;
        until(
            "Ready to say which generation is in force",
            BACK_LIMIT,
            async || {
                let service = testbed.get(kind::MODEL_SERVICE, &name).await?;
                let ready = condition(&service, "Ready").cloned().unwrap_or_default();
                let message = ready["message"].as_str().unwrap_or_default();
                let says_so = ready["reason"] == "InvalidSpec" && message.contains("generation 1,");
                Ok(Look::at(says_so, || ready.to_string()))
            },
        )
        .await?;
        testbed.delete(kind::SERVICE, &name).await?;
        made(kind::SERVICE).await?;
        testbed
            .merge(
                kind::DEPLOYMENT,
                &name,
                &json!({"spec": {"progressDeadlineSeconds": 7}}),
            )
            .await?;
        until("the Deployment to be put back", BACK_LIMIT, async || {
            let deadline =
                testbed.get(kind::DEPLOYMENT, &name).await?["spec"]["progressDeadlineSeconds"]
                    .clone();
            Ok(Look::at(deadline == 600, || deadline.to_string()))
        })
        .await?;
        Ok(())
    })
    .await
}

async fn come_back(testbed: &Testbed, example: &str, autoscaler: Kind) -> Result<()> {
    let name = testbed
        .serve(&example::manifest(example, &json!({}))?)
        .await?;
    for kind in [
        kind::SERVICE,
        kind::DISRUPTION_BUDGET,
        autoscaler,
        kind::DEPLOYMENT,
    ] {
        until(&format!("{} {name}", kind.name), BACK_LIMIT, async || {
            let found = testbed.find(kind, &name).await?;
            Ok(Look::at(found.is_some(), || "none".to_owned()))
        })
        .await?;
    }
    for (kind, field, change) in edits(autoscaler) {
        edited(testbed, kind, &name, field, &change).await?;
    }
    for kind in [
        kind::SERVICE,
        kind::DISRUPTION_BUDGET,
        autoscaler,
        kind::DEPLOYMENT,
    ] {
        deleted(testbed, kind, &name).await?;
    }
    Ok(())
}

/// Manual edits, and the field that must be restored.
fn edits(autoscaler: Kind) -> Vec<(Kind, &'static str, Value)> {
    let instance = json!({"app.kubernetes.io/instance": "another"});
    let most = if autoscaler == kind::AUTOSCALER {
        ("/spec/maxReplicas", "maxReplicas")
    } else {
        ("/spec/maxReplicaCount", "maxReplicaCount")
    };
    vec![
        (
            kind::SERVICE,
            "/spec/selector",
            json!({"spec": {"selector": instance}}),
        ),
        (
            kind::SERVICE,
            "/metadata/labels",
            json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
        ),
        (
            kind::DISRUPTION_BUDGET,
            "/spec/selector",
            json!({"spec": {"selector": {"matchLabels": instance}}}),
        ),
        (autoscaler, most.0, json!({"spec": {most.1: 7}})),
        (
            kind::DEPLOYMENT,
            "/spec/template/spec/terminationGracePeriodSeconds",
            json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 3600}}}}),
        ),
    ]
}

async fn edited(
    testbed: &Testbed,
    kind: Kind,
    name: &str,
    field: &str,
    change: &Value,
) -> Result<()> {
    let before = testbed.get(kind, name).await?.pointer(field).cloned();
    ensure!(before.is_some(), "{} has no {field}", kind.name);
    let after = testbed
        .merge(kind, name, change)
        .await?
        .pointer(field)
        .cloned();
    ensure!(before != after, "{change} changes nothing in {}", kind.name);
    let what = format!("{} {field} to be as before the edit {change}", kind.name);
    let waited = until(&what, BACK_LIMIT, async || {
        let now = testbed.get(kind, name).await?.pointer(field).cloned();
        Ok(Look::at(now == before, || format!("{now:?}")))
    })
    .await?;
    testbed.report(&format!(
        "{} {field} edited: as before after {}",
        kind.name,
        waited.seconds()
    ));
    Ok(())
}

async fn deleted(testbed: &Testbed, kind: Kind, name: &str) -> Result<()> {
    let before = testbed.get(kind, name).await?["metadata"]["uid"].clone();
    testbed.delete(kind, name).await?;
    let waited = until(
        &format!("{} {name} to come back", kind.name),
        BACK_LIMIT,
        async || {
            let now = testbed.find(kind, name).await?;
            let new = now
                .as_ref()
                .is_some_and(|object| object["metadata"]["uid"] != before);
            Ok(Look::at(new, || {
                now.map_or("none".to_owned(), |object| {
                    format!("the deleted one: {}", object["metadata"])
                })
            }))
        },
    )
    .await?;
    testbed.report(&format!(
        "{} deleted: back after {}",
        kind.name,
        waited.seconds()
    ));
    Ok(())
}

/// The ephemeral storage that a namespace allows a container is often less than the default limit.
#[tokio::test]
async fn pods_that_a_limit_range_refuses_are_told_and_let_in_once_the_model_is_bounded()
-> Result<(), Failure> {
    in_namespace("limit-range", Company::Welcome, async |testbed| {
        let range: LimitRange = serde_json::from_value(json!({
            "metadata": {"name": "disk"},
            "spec": {"limits": [{"type": "Container", "max": {"ephemeral-storage": "4Gi"}}]},
        }))?;
        Api::<LimitRange>::namespaced(testbed.cluster.client(), &testbed.namespace)
            .create(&PostParams::default(), &range)
            .await?;
        let name = testbed
            .serve(&example::manifest("iris", &json!({}))?)
            .await?;
        until("the refusal", BACK_LIMIT, async || {
            let service = testbed.get(kind::MODEL_SERVICE, &name).await?;
            let said = condition(&service, "WorkloadAvailable").cloned();
            let said = said.map_or_else(String::new, |said| said.to_string());
            let tells = said.contains("PodsRefused")
                && said.contains("maximum ephemeral-storage")
                && said.contains("spec.model.maxSizeMebibytes");
            Ok(Look::at(tells, || said))
        })
        .await?;
        let pods = async || {
            testbed
                .cluster
                .list(Some(&testbed.namespace), kind::POD, "")
                .await
        };
        ensure!(pods().await?.is_empty(), "pods in spite of the LimitRange");
        let bounded = json!({"spec": {"model": {"maxSizeMebibytes": 1024}}});
        testbed.merge(kind::MODEL_SERVICE, &name, &bounded).await?;
        until("pods", BACK_LIMIT, async || {
            let count = pods().await?.len();
            Ok(Look::at(count > 0, || "none".to_owned()))
        })
        .await?;
        Ok(())
    })
    .await
}
