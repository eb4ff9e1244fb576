//! The counters of the metrics agree with the clients.

use std::collections::BTreeMap;
use std::thread;

use crate::support::{Client, Server};

const CLIENTS: usize = 16;
const ROUNDS: usize = 40;

/// Bodies with the rows that they have where they are valid.
const MIXTURE: [(&str, u32); 5] = [
    (r#"{"features": [5.1, 3.5, 1.4, 0.2]}"#, 1),
    (
        r#"{"features": [[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8], [6.0, 2.2, 4.0, 1.0]]}"#,
        3,
    ),
    ("{", 0),
    (r#"{"features": [5.1, 3.5, 1.4]}"#, 0),
    (r#"{"features": [3e38, 3e38, 3e38, 3e38]}"#, 1),
];

/// What the clients saw, by HTTP status.
#[derive(Default)]
struct Seen {
    answers: BTreeMap<u16, u32>,
    /// Rows that ran.
    rows: u32,
    /// Requests that ran.
    ran: u32,
}

impl Seen {
    fn count(&self, statuses: &[u16]) -> f64 {
        let of = |status| self.answers.get(status).copied().unwrap_or(0);
        statuses.iter().map(of).sum::<u32>().into()
    }
}

fn fire(client: &Client, number: usize) -> Seen {
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let (body, rows) = MIXTURE[(number + round) % MIXTURE.len()];
        let answer = client.post(body);
        *seen.answers.entry(answer.status).or_default() += 1;
        // Numbers that are too extreme are refused after the model has run on them.
        let ran = rows > 0 && matches!(answer.status, 200 | 422);
        if ran {
            seen.rows += rows;
            seen.ran += 1;
        }
    }
    seen
}

#[test]
fn under_a_known_mixture_every_counter_agrees_with_the_clients() {
    // A queue that is often full, and batches that wait for each other.
    let server = Server::start(
        "iris",
        &[
            "--batching-policy",
            "window",
            "--max-wait-ms",
            "10",
            "--max-batch-size",
            "4",
            "--max-queue-rows",
            "8",
        ],
    );
    let mut seen = Seen::default();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = server.client();
                scope.spawn(move || fire(&client, number))
            })
            .collect();
        for client in clients {
            let part = client.join().unwrap();
            for (status, count) in part.answers {
                *seen.answers.entry(status).or_default() += count;
            }
            seen.rows += part.rows;
            seen.ran += part.ran;
        }
    });
    let client = server.client();
    let metric = |name: &str, labels: &str| client.metric(name, labels).unwrap();
    let total = seen.count(&[200, 400, 422, 429, 504]);
    assert_eq!(
        total,
        f64::from(u32::try_from(CLIENTS * ROUNDS).unwrap()),
        "{:?}",
        seen.answers
    );
    assert!(seen.count(&[429]) > 0.0, "the queue was never full");
    for (name, labels, expected) in [
        ("ml_requests_received_total", "", total),
        (
            "ml_requests_total",
            r#"status="success""#,
            seen.count(&[200]),
        ),
        (
            "ml_requests_total",
            r#"status="invalid""#,
            seen.count(&[400, 422]),
        ),
        (
            "ml_requests_total",
            r#"status="rejected""#,
            seen.count(&[429]),
        ),
        (
            "ml_requests_total",
            r#"status="timeout""#,
            seen.count(&[504]),
        ),
        ("ml_requests_total", r#"status="error""#, 0.0),
        ("ml_requests_total", r#"status="cancelled""#, 0.0),
        ("ml_active_requests", "", 0.0),
        ("ml_queue_size", "", 0.0),
        ("ml_batch_size_sum", "", seen.rows.into()),
        ("ml_queue_seconds_count", "", seen.ran.into()),
        (
            "ml_request_latency_seconds_count",
            "",
            seen.count(&[200, 504]),
        ),
    ] {
        assert_eq!(metric(name, labels), expected, "{name} {labels}");
    }
    let rejected: f64 = [
        "queue_full",
        "overloaded",
        "draining",
        "loading",
        "no_room_for_body",
    ]
    .map(|reason| metric("ml_requests_dropped_total", &format!("reason=\"{reason}\"")))
    .iter()
    .sum();
    assert_eq!(rejected, seen.count(&[429]));
    assert_eq!(
        metric("ml_batch_size_count", ""),
        metric("ml_compute_seconds_count", "")
    );
}
