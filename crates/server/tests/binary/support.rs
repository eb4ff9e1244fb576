//! Starts the binary and sends requests to it.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::HeaderMap;

/// How long anything may take before a test gives up: generous, since machines that run tests are
/// slow and busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Rows that no training saw, and what onnxruntime for Python makes of them.
#[derive(Deserialize)]
pub(crate) struct HeldOut {
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) predictions: Vec<i64>,
    pub(crate) probabilities: Vec<Vec<f32>>,
}

impl HeldOut {
    pub(crate) fn of(model: &str) -> Self {
        let json = std::fs::read(models().join(format!("{model}.test.json"))).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    /// Checks the prediction for one row.
    #[track_caller]
    pub(crate) fn check(&self, row: usize, prediction: &Value, confidence: &Value) {
        assert_eq!(*prediction, self.predictions[row], "row {row}");
        let expected = self.probabilities[row].iter().copied().fold(0.0, f32::max);
        let difference = confidence.as_f64().unwrap() - f64::from(expected);
        assert!(
            difference.abs() < 1e-5,
            "row {row}: {confidence}, not {expected}"
        );
    }
}

pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models")
}

pub(crate) fn model(name: &str) -> PathBuf {
    models().join(format!("{name}.onnx"))
}

/// A model that the tests of this crate have made.
pub(crate) fn made(name: &str) -> PathBuf {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    models.join(format!("{name}.onnx"))
}

/// A request of float rows.
pub(crate) fn rows(input: &str, rows: &[&[f32]]) -> String {
    let shape = [rows.len(), rows[0].len()];
    let input = json!({
        "name": input, "shape": shape, "datatype": "FP32", "data": rows.concat(),
    });
    json!({ "inputs": [input] }).to_string()
}

/// The binary, without the variables that a developer's shell may have set.
pub(crate) fn binary() -> Command {
    let library = std::env::var("ORT_DYLIB_PATH")
        .expect("ORT_DYLIB_PATH must be set: export ORT_DYLIB_PATH=$(scripts/onnxruntime)");
    let mut command = Command::new(env!("CARGO_BIN_EXE_springtide-server"));
    command.env_clear().env("ORT_DYLIB_PATH", library);
    // Tests run at the same time.
    command.env("SPRINGTIDE_GRPC_PORT", "0");
    command.env("SPRINGTIDE_HEALTH_PORT", "0");
    command
}

/// The exit status and the log of a command that ends by itself. One that doesn't is killed: a test must not wait for
/// ever.
#[track_caller]
pub(crate) fn ended(command: &mut Command) -> (ExitStatus, String) {
    let mut log = tempfile::tempfile().unwrap();
    let stderr = log.try_clone().unwrap();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut text = String::new();
    log.seek(SeekFrom::Start(0)).unwrap();
    log.read_to_string(&mut text).unwrap();
    let Some(status) = status else {
        panic!("it doesn't end: {text}")
    };
    (status, text)
}

/// A trial of a model that takes all memory is ended at 400 MiB.
pub(crate) const TRIALS_OF_LITTLE_MEMORY: [&str; 2] = ["--probe-memory-bytes", "419430400"];

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Response {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    #[track_caller]
    pub(crate) fn code(&self) -> (u16, String) {
        (
            self.status,
            self.json()["error"]["code"].as_str().unwrap().to_owned(),
        )
    }
}

/// One client, which keeps its connections.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    address: String,
}

impl Client {
    fn response(
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Response, ureq::Error> {
        let mut response = response?;
        Ok(Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.body_mut().read_to_string()?,
        })
    }

    pub(crate) fn try_post(&self, body: &str) -> Result<Response, ureq::Error> {
        self.try_post_to("/predict", body)
    }

    fn try_post_to(&self, path: &str, body: &str) -> Result<Response, ureq::Error> {
        Self::response(
            self.agent
                .post(format!("http://{}{path}", self.address))
                .send(body),
        )
    }

    #[track_caller]
    pub(crate) fn post_to(&self, path: &str, body: &str) -> Response {
        self.try_post_to(path, body).unwrap()
    }

    #[track_caller]
    pub(crate) fn post(&self, body: &str) -> Response {
        self.try_post(body).unwrap()
    }

    #[track_caller]
    pub(crate) fn predict(&self, features: &impl serde::Serialize) -> Response {
        self.post(&serde_json::json!({ "features": features }).to_string())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        Self::response(
            self.agent
                .get(format!("http://{}{path}", self.address))
                .call(),
        )
        .unwrap()
    }

    /// The value of a series of the model that [`Server::start`] serves; further labels as
    /// Prometheus writes them: `status="success"`.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let comma = if labels.is_empty() { "" } else { "," };
        let series = format!("{name}{{model=\"model\"{comma}{labels}}}");
        let text = self.get("/metrics").text;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(&*series))?
            .trim();
        Some(value.parse().unwrap())
    }

    /// Waits until a series has a value.
    #[track_caller]
    pub(crate) fn until_metric(&self, name: &str, labels: &str, value: f64) {
        until(&format!("{name} {labels} {value}"), || {
            self.metric(name, labels) == Some(value)
        });
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "gave up waiting for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The command, told to serve a model on a free port.
pub(crate) fn serving(mut command: Command, model: &Path) -> Command {
    command
        .args([
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--model-path",
        ])
        .arg(model);
    command
}

/// Reads the answer to a prediction from a connection, which must be a success.
pub(crate) fn read_prediction(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut part = [0; 1_024];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "a request was lost");
        answer.extend_from_slice(&part[..length]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer
}

/// A server that is ready. Killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    address: String,
    health_address: String,
    logs: mpsc::Receiver<Value>,
}

impl Server {
    pub(crate) fn start(model_name: &str, arguments: &[&str]) -> Self {
        let mut command = serving(binary(), &model(model_name));
        command.args(arguments);
        Self::spawn(command)
    }

    pub(crate) fn spawn(command: Command) -> Self {
        let server = Self::spawn_until_listening(command);
        server.until_log("ready");
        server
    }

    /// A server that isn't ready yet.
    pub(crate) fn spawn_until_listening(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, logs) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let log = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let _nobody_listens = sender.send(log);
            }
        });
        let mut server = Self {
            child,
            address: String::new(),
            health_address: String::new(),
            logs,
        };
        let listening = |protocol: &str| {
            let log = server.until_log("listening");
            assert_eq!(log["protocol"], protocol);
            log["address"].as_str().unwrap().to_owned()
        };
        let (address, _grpc) = (listening("http"), listening("grpc"));
        let health_address = listening("health");
        (server.address, server.health_address) = (address, health_address);
        server
    }

    /// Waits for a log line.
    pub(crate) fn until_log(&self, message: &str) -> Value {
        self.logs_until(message).pop().unwrap_or_default()
    }

    /// The log lines up to one.
    pub(crate) fn logs_until(&self, message: &str) -> Vec<Value> {
        let mut logs = Vec::new();
        loop {
            let log = self
                .logs
                .recv_timeout(PATIENCE)
                .expect("the server ended or says nothing");
            let is_last = log["message"] == message;
            logs.push(log);
            if is_last {
                return logs;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn health_address(&self) -> &str {
        &self.health_address
    }

    /// A client of the port for probes alone.
    pub(crate) fn probe(&self) -> Client {
        Client {
            address: self.health_address.clone(),
            ..self.client()
        }
    }

    pub(crate) fn client(&self) -> Client {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        Client {
            agent,
            address: self.address.clone(),
        }
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the server's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _already_waited = self.child.wait();
    }
}
