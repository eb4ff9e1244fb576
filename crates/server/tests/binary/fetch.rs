//! `springtide-server fetch` from web servers, correct and faulty, and from files.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::generate_simple_self_signed;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use springtide_contract::termination::{ModelFailure, TerminationMessage};
use tempfile::TempDir;

use crate::support::{binary, model};

mod resume;

/// The model, as short as can be.
const CONTENT: &str = "a model";
/// Its sha256.
const SHA256: &str = "97ff8a35544dcf40ad84047074439dd6aa3a0be469ea578a1b1c017d939ec61c";

/// That of "another model".
const ANOTHER_SHA256: &str = "93dc44381b5260808085f4dd99e5d439f52b86f2938527faf30bd72eb21afbc1";

/// Gives one of its answers to each connection, in their order, and the last one for ever.
struct WebServer {
    port: u16,
    requests: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl WebServer {
    fn start(answers: &[String]) -> Self {
        Self::start_with(answers, std::convert::identity)
    }

    fn start_with<S: Read + Write>(
        answers: &[String],
        wrap: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let (answers, counter) = (answers.to_vec(), Arc::clone(&requests));
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        // Ends with the test's process.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                let mut stream = wrap(connection.try_clone().unwrap());
                // A client that breaks off during TLS has sent no request.
                let Some(head) = read_head(&mut stream) else {
                    continue;
                };
                seen.lock().unwrap().push(head);
                let index = counter
                    .fetch_add(1, Ordering::Relaxed)
                    .min(answers.len() - 1);
                let _client_left = stream.write_all(answers[index].as_bytes());
                let _client_left = stream.flush();
                let _client_left = connection.shutdown(Shutdown::Write);
            }
        });
        Self {
            port,
            requests,
            heads,
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/model.onnx", self.port)
    }

    /// The requests so far, without their bodies.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        match reader.read_line(&mut head) {
            Ok(0) | Err(_) => return None,
            Ok(_) if head.ends_with("\r\n\r\n") => return Some(head.to_lowercase()),
            Ok(_) => {}
        }
    }
}

fn ok(content: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    )
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

/// A place for the model.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("model.onnx")
    }

    /// What lies in the folder beside the termination message.
    fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "termination-log").collect()
    }

    fn fetch(&self, uri: &str, arguments: &[&str]) -> Result<(), TerminationMessage> {
        self.fetch_with(&[], uri, arguments)
    }

    fn fetch_with(
        &self,
        variables: &[(&str, &str)],
        uri: &str,
        arguments: &[&str],
    ) -> Result<(), TerminationMessage> {
        let arguments = [&["--uri", uri], arguments].concat();
        self.run(variables, &arguments).0
    }

    fn fetch_logged(
        &self,
        uri: &str,
        arguments: &[&str],
    ) -> (Result<(), TerminationMessage>, String) {
        self.run(&[], &[&["--uri", uri], arguments].concat())
    }

    /// What became of it, and the log.
    fn run(
        &self,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> (Result<(), TerminationMessage>, String) {
        let log = self.folder.path().join("termination-log");
        std::fs::write(&log, "").unwrap();
        let output = binary()
            .envs(variables.iter().copied())
            .args(["fetch", "--to"])
            .arg(self.path())
            .args(arguments)
            .arg("--termination-message-path")
            .arg(&log)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let message = std::fs::read(&log).unwrap();
        if output.status.success() {
            assert!(message.is_empty(), "{stderr}");
            return (Ok(()), stderr);
        }
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let message = serde_json::from_slice(&message).expect(&stderr);
        (Err(message), stderr)
    }

    #[track_caller]
    fn assert_has_model(&self) {
        assert_eq!(std::fs::read_to_string(self.path()).unwrap(), CONTENT);
        assert_eq!(self.files(), ["model.onnx"]);
    }
}

