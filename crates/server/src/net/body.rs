//! The body of a request, which tells how it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::activity::Arriving;

/// The body of a request.
#[derive(Debug)]
pub(super) struct RequestBody<B = Incoming> {
    body: B,
    arriving: Arriving,
}

impl<B> RequestBody<B> {
    pub(super) const fn new(body: B, arriving: Arriving) -> Self {
        Self { body, arriving }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_pending() {
            self.arriving.nothing();
        }
        let frame = ready!(polled);
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.arriving.some(bytes);
            }
            Some(Err(_)) | None => self.arriving.over(),
        }
        if self.body.is_end_stream() {
            self.arriving.over();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::http::Version;
    use futures::FutureExt;
    use futures::channel::mpsc::unbounded;
    use http_body_util::BodyExt;
    use tokio::time::advance;

    use super::*;
    use crate::net::activity::Activity;

    #[tokio::test(start_paused = true)]
    async fn a_body_of_which_next_to_nothing_comes_is_a_stall_from_its_beginning() {
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        let request = activity.request(Version::HTTP_11);
        let (sender, receiver) = unbounded::<Result<Bytes, std::io::Error>>();
        let body = axum::body::Body::from_stream(receiver);
        let mut body = RequestBody::new(body, request.arriving());
        let send = |bytes: usize| sender.unbounded_send(Ok(vec![7; bytes].into())).unwrap();
        assert_eq!(activity.stalled_since(), None, "it isn't asked for");
        assert!(body.frame().now_or_never().is_none());
        let since = activity.stalled_since().unwrap();
        for _ in 0..3 {
            advance(Duration::from_secs(1)).await;
            send(1);
            assert!(body.frame().now_or_never().is_some());
            assert!(body.frame().now_or_never().is_none());
            assert_eq!(activity.stalled_since(), Some(since));
        }
        send(100_000);
        assert!(body.frame().now_or_never().is_some());
        assert_eq!(activity.stalled_since(), None, "the server's turn");
        assert!(body.frame().now_or_never().is_none());
        assert!(activity.stalled_since().unwrap() > since);
        drop(body);
        assert_eq!(activity.stalled_since(), None, "nobody reads it");
    }
}
