//! Responses don't depend on the other requests of a batch, and every model that can be loaded serves.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Server, binary, ended, made, model, rows, serving, until};

fn serve(name: &str, arguments: &[&str]) -> Server {
    let mut command = serving(binary(), &made(name));
    command.args(arguments);
    Server::spawn(command)
}

fn infer(client: &Client, body: &str) -> Vec<Value> {
    let answer = client.post_to("/v2/models/model/infer", body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let outputs = answer.json()["outputs"].as_array().unwrap().clone();
    outputs
        .iter()
        .map(|output| output["data"].clone())
        .collect()
}

fn config(client: &Client) -> Value {
    client.get("/v2/models/model/config").json()
}

fn reason(client: &Client) -> String {
    let parameters = &config(client)["parameters"];
    let reason = &parameters["batching_reason"]["string_value"];
    reason.as_str().unwrap().to_owned()
}

/// What a request gives alone, and what it gives beside another one that arrives with it.
fn alone_and_beside(server: &Server, mine: &str, other: &str) -> [Vec<Value>; 2] {
    let (client, others) = (server.client(), server.client());
    let alone = infer(&client, mine);
    let beside = thread::scope(|scope| {
        let neighbour = scope.spawn(|| infer(&others, other));
        let mine = infer(&client, mine);
        neighbour.join().unwrap();
        mine
    });
    [alone, beside]
}

/// Requests that arrive within this time share a batch where they may.
const TOGETHER: [&str; 4] = ["--batching-policy", "window", "--max-wait-ms", "300"];

#[test]
fn what_takes_its_scale_from_the_whole_batch_runs_alone_and_says_why() {
    let server = serve("dynamic_quantization", &TOGETHER);
    let mine: Vec<f32> = (0..16).map(|place| 0.1 * place as f32 - 0.8).collect();
    let mut other = [0.0; 16];
    other[0] = 1000.0;
    let (mine, other) = (rows("x", &[&mine]), rows("x", &[&other]));
    let [alone, beside] = alone_and_beside(&server, &mine, &other);
    assert_eq!(alone, beside);
    let client = server.client();
    assert_eq!(reason(&client), "Dependent");
    let message = config(&client)["parameters"]["batching_message"]["string_value"].to_string();
    assert!(message.contains("DynamicQuantizeLinear"), "{message}");
    assert!(message.contains("quantize statically"), "{message}");
    assert_eq!(config(&client)["max_batch_size"], 0);
}

#[test]
fn what_normalises_over_the_whole_tensor_runs_alone() {
    let server = serve("min_max_scaling", &TOGETHER);
    let mine = rows("x", &[&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]);
    let other = rows("x", &[&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0]]);
    let [alone, beside] = alone_and_beside(&server, &mine, &other);
    assert_eq!(alone, beside);
    assert_eq!(reason(&server.client()), "Dependent");
}

#[test]
fn a_first_axis_that_is_time_is_no_batch_and_takes_any_length() {
    let server = serve("recurrent_over_time", &TOGETHER);
    let step = |at: usize| [0.1 * at as f32, -0.2, 0.3, 0.1 * at as f32 - 0.5];
    let steps: Vec<[f32; 4]> = (0..40).map(step).collect();
    let frames: Vec<&[f32]> = steps.iter().map(|step| &step[..]).collect();
    let (mine, other) = (rows("x", &frames[..5]), rows("x", &frames[5..10]));
    let [alone, beside] = alone_and_beside(&server, &mine, &other);
    assert_eq!(alone, beside);
    assert_eq!(reason(&server.client()), "Dependent");
    infer(&server.client(), &rows("x", &frames));
}

#[test]
fn what_is_proven_shares_batches() {
    let mut command = serving(binary(), &model("iris"));
    command.args(TOGETHER);
    let server = Server::spawn(command);
    let mine = rows("features", &[&[5.1, 3.5, 1.4, 0.2]]);
    let other = rows("features", &[&[6.7, 3.0, 5.2, 2.3]]);
    let [alone, beside] = alone_and_beside(&server, &mine, &other);
    assert_eq!(alone[0], beside[0]);
    let client = server.client();
    assert_eq!(reason(&client), "Proven");
    assert_eq!(client.metric("ml_batch_size_count", ""), Some(2.0));
    assert_eq!(client.metric("ml_batch_size_sum", ""), Some(3.0));
    let status = client.get("/springtide/v1/status").json();
    assert_eq!(status["models"][0]["name"], "model");
    assert_eq!(status["models"][0]["batching"]["enabled"], true);
    assert_eq!(status["models"][0]["batching"]["reason"], "Proven");
    let info = r#"ml_batching_info{enabled="true",model="model",reason="Proven",version="1"} 1"#;
    assert!(client.get("/metrics").text.contains(info));
}

#[test]
fn the_owner_decides_by_flag_and_by_a_file_beside_the_model() {
    let never = serve("min_max_scaling", &["--batching-mode", "never"]);
    assert_eq!(reason(&never.client()), "OwnerNever");
    let always = serve("min_max_scaling", &["--batching-mode", "always"]);
    assert_eq!(reason(&always.client()), "OwnerAlways");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::copy(model("iris"), &file).unwrap();
    let settings = folder.path().join("springtide.toml");
    std::fs::write(&settings, "[batching]\nmode = \"never\"\n").unwrap();
    let server = Server::spawn(serving(binary(), &file));
    assert_eq!(reason(&server.client()), "OwnerNever");
}

