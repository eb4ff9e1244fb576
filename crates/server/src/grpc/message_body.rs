//! Bodies of gRPC requests: they reserve memory for their messages, and each message has a timeout.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use springtide_open_inference::InvalidRequest;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use super::framing::MessageCursor;
use super::pending_call::PendingCall;
use super::reflection;
use super::status::grpc_status;
use crate::app::App;
use crate::body::ReadError;
use crate::metrics;
use crate::net::{IdleHandle, TurnGuard};
use crate::request_memory::{AlreadyCharged, Reservation};
use crate::v2::ProtocolError;

/// Limits the bodies of requests in memory and time, and counts the inference requests that don't reach the
/// service.
pub(super) async fn limit_bodies(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.version() < Version::HTTP_2 {
        // It has no frames that end a stream of messages.
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2").into_response();
    }
    let path = request.uri().path();
    let is_reflection = path.ends_with(reflection::METHOD);
    let is_stream = is_reflection || path.ends_with("/ModelStreamInfer");
    let series = path
        .ends_with("/ModelInfer")
        .then(|| Arc::clone(app.metrics.of_no_model()));
    let pending = Arc::new(PendingCall::new(series));
    let idle_handle = request.extensions().get::<IdleHandle>().cloned();
    let reservation = is_reflection.then(|| app.request_memory.reserve(reflection::CALL_BYTES));
    let responses = match reservation.transpose() {
        Ok(responses) => responses,
        Err(exhausted) => return grpc_status(&exhausted.into()).into_http(),
    };
    // A stream of health updates has no end of its own.
    let watching = idle_handle.as_ref().filter(|_| path.ends_with("/Watch"));
    let turn = watching.map(IdleHandle::idle);
    request.extensions_mut().insert(Arc::clone(&pending));
    let messages = |body| MessageBody {
        body,
        reservation: app.request_memory.empty_reservation(),
        timeout: app.request_timeout,
        timer: None,
        is_stream,
        cursor: MessageCursor::default(),
        messages: 0,
        last_part: None,
        has_ended: false,
        pending: Arc::clone(&pending),
        // A stream of inference requests reports its turns itself, because it reads ahead of its responses.
        idle_handle: idle_handle.filter(|_| is_reflection),
        turn: None,
    };
    let request = request.map(|body| {
        let body = if is_reflection {
            reflection::until_streams_end(body, &app.lifecycle)
        } else {
            body
        };
        Body::new(messages(body))
    });
    let mut response = next.run(request).await;
    // If it hasn't reached the service, the message was at fault.
    pending.count(metrics::Status::Invalid);
    let reservation = response.extensions_mut().remove::<Arc<Reservation>>();
    let reservation = reservation.and_then(Arc::into_inner);
    if reservation.is_some() {
        response.extensions_mut().insert(AlreadyCharged);
    }
    if reservation.is_none() && turn.is_none() && responses.is_none() {
        return response;
    }
    response.map(|body| attach(body, reservation, (turn, responses)))
}

/// Attaches `guards` to the body of a response, and `reservation` to its message.
fn attach<T: Send + 'static>(body: Body, mut reservation: Option<Reservation>, guards: T) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _until_dropped = &guards;
        frame.map_data(|message| match reservation.take() {
            Some(reservation) => reservation.attach(message),
            None => message,
        })
    }))
}

/// The body of a request. The last part of a unary call's message is passed on only at the end of the body:
/// tonic decodes a complete message, which may take many times its bytes, before it waits for the end.
struct MessageBody {
    body: Body,
    /// Memory of the parts that were read and are still in use.
    reservation: Reservation,
    /// Maximum time from the first byte of a message to its last one, and in a unary call to the end of the body.
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether there may be many messages, with any time between them.
    is_stream: bool,
    cursor: MessageCursor,
    /// Complete messages so far.
    messages: usize,
    /// The last part of a unary call's message, until the body ends.
    last_part: Option<Bytes>,
    has_ended: bool,
    pending: Arc<PendingCall>,
    /// Is told while a stream waits for its next message.
    idle_handle: Option<IdleHandle>,
    turn: Option<TurnGuard>,
}

impl MessageBody {
    /// Takes in a part of the body.
    fn receive(&mut self, part: &Bytes) -> Result<(), Status> {
        self.reservation.grow(part.len()).map_err(|exhausted| {
            let error = ProtocolError::from(exhausted);
            self.pending.count(error.status());
            grpc_status(&error)
        })?;
        let completed = self.cursor.advance(part);
        if completed > 0 {
            self.messages += completed;
            if self.is_stream {
                self.timer = None;
            }
        }
        let has_more = self.messages > 0 && !(self.messages == 1 && self.cursor.is_between());
        if !self.is_stream && has_more {
            let problem = InvalidRequest::Invalid("the call has more than one message".to_owned());
            return Err(grpc_status(&problem.into()));
        }
        Ok(())
    }

    /// Ends the body. Gives the part that was kept back.
    fn end(&mut self) -> Option<Bytes> {
        self.has_ended = true;
        self.timer = None;
        self.last_part.take()
    }

    fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, axum::BoxError>>> {
        if self.is_stream {
            // tonic asks for more only when it has decoded all complete messages.
            self.reservation.shrink_to(self.cursor.incomplete_bytes());
        }
        while !self.has_ended {
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => {
                    self.turn = None;
                    frame.transpose()?
                }
                Poll::Pending if self.is_stream && self.cursor.is_between() => {
                    if self.turn.is_none() {
                        self.turn = self.idle_handle.as_ref().map(IdleHandle::idle);
                    }
                    return Poll::Pending;
                }
                Poll::Pending => {
                    let timeout = self.timeout;
                    let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
                    ready!(timer.as_mut().poll(context));
                    let too_slow = grpc_status(&ProtocolError::Body(ReadError::TooSlow));
                    return Poll::Ready(Some(Err(too_slow.into())));
                }
            };
            // Trailers are ignored, and come last.
            let Some(Ok(part)) = frame.map(Frame::into_data) else {
                return Poll::Ready(self.end().map(Ok));
            };
            self.receive(&part)?;
            if self.is_stream || !self.cursor.is_between() || self.messages == 0 {
                return Poll::Ready(Some(Ok(part)));
            }
            // Empty parts may follow the last one.
            self.last_part.get_or_insert(part);
            if self.body.is_end_stream() {
                return Poll::Ready(self.end().map(Ok));
            }
        }
        Poll::Ready(None)
    }
}

impl HttpBody for MessageBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let part = ready!(self.poll_part(context));
        Poll::Ready(part.map(|part| part.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use axum::BoxError;
    use futures::{StreamExt, stream};

    use super::*;
    use crate::request_memory::RequestMemory;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn message(length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, length];
        bytes.resize(bytes.len() + usize::from(length), 7);
        bytes
    }

    fn parts(parts: Vec<Vec<u8>>) -> impl futures::Stream<Item = Result<Vec<u8>, axum::Error>> {
        stream::iter(parts).map(Ok)
    }

    fn messages(body: Body, memory: &RequestMemory, is_stream: bool) -> MessageBody {
        MessageBody {
            body,
            reservation: memory.empty_reservation(),
            timeout: TIMEOUT,
            timer: None,
            is_stream,
            cursor: MessageCursor::default(),
            messages: 0,
            last_part: None,
            has_ended: false,
            pending: Arc::new(PendingCall::new(None)),
            idle_handle: None,
            turn: None,
        }
    }

    fn memory(bytes: usize) -> RequestMemory {
        RequestMemory::new(NonZeroUsize::new(bytes).unwrap())
    }

    async fn next(body: &mut MessageBody) -> Option<Result<Bytes, tonic::Code>> {
        let frame = body.frame().await?;
        let part = frame.map(|frame| frame.into_data().unwrap());
        Some(part.map_err(|error: BoxError| error.downcast_ref::<Status>().unwrap().code()))
    }

    #[tokio::test]
    async fn a_message_of_a_stream_reserves_memory_until_the_next_one_is_read() {
        let memory = memory(150);
        let two = Body::from_stream(parts(vec![message(95), message(95)]));
        let mut body = messages(two, &memory, true);
        assert!(next(&mut body).await.unwrap().is_ok());
        assert!(
            memory.empty_reservation().grow(60).is_err(),
            "100 of 150 are reserved"
        );
        assert!(next(&mut body).await.unwrap().is_ok());
        assert_eq!(next(&mut body).await, None);
        assert!(memory.empty_reservation().grow(150).is_ok());
    }

    /// Clients that send without waiting put the end of one message and the beginning of the next into one frame.
    #[tokio::test(start_paused = true)]
    async fn messages_that_share_frames_free_their_memory_and_have_a_timeout_each() {
        let memory = memory(200);
        let whole = message(95).repeat(100);
        let cut = whole.chunks(70).map(<[u8]>::to_vec).collect();
        let slow = parts(cut).then(async |part| {
            tokio::time::sleep(TIMEOUT / 3).await;
            part
        });
        let mut body = messages(Body::from_stream(slow), &memory, true);
        let mut received = Vec::new();
        while let Some(part) = next(&mut body).await {
            received.extend_from_slice(&part.unwrap());
        }
        assert_eq!(received, whole);
    }

    #[tokio::test]
    async fn a_message_without_memory_is_rejected() {
        let mut body = messages(Body::from(message(200)), &memory(150), false);
        let rejected = next(&mut body).await.unwrap();
        assert_eq!(rejected, Err(tonic::Code::ResourceExhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn an_incomplete_message_times_out() {
        for is_stream in [false, true] {
            let part = message(100)[..10].to_vec();
            let endless = parts(vec![part]).chain(stream::pending());
            let mut body = messages(Body::from_stream(endless), &memory(150), is_stream);
            assert!(next(&mut body).await.unwrap().is_ok());
            let rejected = next(&mut body).await.unwrap();
            assert_eq!(rejected, Err(tonic::Code::DeadlineExceeded));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_message_of_a_unary_call_is_passed_on_when_the_body_ends() {
        let memory = memory(150);
        let endless = parts(vec![message(95)]).chain(stream::pending());
        let mut body = messages(Body::from_stream(endless), &memory, false);
        let began = tokio::time::Instant::now();
        let rejected = next(&mut body).await.unwrap();
        assert_eq!(rejected, Err(tonic::Code::DeadlineExceeded));
        assert_eq!(began.elapsed(), TIMEOUT);
        assert!(
            memory.empty_reservation().grow(60).is_err(),
            "100 of 150 are reserved"
        );

        let ends = parts(vec![message(95)[..50].to_vec(), message(95)[50..].to_vec()]);
        let mut body = messages(Body::from_stream(ends), &self::memory(150), false);
        assert_eq!(next(&mut body).await.unwrap().unwrap().len(), 50);
        assert_eq!(next(&mut body).await.unwrap().unwrap().len(), 50);
        assert_eq!(next(&mut body).await, None);
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_unary_call_has_no_second_message() {
        for more in [message(3), message(3)[..2].to_vec(), message(0)] {
            let two = Body::from_stream(parts(vec![message(9), more]));
            let mut body = messages(two, &memory(150), false);
            let rejected = next(&mut body).await.unwrap();
            assert_eq!(rejected, Err(tonic::Code::InvalidArgument));
        }
    }
}
