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
use crate::body::{AlreadyCharged, ReadError, Reservation};
use crate::metrics;
use crate::net::{IdleGuard, IdleHandle};
use crate::v2::ProtocolError;

/// Has the bodies of requests read within bounds, and counts the requests for inference that don't
/// get through.
pub(super) async fn limit_bodies(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.version() < Version::HTTP_2 {
        // It has no frames to end a stream of messages with.
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2").into_response();
    }
    let path = request.uri().path();
    let is_reflection = path.ends_with(reflection::METHOD);
    let is_stream = is_reflection || path.ends_with("/ModelStreamInfer");
    let series = path
        .ends_with("/ModelInfer")
        .then(|| Arc::clone(app.metrics.of_no_model()));
    let arrival = Arc::new(PendingCall::new(series));
    let idle_handle = request.extensions().get::<IdleHandle>().cloned();
    let held = is_reflection.then(|| app.bodies.reserve(reflection::CALL_BYTES));
    let answers = match held.transpose() {
        Ok(answers) => answers,
        Err(exhausted) => return grpc_status(&exhausted.into()).into_http(),
    };
    // Whoever watches waits for ever.
    let waiting = idle_handle.as_ref().filter(|_| path.ends_with("/Watch"));
    let waiting = waiting.map(IdleHandle::idle);
    request.extensions_mut().insert(Arc::clone(&arrival));
    let messages = |body| MessageBody {
        body,
        held: app.bodies.hold(),
        timeout: app.request_timeout,
        timer: None,
        is_stream,
        cursor: MessageCursor::default(),
        messages: 0,
        whole: None,
        ended: false,
        arrival: Arc::clone(&arrival),
        // A stream of requests for inference tells it by itself: it reads ahead of its answers.
        idle_handle: idle_handle.filter(|_| is_reflection),
        waiting: None,
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
    // Whatever kept it from the service, it was about the message.
    arrival.count(metrics::Status::Invalid);
    let held = response.extensions_mut().remove::<Arc<Reservation>>();
    let held = held.and_then(Arc::into_inner);
    if held.is_some() {
        response.extensions_mut().insert(AlreadyCharged);
    }
    if held.is_none() && waiting.is_none() && answers.is_none() {
        return response;
    }
    response.map(|body| until_taken(body, held, (waiting, answers)))
}

/// An answer with what belongs to it for as long as something of it is left; its message keeps `held`.
fn until_taken<T: Send + 'static>(
    body: Body,
    mut held: Option<Reservation>,
    belongings: T,
) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _until_dropped = &belongings;
        frame.map_data(|message| match held.take() {
            Some(held) => held.keep(message),
            None => message,
        })
    }))
}

/// A body of messages. Of a call that has one message, nothing that completes it is given before the
/// body's end: whoever has a message decodes it, after which it may take many times its bytes, and
/// waits for the end.
struct MessageBody {
    body: Body,
    /// Memory of what was read and isn't done with.
    held: Reservation,
    /// Longest time from the first byte of a message to its last one, and to the body's end where
    /// there is only one message.
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether there may be many messages, and any time between them.
    is_stream: bool,
    cursor: MessageCursor,
    /// Complete messages so far.
    messages: usize,
    /// The last part of the only message, until the body ends.
    whole: Option<Bytes>,
    ended: bool,
    arrival: Arc<PendingCall>,
    /// To be told while a stream waits for its next message.
    idle_handle: Option<IdleHandle>,
    waiting: Option<IdleGuard>,
}

impl MessageBody {
    /// Goes on by a part of the body.
    fn take(&mut self, part: &Bytes) -> Result<(), Status> {
        self.held.grow(part.len()).map_err(|exhausted| {
            let refusal = ProtocolError::from(exhausted);
            self.arrival.count(refusal.status());
            grpc_status(&refusal)
        })?;
        let whole = self.cursor.advance(part);
        if whole > 0 {
            self.messages += whole;
            if self.is_stream {
                self.timer = None;
            }
        }
        let is_beyond = self.messages > 0 && !(self.messages == 1 && self.cursor.is_between());
        if !self.is_stream && is_beyond {
            let problem = InvalidRequest::Invalid("the call has more than one message".to_owned());
            return Err(grpc_status(&problem.into()));
        }
        Ok(())
    }

    /// Lets the body end, and gives what was kept back.
    fn end(&mut self) -> Option<Bytes> {
        self.ended = true;
        self.timer = None;
        self.whole.take()
    }

    fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, axum::BoxError>>> {
        if self.is_stream {
            // Whoever reads asks for more only when it has taken out every message that is whole.
            self.held.shrink_to(self.cursor.begun());
        }
        while !self.ended {
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => {
                    self.waiting = None;
                    frame.transpose()?
                }
                Poll::Pending if self.is_stream && self.cursor.is_between() => {
                    if self.waiting.is_none() {
                        self.waiting = self.idle_handle.as_ref().map(IdleHandle::idle);
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
            // Trailers mean nothing to us, and come last.
            let Some(Ok(part)) = frame.map(Frame::into_data) else {
                return Poll::Ready(self.end().map(Ok));
            };
            self.take(&part)?;
            if self.is_stream || !self.cursor.is_between() || self.messages == 0 {
                return Poll::Ready(Some(Ok(part)));
            }
            // An empty part may follow the last one.
            self.whole.get_or_insert(part);
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
    use crate::body::RequestMemory;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn message(length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, length];
        bytes.resize(bytes.len() + usize::from(length), 7);
        bytes
    }

    fn parts(parts: Vec<Vec<u8>>) -> impl futures::Stream<Item = Result<Vec<u8>, axum::Error>> {
        stream::iter(parts).map(Ok)
    }

    fn messages(body: Body, budget: &RequestMemory, is_stream: bool) -> MessageBody {
        MessageBody {
            body,
            held: budget.hold(),
            timeout: TIMEOUT,
            timer: None,
            is_stream,
            cursor: MessageCursor::default(),
            messages: 0,
            whole: None,
            ended: false,
            arrival: Arc::new(PendingCall::new(None)),
            idle_handle: None,
            waiting: None,
        }
    }

    fn budget(bytes: usize) -> RequestMemory {
        RequestMemory::new(NonZeroUsize::new(bytes).unwrap())
    }

    async fn next(body: &mut MessageBody) -> Option<Result<Bytes, tonic::Code>> {
        let frame = body.frame().await?;
        let part = frame.map(|frame| frame.into_data().unwrap());
        Some(part.map_err(|error: BoxError| error.downcast_ref::<Status>().unwrap().code()))
    }

    #[tokio::test]
    async fn a_message_of_a_stream_takes_memory_until_the_next_one_is_asked_for() {
        let budget = budget(150);
        let two = Body::from_stream(parts(vec![message(95), message(95)]));
        let mut body = messages(two, &budget, true);
        assert!(next(&mut body).await.unwrap().is_ok());
        assert!(budget.hold().grow(60).is_err(), "100 of 150 are taken");
        assert!(next(&mut body).await.unwrap().is_ok());
        assert_eq!(next(&mut body).await, None);
        assert!(budget.hold().grow(150).is_ok());
    }

    /// As pipelining clients send them: one frame has the end of one and the beginning of another.
    #[tokio::test(start_paused = true)]
    async fn messages_that_share_frames_give_back_their_memory_and_have_each_its_time() {
        let budget = budget(200);
        let whole = message(95).repeat(100);
        let cut = whole.chunks(70).map(<[u8]>::to_vec).collect();
        let slow = parts(cut).then(async |part| {
            tokio::time::sleep(TIMEOUT / 3).await;
            part
        });
        let mut body = messages(Body::from_stream(slow), &budget, true);
        let mut received = Vec::new();
        while let Some(part) = next(&mut body).await {
            received.extend_from_slice(&part.unwrap());
        }
        assert_eq!(received, whole);
    }

    #[tokio::test]
    async fn a_message_without_room_is_refused() {
        let mut body = messages(Body::from(message(200)), &budget(150), false);
        let refused = next(&mut body).await.unwrap();
        assert_eq!(refused, Err(tonic::Code::ResourceExhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_to_its_end_is_given_up() {
        for is_stream in [false, true] {
            let part = message(100)[..10].to_vec();
            let endless = parts(vec![part]).chain(stream::pending());
            let mut body = messages(Body::from_stream(endless), &budget(150), is_stream);
            assert!(next(&mut body).await.unwrap().is_ok());
            let refused = next(&mut body).await.unwrap();
            assert_eq!(refused, Err(tonic::Code::DeadlineExceeded));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_only_message_is_kept_back_until_the_body_ends() {
        let budget = budget(150);
        let endless = parts(vec![message(95)]).chain(stream::pending());
        let mut body = messages(Body::from_stream(endless), &budget, false);
        let began = tokio::time::Instant::now();
        let refused = next(&mut body).await.unwrap();
        assert_eq!(refused, Err(tonic::Code::DeadlineExceeded));
        assert_eq!(began.elapsed(), TIMEOUT);
        assert!(budget.hold().grow(60).is_err(), "100 of 150 are taken");

        let ends = parts(vec![message(95)[..50].to_vec(), message(95)[50..].to_vec()]);
        let mut body = messages(Body::from_stream(ends), &self::budget(150), false);
        assert_eq!(next(&mut body).await.unwrap().unwrap().len(), 50);
        assert_eq!(next(&mut body).await.unwrap().unwrap().len(), 50);
        assert_eq!(next(&mut body).await, None);
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_call_with_one_message_has_no_more() {
        for more in [message(3), message(3)[..2].to_vec(), message(0)] {
            let two = Body::from_stream(parts(vec![message(9), more]));
            let mut body = messages(two, &budget(150), false);
            let refused = next(&mut body).await.unwrap();
            assert_eq!(refused, Err(tonic::Code::InvalidArgument));
        }
    }
}
