//! `engine: None`: the number of pods is that of the spec, and `kubectl scale` works.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use springtide_e2e::history::Recording;
use springtide_e2e::json::{number, text};
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace, replicas};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until two more pods serve.
const SCALE_LIMIT: Duration = Duration::from_secs(90);

/// Sync period of an HPA.
const HPA_PERIOD: Duration = Duration::from_secs(15);

/// Maximum time until the operator has noticed another HPA, by its scaling, or its deletion, which it checks every 30
/// s.
const LOOK_LIMIT: Duration = Duration::from_secs(45);

#[tokio::test]
async fn a_fixed_number_of_pods_follows_kubectl_scale() -> Result<(), Failure> {
    in_namespace("fixed", Company::Welcome, async |testbed| {
        let name = testbed
            .serve_until_ready(&example::fixed_iris("fixed", 1, &json!({}))?)
            .await?;
        for kind in [kind::AUTOSCALER, kind::SCALED_OBJECT] {
            ensure!(
                testbed.find(kind, &name).await?.is_none(),
                "engine None has a {}",
                kind.name
            );
        }

        let services = testbed
            .cluster
            .objects(kind::MODEL_SERVICE, Some(&testbed.namespace));
        let scale = services.get_scale(&name).await?;
        let selector = scale
            .status
            .as_ref()
            .and_then(|status| status.selector.clone())
            .unwrap_or_default();
        ensure!(
            scale.spec.and_then(|spec| spec.replicas) == Some(1),
            "scale.spec.replicas is not 1"
        );
        ensure!(
            scale.status.is_some_and(|status| status.replicas == 1),
            "scale.status.replicas is not 1"
        );
        let selected = testbed
            .cluster
            .list(Some(&testbed.namespace), kind::POD, &selector)
            .await?;
        ensure!(
            !selector.is_empty() && selected.len() == 1,
            "scale.status.selector {selector:?} selects {} pods",
            selected.len()
        );

        let change = Patch::Merge(json!({"spec": {"replicas": 3}}));
        services
            .patch_scale(&name, &PatchParams::default(), &change)
            .await?;
        let waited = until(
            "3 ready pods after kubectl scale",
            SCALE_LIMIT,
            async || {
                let service = testbed.get(kind::MODEL_SERVICE, &name).await?;
                Ok(Look::at(
                    number(&service, "/status/readyReplicas") == 3,
                    || service["status"].to_string(),
                ))
            },
        )
        .await?;
        testbed.report(&format!("from 1 to 3 ready pods in {}", waited.seconds()));
        ensure!(
            replicas(&testbed.get(kind::DEPLOYMENT, &name).await?) == 3,
            "the Deployment doesn't want 3 pods"
        );
        is_no_fight(testbed, &name).await
    })
    .await
}

/// An HPA of another owner for the Deployment is reported and not overridden. After its deletion, the fixed number is
/// restored.
async fn is_no_fight(testbed: &Testbed, name: &str) -> Result<()> {
    const BY_HAND: &str = "by-hand";
    let recording = Recording::of(testbed, &[kind::DEPLOYMENT]).await?;
    testbed
        .apply(&json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": BY_HAND},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": 2,
                "maxReplicas": 2,
            },
        }))
        .await?;
    testbed
        .until_condition(name, "AutoscalingReady", "False", LOOK_LIMIT)
        .await?;
    let service = testbed.get(kind::MODEL_SERVICE, name).await?;
    let told = condition(&service, "AutoscalingReady").context("no AutoscalingReady")?;
    ensure!(
        text(told, "/reason") == "AnotherAutoscaler" && text(told, "/message").contains(BY_HAND),
        "AutoscalingReady is {told}"
    );
    // Its next sync.
    tokio::time::sleep(HPA_PERIOD).await;
    testbed.delete(kind::AUTOSCALER, BY_HAND).await?;
    testbed
        .until_condition(name, "AutoscalingReady", "True", LOOK_LIMIT)
        .await?;
    let history = recording.end(testbed).await?;
    let counts = history.numbers(kind::DEPLOYMENT, name, "/spec/replicas");
    ensure!(counts == [3, 2, 3], "the pods went through {counts:?}");
    Ok(())
}
