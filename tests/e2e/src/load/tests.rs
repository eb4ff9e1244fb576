use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;

/// The action of a server for a request, by its number on its connection, from 0.
type Behaviour = fn(u32) -> Reaction;

enum Reaction {
    Answer(&'static str),
    /// A response, after which the connection is closed with or without `Connection: close`.
    AnswerAndClose(&'static str),
    HangUp,
}

const RIGHT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"prediction\":1}";
const RIGHT_AND_LAST: &str =
    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 16\r\n\r\n{\"prediction\":1}";
const WRONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"prediction\":2}";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";

/// A server on loopback. Returns its address and the number of accepted connections.
async fn server(behaviour: Behaviour) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(stream, behaviour));
        }
    });
    (address, connections)
}

async fn serve(stream: TcpStream, behaviour: Behaviour) {
    let mut stream = BufReader::new(stream);
    for number in 0.. {
        if !read_request(&mut stream).await {
            return;
        }
        match behaviour(number) {
            Reaction::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Reaction::AnswerAndClose(answer) => {
                return stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Reaction::HangUp => return,
        }
    }
}

/// Reads one request. False if the client has closed the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            return stream.read_exact(&mut vec![0; length]).await.is_ok();
        }
    }
}

/// Load of 4 clients, with an end.
async fn load(behaviour: Behaviour) -> (Outcome, u32) {
    let (address, connections) = server(behaviour).await;
    let plan = Plan {
        features: json!([1.0]),
        prediction: json!(1),
        clients: 4,
        requests_per_second: 400,
        at_most: Duration::from_millis(300),
    };
    let mut load = Load::start(address, &plan).unwrap();
    let mut outcome = Outcome::default();
    while let Some(tally) = load.clients.join_next().await {
        outcome.add(tally.unwrap());
    }
    (
        outcome.finished(load.start),
        connections.load(Ordering::Relaxed),
    )
}

#[tokio::test]
async fn right_answers_are_counted_and_half_of_the_clients_keep_their_connection() {
    let (outcome, connections) = load(|_| Reaction::Answer(RIGHT)).await;
    outcome.check(40).unwrap();
    assert!(outcome.check(10_000).is_err());
    assert_eq!(outcome.sent_again, 0);
    let requests = u32::try_from(outcome.answered).unwrap();
    // Two clients with one connection each, and two with one for every ten of their requests.
    assert!(
        (4..=2 + requests / 2 / REQUESTS_PER_SHORT_CONNECTION + 2).contains(&connections),
        "{connections}: {outcome}"
    );
}

#[tokio::test]
async fn a_connection_that_is_closed_with_a_word_costs_nothing() {
    let (outcome, connections) = load(|_| Reaction::AnswerAndClose(RIGHT_AND_LAST)).await;
    outcome.check(40).unwrap();
    assert_eq!(
        (outcome.sent_again, connections as usize),
        (0, outcome.answered)
    );
}

#[tokio::test]
async fn a_kept_connection_that_ends_is_tried_anew_once() {
    let (outcome, _) = load(|number| {
        if number == 0 {
            Reaction::Answer(RIGHT)
        } else {
            Reaction::HangUp
        }
    })
    .await;
    outcome.check(40).unwrap();
    assert!(outcome.sent_again > 10, "{outcome}");
}

#[tokio::test]
async fn a_new_connection_that_ends_without_an_answer_is_a_failure() {
    let (outcome, _) = load(|_| Reaction::HangUp).await;
    assert_eq!((outcome.answered, outcome.sent_again), (0, 0));
    assert!(
        outcome
            .check(0)
            .unwrap_err()
            .to_string()
            .contains("connection closed"),
        "{outcome}"
    );
}

#[tokio::test]
async fn refusals_and_wrong_classes_are_failures() {
    let (outcome, _) =
        load(|number| Reaction::Answer([RIGHT, WRONG, BUSY][number as usize % 3])).await;
    assert!(outcome.answered > 0);
    let failures: Vec<_> = outcome.failures.keys().map(String::as_str).collect();
    assert_eq!(
        failures,
        ["status 200: {\"prediction\":2}", "status 503: busy"]
    );
    assert!(outcome.check(0).is_err());
}

#[tokio::test]
async fn stopping_ends_the_load_and_counts_what_was_answered() {
    let (address, _) = server(|_| Reaction::Answer(RIGHT)).await;
    let plan = Plan {
        features: json!([1.0]),
        prediction: json!(1),
        clients: 2,
        requests_per_second: 100,
        at_most: Duration::from_secs(3600),
    };
    let load = Load::start(address, &plan).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let outcome = load.stop().await.unwrap();
    outcome.check(2).unwrap();
    assert!(Load::start(address, &Plan { clients: 0, ..plan }).is_err());
}