#[test]
fn the_right_model_is_put_in_place_and_not_fetched_again() {
    let server = WebServer::start(&[ok(CONTENT)]);
    let fixture = Fixture::new();
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    fixture.assert_has_model();
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_wrong_checksum_reports_the_expected_one_and_not_its_own() {
    let server = WebServer::start(&[ok("another model")]);
    let fixture = Fixture::new();
    let message = fixture
        .fetch(&server.url(), &["--sha256", SHA256])
        .unwrap_err();
    assert_eq!(message.reason, ModelFailure::ChecksumMismatch);
    assert!(message.message.contains(SHA256), "{message:?}");
    assert!(!message.message.contains(ANOTHER_SHA256), "{message:?}");
    assert_eq!(server.requests(), 1, "trying again would give the same");
    assert!(fixture.files().is_empty());
}

#[test]
fn permanent_errors_are_not_retried() {
    for (line, reason) in [
        ("404 Not Found", ModelFailure::ModelNotFound),
        ("410 Gone", ModelFailure::ModelNotFound),
        ("401 Unauthorized", ModelFailure::ModelRefused),
        ("403 Forbidden", ModelFailure::ModelRefused),
    ] {
        let server = WebServer::start(&[status(line)]);
        let fixture = Fixture::new();
        let message = fixture
            .fetch(&server.url(), &["--sha256", SHA256])
            .unwrap_err();
        assert_eq!(message.reason, reason, "{line}");
        assert!(message.message.contains(line), "{message:?}");
        assert_eq!(server.requests(), 1, "{line}");
        assert!(fixture.files().is_empty());
    }
}

#[test]
fn passing_faults_are_tried_again() {
    let truncated = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\na mo".to_owned();
    let server = WebServer::start(&[status("503 Service Unavailable"), truncated, ok(CONTENT)]);
    let fixture = Fixture::new();
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    assert_eq!(server.requests(), 3);
    fixture.assert_has_model();
}

#[test]
fn a_model_that_always_breaks_off_is_unreachable() {
    let truncated = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\na mo".to_owned();
    let server = WebServer::start(&[truncated]);
    let fixture = Fixture::new();
    let message = fixture
        .fetch(&server.url(), &["--sha256", SHA256, "--retries", "1"])
        .unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelUnreachable);
    assert!(message.message.contains("was interrupted"), "{message:?}");
    // One that brings something, and two that bring the same again.
    assert_eq!(server.requests(), 3);
}

#[test]
fn a_model_that_is_too_large_is_rejected_announced_or_not() {
    let unannounced = format!("HTTP/1.1 200 OK\r\n\r\n{CONTENT}");
    for answer in [ok(CONTENT), unannounced] {
        let server = WebServer::start(&[answer]);
        let fixture = Fixture::new();
        let arguments = ["--sha256", SHA256, "--max-bytes", "6"];
        let message = fixture.fetch(&server.url(), &arguments).unwrap_err();
        assert_eq!(message.reason, ModelFailure::ModelTooLarge);
        assert_eq!(server.requests(), 1);
        assert!(fixture.files().is_empty());
    }
}

#[test]
fn redirects_are_followed_a_few_times() {
    let target = WebServer::start(&[ok(CONTENT)]);
    let server = WebServer::start(&[redirect(&target.url())]);
    let fixture = Fixture::new();
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    fixture.assert_has_model();

    let endless = WebServer::start(&[redirect("/model.onnx")]);
    let message = Fixture::new()
        .fetch(&endless.url(), &["--sha256", SHA256])
        .unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelUnreachable);
    assert!(message.message.contains("redirects"), "{message:?}");
    assert_eq!(endless.requests(), 6);
}

#[test]
fn redirects_lead_to_no_other_scope_and_their_secrets_are_not_logged() {
    for target in [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://10.255.255.1/",
        "http://[fd00::1]/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://0.0.0.0/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
    ] {
        let server = WebServer::start(&[redirect(&format!("{target}?signature=secret"))]);
        let (result, log) = Fixture::new().fetch_logged(&server.url(), &["--sha256", SHA256]);
        let message = result.unwrap_err();
        assert_eq!(message.reason, ModelFailure::ModelUnreachable, "{target}");
        let told = "an address that is not public";
        assert!(message.message.contains(told), "{target}: {message:?}");
        assert_eq!(server.requests(), 1, "{target}");
        assert!(!log.contains("secret"), "{log}");
    }
}

#[test]
fn the_query_of_a_failed_redirect_is_not_logged() {
    for target in ["http://a b/?signature=secret", "ftp://h/?signature=secret"] {
        let server = WebServer::start(&[redirect(target)]);
        let arguments = ["--sha256", SHA256, "--retries", "0"];
        let (result, log) = Fixture::new().fetch_logged(&server.url(), &arguments);
        assert!(result.is_err(), "{target}");
        assert!(!log.contains("secret"), "{log}");
    }
}

#[test]
fn the_uri_can_be_in_a_file_or_a_variable_and_its_query_is_not_logged() {
    let server = WebServer::start(&[ok(CONTENT)]);
    let url = format!("{}?signature=secret", server.url());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{url}\n")).unwrap();
    let file = file.path().to_str().unwrap();
    for variables in [
        [("SPRINGTIDE_MODEL_URI", &*url)],
        [("SPRINGTIDE_MODEL_URI_FILE", file)],
    ] {
        let fixture = Fixture::new();
        let (result, log) = fixture.run(&variables, &["--sha256", SHA256]);
        assert_eq!(result, Ok(()), "{log}");
        assert!(!log.contains("secret"), "{log}");
        fixture.assert_has_model();
    }
    let fixture = Fixture::new();
    let arguments = ["--uri-file", file, "--sha256", SHA256];
    assert_eq!(fixture.run(&[], &arguments).0, Ok(()));
    fixture.assert_has_model();
}

