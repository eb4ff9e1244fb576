//! A server that can't start reports the reason to people and to the operator.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use springtide_contract::termination::{ModelFailure, TerminationMessage};

use crate::support::{
    Server, TRIALS_OF_LITTLE_MEMORY, binary, ended, made, model, models, rows, serving,
};

/// Runs `serve` until it gives up.
fn fail(command: Command, model: &Path) -> TerminationMessage {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = serving(command, model);
    command
        .args(TRIALS_OF_LITTLE_MEMORY)
        .arg("--termination-message-path")
        .arg(log.path());
    let (status, stderr) = ended(&mut command);
    assert_eq!(status.code(), Some(1), "{stderr}");
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
fn a_model_that_is_no_classifier_gives_its_numbers() {
    let dense = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models/dense.onnx");
    let server = Server::spawn(serving(binary(), &dense));
    let client = server.client();
    let metadata = client.get("/v2/models/model").json();
    let width = metadata["inputs"][0]["shape"][1].as_u64().unwrap();
    let row = vec![0.5_f32; usize::try_from(width).unwrap()];
    let predicted = client
        .post(&json!({ "features": [row] }).to_string())
        .json();
    assert_eq!(predicted["confidence"], json!([null]));
    let outputs = client
        .post_to("/v2/models/model/infer", &rows("x", &[&row]))
        .json();
    let expected = outputs["outputs"][0]["data"].as_array().unwrap();
    assert_eq!(predicted["prediction"][0].as_array(), Some(expected));
}

#[test]
fn a_port_that_is_taken() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = binary();
    command
        .args([
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--model-path",
        ])
        .arg(model("iris"));
    let (status, stderr) = ended(&mut command);
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.contains(&format!("can't listen on 127.0.0.1:{port}")),
        "{stderr}"
    );
}
