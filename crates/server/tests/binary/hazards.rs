//! Models that end the process, never end or take all memory, when they are tried or when they run: each costs
//! itself and no other.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Client, Server, TRIALS_OF_LITTLE_MEMORY, binary, made, model, rows, serving, until,
};

/// Puts a model into a folder of models.
fn publish(root: &TempDir, name: &str, file: &Path) {
    let folder = root.path().join(name).join("1");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(file, folder.join("model.onnx")).unwrap();
}

/// A folder of these models, and of iris.
fn folder(models: &[(&str, &Path)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, file) in models.iter().chain(&[("iris", &*model("iris"))]) {
        publish(&root, name, file);
    }
    root
}

fn serve(root: &TempDir, arguments: &[&str]) -> Command {
    let mut command = binary();
    command
        .args(["serve", "--host", "127.0.0.1", "--port", "0"])
        .args(["--model-poll-seconds", "1", "--model-dir"])
        .arg(root.path())
        .args(arguments);
    command
}

const ONE_SECOND: [&str; 4] = ["--workers", "1", "--request-timeout-ms", "1000"];

#[track_caller]
fn iris_serves(client: &Client) {
    let row = rows("features", &[&[5.1, 3.5, 1.4, 0.2]]);
    let answer = client.post_to("/v2/models/iris/infer", &row);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// What a request to the model `bad` is told.
#[track_caller]
fn refusal(client: &Client) -> String {
    let refused = client.post_to("/v2/models/bad/infer", "{}");
    assert_eq!(refused.status, 503, "{}", refused.text);
    refused.json()["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_model_that_crashes_is_not_served_and_ends_no_other_model() {
    let root = folder(&[]);
    let server = Server::spawn(serve(&root, &[]));
    publish(&root, "bad", &made("ends_the_process"));
    server.until_log("the model can't be loaded");
    let client = server.client();
    iris_serves(&client);
    let why = refusal(&client);
    assert!(why.contains("ended its process by signal 8"), "{why}");
    assert!(why.contains("ConvTranspose"), "{why}");
}

#[test]
fn a_model_that_never_ends_is_reported_and_not_tried_again_after_a_restart() {
    let root = folder(&[("bad", &made("never_ends"))]);
    let state = tempfile::tempdir().unwrap();
    // Within the same bound the note decides; it says the bound of the trial that failed.
    for seconds in ["3", "2"] {
        let mut command = serve(&root, &["--probe-timeout-seconds", seconds]);
        command.arg("--state-dir").arg(state.path());
        let server = Server::spawn_until_listening(command);
        let client = server.client();
        server.until_log("model loaded");
        iris_serves(&client);
        server.until_log("the model can't be loaded");
        let why = refusal(&client);
        assert!(why.contains("didn't finish within 3 s"), "{why}");
        iris_serves(&client);
    }
}

#[test]
fn a_run_that_does_not_end_is_ended_at_the_requests_deadline_and_its_worker_is_free_again() {
    let count = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models/count.onnx");
    let root = folder(&[("count", &count)]);
    let server = Server::spawn(serve(&root, &ONE_SECOND));
    let client = server.client();
    let count = |times: i64| {
        let input = json!({"name": "times", "shape": [], "datatype": "INT64", "data": [times]});
        let body = json!({ "inputs": [input] }).to_string();
        client.post_to("/v2/models/count/infer", &body)
    };
    for _ in 0..2 {
        thread::scope(|scope| {
            // Days, if nobody ended it.
            let endless = scope.spawn(|| count(1_000_000_000_000));
            iris_serves(&client);
            let answer = endless.join().unwrap();
            assert_eq!(answer.status, 504, "{}", answer.text);
        });
        until("the worker", || count(3).status == 200);
        assert_eq!(count(3).json()["outputs"][0]["data"], json!([3.0]));
    }
}

#[test]
fn a_kernel_that_does_not_end_costs_its_own_model_only_and_does_not_hold_up_the_end() {
    let root = folder(&[("slow", &made("slow_kernel"))]);
    let mut server = Server::spawn(serve(&root, &ONE_SECOND));
    let client = server.client();
    let numbers = [1.0_f32; 3_000];
    let input = json!({"name": "x", "shape": [3_000], "datatype": "FP32", "data": &numbers[..]});
    let body = json!({ "inputs": [input] }).to_string();
    for _ in 0..2 {
        let answer = client.post_to("/v2/models/slow/infer", &body);
        assert!(matches!(answer.status, 429 | 504), "{}", answer.text);
        iris_serves(&client);
    }
    assert_eq!(server.probe().get("/health").status, 200);
    server.terminate();
    assert!(server.wait().success());
}

#[test]
fn models_whose_trial_takes_all_memory_are_reported_and_others_serve() {
    let [constants, doubles] = ["takes_all_memory", "grows"].map(made);
    let root = folder(&[("constants", &constants), ("doubles", &doubles)]);
    let server = Server::spawn(serve(&root, &TRIALS_OF_LITTLE_MEMORY));
    let client = server.client();
    for (name, node) in [("constants", "ConstantOfShape"), ("doubles", "Loop")] {
        let reason = || {
            let index = client.post_to("/v2/repository/index", "").json();
            let mut entries = index.as_array().unwrap().iter();
            let entry = entries.find(|entry| entry["name"] == name).unwrap();
            (entry["state"] == "UNAVAILABLE").then(|| entry["reason"].to_string())
        };
        until("the trial", || {
            iris_serves(&client);
            reason().is_some()
        });
        let reason = reason().unwrap();
        assert!(reason.contains("took more than 400 MiB"), "{reason}");
        assert!(reason.contains(node), "{reason}");
    }
    iris_serves(&client);
}

/// In a branch and a loop, 32 and 64 bits.
#[test]
fn integer_divisions_within_subgraphs_cost_the_request_that_asks_for_it_only() {
    let server = Server::spawn(serving(binary(), &made("divisions_within")));
    let client = server.client();
    let divide = |pick: bool, [total, parts]: [i64; 2], [total_32, parts_32]: [i32; 2]| {
        let input = |name: &str, datatype: &str, value: i64| json!({"name": name, "shape": [1], "datatype": datatype, "data": [value]});
        let body = json!({"inputs": [
            {"name": "pick", "shape": [], "datatype": "BOOL", "data": [pick]},
            input("total", "INT64", total), input("parts", "INT64", parts),
            input("total_32", "INT32", total_32.into()), input("parts_32", "INT32", parts_32.into()),
        ]});
        client.post_to("/v2/models/model/infer", &body.to_string())
    };
    for pick in [true, false] {
        assert_ne!(divide(pick, [12, 0], [12, 5]).status, 200);
        assert_ne!(divide(pick, [12, 5], [12, 0]).status, 200);
        for (longs, ints, expected) in [
            ([i64::MIN, -1], [12, 5], [i64::MIN, 0, 2, 2]),
            ([12, 5], [i32::MIN, -1], [2, 2, i32::MIN.into(), 0]),
            ([-7, 2], [7, -2], [-3, 1, -3, -1]),
        ] {
            let answer = divide(pick, longs, ints);
            assert_eq!(answer.status, 200, "{}", answer.text);
            let answer = answer.json();
            let outputs = answer["outputs"].as_array().unwrap();
            let given: Vec<i64> = outputs
                .iter()
                .map(|output| output["data"][0].as_i64().unwrap())
                .collect();
            assert_eq!(given, expected, "{pick}");
        }
    }
}
