//! Clients with different rates lose no request in a shutdown.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{PATIENCE, Server, read_prediction, until};

const VALID: &str = r#"{"features": [5.1, 3.5, 1.4, 0.2]}"#;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// Answered, with the connection's last answer.
    AnsweredLast,
    /// The server had closed the connection before the request was sent.
    Closed,
}

/// Asks for a prediction.
fn predict(stream: &mut TcpStream) -> Outcome {
    let length = VALID.len();
    let text =
        format!("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{VALID}");
    // What a pool of connections does before it uses one again.
    stream.set_nonblocking(true).unwrap();
    let closed = matches!(stream.read(&mut [0]), Ok(0));
    stream.set_nonblocking(false).unwrap();
    if closed {
        return Outcome::Closed;
    }
    stream.write_all(text.as_bytes()).unwrap();
    let answer = read_prediction(stream);
    if answer.contains("\r\nconnection: close\r\n") {
        Outcome::AnsweredLast
    } else {
        Outcome::Answered
    }
}

#[test]
fn clients_of_all_rates_lose_nothing_until_new_connections_are_refused() {
    let mut server = Server::start("iris", &["--drain-timeout-seconds", "20"]);
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 0..24_u64 {
            let (address, answered) = (server.address().to_owned(), &answered);
            scope.spawn(move || {
                // From back to back to one request in 1.1 s.
                let pause = Duration::from_millis(client * 50);
                // The pace is kept whatever happens, and a new connection is made when one ends:
                // to the same server, as clients do that no load balancer sends elsewhere. They
                // stop when the server refuses.
                for _connection in 0..3 {
                    let Ok(mut stream) = TcpStream::connect(&address) else {
                        return;
                    };
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    loop {
                        match predict(&mut stream) {
                            Outcome::Answered => {}
                            Outcome::AnsweredLast => break,
                            Outcome::Closed => return,
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(pause);
                    }
                }
            });
        }
        until("load", || answered.load(Ordering::Relaxed) > 500);
        server.terminate();
    });
    assert!(server.wait().success());
}

#[test]
fn connections_are_taken_for_the_delay_however_quiet_it_is() {
    let mut server = Server::start("iris", &["--drain-delay-seconds", "2"]);
    server.terminate();
    server.until_log("draining");
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(server.client().get("/ready").status, 503);
    assert_eq!(server.client().post(VALID).status, 200);
    assert!(server.wait().success());
    assert!(TcpStream::connect(server.address()).is_err());
}
