//! Changing the engine: always one autoscaler, and never fewer pods than before.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::bed::{Bed, Company, Failure, in_namespace, replicas};
use springtide_e2e::kind::Kind;
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// Longest time until the new engine's autoscaler is there and the old one's is not.
const SWITCH_LIMIT: Duration = Duration::from_secs(60);

/// Pods before the first change. A field that nobody owns any more falls back to its default, which
/// is 1 pod: that is what must not happen.
const PODS: i64 = 3;

#[tokio::test]
async fn changing_the_engine_never_takes_pods_away() -> Result<(), Failure> {
    in_namespace("engines", Company::Welcome, async |bed| {
        let name = bed
            .serve_until_ready(&example::fixed_iris("engines", 3, &json!({}))?)
            .await?;
        let hpa = json!({"replicas": null, "autoscaling": {"engine": "HPA", "minReplicas": PODS}});
        let keda = json!({"autoscaling": {"engine": "KEDA"}});
        let none = json!({"replicas": PODS, "autoscaling": {"engine": "None"}});
        switch(bed, &name, "HPA", &hpa, [kind::AUTOSCALER].as_slice()).await?;
        switch(bed, &name, "KEDA", &keda, [kind::SCALED_OBJECT].as_slice()).await?;
        switch(bed, &name, "HPA", &hpa, [kind::AUTOSCALER].as_slice()).await?;
        switch(bed, &name, "None", &none, [].as_slice()).await?;
        Ok(())
    })
    .await
}

async fn switch(
    bed: &Bed,
    name: &str,
    engine: &str,
    change: &Value,
    expected: &[Kind],
) -> Result<()> {
    bed.merge(kind::MODEL_SERVICE, name, &json!({"spec": change}))
        .await?;
    let mut fewest = PODS;
    let waited = until(
        &format!("engine {engine} to have taken over"),
        SWITCH_LIMIT,
        async || {
            fewest = fewest.min(replicas(&bed.get(kind::DEPLOYMENT, name).await?));
            let mut autoscalers = Vec::new();
            for kind in [kind::AUTOSCALER, kind::SCALED_OBJECT] {
                if bed.find(kind, name).await?.is_some() {
                    autoscalers.push(kind);
                }
            }
            let names = || autoscalers.iter().map(|kind| kind.name).collect::<Vec<_>>();
            Ok(Look::at(autoscalers == expected, || {
                format!("autoscalers {:?}", names())
            }))
        },
    )
    .await?;
    let ready = bed.until_ready(name).await?;
    fewest = fewest.min(replicas(&bed.get(kind::DEPLOYMENT, name).await?));
    ensure!(
        fewest >= PODS,
        "while changing to engine {engine} the Deployment wanted {fewest} pods instead of {PODS}"
    );
    bed.report(&format!(
        "engine {engine} took over in {}, Ready {} later",
        waited.seconds(),
        ready.seconds()
    ));
    Ok(())
}
