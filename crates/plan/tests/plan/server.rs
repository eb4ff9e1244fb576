//! The configuration of the serving container.

use serde_json::{Value, json};
use springtide_contract::env;
use springtide_plan::{Child, Observed, ValidatedModelService, desired};

use crate::support::{settings, validated};

fn variable(server: &Value, name: &str) -> Option<String> {
    let model_service = validated(json!({
        "model": {"uri": "configMap://iris/model.onnx"}, "server": server,
    }));
    variable_of(&model_service, name)
}

fn variable_of(model_service: &ValidatedModelService, name: &str) -> Option<String> {
    let mut variables = variables(model_service).into_iter();
    let (_, value) = variables.find(|(other, _)| other == name)?;
    value
}

fn variables(model_service: &ValidatedModelService) -> Vec<(String, Option<String>)> {
    let children = desired(model_service, &Observed::default(), &settings()).apply;
    let pod = children.into_iter().find_map(|child| match child {
        Child::Deployment(deployment) => deployment.spec?.template.spec,
        _ => None,
    });
    pod.unwrap()
        .containers
        .into_iter()
        .flat_map(|container| container.env.unwrap_or_default())
        .map(|variable| (variable.name, variable.value))
        .collect()
}

/// Names that the contract has without a prefix are unchanged. The listen address is the server's choice, which knows
/// whether its node has IPv6.
#[test]
fn the_servers_variables_have_its_prefix() {
    let model_service = validated(json!({"model": {"uri": "configMap://iris/model.onnx"}}));
    let names: Vec<String> = variables(&model_service)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let contract = [env::CONTRACT_MAX_BATCH_SIZE, env::CONTRACT_MAX_WAIT_MS];
    for name in &names {
        let is_its_own = name.starts_with(env::PREFIX) || contract.contains(&&**name);
        assert!(is_its_own, "{name}");
    }
    assert!(
        contract
            .iter()
            .all(|name| names.iter().any(|other| other == name))
    );
    assert!(
        !names.iter().any(|name| name.ends_with("HOST")),
        "{names:?}"
    );
}

#[test]
fn a_default_objective_needs_a_target_that_counts_rejected_requests() {
    let told = |server: Value, autoscaling: Value| {
        let model_service = validated(json!({
            "model": {"uri": "configMap://iris/model.onnx"},
            "server": server,
            "autoscaling": autoscaling,
        }));
        variable_of(&model_service, env::LATENCY_OBJECTIVE_MS)
    };
    let load = json!({"targets": {"loadPercent": 75}});
    for (server, autoscaling, expected) in [
        (json!({}), load.clone(), "500"),
        (json!({}), json!({"engine": "KEDA"}), "0"),
        (json!({}), json!({"targets": {"queueSize": 20}}), "0"),
        (
            json!({"latencyObjectiveMilliseconds": 0}),
            load.clone(),
            "0",
        ),
        (
            json!({"requestTimeoutMilliseconds": 60_000}),
            load.clone(),
            "6000",
        ),
        (json!({"latencyObjectiveMilliseconds": 80}), load, "80"),
        (
            json!({}),
            json!({"engine": "HPA", "targets": {"loadPercent": 75, "queueSize": 20}}),
            "500",
        ),
        (
            json!({"latencyObjectiveMilliseconds": 80}),
            json!({"targets": {"requestsPerSecond": 20}}),
            "80",
        ),
    ] {
        let objective = told(server, autoscaling.clone());
        assert_eq!(objective.as_deref(), Some(expected), "{autoscaling}");
    }
}

/// The values on the right are those of `springtide-server serve --help`.
#[test]
fn every_execution_provider_has_the_servers_word() {
    for (provider, word) in [
        ("Auto", "auto"),
        ("CPU", "cpu"),
        ("CUDA", "cuda"),
        ("TensorRT", "tensorrt"),
    ] {
        let told = variable(
            &json!({"executionProvider": provider}),
            env::EXECUTION_PROVIDER,
        );
        assert_eq!(told.as_deref(), Some(word));
    }
}
