//! The body of a response, which reports to the connection when the client takes it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http::{HeaderValue, Response, header};
use http_body::{Body as _, Frame, SizeHint};

use super::activity::ActiveRequest;
use super::request_cost::REQUEST_BYTES;
use crate::request_memory::{AlreadyCharged, MemoryExhausted, Reservation};

/// Maximum bytes that are handed to hyper at once. They can't be tracked any further, so a large response in
/// one piece would count as taken long before its client has it.
const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// The body of a response. Its request is active until it is dropped.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Body,
    /// The part of the body's last frame that wasn't handed to hyper yet.
    rest: Bytes,
    request: ActiveRequest,
    /// Memory of the request, and of the body if its size is known. None if the body has its own reservation.
    reservation: Option<Reservation>,
}

impl TrackedBody {
    /// Tracks the response to a request. `reservation` is its [`REQUEST_BYTES`], and the bytes of its body if
    /// they are known.
    pub(super) fn track(
        mut request: ActiveRequest,
        mut response: Response<Body>,
        reservation: Reservation,
    ) -> Response<Self> {
        let is_charged = response
            .extensions_mut()
            .remove::<AlreadyCharged>()
            .is_some();
        if request.is_last() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        request.await_client(true);
        response.map(|body| Self {
            body,
            rest: Bytes::new(),
            request,
            reservation: (!is_charged).then_some(reservation),
        })
    }

    /// Attaches to a frame the memory that it takes until the client has all of it: hyper may keep it for
    /// long.
    fn charge(&mut self, data: Bytes) -> Result<Bytes, MemoryExhausted> {
        let Some(reservation) = &mut self.reservation else {
            return Ok(data);
        };
        let known = reservation.bytes().saturating_sub(REQUEST_BYTES);
        reservation.grow(data.len().saturating_sub(known))?;
        let part = if self.body.is_end_stream() {
            reservation.bytes()
        } else {
            data.len()
        };
        Ok(reservation.split(part).attach(data))
    }
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // hyper asks for more only when the client has taken what was handed over.
        self.request.client_took();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = self.charge(data).map_err(axum::Error::new)?,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(MAX_CHUNK_BYTES);
        let chunk = self.rest.split_to(length);
        let is_last = self.is_end_stream();
        self.request.await_client(is_last);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let body = self.body.size_hint();
        let mut whole = SizeHint::new();
        whole.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use axum::http::Version;
    use futures::FutureExt;
    use futures::channel::mpsc::unbounded;
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;
    use crate::net::activity::Activity;
    use crate::request_memory::RequestMemory;

    /// Memory for any of the responses here.
    fn reservation() -> Reservation {
        let budget = RequestMemory::new(NonZeroUsize::new(1 << 20).unwrap());
        budget.reserve(REQUEST_BYTES).unwrap()
    }

    #[tokio::test]
    async fn a_large_body_is_complete_and_in_chunks_and_its_request_active_to_the_last() {
        let whole: Vec<u8> = (0..3 * MAX_CHUNK_BYTES + 7)
            .map(|byte| (byte % 251) as u8)
            .collect();
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        let request = activity.begin_request(Version::HTTP_2);
        let response = Response::new(Body::from(whole.clone()));
        let mut answer = TrackedBody::track(request, response, reservation()).into_body();
        let mut left = whole.len();
        let mut received = Vec::new();
        while let Some(frame) = answer.frame().await {
            let chunk = frame.unwrap().into_data().unwrap();
            assert!(chunk.len() <= MAX_CHUNK_BYTES);
            left -= chunk.len();
            assert_eq!(answer.size_hint().exact(), Some(left as u64));
            assert_eq!(answer.is_end_stream(), left == 0);
            assert!(activity.idle_since().is_none());
            received.extend_from_slice(&chunk);
        }
        assert_eq!(received, whole);
        drop(answer);
        assert!(activity.idle_since().is_some());
    }

    #[tokio::test]
    async fn a_response_is_untaken_only_while_it_is_the_clients_turn() {
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        let request = activity.begin_request(Version::HTTP_2);
        let (sender, receiver) = unbounded::<Result<&str, std::io::Error>>();
        let body = Body::from_stream(receiver);
        assert!(activity.untaken_since().is_none(), "no response yet");
        let mut answer =
            TrackedBody::track(request, Response::new(body), reservation()).into_body();
        assert!(activity.untaken_since().is_some(), "its head");
        assert!(answer.frame().now_or_never().is_none());
        assert!(activity.untaken_since().is_none(), "the server's turn");
        sender.unbounded_send(Ok("more")).unwrap();
        answer.frame().await.unwrap().unwrap();
        assert!(activity.untaken_since().is_some());
        drop(answer);
        assert!(activity.untaken_since().is_none());
    }
}
