//! Counts of hostile bodies and connections, and of their results.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// The result of a hostile body or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Came {
    /// A response with this HTTP status.
    Status(u16),
    /// A response with this gRPC code.
    Grpc(u16),
    /// The server closed the connection or the stream.
    Closed,
    /// No response before the timeout of the attacker.
    Nothing,
    /// The attacker sent everything, and closed the connection.
    Sent,
    /// The connection could not be opened.
    Refused,
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Grpc(code) => write!(f, "grpc {code}"),
            Self::Closed => f.write_str("closed"),
            Self::Nothing => f.write_str("nothing"),
            Self::Sent => f.write_str("sent"),
            Self::Refused => f.write_str("refused"),
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// Bodies over HTTP/1.
    Http1,
    /// Bodies over HTTP/2, including gRPC.
    Http2,
    /// Connections.
    Connection,
}

/// Counts by kind and result.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<(What, &'static str, Came), u64>>);

impl Tally {
    /// Adds one.
    pub(crate) fn add(&self, what: What, kind: &'static str, came: Came) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((what, kind, came)).or_default() += 1;
    }

    fn count(&self, counted: impl Fn(What, Came) -> bool) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counts
            .iter()
            .filter(|((what, _, came), _)| counted(*what, *came));
        counted.map(|(_, count)| count).sum()
    }

    /// Number of bodies that were sent, at least in part.
    pub(crate) fn bodies(&self) -> u64 {
        self.count(|what, came| what != What::Connection && came != Came::Refused)
    }

    /// Number of connections that were opened.
    pub(crate) fn connections(&self) -> u64 {
        self.count(|what, came| what == What::Connection && came != Came::Refused)
    }

    /// A line for each kind.
    pub(crate) fn table(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut last = None;
        for ((what, kind, came), count) in counts.iter() {
            if last != Some((what, kind)) {
                let over = match what {
                    What::Http1 => "HTTP/1",
                    What::Http2 => "HTTP/2",
                    What::Connection => "open",
                };
                let line = if last.is_some() { "\n" } else { "" };
                let _infallible = write!(text, "{line}{over:7} {kind:26}");
                last = Some((what, kind));
            }
            let _infallible = write!(text, "  {came}: {count}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_connections_count_where_the_server_met_them() {
        let tally = Tally::default();
        tally.add(What::Http1, "a", Came::Status(400));
        tally.add(What::Http1, "a", Came::Status(400));
        tally.add(What::Http1, "a", Came::Refused);
        tally.add(What::Http2, "b", Came::Grpc(3));
        tally.add(What::Connection, "c", Came::Closed);
        tally.add(What::Connection, "c", Came::Refused);
        assert_eq!((tally.bodies(), tally.connections()), (3, 1));
        let expected = format!(
            "HTTP/1  {:26}  400: 2  refused: 1\nHTTP/2  {:26}  grpc 3: 1\nopen    {:26}  closed: 1  refused: 1",
            "a", "b", "c"
        );
        assert_eq!(tally.table(), expected);
    }
}
