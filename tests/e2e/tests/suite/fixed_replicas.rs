//! `engine: None`: as many pods as the spec says, and `kubectl scale` works.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use springtide_e2e::bed::{Company, Failure, in_namespace, replicas};
use springtide_e2e::json::number;
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Longest time until two more pods serve.
const SCALE_LIMIT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_fixed_number_of_pods_follows_kubectl_scale() -> Result<(), Failure> {
    in_namespace("fixed", Company::Welcome, async |bed| {
        let name = bed
            .serve_until_ready(&example::fixed_iris("fixed", 1, &json!({}))?)
            .await?;
        for kind in [kind::AUTOSCALER, kind::SCALED_OBJECT] {
            ensure!(
                bed.find(kind, &name).await?.is_none(),
                "engine None has a {}",
                kind.name
            );
        }

        let services = bed
            .cluster
            .objects(kind::MODEL_SERVICE, Some(&bed.namespace));
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
        let selected = bed
            .cluster
            .list(Some(&bed.namespace), kind::POD, &selector)
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
                let service = bed.get(kind::MODEL_SERVICE, &name).await?;
                Ok(Look::at(
                    number(&service, "/status/readyReplicas") == 3,
                    || service["status"].to_string(),
                ))
            },
        )
        .await?;
        bed.report(&format!("from 1 to 3 ready pods in {}", waited.seconds()));
        ensure!(
            replicas(&bed.get(kind::DEPLOYMENT, &name).await?) == 3,
            "the Deployment doesn't want 3 pods"
        );
        Ok(())
    })
    .await
}
