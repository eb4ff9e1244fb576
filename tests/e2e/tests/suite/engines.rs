//! Switches of the engine under load, and adoption of scaled pods: there is always one autoscaler, the number of pods
//! never decreases, and no request is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::history::{History, Recording, State};
use springtide_e2e::json::{number, text};
use springtide_e2e::kind::{AUTOSCALER, DEPLOYMENT, Kind, MODEL_SERVICE, SCALED_OBJECT};
use springtide_e2e::load::{Load, Plan, node_port};
use springtide_e2e::testbed::{Company, Failure, Testbed, in_namespace, is_ready, replicas};
use springtide_e2e::wait::{Look, until};

/// Maximum time from a change of the engine until its autoscaler exists, the former one is gone, and the ModelService
/// is Ready.
const SWITCH_LIMIT: Duration = Duration::from_secs(30);

/// Maximum time until the first sync of a new HPA, which syncs every 15 s.
const LOOK_LIMIT: Duration = Duration::from_secs(40);

/// Maximum time until pods exist and are ready.
const PODS_LIMIT: Duration = Duration::from_secs(60);

/// Pods before the first change: more than `minReplicas`, 1, which is also the default of a field without an owner.
const PODS: i64 = 3;

/// The watched kinds.
const WATCHED: [Kind; 3] = [DEPLOYMENT, AUTOSCALER, SCALED_OBJECT];

#[tokio::test]
async fn changing_the_engine_under_load_takes_no_pod_and_no_request() -> Result<(), Failure> {
    in_namespace("engines", Company::Welcome, async |testbed| {
        let held_out = HeldOut::of("iris")?;
        let name = testbed
            .serve_until_ready(&example::fixed_iris("engines", 3, &json!({}))?)
            .await?;
        let plan = Plan {
            features: json!(held_out.rows[0]),
            prediction: json!(held_out.predictions[0]),
            clients: 4,
            requests_per_second: 20,
            at_most: Duration::from_secs(240),
        };
        let load = Load::start(node_port(testbed, &name).await?, &plan)?;
        let recording = Recording::of(testbed, &WATCHED).await?;
        let engine = |engine: &str| {
            let targets = json!({"requestsPerSecond": 1000, "cpuUtilizationPercent": 500});
            json!({"replicas": null, "autoscaling": {"engine": engine, "minReplicas": 1, "targets": targets}})
        };
        let none = json!({"replicas": PODS, "autoscaling": {"engine": "None", "targets": null}});
        let switches = [
            ("HPA", engine("HPA")),
            ("KEDA", engine("KEDA")),
            ("HPA", engine("HPA")),
            ("Auto, which is KEDA", engine("Auto")),
            ("None", none),
        ];
        for (words, change) in switches {
            switch(testbed, &name, words, &change).await?;
        }
        let outcome = load.stop().await?;
        testbed.report(&format!("load: {outcome}"));
        outcome.check(200)?;
        never_fewer_or_fighting(&recording.end(testbed).await?, &name, PODS)
    })
    .await
}