#[test]
fn a_uri_that_is_given_twice_or_never_or_is_unreadable_is_rejected() {
    let endless = ["--uri-file", "/dev/zero"];
    let missing = ["--uri-file", "/nowhere/uri"];
    for (variables, arguments) in [
        (&[][..], &[][..]),
        (&[("SPRINGTIDE_MODEL_URI", "https://h/m")][..], &missing[..]),
        (&[], &endless),
        (&[], &missing),
    ] {
        let (result, log) = Fixture::new().run(variables, arguments);
        let message = result.unwrap_err();
        assert_eq!(message.reason, ModelFailure::ModelRefused, "{log}");
        assert!(message.message.contains("URI"), "{message:?}");
    }
}

#[test]
fn a_port_without_a_listener_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/model.onnx", listener.local_addr().unwrap());
    drop(listener);
    let arguments = ["--sha256", SHA256, "--retries", "0"];
    let message = Fixture::new().fetch(&url, &arguments).unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelUnreachable);
    assert!(message.message.contains("refused"), "{message:?}");
}

#[test]
fn the_total_timeout_is_respected() {
    // Accepts and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/model.onnx", listener.local_addr().unwrap());
    let arguments = ["--sha256", SHA256, "--timeout-seconds", "1"];
    let message = Fixture::new().fetch(&url, &arguments).unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelUnreachable);
    assert!(
        message.message.contains("the timeout passed"),
        "{message:?}"
    );
}

#[test]
fn messages_keep_secrets_of_the_url() {
    let server = WebServer::start(&[status("403 Forbidden")]);
    let url = format!("{}?signature=secret", server.url());
    let message = Fixture::new()
        .fetch(&url, &["--sha256", SHA256])
        .unwrap_err();
    assert!(!message.message.contains("secret"), "{message:?}");
}

#[test]
fn an_invalid_source_is_rejected_with_a_termination_message() {
    for (uri, sha256) in [
        ("s3://bucket/model.onnx", SHA256),
        ("https://example.com/<version>/model.onnx", SHA256),
        ("https://example.com/`1`/model.onnx", SHA256),
        ("https://example.com/model.onnx", "12"),
    ] {
        let message = Fixture::new()
            .fetch(uri, &["--sha256", sha256])
            .unwrap_err();
        assert_eq!(message.reason, ModelFailure::ModelRefused, "{message:?}");
    }
}

#[test]
fn without_a_checksum_nothing_is_fetched_from_the_web() {
    let server = WebServer::start(&[ok(CONTENT)]);
    let message = Fixture::new().fetch(&server.url(), &[]).unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelRefused, "{message:?}");
    assert!(message.message.contains("--sha256"), "{message:?}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn https_is_trusted_by_the_certificates_of_ssl_cert_file_only() {
    let certified = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let server = WebServer::start_with(&[ok(CONTENT)], move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        StreamOwned::new(connection, stream)
    });
    let url = format!("https://localhost:{}/model.onnx", server.port);

    let fixture = Fixture::new();
    let message = fixture.fetch(&url, &["--sha256", SHA256]).unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelUnreachable);
    assert!(message.message.contains("certificate"), "{message:?}");
    assert_eq!(server.requests(), 0);

    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), certified.cert.pem()).unwrap();
    let variables = [("SSL_CERT_FILE", authority.path().to_str().unwrap())];
    fixture
        .fetch_with(&variables, &url, &["--sha256", SHA256])
        .unwrap();
    fixture.assert_has_model();
}

#[test]
fn a_file_of_a_volume_is_copied_and_checked() {
    let fixture = Fixture::new();
    let iris = model("iris").canonicalize().unwrap();
    let folder = iris.parent().unwrap().to_str().unwrap();
    let uri = format!("file://{}", iris.display());
    fixture.fetch(&uri, &["--source-dir", folder]).unwrap();
    assert_eq!(
        std::fs::read(fixture.path()).unwrap(),
        std::fs::read(&iris).unwrap()
    );

    let arguments = ["--source-dir", folder, "--sha256", SHA256];
    let message = Fixture::new().fetch(&uri, &arguments).unwrap_err();
    assert_eq!(message.reason, ModelFailure::ChecksumMismatch);

    let missing = format!("file://{folder}/missing.onnx");
    let message = Fixture::new()
        .fetch(&missing, &["--source-dir", folder])
        .unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelNotFound);
    assert!(message.message.contains("missing.onnx"), "{message:?}");
}
