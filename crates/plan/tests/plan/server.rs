//! What the serving container is told.

use serde_json::{Value, json};
use springtide_contract::env;
use springtide_plan::{Child, Observed, desired};

use crate::support::{settings, validated};

fn variable(server: &Value, name: &str) -> Option<String> {
    let model_service = validated(json!({
        "model": {"uri": "configMap://iris/model.onnx"}, "server": server,
    }));
    desired(&model_service, &Observed::default(), &settings())
        .apply
        .into_iter()
        .find_map(|child| match child {
            Child::Deployment(deployment) => deployment.spec?.template.spec,
            _ => None,
        })?
        .containers
        .into_iter()
        .flat_map(|container| container.env.unwrap_or_default())
        .find(|variable| variable.name == name)?
        .value
}

/// The words on the right are those of `springtide-server serve --help`.
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