/// Changes the engine and waits until the change is complete.
async fn switch(testbed: &Testbed, name: &str, words: &str, change: &Value) -> Result<()> {
    testbed
        .merge(MODEL_SERVICE, name, &json!({"spec": change}))
        .await?;
    let expected: &[Kind] = match words {
        "HPA" => &[AUTOSCALER],
        "None" => &[],
        _ => &[SCALED_OBJECT],
    };
    let waited = until(
        &format!("engine {words} to have taken over"),
        SWITCH_LIMIT,
        async || {
            let mut autoscalers = Vec::new();
            for kind in [AUTOSCALER, SCALED_OBJECT] {
                if testbed.find(kind, name).await?.is_some() {
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
    let ready = testbed
        .until_condition(name, "Ready", "True", SWITCH_LIMIT)
        .await?;
    let took = waited.after + ready.after;
    if let Some(&kind) = expected.first() {
        has_looked(testbed, kind, name).await?;
    }
    testbed.report(&format!(
        "engine {words} took over in {}, Ready {} later",
        waited.seconds(),
        ready.seconds()
    ));
    ensure!(
        took <= SWITCH_LIMIT,
        "changing to engine {words} took {:.1} s",
        took.as_secs_f64()
    );
    Ok(())
}

/// Waits for the first sync of a new autoscaler, which could remove pods.
async fn has_looked(testbed: &Testbed, autoscaler: Kind, name: &str) -> Result<()> {
    let hpa = match autoscaler {
        SCALED_OBJECT => format!("keda-hpa-{name}"),
        _ => name.to_owned(),
    };
    until("the new HPA to have looked", LOOK_LIMIT, async || {
        let status = testbed.get(AUTOSCALER, &hpa).await?["status"].clone();
        let looked = number(&status, "/currentReplicas") == PODS;
        Ok(Look::at(looked, || status.to_string()))
    })
    .await?;
    Ok(())
}

/// Checks each moment of a history: the number of pods never decreases, and there is at most one autoscaler.
fn never_fewer_or_fighting(history: &History, name: &str, pods: i64) -> Result<()> {
    history.replay(|state| {
        if let Some(deployment) = state.get(&(DEPLOYMENT, name.to_owned())) {
            let wanted = replicas(deployment);
            ensure!(wanted >= pods, "the Deployment wants {wanted} pods");
        }
        let autoscalers = autoscalers(state, name);
        ensure!(autoscalers.len() <= 1, "autoscalers: {autoscalers:?}");
        Ok(())
    })
}

/// The autoscalers of the Deployment. A ScaledObject and its HPA are one.
fn autoscalers(state: &State, name: &str) -> Vec<String> {
    let of_keda = format!("keda-hpa-{name}");
    let hpas = state.iter().filter(|((kind, _), object)| {
        *kind == AUTOSCALER && text(object, "/spec/scaleTargetRef/name") == name
    });
    let mut found: Vec<_> = hpas.map(|((_, hpa), _)| hpa.clone()).collect();
    let has_scaled_object = state.contains_key(&(SCALED_OBJECT, name.to_owned()));
    if has_scaled_object && !found.contains(&of_keda) {
        found.push(format!("ScaledObject {name}"));
    }
    found
}

#[tokio::test]
async fn pods_that_were_counted_by_hand_stay() -> Result<(), Failure> {
    in_namespace("adoption", Company::Welcome, async |testbed| {
        let manifest = |engine: &str| {
            let autoscaling = json!({"engine": engine, "minReplicas": 1});
            example::manifest("iris", &json!({"spec": {"autoscaling": autoscaling}}))
        };
        // Without an HPA. A later HPA of the same name would keep its recommendations.
        let fixed = json!({"replicas": 1, "autoscaling": {"engine": "None"}});
        let name = testbed
            .serve_until_ready(&example::manifest("iris", &json!({"spec": fixed}))?)
            .await?;
        for (engine, autoscaler) in [("HPA", AUTOSCALER), ("KEDA", SCALED_OBJECT)] {
            // A Deployment without an owner, which is scaled manually.
            testbed
                .cluster
                .delete_alone(&testbed.namespace, MODEL_SERVICE, &name)
                .await?;
            until(
                "the ModelService to be gone alone",
                PODS_LIMIT,
                async || {
                    let gone = testbed.find(MODEL_SERVICE, &name).await?.is_none();
                    Ok(Look::at(gone, || "it is there".to_owned()))
                },
            )
            .await?;
            for kind in [AUTOSCALER, SCALED_OBJECT] {
                if testbed.find(kind, &name).await?.is_some() {
                    testbed.delete(kind, &name).await?;
                }
            }
            testbed
                .cluster
                .scale(&testbed.namespace, DEPLOYMENT, &name, PODS)
                .await?;
            until("the pods to be ready", PODS_LIMIT, async || {
                let ready = testbed
                    .pods(&name)
                    .await?
                    .iter()
                    .filter(|pod| is_ready(pod))
                    .count();
                Ok(Look::at(ready == 3, || format!("{ready} ready")))
            })
            .await?;
            let recording = Recording::of(testbed, &WATCHED).await?;
            testbed.apply(&manifest(engine)?).await?;
            testbed.until_ready(&name).await?;
            has_looked(testbed, autoscaler, &name).await?;
            let history = recording.end(testbed).await?;
            let owner = testbed.get(DEPLOYMENT, &name).await?;
            ensure!(
                text(&owner, "/metadata/ownerReferences/0/kind") == "ModelService",
                "the Deployment belongs to {}",
                owner["metadata"]["ownerReferences"]
            );
            never_fewer_or_fighting(&history, &name, PODS)?;
        }
        Ok(())
    })
    .await
}
