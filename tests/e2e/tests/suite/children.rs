//! What the operator made stays as it made it, and goes when its ModelService goes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Discovery;
use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{Scope, verbs};
use serde_json::{Value, json};
use springtide_e2e::bed::{Bed, Company, Failure, in_namespace};
use springtide_e2e::json::text;
use springtide_e2e::kind::Kind;
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Longest time until a deleted or edited child is as it was.
const BACK_LIMIT: Duration = Duration::from_secs(10);

/// Longest time until everything is gone: pods serve on for a few seconds and then drain.
const GONE_LIMIT: Duration = Duration::from_secs(90);

/// API groups of measurements and events: they tell about objects and outlive them.
const NOT_OBJECTS: [&str; 4] = [
    "metrics.k8s.io",
    "external.metrics.k8s.io",
    "custom.metrics.k8s.io",
    "events.k8s.io",
];

#[tokio::test]
async fn the_children_of_engine_hpa_come_back_within_10_seconds() -> Result<(), Failure> {
    in_namespace("children-hpa", Company::Welcome, async |bed| {
        come_back(bed, "iris", kind::AUTOSCALER).await
    })
    .await
}

#[tokio::test]
async fn the_children_of_engine_keda_come_back_within_10_seconds() -> Result<(), Failure> {
    in_namespace("children-keda", Company::Welcome, async |bed| {
        come_back(bed, "digits", kind::SCALED_OBJECT).await
    })
    .await
}

async fn come_back(bed: &Bed, example: &str, autoscaler: Kind) -> Result<()> {
    let name = bed
        .serve_until_ready(&example::manifest(example, &json!({}))?)
        .await?;
    for (kind, field, change) in edits(autoscaler) {
        edited(bed, kind, &name, field, &change).await?;
    }
    for kind in [
        kind::SERVICE,
        kind::DISRUPTION_BUDGET,
        autoscaler,
        kind::DEPLOYMENT,
    ] {
        deleted(bed, kind, &name).await?;
    }
    bed.until_ready(&name).await.context("after all that")?;
    Ok(())
}

/// Edits that somebody might make by hand, and the field that must be as before.
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

async fn edited(bed: &Bed, kind: Kind, name: &str, field: &str, change: &Value) -> Result<()> {
    let before = bed.get(kind, name).await?.pointer(field).cloned();
    ensure!(before.is_some(), "{} has no {field}", kind.name);
    let after = bed.merge(kind, name, change).await?.pointer(field).cloned();
    ensure!(before != after, "{change} changes nothing in {}", kind.name);
    let what = format!("{} {field} to be as before the edit {change}", kind.name);
    let waited = until(&what, BACK_LIMIT, async || {
        let now = bed.get(kind, name).await?.pointer(field).cloned();
        Ok(Look::at(now == before, || format!("{now:?}")))
    })
    .await?;
    bed.report(&format!(
        "{} {field} edited: as before after {}",
        kind.name,
        waited.seconds()
    ));
    Ok(())
}

async fn deleted(bed: &Bed, kind: Kind, name: &str) -> Result<()> {
    let before = bed.get(kind, name).await?["metadata"]["uid"].clone();
    bed.delete(kind, name).await?;
    let waited = until(
        &format!("{} {name} to come back", kind.name),
        BACK_LIMIT,
        async || {
            let now = bed.find(kind, name).await?;
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
    bed.report(&format!(
        "{} deleted: back after {}",
        kind.name,
        waited.seconds()
    ));
    Ok(())
}

#[tokio::test]
async fn a_deleted_model_service_takes_everything_with_it() -> Result<(), Failure> {
    in_namespace("deletion", Company::Welcome, async |bed| {
        for model in ["iris", "digits"] {
            let (config_map, key) = (format!("{model}-model"), format!("{model}.onnx"));
            bed.config_map(&config_map, &[(key.as_str(), example::model(model)?)])
                .await?;
        }
        let before = everything(bed).await?;
        for name in ["iris", "digits"] {
            bed.apply(&example::manifest(name, &json!({}))?).await?;
        }
        for name in ["iris", "digits"] {
            bed.until_ready(name).await?;
        }
        let made = everything(bed).await?.difference(&before).count();
        ensure!(
            made > 10,
            "only {made} objects were made: the listing misses some"
        );

        for name in ["iris", "digits"] {
            bed.delete(kind::MODEL_SERVICE, name).await?;
        }
        let waited = until("nothing to be left", GONE_LIMIT, async || {
            let now = everything(bed).await?;
            let left: Vec<_> = now.difference(&before).collect();
            Ok(Look::at(left.is_empty(), || format!("{left:?}")))
        })
        .await?;
        bed.report(&format!("{made} objects gone after {}", waited.seconds()));
        Ok(())
    })
    .await
}

/// Every object in the namespace, of whatever kind the cluster has.
async fn everything(bed: &Bed) -> Result<BTreeSet<String>> {
    let client = bed.cluster.client();
    let discovery = Discovery::new(client.clone())
        .exclude(&NOT_OBJECTS)
        .run_aggregated()
        .await?;
    let mut found = BTreeSet::new();
    for (resource, capabilities) in discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
    {
        let listable =
            capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::LIST);
        if !listable || resource.kind == "Event" {
            continue;
        }
        let objects: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &bed.namespace, &resource);
        for object in objects
            .list(&ListParams::default())
            .await
            .with_context(|| resource.plural.clone())?
        {
            let object = serde_json::to_value(object)?;
            found.insert(format!(
                "{} {} {}",
                resource.kind,
                text(&object, "/metadata/name"),
                text(&object, "/metadata/uid")
            ));
        }
    }
    Ok(found)
}
