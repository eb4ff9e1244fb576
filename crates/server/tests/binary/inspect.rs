//! `inspect` and `checksum`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Server, binary, made, model, models, serving};

/// A model of the tests of the inference crate.
fn of_inference(name: &str) -> PathBuf {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models");
    models.join(format!("{name}.onnx"))
}

fn run(arguments: &[&str], path: &Path) -> Output {
    binary().args(arguments).arg(path).output().unwrap()
}

/// Whether a model can be served, and the report as JSON.
#[track_caller]
fn inspected(path: &Path) -> (bool, Value) {
    let output = run(&["inspect", "--json"], path);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let code = output.status.code();
    assert_eq!(code, Some(i32::from(report["can_be_served"] != true)));
    (code == Some(0), report)
}

/// The problems of a model that can't be served, on one line.
#[track_caller]
fn problems(path: &Path) -> (String, Value) {
    let (can_be_served, report) = inspected(path);
    assert!(!can_be_served, "{report}");
    (report["problems"].to_string(), report)
}

#[test]
fn a_healthy_model_has_facts_and_requests_that_the_server_answers() {
    let (can_be_served, report) = inspected(&model("iris"));
    assert!(can_be_served && report["problems"] == json!([]), "{report}");
    assert_eq!(report["file"]["ir_version"], 8);
    let newest = &report["onnxruntime"];
    assert!(newest["newest_ir_version"].as_u64() >= Some(9), "{newest}");
    assert!(
        newest["newest_operator_set"].as_u64() >= Some(20),
        "{newest}"
    );
    let facts = &report["model"];
    let features =
        json!({"name": "features", "datatype": "FP32", "shape": [-1, 4], "optional": false});
    assert_eq!(facts["inputs"], json!([features]));
    assert_eq!(facts["task"]["classifier"], true);
    assert_eq!(facts["batching"]["reason"], "Proven");
    assert_eq!(facts["requests"][0]["path"], "/predict");
}

#[test]
fn the_requests_are_answered() {
    for path in [model("iris"), model("digits")] {
        let (_, report) = inspected(&path);
        let requests = report["model"]["requests"].as_array().unwrap();
        assert_eq!(requests.len(), 2, "{report}");
        let server = Server::spawn(serving(binary(), &path));
        for request in requests {
            let to = request["path"].as_str().unwrap();
            let response = server.client().post_to(to, &request["body"].to_string());
            assert_eq!(response.status, 200, "{to}: {}", response.text);
        }
    }
}

#[test]
fn the_report_for_people_has_a_line_for_each_fact() {
    let output = run(&["inspect"], &model("iris"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for line in [
        "exporter   skl2onnx",
        "inputs     features FP32 [N, 4]\n",
        "task       tabular, classes\n",
        "servable   yes\n",
        "curl -s http://localhost:8000/predict -d '",
        "import json, urllib.request\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn the_node_that_forbids_batches_is_named() {
    let (can_be_served, report) = inspected(&made("dynamic_quantization"));
    assert!(can_be_served);
    let batching = &report["model"]["batching"];
    assert_eq!(batching["reason"], "Dependent");
    let message = batching["message"].as_str().unwrap();
    assert!(message.contains("DynamicQuantizeLinear"), "{message}");
}

#[test]
fn a_model_that_crashes_is_reported_with_its_node() {
    let (problems, report) = problems(&made("ends_the_process"));
    assert!(
        problems.contains("ended its process by signal 8"),
        "{problems}"
    );
    assert!(problems.contains("ConvTranspose"), "{problems}");
    assert!(report["file"]["sha256"].is_string(), "{report}");
}

#[test]
fn what_is_no_model_still_has_a_size() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    fs::write(&file, "no model").unwrap();
    let (said, report) = problems(folder.path());
    assert_eq!(said.matches("not an ONNX model").count(), 1, "{said}");
    assert_eq!(report["file"]["bytes"], 8);
    let (said, _) = problems(&folder.path().join("missing.onnx"));
    assert!(said.contains("No such file"), "{said}");
}

#[test]
fn missing_external_data_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("external.onnx");
    fs::copy(of_inference("external"), &file).unwrap();
    let (said, report) = problems(folder.path());
    assert!(
        said.contains("external data is missing (weights.bin)"),
        "{said}"
    );
    let data = &report["file"]["external_data"];
    assert_eq!(*data, json!([{"name": "weights.bin", "bytes": null}]));
    fs::write(folder.path().join("weights.bin"), [0; 16]).unwrap();
    let (_, report) = inspected(folder.path());
    assert_eq!(report["file"]["external_data"][0]["bytes"], 16);
}

#[test]
fn a_file_of_a_later_format_is_reported_with_the_newest_that_is_supported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let mut bytes = fs::read(model("iris")).unwrap();
    // The field `ir_version` again: the last value counts.
    bytes.extend([8, 99]);
    fs::write(&file, bytes).unwrap();
    let (said, _) = problems(&file);
    assert!(said.contains("the IR version of the file is 99"), "{said}");
}

#[test]
fn a_missing_library_is_a_problem_and_the_file_is_described() {
    let arguments = ["inspect", "--json", "--onnxruntime", "/nowhere/lib.so"];
    let output = run(&arguments, &model("iris"));
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["file"]["ir_version"], 8);
    let problems = report["problems"].to_string();
    assert!(problems.contains("ORT_DYLIB_PATH"), "{problems}");
}

/// What a checksum is in a shell.
fn shell(folder: &Path) -> String {
    let script = "find . -type f -not -path '*/.*' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum";
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("{}\n", text.split_whitespace().next().unwrap())
}

#[test]
fn the_checksum_of_a_folder_is_that_of_the_tools() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("onnx")).unwrap();
    for (name, from) in [("onnx/model.onnx", "iris"), ("model.onnx", "digits")] {
        fs::copy(model(from), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join(".hidden"), "").unwrap();
    for path in [folder.path(), &models()] {
        let output = run(&["checksum"], path);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), shell(path));
    }
    symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let output = run(&["checksum"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("leads out of the folder"), "{log}");
}

#[test]
fn the_checksum_of_a_file_is_its_sha256() {
    let sums = fs::read_to_string(models().join("SHA256SUMS")).unwrap();
    let output = run(&["checksum"], &model("iris"));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        sums.contains(&format!("{}  iris.onnx", printed.trim())),
        "{printed}"
    );
}
