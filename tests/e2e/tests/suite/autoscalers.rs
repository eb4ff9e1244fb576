//! The autoscalers as the API server stores them, and their readings under load.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use springtide_contract::metrics::{
    QUEUE_SIZE, REQUEST_LATENCY_SECONDS, REQUESTS_RECEIVED_TOTAL, label,
};
use springtide_e2e::contract::{behavior, utilization};
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::{items, merge, same, text};
use springtide_e2e::readings::{self, READINGS_LIMIT};
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{diagnosis, kind, predict};

/// Field manager of the operator, which must not own `spec.replicas` under an autoscaler.
const OF_A_FIXED_NUMBER: &str = "springtide-fixed-replicas";

fn scale_target(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
}

/// Without targets, the default targets apply.
fn no_targets() -> Value {
    json!({"spec": {"autoscaling": {"targets": null}}})
}

#[tokio::test]
async fn the_hpa_is_the_contracts_and_reads_the_cpu() -> Result<(), Failure> {
    in_namespace("hpa", Company::Welcome, async |testbed| {
        let name = testbed
            .serve_until_ready(&example::manifest("iris", &no_targets())?)
            .await?;
        let stored = testbed.get(kind::AUTOSCALER, &name).await?;
        let contract = json!({
            "scaleTargetRef": scale_target(&name),
            "minReplicas": 2,
            "maxReplicas": 20,
            "metrics": [utilization("cpu", 70), utilization("memory", 80)],
            "behavior": behavior(),
        });
        same(
            "spec of the HorizontalPodAutoscaler",
            &stored["spec"],
            &contract,
        )?;
        ensure!(
            testbed.find(kind::SCALED_OBJECT, &name).await?.is_none(),
            "engine HPA has a ScaledObject"
        );
        check_workload(testbed, &name).await?;
        readings::until_all(testbed, &name, 2).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn the_scaled_object_is_the_contracts_and_its_triggers_give_numbers() -> Result<(), Failure> {
    in_namespace("keda", Company::Welcome, async |testbed| {
        let name = testbed
            .serve_until_ready(&example::manifest("digits", &no_targets())?)
            .await?;
        let stored = testbed.get(kind::SCALED_OBJECT, &name).await?;
        check_scaled_object(&stored["spec"], &name, &testbed.namespace)?;
        ensure!(
            testbed.find(kind::AUTOSCALER, &name).await?.is_none(),
            "engine KEDA has an HPA of the operator's"
        );
        check_workload(testbed, &name).await?;

        let waited = until("the ScaledObject to be Ready", READINGS_LIMIT, async || {
            let object = testbed.get(kind::SCALED_OBJECT, &name).await?;
            let so = condition(&object, "Ready").is_some_and(|ready| ready["status"] == "True");
            Ok(Look::at(so, || diagnosis::conditions(&object)))
        })
        .await?;
        testbed.report(&format!("ScaledObject Ready after {}", waited.seconds()));
        let hpa = format!("keda-hpa-{name}");
        same(
            "behavior that KEDA passed on",
            &testbed.get(kind::AUTOSCALER, &hpa).await?["spec"]["behavior"],
            &behavior(),
        )?;
        triggers_give_numbers(testbed, &name).await?;
        readings::until_all(testbed, &hpa, 5).await?;
        is_passed_on(testbed, &name, &hpa).await
    })
    .await
}

/// KEDA passes on fields that the default behavior lacks.
async fn is_passed_on(testbed: &Testbed, name: &str, hpa: &str) -> Result<()> {
    let change = json!({
        "scaleUp": {"tolerance": "50m", "selectPolicy": "Min"},
        "scaleDown": {"selectPolicy": "Disabled"},
    });
    let mut expected = behavior();
    merge(&mut expected, &change);
    let change = json!({"spec": {"autoscaling": {"behavior": change}}});
    testbed.merge(kind::MODEL_SERVICE, name, &change).await?;
    until(
        "KEDA to pass the behaviour on",
        READINGS_LIMIT,
        async || {
            let live = testbed.get(kind::AUTOSCALER, hpa).await?;
            let so = same("behavior", &live["spec"]["behavior"], &expected);
            Ok(Look::at(so.is_ok(), || format!("{so:?}")))
        },
    )
    .await?;
    Ok(())
}

fn check_scaled_object(spec: &Value, name: &str, namespace: &str) -> Result<()> {
    let mut spec = spec.clone();
    let triggers = spec["triggers"].as_array_mut().context("no triggers")?;
    for trigger in triggers
        .iter_mut()
        .filter(|trigger| trigger["type"] == "prometheus")
    {
        let metadata = trigger["metadata"].as_object_mut().context("no metadata")?;
        let address = metadata.remove("serverAddress").unwrap_or_default();
        ensure!(
            address
                .as_str()
                .is_some_and(|address| address.starts_with("http")),
            "serverAddress {address}"
        );
        let query = metadata.remove("query").unwrap_or_default();
        let query = query.as_str().unwrap_or_default();
        for selected in [
            format!("{}=\"{name}\"", label::MODEL_SERVICE),
            format!("{}=\"{namespace}\"", label::MODEL_SERVICE_NAMESPACE),
        ] {
            ensure!(
                query.contains(&selected),
                "query doesn't select {selected}: {query}"
            );
        }
        // Instead of the query, its series. That of the latency also reads arrivals, to distinguish no traffic from no
        // data.
        let series = [REQUEST_LATENCY_SECONDS, REQUESTS_RECEIVED_TOTAL, QUEUE_SIZE]
            .into_iter()
            .find(|series| query.contains(series));
        trigger["series"] = json!(series);
    }
    let prometheus = |name: &str, series: &str, metric_type: &str, threshold: &str| {
        json!({
            "type": "prometheus",
            "name": name,
            "series": series,
            "metricType": metric_type,
            "metadata": {"threshold": threshold, "ignoreNullValues": "false"},
        })
    };
    let resource = |name: &str, resource: &str, percent: &str| json!({"type": resource, "name": name, "metricType": "Utilization", "metadata": {"value": percent, "containerName": "server"}});
    let contract = json!({
        "scaleTargetRef": scale_target(name),
        "pollingInterval": 15,
        "cooldownPeriod": 300,
        "minReplicaCount": 2,
        "maxReplicaCount": 50,
        // KEDA writes empty scalingModifiers when it updates the object.
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior()}, "scalingModifiers": {}},
        "fallback": {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"},
        "triggers": [
            prometheus("requestsPerSecond", REQUESTS_RECEIVED_TOTAL, "AverageValue", "100"),
            prometheus("queueSize", QUEUE_SIZE, "AverageValue", "20"),
            prometheus("p95LatencyMilliseconds", REQUEST_LATENCY_SECONDS, "Value", "500"),
            resource("cpuUtilizationPercent", "cpu", "70"),
            resource("memoryUtilizationPercent", "memory", "80"),
        ],
    });
    same("spec of the ScaledObject", &spec, &contract)
}

/// Reads KEDA's metrics API, as the HPA does, for each of the three signals from Prometheus. Checks that requests
/// change the rate, so that the query selects these pods.
async fn triggers_give_numbers(testbed: &Testbed, name: &str) -> Result<()> {
    let names = testbed.get(kind::SCALED_OBJECT, name).await?;
    let names: Vec<_> = items(&names, "/status/externalMetricNames")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    ensure!(names.len() == 3, "externalMetricNames: {names:?}");
    let held_out = HeldOut::of("digits")?;
    let waited = until(
        "a request rate above 0 and numbers for queue and p95",
        READINGS_LIMIT,
        async || {
            predict::check_rows(testbed, name, &held_out).await?;
            let mut values = Vec::new();
            for metric in &names {
                values.push(readings::external(testbed, name, metric).await?);
            }
            let so = values.iter().all(Option::is_some) && values[0].is_some_and(|rate| rate > 0.0);
            Ok(Look::at(so, || format!("{names:?} = {values:?}")))
        },
    )
    .await?;
    testbed.report(&format!(
        "KEDA gives numbers for {names:?} after {}",
        waited.seconds()
    ));
    Ok(())
}

/// The documented fields of the Deployment and its pods, without `spec.replicas`, which the autoscaler owns.
async fn check_workload(testbed: &Testbed, name: &str) -> Result<()> {
    let deployment = testbed.get(kind::DEPLOYMENT, name).await?;
    for entry in items(&deployment, "/metadata/managedFields") {
        let owns = entry.pointer("/fieldsV1/f:spec/f:replicas").is_some();
        ensure!(
            !owns || text(entry, "/manager") != OF_A_FIXED_NUMBER,
            "spec.replicas is owned by {entry}"
        );
    }
    let pods = testbed.pods(name).await?;
    ensure!(pods.len() >= 2, "{} pods", pods.len());
    for pod in &pods {
        check_pod(pod).with_context(|| format!("pod {}", text(pod, "/metadata/name")))?;
    }
    Ok(())
}

fn check_pod(pod: &Value) -> Result<()> {
    same(
        "runAsNonRoot",
        &pod["spec"]["securityContext"]["runAsNonRoot"],
        &json!(true),
    )?;
    same(
        "seccompProfile",
        &pod["spec"]["securityContext"]["seccompProfile"],
        &json!({"type": "RuntimeDefault"}),
    )?;
    same(
        "automountServiceAccountToken",
        &pod["spec"]["automountServiceAccountToken"],
        &json!(false),
    )?;
    for container in ["/spec/initContainers", "/spec/containers"]
        .iter()
        .flat_map(|list| items(pod, list))
    {
        let security = &container["securityContext"];
        let seen = json!([
            security["allowPrivilegeEscalation"],
            security["readOnlyRootFilesystem"],
            security["capabilities"]
        ]);
        same(
            text(container, "/name"),
            &seen,
            &json!([false, true, {"drop": ["ALL"]}]),
        )?;
    }
    let server = items(pod, "/spec/containers")
        .iter()
        .find(|container| container["name"] == "server")
        .context("no container server")?;
    // Ephemeral storage for two models of the default maximum size, and for other files.
    let resources = json!({
        "requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
        "limits": {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "17Gi"},
    });
    same("resources", &server["resources"], &resources)?;
    same(
        "readiness",
        &server["readinessProbe"]["httpGet"]["path"],
        &json!("/ready"),
    )?;
    same(
        "liveness",
        &server["livenessProbe"]["httpGet"]["path"],
        &json!("/health"),
    )
}
