//! A folder of models: versions are added and removed while requests are answered.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::{Client, Server, binary, model, models, until};

const VALID: &str = r#"{"features": [5.1, 3.5, 1.4, 0.2]}"#;

/// Puts a file in place as the guide says: beside the folder of its version, then renamed.
fn publish(directory: &Path, version: &str, file: &Path) {
    let target = directory.join(version);
    let work = tempfile::tempdir_in(directory).unwrap();
    fs::copy(file, work.path().join("model.onnx")).unwrap();
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::rename(work.keep(), target).unwrap();
}

fn command(directory: &Path) -> Command {
    let mut command = binary();
    command
        .args(["serve", "--host", "127.0.0.1", "--port", "0"])
        .args(["--model-poll-seconds", "1", "--model-dir"])
        .arg(directory);
    command
}

fn serve(directory: &Path, arguments: &[&str]) -> Server {
    let mut command = command(directory);
    command.args(arguments);
    Server::spawn(command)
}

fn until_line(client: &Client, line: &str) {
    until(line, || {
        client
            .get("/metrics")
            .text
            .lines()
            .any(|found| found == line)
    });
}

fn info(model: &str, version: &str, state: &str) -> String {
    format!("ml_model_info{{model=\"{model}\",state=\"{state}\",version=\"{version}\"}} 1")
}

#[test]
fn new_bad_and_removed_versions_cost_no_request() {
    let directory = tempfile::tempdir().unwrap();
    publish(directory.path(), "iris/1", &model("iris"));
    let server = serve(directory.path(), &[]);
    let client = server.client();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _client in 0..4 {
            let client = server.client();
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.post(VALID);
                    assert_eq!(answer.status, 200, "{}", answer.text);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        publish(directory.path(), "iris/2", &model("iris-v2"));
        until_line(&client, &info("iris", "2", "ready"));
        until("version 1 to be unloaded", || {
            !client
                .get("/metrics")
                .text
                .contains(&info("iris", "1", "ready"))
        });
        publish(directory.path(), "iris/3", &models().join("iris.test.json"));
        until_line(&client, &info("iris", "3", "unavailable"));
        until_line(&client, &info("iris", "2", "ready"));
        fs::remove_dir_all(directory.path().join("iris/2")).unwrap();
        until_line(&client, &info("iris", "1", "ready"));
        until("version 2 to be unloaded", || {
            !client.get("/metrics").text.contains("version=\"2\"")
        });
        let before = answered.load(Ordering::Relaxed);
        until("requests after all that", || {
            answered.load(Ordering::Relaxed) > before + 100
        });
        stop.store(true, Ordering::Relaxed);
    });
    let text = client.get("/metrics").text;
    let count = format!(
        "ml_requests_total{{model=\"iris\",status=\"success\"}} {}",
        answered.load(Ordering::Relaxed)
    );
    assert!(
        text.contains(&count),
        "versions share their counters: {text}"
    );
}

#[test]
fn of_several_models_predict_asks_the_one_that_was_named() {
    let directory = tempfile::tempdir().unwrap();
    publish(directory.path(), "iris/1", &model("iris"));
    publish(directory.path(), "digits/1", &model("digits"));
    let server = serve(directory.path(), &[]);
    let refused = server.client().post(VALID);
    assert_eq!(refused.code(), (404, "several_models".to_owned()));
    let server = serve(directory.path(), &["--model-name", "iris"]);
    assert_eq!(server.client().post(VALID).status, 200);
}

#[test]
fn a_folder_without_a_model_that_serves_is_not_ready_until_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    publish(directory.path(), "iris/1", &models().join("iris.test.json"));
    let server = Server::spawn_until_listening(command(directory.path()));
    let client = server.client();
    until_line(&client, &info("iris", "1", "unavailable"));
    assert_eq!(client.get("/ready").code(), (503, "loading".to_owned()));
    assert_eq!(client.get("/health").status, 200);
    assert_eq!(client.post(VALID).code(), (503, "loading".to_owned()));
    publish(directory.path(), "iris/2", &model("iris"));
    until("readiness", || client.get("/ready").status == 200);
    assert_eq!(client.post(VALID).status, 200);
}

#[test]
fn folders_that_are_nearly_right_are_reported_once_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    publish(directory.path(), "good/1", &model("iris"));
    publish(directory.path(), "padded/001", &model("iris"));
    let server = Server::spawn_until_listening(command(directory.path()));
    let message = "a model is not served because of its place in the model directory";
    let mut told: Vec<_> = server.logs_until("ready");
    publish(directory.path(), "good/2", &model("iris"));
    // Two looks and more.
    told.extend(server.logs_until("model unloaded"));
    told.retain(|log| log["message"] == message);
    let [log] = &*told else {
        panic!("not told once: {told:?}");
    };
    let advice = "rename the folder 001 to 1";
    assert_eq!(
        (&log["model"], &log["version"]),
        (&"padded".into(), &"001".into())
    );
    assert_eq!(log["advice"], advice);

    let client = server.client();
    let index = client.post_to("/v2/repository/index", "");
    let entry =
        format!(r#"{{"name":"padded","version":"001","state":"UNAVAILABLE","reason":"{advice}"}}"#);
    assert!(index.text.contains(&entry), "{}", index.text);
    let ready = client.post_to("/v2/repository/index", r#"{"ready": true}"#);
    assert!(!ready.text.contains("padded"), "{}", ready.text);
    let refused = client.get("/v2/models/padded");
    assert_eq!(refused.status, 503);
    assert!(refused.text.contains(advice), "{}", refused.text);
    assert_eq!(client.get("/v2/models/unheard").status, 404);

    let folder = |version: &str| directory.path().join("padded").join(version);
    fs::rename(folder("001"), folder("1")).unwrap();
    until_line(&client, &info("padded", "1", "ready"));
    let index = client.post_to("/v2/repository/index", "");
    assert!(!index.text.contains("UNAVAILABLE"), "{}", index.text);
}

#[test]
fn links_inside_the_folder_of_models_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join(".store");
    let version = directory.path().join("iris/1");
    fs::create_dir_all(&store).unwrap();
    fs::create_dir_all(&version).unwrap();
    fs::copy(external(), store.join("a")).unwrap();
    let weights = [2.0_f32, 3.0].map(f32::to_le_bytes).concat();
    fs::write(store.join("b"), weights).unwrap();
    for (blob, name) in [("a", "model.onnx"), ("b", "weights.bin")] {
        symlink(format!("../../.store/{blob}"), version.join(name)).unwrap();
    }
    let server = serve(directory.path(), &[]);
    let body =
        r#"{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [10, 10]}]}"#;
    let infer = || {
        server
            .client()
            .post_to("/v2/models/iris/infer", body)
            .json()
    };
    assert_eq!(
        infer()["outputs"][0]["data"],
        serde_json::json!([20.0, 30.0])
    );
    // The link to the weights is swapped for one to others of the same size.
    fs::write(
        store.join("c"),
        [4.0_f32, 5.0].map(f32::to_le_bytes).concat(),
    )
    .unwrap();
    let swapped = directory.path().join(".link");
    symlink("../../.store/c", &swapped).unwrap();
    fs::rename(swapped, version.join("weights.bin")).unwrap();
    let new = serde_json::json!([40.0, 50.0]);
    until("the new weights", || infer()["outputs"][0]["data"] == new);
}

/// A model that wants the weights `weights.bin`.
fn external() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models/external.onnx")
}
