//! Downloads that are slow, or are interrupted and resumed.

use std::time::{Duration, Instant};

use super::*;

/// An answer that announces the whole model, and breaks off.
fn broken(headers: &str, content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n{headers}\r\n{content}")
}

/// An answer with bytes from `first` on, which breaks off where that isn't all.
fn rest(first: usize, content: &str) -> String {
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-6/7\r\n\r\n{content}",
        7 - first
    )
}

/// What a request asks for, if not for the whole.
fn range(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("range: "))
}

#[track_caller]
fn assert_ranges(server: &WebServer, expected: &[Option<&str>]) {
    let heads = server.heads();
    let ranges: Vec<_> = heads.iter().map(|head| range(head)).collect();
    assert_eq!(ranges, expected);
}

#[test]
fn an_interrupted_download_is_resumed() {
    let server = WebServer::start(&[broken("ETag: \"one\"\r\n", "a mo"), rest(4, "del")]);
    let fixture = Fixture::new();
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    fixture.assert_has_model();
    assert_ranges(&server, &[None, Some("bytes=4-")]);
    assert!(server.heads()[1].contains("if-range: \"one\"\r\n"));
}

#[test]
fn each_attempt_that_brings_more_earns_another_one() {
    let server = WebServer::start(&[broken("", "a "), rest(2, "mo"), rest(4, "de"), rest(6, "l")]);
    let fixture = Fixture::new();
    let arguments = ["--sha256", SHA256, "--retries", "0"];
    fixture.fetch(&server.url(), &arguments).unwrap();
    fixture.assert_has_model();
    let expected = [None, Some("bytes=2-"), Some("bytes=4-"), Some("bytes=6-")];
    assert_ranges(&server, &expected);
    assert!(!server.heads().concat().contains("if-range"));
}

#[test]
fn another_run_goes_on_where_the_last_one_gave_up() {
    let fixture = Fixture::new();
    let away = WebServer::start(&[broken("", "a mo"), status("503 Service Unavailable")]);
    let arguments = ["--sha256", SHA256, "--retries", "0"];
    let message = fixture.fetch(&away.url(), &arguments).unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelUnreachable);
    let server = WebServer::start(&[rest(4, "del")]);
    fixture.fetch(&server.url(), &arguments).unwrap();
    fixture.assert_has_model();
    assert_ranges(&server, &[Some("bytes=4-")]);

    // What is left of one model is nothing for another.
    let fixture = Fixture::new();
    fixture.fetch(&away.url(), &arguments).unwrap_err();
    let server = WebServer::start(&[ok("another model")]);
    let arguments = ["--sha256", ANOTHER_SHA256];
    fixture.fetch(&server.url(), &arguments).unwrap();
    assert_ranges(&server, &[None]);
    assert_eq!(fixture.files(), ["model.onnx"]);
}

#[test]
fn a_server_without_ranges_or_with_another_file_begins_again() {
    let tagged = broken("ETag: \"one\"\r\n", "a mo");
    let server = WebServer::start(&[tagged, ok(CONTENT)]);
    let fixture = Fixture::new();
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    fixture.assert_has_model();
    assert_ranges(&server, &[None, Some("bytes=4-")]);
}

#[test]
fn parts_of_two_files_are_never_the_model() {
    let server = WebServer::start(&[broken("", "the "), rest(4, "del"), ok(CONTENT)]);
    let fixture = Fixture::new();
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    fixture.assert_has_model();
    assert_ranges(&server, &[None, Some("bytes=4-"), None]);

    // Where the whole is wrong, too, it is the model's checksum that is.
    let server = WebServer::start(&[broken("", "the "), rest(4, "del"), ok("another model")]);
    let message = Fixture::new()
        .fetch(&server.url(), &["--sha256", SHA256])
        .unwrap_err();
    assert_eq!(message.reason, ModelFailure::ChecksumMismatch);
}

#[test]
fn a_response_with_another_part_is_not_the_rest() {
    let refused = status("416 Range Not Satisfiable");
    let bare = "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\ndel".to_owned();
    for answer in [rest(3, "odel"), refused, bare] {
        let server = WebServer::start(&[broken("", "a mo"), answer, ok(CONTENT)]);
        let fixture = Fixture::new();
        fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
        fixture.assert_has_model();
        assert_ranges(&server, &[None, Some("bytes=4-"), None]);
    }
}

#[test]
fn the_rest_completes_the_received_part() {
    let long =
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\n\r\ndel and".to_owned();
    let announced = long.replacen("\r\n", "\r\nContent-Length: 6\r\n", 1);
    for answer in [long, announced] {
        let server = WebServer::start(&[broken("", "a mo"), answer]);
        let fixture = Fixture::new();
        let arguments = ["--sha256", SHA256, "--max-bytes", "7"];
        let message = fixture.fetch(&server.url(), &arguments).unwrap_err();
        assert_eq!(message.reason, ModelFailure::ModelTooLarge, "{message:?}");
        assert!(fixture.files().is_empty());
    }
}

#[test]
fn a_fault_that_stays_leaves_nothing() {
    let server = WebServer::start(&[broken("", "a mo"), status("404 Not Found")]);
    let fixture = Fixture::new();
    let message = fixture
        .fetch(&server.url(), &["--sha256", SHA256])
        .unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelNotFound);
    assert!(fixture.files().is_empty());
}

/// Sends the model byte by byte, with these pauses, and after some of them nothing more.
fn slow(pause: Duration, bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/model.onnx", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream).unwrap();
        let _client_left = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
        for byte in CONTENT.bytes().take(bytes) {
            thread::sleep(pause);
            let _client_left = stream.write_all(&[byte]);
        }
        // Until the test's process ends.
        thread::park();
    });
    url
}

#[test]
fn a_slow_download_takes_longer_than_it_may_stand_still() {
    let url = slow(Duration::from_millis(600), CONTENT.len());
    let fixture = Fixture::new();
    let began = Instant::now();
    let arguments = ["--sha256", SHA256, "--stall-timeout-seconds", "3"];
    fixture.fetch(&url, &arguments).unwrap();
    fixture.assert_has_model();
    assert!(began.elapsed() > Duration::from_secs(3));
}

#[test]
fn a_stalled_download_fails_and_the_received_part_remains() {
    let url = slow(Duration::ZERO, 4);
    let fixture = Fixture::new();
    let arguments = ["--sha256", SHA256, "--stall-timeout-seconds", "1"];
    let message = fixture.fetch(&url, &arguments).unwrap_err();
    assert_eq!(message.reason, ModelFailure::ModelUnreachable);
    assert!(
        message.message.contains("the timeout passed"),
        "{message:?}"
    );
    let server = WebServer::start(&[rest(4, "del")]);
    fixture.fetch(&server.url(), &["--sha256", SHA256]).unwrap();
    assert_ranges(&server, &[Some("bytes=4-")]);
}
