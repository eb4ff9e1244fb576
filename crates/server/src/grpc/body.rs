//! Messages on their way in: they take their memory from that of all bodies, and may not take for
//! ever.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::Frame;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use super::status::refused;
use crate::body::{Held, ReadError};
use crate::http::App;
use crate::v2::Refusal;

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Most bytes that one byte of deflate can stand for.
const MAX_EXPANSION: usize = 1032;

/// When the head of a request had come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival(pub(super) Instant);

/// Has the bodies of requests read within bounds.
pub(super) async fn within_bounds(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(Arrival(Instant::now()));
    let is_stream = request.uri().path().ends_with("/ModelStreamInfer");
    let (held, timeout, max_bytes) = (
        app.bodies.hold(),
        app.request_timeout,
        app.max_request_bytes,
    );
    next.run(request.map(|body| {
        Body::new(Messages {
            body,
            held,
            max_bytes,
            timeout,
            timer: None,
            // Between the messages of a stream there may be any time.
            place: if is_stream {
                Place::Between
            } else {
                Place::Before
            },
        })
    }))
    .await
}

/// Where in a body its reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the only message.
    Before,
    /// Between two messages, or after the only one.
    Between,
    /// In the bytes before a message.
    Prefix {
        read: usize,
        bytes: [u8; PREFIX_BYTES],
    },
    /// In a message with so many bytes to come.
    Message { left: usize, is_compressed: bool },
}

impl Place {
    /// Goes on by some bytes. Gives the memory that they take once they are decompressed.
    fn advance(&mut self, mut chunk: &[u8]) -> usize {
        let mut memory = 0_usize;
        while !chunk.is_empty() {
            *self = match *self {
                Self::Before | Self::Between => Self::Prefix {
                    read: 0,
                    bytes: [0; PREFIX_BYTES],
                },
                Self::Prefix { read, mut bytes } => {
                    let take = (PREFIX_BYTES - read).min(chunk.len());
                    let (now, rest) = chunk.split_at(take);
                    bytes[read..read + take].copy_from_slice(now);
                    chunk = rest;
                    Self::after_prefix(read + take, bytes)
                }
                Self::Message {
                    left,
                    is_compressed,
                } => {
                    let take = left.min(chunk.len());
                    chunk = &chunk[take..];
                    let expansion = if is_compressed { MAX_EXPANSION } else { 1 };
                    memory = memory.saturating_add(take.saturating_mul(expansion));
                    match left - take {
                        0 => Self::Between,
                        left => Self::Message {
                            left,
                            is_compressed,
                        },
                    }
                }
            };
        }
        memory
    }

    fn after_prefix(read: usize, bytes: [u8; PREFIX_BYTES]) -> Self {
        if read < PREFIX_BYTES {
            return Self::Prefix { read, bytes };
        }
        let [flag, length @ ..] = bytes;
        match usize::try_from(u32::from_be_bytes(length)) {
            Ok(0) => Self::Between,
            left => Self::Message {
                left: left.unwrap_or(usize::MAX),
                is_compressed: flag != 0,
            },
        }
    }
}

/// A body of messages.
struct Messages {
    body: Body,
    /// Memory of the message that is being read.
    held: Held,
    /// Most bytes of a message.
    max_bytes: usize,
    /// Longest time from the first byte of a message to its last one.
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    place: Place,
}

impl Messages {
    fn take(&mut self, chunk: &[u8]) -> Result<(), Status> {
        let memory = self.place.advance(chunk);
        // However small it was compressed, a message may not be larger than this.
        let memory = memory.min(self.max_bytes);
        self.held
            .grow(memory)
            .map_err(|no_room| refused(&no_room.into()))
    }
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if self.place == Place::Between {
            // Whoever reads asks for more only when it has taken out what it had.
            self.held.shrink_to(0);
            self.timer = None;
        }
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending if self.place == Place::Between => return Poll::Pending,
            Poll::Pending => {
                let timeout = self.timeout;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
                ready!(timer.as_mut().poll(context));
                let too_slow = refused(&Refusal::Body(ReadError::TooSlow));
                return Poll::Ready(Some(Err(too_slow.into())));
            }
        };
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(chunk) = frame.data_ref() {
            self.take(chunk)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use futures::stream;
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;
    use crate::body::BodyBudget;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn message(flag: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        bytes.resize(PREFIX_BYTES + length, 7);
        bytes
    }

    fn messages(body: Body, budget: &BodyBudget) -> Messages {
        Messages {
            body,
            held: budget.hold(),
            max_bytes: 1 << 20,
            timeout: TIMEOUT,
            timer: None,
            place: Place::Before,
        }
    }

    fn budget(bytes: usize) -> BodyBudget {
        BodyBudget::new(NonZeroUsize::new(bytes).unwrap())
    }

    fn code(error: &axum::BoxError) -> tonic::Code {
        error.downcast_ref::<Status>().unwrap().code()
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_its_messages_are_counted(
            lengths in prop::collection::vec(0..50_usize, 0..5),
            cuts in prop::collection::vec(1..20_usize, 1..40),
        ) {
            let body: Vec<u8> = lengths.iter().flat_map(|length| message(0, *length)).collect();
            let (mut place, mut memory, mut rest) = (Place::Between, 0, body.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, more) = rest.split_at((*cut).min(rest.len()));
                memory += place.advance(chunk);
                rest = more;
            }
            prop_assert_eq!(memory, lengths.iter().sum::<usize>());
            prop_assert_eq!(place, Place::Between);
        }
    }

    #[tokio::test]
    async fn a_message_takes_memory_until_the_next_one_is_asked_for() {
        let budget = budget(150);
        let two = stream::iter([message(0, 100), message(0, 100)].map(Ok::<_, axum::Error>));
        let mut body = messages(Body::from_stream(two), &budget);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(budget.hold().grow(60).is_err(), "100 of 150 are taken");
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.is_none());
        assert!(budget.hold().grow(150).is_ok());
    }

    #[tokio::test]
    async fn a_message_without_room_is_refused_also_if_it_only_grows_later() {
        for (flag, length) in [(0, 200), (1, 1)] {
            let body = Body::from(message(flag, length));
            let mut body = messages(body, &budget(150));
            let refused = body.frame().await.unwrap().unwrap_err();
            assert_eq!(code(&refused), tonic::Code::ResourceExhausted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_to_its_end_is_given_up() {
        let part = message(0, 100)[..10].to_vec();
        let endless = stream::iter([Ok::<_, axum::Error>(part)]);
        let endless = futures::StreamExt::chain(endless, stream::pending());
        let mut body = messages(Body::from_stream(endless), &budget(150));
        assert!(body.frame().await.unwrap().is_ok());
        let refused = body.frame().await.unwrap().unwrap_err();
        assert_eq!(code(&refused), tonic::Code::DeadlineExceeded);
    }
}
