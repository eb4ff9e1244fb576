//! A server that can't start says why, to people and to the operator.

use std::path::Path;
use std::process::Command;

use springtide_contract::termination::{ModelFailure, TerminationMessage};

use crate::support::{binary, model, models};

/// Runs `serve` until it gives up.
fn fail(mut command: Command, model: &Path) -> TerminationMessage {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = command
        .args([
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--model-path",
        ])
        .arg(model)
        .arg("--termination-message-path")
        .arg(log.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    serde_json::from_slice(&std::fs::read(log.path()).unwrap()).expect(&stderr)
}

#[test]
fn a_file_that_is_no_model() {
    let message = fail(binary(), &models().join("iris.test.json"));
    assert_eq!(message.reason, ModelFailure::ModelInvalid);
    assert!(
        message.message.contains("can't load the model"),
        "{message:?}"
    );
}

#[test]
fn a_missing_model() {
    let message = fail(binary(), Path::new("/nowhere/model.onnx"));
    assert_eq!(message.reason, ModelFailure::ModelNotFound);
    assert!(
        message.message.contains("/nowhere/model.onnx"),
        "{message:?}"
    );
}

#[test]
fn a_missing_onnxruntime() {
    let mut command = binary();
    command.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    let message = fail(command, &model("iris"));
    assert_eq!(message.reason, ModelFailure::ExecutionProviderUnavailable);
    assert!(message.message.contains("ORT_DYLIB_PATH"), "{message:?}");
}

#[test]
fn cuda_where_there_is_none() {
    let mut command = binary();
    command
        .env("EXECUTION_PROVIDER", "cuda")
        .env("CUDA_VISIBLE_DEVICES", "");
    let message = fail(command, &model("iris"));
    assert_eq!(message.reason, ModelFailure::ExecutionProviderUnavailable);
}

#[test]
fn a_port_that_is_taken() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = binary()
        .args([
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--model-path",
        ])
        .arg(model("iris"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(&format!("can't listen on 127.0.0.1:{port}")),
        "{stderr}"
    );
}