#[test]
fn a_request_of_many_rows_runs_as_it_came_where_batches_have_one() {
    let server = serve("recurrent_over_time", &["--max-batch-size", "1"]);
    let frame = [1.0_f32; 4];
    infer(&server.client(), &rows("x", &[&frame[..]; 5]));
    let mut command = serving(binary(), &model("iris"));
    command.args(["--max-batch-size", "1"]);
    let server = Server::spawn(command);
    let row = [5.1, 3.5, 1.4, 0.2];
    let answer = server.client().predict(&[row; 5]).json();
    assert_eq!(
        answer["prediction"].as_array().map_or(0, Vec::len),
        5,
        "{answer}"
    );
    assert_eq!(reason(&server.client()), "OneRow");
}

#[test]
fn what_fails_on_zeros_and_short_inputs_loads_and_answers() {
    let frames = [[0.5_f32; 80]; 10];
    let frames: Vec<&[f32]> = frames.iter().map(|frame| &frame[..]).collect();
    let one = |name: &str, datatype: &str, value: Value| json!({"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]});
    let division = json!({"inputs": [
        one("total", "INT64", json!(12)), one("parts", "INT64", json!(4)),
    ]});
    let text = json!({"inputs": [
        one("city", "BYTES", json!("rome")), one("age", "FP32", json!(12)),
    ]});
    let pixels = [0.5_f32; 3 * 64 * 64];
    let image = json!({"inputs": [
        {"name": "image", "shape": [64, 64, 3], "datatype": "FP32", "data": pixels.to_vec()},
    ]});
    for (name, body) in [
        ("frames_without_padding", rows("feats", &frames)),
        ("integer_division", division.to_string()),
        ("one_hot_text", text.to_string()),
        ("image_channels_last", image.to_string()),
    ] {
        let server = serve(name, &[]);
        let outputs = infer(&server.client(), &body);
        assert!(!outputs.is_empty(), "{name}");
    }
}

#[test]
fn an_integer_division_that_can_not_be_costs_the_request_that_asks_for_it_only() {
    let server = serve("integer_division", &[]);
    let client = server.client();
    let divide = |total: i64, by: i64| {
        let input = |name: &str, value: i64| json!({"name": name, "shape": [1, 1], "datatype": "INT64", "data": [value]});
        let body = json!({"inputs": [input("total", total), input("parts", by)]});
        client.post_to("/v2/models/model/infer", &body.to_string())
    };
    assert_ne!(divide(12, 0).status, 200);
    // The first is more than the type holds: ONNX Runtime alone ends the process.
    for (total, by, quotient) in [
        (i64::MIN, -1, i64::MIN),
        (12, 4, 3),
        (12, -1, -12),
        (-7, 2, -3),
        (7, -2, -3),
        (i64::MIN, i64::MIN, 1),
    ] {
        let answer = divide(total, by);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["outputs"][0]["data"], json!([quotient]));
    }
}

#[test]
fn an_input_that_has_a_value_in_the_model_may_be_given_and_left_out() {
    let server = serve("optional_input", &TOGETHER);
    let client = server.client();
    let with = |scale: Option<f32>| {
        let mut inputs = vec![json!({
            "name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0],
        })];
        inputs.extend(scale.map(
            |scale| json!({"name": "scale", "shape": [], "datatype": "FP32", "data": [scale]}),
        ));
        json!({ "inputs": inputs }).to_string()
    };
    let without = infer(&client, &with(None));
    let [alone, beside] = alone_and_beside(&server, &with(None), &with(Some(10.0)));
    assert_eq!([&alone, &beside], [&without, &without]);
    assert_ne!(infer(&client, &with(Some(10.0))), without);
}

#[test]
fn a_model_that_no_request_can_call_is_not_served() {
    let (status, log) = ended(&mut serving(binary(), &made("takes_a_list")));
    assert!(!status.success());
    assert!(log.contains("the model can't be called"), "{log}");
}

/// The model shows its dependence only on numbers that nothing made up reaches: it passes the trial.
#[test]
fn what_was_wrongly_let_through_is_found_under_load_and_runs_alone_from_then_on() {
    let server = serve("rare_dependence", &[]);
    let client = server.client();
    assert_eq!(reason(&client), "TrialPassed");
    let began = Instant::now();
    let found = || reason(&server.client()) == "SentinelMismatch";
    thread::scope(|scope| {
        let senders: Vec<_> = (0..6)
            .map(|sender| {
                let client = server.client();
                scope.spawn(move || {
                    // Every second client sends what changes the others' answers.
                    let first = if sender % 2 == 0 { 2e6 } else { 1.0 };
                    let body = rows("x", &[&[first, 2.0]]);
                    let until = Instant::now() + Duration::from_secs(60);
                    while Instant::now() < until && reason(&client) != "SentinelMismatch" {
                        for _ in 0..20 {
                            infer(&client, &body);
                        }
                    }
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
    });
    assert!(found(), "not found within {:?}", began.elapsed());
    let [alone, beside] = alone_and_beside(
        &server,
        &rows("x", &[&[1.0, 2.0]]),
        &rows("x", &[&[2e6, 2.0]]),
    );
    assert_eq!(alone, beside);
    assert_eq!(alone, [json!([1.0, 2.0])]);
    assert_eq!(
        client.metric("ml_sentinel_checks_total", r#"result="different""#),
        Some(1.0)
    );
    let index = client.post_to("/v2/repository/index", "").json();
    let why = index[0]["reason"].as_str().unwrap();
    assert!(why.contains("Each request runs alone from now on"), "{why}");
    let log = server.until_log("a request's answer depends on the requests beside it");
    assert!(log["reason"].as_str().is_some(), "{log}");
    until("batches of one request", || {
        client.get("/springtide/v1/status").json()["models"][0]["batching"]["enabled"] == false
    });
}
