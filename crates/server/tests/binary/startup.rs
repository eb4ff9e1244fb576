//! A server that can't start reports the reason to people and to the operator.

use std::path::Path;
use std::process::Command;

use springtide_contract::termination::{ModelFailure, TerminationMessage};

use crate::support::{Server, TRIALS_OF_LITTLE_MEMORY, binary, made, model, models, serving};

/// Runs `serve` until it gives up.
fn fail(command: Command, model: &Path) -> TerminationMessage {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = serving(command, model)
        .args(TRIALS_OF_LITTLE_MEMORY)
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
        message.message.contains("is not an ONNX model"),
        "{message:?}"
    );
}

#[test]
fn a_model_that_crashes_never_ends_or_takes_all_memory() {
    for (name, said) in [
        ("ends_the_process", "ended its process by signal 8"),
        ("never_ends", "didn't finish within 2 s"),
        ("takes_all_memory", "took more than 400 MiB of memory"),
        ("grows", "took more than 400 MiB of memory"),
    ] {
        let mut command = binary();
        if name == "never_ends" {
            command.env("SPRINGTIDE_PROBE_TIMEOUT_SECONDS", "2");
        }
        let message = fail(command, &made(name));
        assert_eq!(message.reason, ModelFailure::ModelInvalid);
        assert!(message.message.contains(said), "{name}: {message:?}");
    }
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
fn a_gpu_where_there_is_none_is_an_error_that_names_the_missing_library() {
    for provider in ["cuda", "tensorrt"] {
        let mut command = binary();
        command
            .env("SPRINGTIDE_EXECUTION_PROVIDER", provider)
            .env("CUDA_VISIBLE_DEVICES", "");
        let message = fail(command, &model("iris"));
        assert_eq!(message.reason, ModelFailure::ExecutionProviderUnavailable);
        let library = format!("libonnxruntime_providers_{provider}.so");
        assert!(message.message.contains(&library), "{message:?}");
    }
}

#[test]
fn auto_where_there_is_no_gpu_falls_back_and_says_so() {
    let mut command = binary();
    command
        .args(["serve", "--host", "127.0.0.1", "--port", "0"])
        .args(["--execution-provider", "auto", "--model-path"])
        .arg(model("iris"))
        .env("CUDA_VISIBLE_DEVICES", "");
    let server = Server::spawn_until_listening(command);
    let warning = server.until_log("falling back to the CPU");
    assert!(
        warning["reason"].as_str().unwrap().contains("cuda"),
        "{warning}"
    );
    server.until_log("ready");
    let text = server.client().get("/metrics").text;
    let line = "ml_execution_provider_info{fallback=\"true\",model=\"model\",provider=\"cpu\",version=\"1\"} 1";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_model_that_is_no_classifier_serves_and_predict_names_its_endpoint() {
    let dense = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models/dense.onnx");
    let server = Server::spawn(serving(binary(), &dense));
    let refused = server.client().post(r#"{"features": [1, 2]}"#);
    assert_eq!(refused.code(), (422, "unsupported_model".to_owned()));
    assert!(
        refused.text.contains("POST /v2/models/"),
        "{}",
        refused.text
    );
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
