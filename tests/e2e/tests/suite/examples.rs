//! The examples, applied as in the README, give the predictions of onnxruntime.

use std::process::Stdio;

use anyhow::{Result, ensure};
use serde_json::json;
use springtide_e2e::example::{self, HeldOut};
use springtide_e2e::json::{number, same, text};
use springtide_e2e::testbed::{Company, Failure, Testbed, condition, in_namespace};
use springtide_e2e::{diagnosis, kind, predict};
use tokio::process::Command;

/// Rows that are also sent in a single request.
const TOGETHER: usize = 30;

#[tokio::test]
async fn both_examples_become_ready_and_predict_what_onnxruntime_predicts() -> Result<(), Failure> {
    in_namespace("examples", Company::Welcome, async |testbed| {
        kubectl_apply_examples(testbed).await?;
        for name in ["iris", "digits"] {
            let waited = testbed.until_ready(name).await?;
            testbed.report(&format!("{name} Ready after {}", waited.seconds()));
        }
        for name in ["iris", "digits"] {
            let held_out = HeldOut::of(name)?;
            let median = predict::check_rows(testbed, name, &held_out).await?;
            predict::check_rows_together(testbed, name, &held_out, TOGETHER).await?;
            testbed.report(&format!(
                "{name}: {} rows as onnxruntime predicts them, median {:.1} ms through the API server",
                held_out.rows.len(),
                median.as_secs_f64() * 1000.0
            ));
            check_status(testbed, name).await?;
            check_ports(testbed, name).await?;
        }
        Ok(())
    })
    .await
}

async fn kubectl_apply_examples(testbed: &Testbed) -> Result<()> {
    let kubectl = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    let output = Command::new(&kubectl)
        .args(["apply", "--namespace", &testbed.namespace, "--kustomize"])
        .arg(example::folder())
        .stdin(Stdio::null())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{kubectl} apply -k examples: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The API server drops unknown fields, so an applied object may differ from the stored one.
async fn check_ports(testbed: &Testbed, name: &str) -> Result<()> {
    let service = testbed.get(kind::SERVICE, name).await?;
    let ports: Vec<_> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            json!([
                port["name"],
                port["port"],
                port["targetPort"],
                port["appProtocol"]
            ])
        })
        .collect();
    same(
        &format!("ports of Service {name}"),
        &json!(ports),
        &json!([
            ["http", 80, "http", "http"],
            ["grpc", 8001, "grpc", "kubernetes.io/h2c"],
        ]),
    )
}

async fn check_status(testbed: &Testbed, name: &str) -> Result<()> {
    let service = testbed.get(kind::MODEL_SERVICE, name).await?;
    for type_ in [
        "Ready",
        "ModelLoaded",
        "WorkloadAvailable",
        "AutoscalingReady",
        "RolloutComplete",
    ] {
        let so = condition(&service, type_).is_some_and(|condition| condition["status"] == "True");
        ensure!(
            so,
            "{name} has no {type_}=True: {}",
            diagnosis::conditions(&service)
        );
    }
    let status = &service["status"];
    let seen = json!({
        "observedGeneration": status["observedGeneration"],
        "replicas": status["replicas"],
        "readyReplicas": status["readyReplicas"],
        "desiredReplicas": status["desiredReplicas"],
    });
    let generation = number(&service, "/metadata/generation");
    same(
        &format!("status of {name}"),
        &seen,
        &json!({"observedGeneration": generation, "replicas": 2, "readyReplicas": 2, "desiredReplicas": 2}),
    )?;
    let url = text(&service, "/status/url");
    ensure!(
        url.starts_with(&format!("http://{name}.{}.svc", testbed.namespace)),
        "status.url of {name} is {url:?}"
    );
    Ok(())
}
