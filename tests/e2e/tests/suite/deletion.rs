//! The objects of the operator are deleted with their ModelService.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Discovery;
use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{Scope, verbs};
use serde_json::json;
use springtide_e2e::json::text;
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Maximum time until all objects are gone: pods serve for a few more seconds and then drain.
const GONE_LIMIT: Duration = Duration::from_secs(90);

/// API groups of metrics and events. They describe objects and outlive them.
const NOT_OBJECTS: [&str; 4] = [
    "metrics.k8s.io",
    "external.metrics.k8s.io",
    "custom.metrics.k8s.io",
    "events.k8s.io",
];

#[tokio::test]
async fn a_deleted_model_service_takes_everything_with_it() -> Result<(), Failure> {
    in_namespace("deletion", Company::Welcome, async |testbed| {
        for model in ["iris", "digits"] {
            let (config_map, key) = (format!("{model}-model"), format!("{model}.onnx"));
            testbed
                .config_map(&config_map, &[(key.as_str(), example::model(model)?)])
                .await?;
        }
        let before = everything(testbed).await?;
        for name in ["iris", "digits"] {
            testbed.apply(&example::manifest(name, &json!({}))?).await?;
        }
        for name in ["iris", "digits"] {
            testbed.until_ready(name).await?;
        }
        let made = everything(testbed).await?.difference(&before).count();
        ensure!(
            made > 10,
            "only {made} objects were made: the listing misses some"
        );

        for name in ["iris", "digits"] {
            testbed.delete(kind::MODEL_SERVICE, name).await?;
        }
        let waited = until("nothing to be left", GONE_LIMIT, async || {
            let now = everything(testbed).await?;
            let left: Vec<_> = now.difference(&before).collect();
            Ok(Look::at(left.is_empty(), || format!("{left:?}")))
        })
        .await?;
        testbed.report(&format!("{made} objects gone after {}", waited.seconds()));
        Ok(())
    })
    .await
}

/// Every object in the namespace, of all kinds in the cluster.
async fn everything(testbed: &Testbed) -> Result<BTreeSet<String>> {
    let client = testbed.cluster.client();
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
            Api::namespaced_with(client.clone(), &testbed.namespace, &resource);
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
