//! Removes frames on which h2 would break a connection off after its last GOAWAY.
//!
//! A connection over HTTP/2 ends with two GOAWAY frames (RFC 9113, section 6.8). The first asks for no more
//! requests, and a PING is sent with it. After the client has acknowledged the PING, the second names the last
//! request that is answered. A client that began another request before it read the first GOAWAY may send its
//! frames after the acknowledgement. The second GOAWAY tells the client to send it to another server, so nothing
//! is lost.
//!
//! h2 0.4.20 ignores HEADERS, DATA and `RST_STREAM` of such a request, but treats its `WINDOW_UPDATE` as a
//! connection error: `Inner::recv_window_update` in `src/proto/streams/streams.rs` finds no stream and
//! `ensure_not_idle` fails, because the HEADERS before it were ignored. The requests that are still to be
//! answered are lost. Clients of gRPC send a `WINDOW_UPDATE` right after the head of each request.
//!
//! The test `h2_still_fails_for_a_late_window_update` fails once h2 is fixed. Then this file can be deleted.

use super::frames::{ACK, FrameHead, HEADERS, PING, WINDOW_UPDATE};

/// The payload of the PING that h2 sends with its first GOAWAY (`SHUTDOWN_PAYLOAD` in its `src/frame/ping.rs`).
pub(super) const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// Finds the late frames of a connection.
#[derive(Debug, Default)]
pub(super) struct GoawayFilter {
    /// Whether the latest frame may be the acknowledgement of the shutdown's PING.
    may_acknowledge: bool,
    /// The latest request whose head was sent.
    latest: u32,
    /// The last request that is answered, once the PING was acknowledged.
    last: Option<u32>,
}

impl GoawayFilter {
    /// Takes in the head of a frame.
    pub(super) fn head(&mut self, head: &FrameHead) {
        if head.kind() == HEADERS {
            self.latest = self.latest.max(head.stream());
        }
        self.may_acknowledge =
            head.kind() == PING && head.flags() & ACK != 0 && head.length() == SHUTDOWN_PING.len();
    }

    /// Takes in a part of the payload of the latest frame.
    pub(super) fn payload(&mut self, bytes: &[u8], offset: usize) {
        let expected = SHUTDOWN_PING.get(offset..).unwrap_or_default();
        self.may_acknowledge &= expected.starts_with(bytes);
        if self.may_acknowledge && bytes.len() == expected.len() && self.last.is_none() {
            self.last = Some(self.latest);
        }
    }

    /// Whether frames may be late: the PING was acknowledged.
    pub(super) const fn is_active(&self) -> bool {
        self.last.is_some()
    }

    /// Whether a frame is to be removed.
    pub(super) fn removes(&self, head: &FrameHead) -> bool {
        let is_late = self.last.is_some_and(|last| head.stream() > last);
        is_late && head.kind() == WINDOW_UPDATE
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::sync::oneshot;

    use super::super::frames::PREFACE;
    use super::*;

    const END_HEADERS_AND_STREAM: u8 = 0x4 | 0x1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;

    /// `GET http://x/` in HPACK.
    const GET: &[u8] = b"\x82\x86\x84\x41\x01x";

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
        [&head.concat(), payload].concat()
    }

    /// Runs hyper and h2 without the filter.
    #[tokio::test]
    async fn h2_still_fails_for_a_late_window_update() {
        let (mut client, server) = duplex(64 * 1024);
        let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
        let service = service_fn(move |_: Request<_>| {
            let begun = begun.clone();
            async move {
                begun.send(()).await.unwrap();
                std::future::pending::<Result<Response<String>, Infallible>>().await
            }
        });
        let (shut_down, shutdown) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let connection = http.serve_connection(TokioIo::new(server), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => panic!("it ended too early"),
                _ = shutdown => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        });
        let settings = frame(SETTINGS, 0, 0, &[]);
        let first = frame(HEADERS, END_HEADERS_AND_STREAM, 1, GET);
        let opening = [PREFACE, &settings, &first].concat();
        client.write_all(&opening).await.unwrap();
        has_begun.recv().await.unwrap();
        shut_down.send(()).unwrap();
        let late = [
            frame(PING, ACK, 0, &SHUTDOWN_PING),
            frame(HEADERS, END_HEADERS_AND_STREAM, 3, GET),
            frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 5]),
        ];
        let mut is_acknowledged = false;
        let reason = loop {
            let mut head = FrameHead::default();
            client.read_exact(&mut head.0).await.unwrap();
            let mut payload = vec![0; head.length()];
            client.read_exact(&mut payload).await.unwrap();
            match (head.kind(), payload.get(4..8)) {
                (PING, _) if payload == SHUTDOWN_PING => {
                    is_acknowledged = true;
                    client.write_all(&late.concat()).await.unwrap();
                    // The answer to this one comes after that to the late frames.
                    let after = frame(PING, 0, 0, b"the last");
                    client.write_all(&after).await.unwrap();
                }
                (PING, _) if payload == b"the last" => break None,
                (GOAWAY, Some(reason)) if is_acknowledged && reason != [0; 4] => {
                    break Some(reason.to_vec());
                }
                _ => {}
            }
        };
        assert_eq!(
            reason,
            Some(vec![0, 0, 0, 1]),
            "h2 is fixed: it doesn't answer a late WINDOW_UPDATE with PROTOCOL_ERROR any more. \
             Delete net/goaway_filter.rs and its use in net/frame_filter.rs"
        );
        ended.abort();
    }
}
