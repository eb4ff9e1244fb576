//! The body of an answer, which knows how much of it was taken.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http::{HeaderValue, Response, header};
use http_body::{Body as _, Frame, SizeHint};

use super::activity::ActiveRequest;
use super::request_cost::REQUEST_BYTES;
use crate::body::{AlreadyCharged, MemoryExhausted, Reservation};

/// Most bytes that are handed over at once. What is handed over is out of sight, so a large answer
/// in one piece would count as given long before its client has it.
const PIECE: usize = 64 * 1024;

/// The body of an answer. Its request is in flight until it is dropped.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Body,
    /// What was not handed over yet of the body's last frame.
    rest: Bytes,
    in_flight: ActiveRequest,
    /// Memory of the request, and of what the body holds where that is known. None where the body has its
    /// own.
    held: Option<Reservation>,
}

impl TrackedBody {
    /// The answer to a request. `held` is its [`REQUEST_BYTES`], and the bytes of its body where they are
    /// known.
    pub(super) fn to(
        mut in_flight: ActiveRequest,
        mut response: Response<Body>,
        held: Reservation,
    ) -> Response<Self> {
        let is_kept = response
            .extensions_mut()
            .remove::<AlreadyCharged>()
            .is_some();
        if in_flight.is_last() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        in_flight.offered(true);
        response.map(|body| Self {
            body,
            rest: Bytes::new(),
            in_flight,
            held: (!is_kept).then_some(held),
        })
    }

    /// A frame of the body with the memory that it takes, until the client has all of it: what is handed
    /// over may wait long to be sent.
    fn charged(&mut self, data: Bytes) -> Result<Bytes, MemoryExhausted> {
        let Some(held) = &mut self.held else {
            return Ok(data);
        };
        let known = held.bytes().saturating_sub(REQUEST_BYTES);
        held.grow(data.len().saturating_sub(known))?;
        let part = if self.body.is_end_stream() {
            held.bytes()
        } else {
            data.len()
        };
        Ok(held.split(part).keep(data))
    }
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Nobody asks for more before the client has room for it.
        self.in_flight.taken();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = self.charged(data).map_err(axum::Error::new)?,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        let is_last = self.is_end_stream();
        self.in_flight.offered(is_last);
        Poll::Ready(Some(Ok(Frame::data(piece))))
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
    use crate::body::RequestMemory;
    use crate::net::activity::Activity;

    /// Of a budget that has room for any of these answers.
    fn held() -> Reservation {
        let budget = RequestMemory::new(NonZeroUsize::new(1 << 20).unwrap());
        budget.reserve(REQUEST_BYTES).unwrap()
    }

    #[tokio::test]
    async fn a_large_body_comes_whole_and_in_pieces_and_is_in_flight_to_the_last() {
        let whole: Vec<u8> = (0..3 * PIECE + 7).map(|byte| (byte % 251) as u8).collect();
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        let request = activity.request(Version::HTTP_2);
        let response = Response::new(Body::from(whole.clone()));
        let mut answer = TrackedBody::to(request, response, held()).into_body();
        let mut left = whole.len();
        let mut received = Vec::new();
        while let Some(frame) = answer.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            left -= piece.len();
            assert_eq!(answer.size_hint().exact(), Some(left as u64));
            assert_eq!(answer.is_end_stream(), left == 0);
            assert!(activity.idle_since().is_none());
            received.extend_from_slice(&piece);
        }
        assert_eq!(received, whole);
        drop(answer);
        assert!(activity.idle_since().is_some());
    }

    #[tokio::test]
    async fn an_answer_is_untaken_only_while_it_is_the_clients_turn() {
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        let request = activity.request(Version::HTTP_2);
        let (sender, receiver) = unbounded::<Result<&str, std::io::Error>>();
        let body = Body::from_stream(receiver);
        assert!(activity.untaken_since().is_none(), "no answer yet");
        let mut answer = TrackedBody::to(request, Response::new(body), held()).into_body();
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
