//! The body of a request, which reports its progress to the connection and discards the part that no
//! handler reads.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::activity::BodyProgress;

/// Maximum bytes of a body that are discarded. If the connection were closed at once, a client that is still
/// sending would see a reset before it sees the response.
const MAX_DISCARDED_BYTES: usize = 4 * 1024 * 1024;

/// Maximum time of that.
const MAX_DISCARD_TIME: Duration = Duration::from_secs(1);

/// The body of a request.
#[derive(Debug)]
pub(super) struct RequestBody<B = Incoming> {
    /// None once all of it was read, or it failed.
    body: Option<B>,
    progress: BodyProgress,
    unread: UnreadBody<B>,
}

impl<B: Body> RequestBody<B> {
    /// Leaves the part that isn't read in `unread`.
    pub(super) fn new(body: B, progress: BodyProgress, unread: &UnreadBody<B>) -> Self {
        Self {
            body: Some(body).filter(|body| !body.is_end_stream()),
            progress,
            unread: unread.clone(),
        }
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.unread.put(Left::Unread(body));
        }
    }
}

/// The part of a request's body that its handler hasn't read. Clones are of the same request.
#[derive(Debug)]
pub(super) struct UnreadBody<B = Incoming>(Arc<Mutex<Left<B>>>);

#[derive(Debug)]
enum Left<B> {
    Nothing,
    Unread(B),
    /// It failed before its end.
    Failed,
}

impl<B> UnreadBody<B> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Left::Nothing)))
    }

    fn left(&self) -> MutexGuard<'_, Left<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, left: Left<B>) {
        *self.left() = left;
    }

    /// Whether the body was read to its end.
    pub(super) fn is_empty(&self) -> bool {
        matches!(*self.left(), Left::Nothing)
    }
}

impl<B> Clone for UnreadBody<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Body<Data = Bytes> + Unpin> UnreadBody<B> {
    /// Reads and discards a bounded part, so that a client that is still sending sees its response. Gives
    /// whether the body is at its end: the connection can't take another request before.
    pub(super) async fn discard(&self) -> bool {
        let left = mem::replace(&mut *self.left(), Left::Nothing);
        let mut body = match left {
            Left::Nothing => return true,
            Left::Unread(body) => body,
            Left::Failed => return false,
        };
        let read = async {
            let mut left = MAX_DISCARDED_BYTES;
            while left > 0 && !body.is_end_stream() {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        let bytes = frame.data_ref().map_or(0, Bytes::len);
                        left = left.saturating_sub(bytes);
                    }
                    Some(Err(_failed)) => return false,
                    None => return true,
                }
            }
            body.is_end_stream()
        };
        timeout(MAX_DISCARD_TIME, read).await.unwrap_or(false)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(context);
        let is_at_end = body.is_end_stream();
        if polled.is_pending() {
            self.progress.await_more();
        }
        let frame = ready!(polled);
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.progress.receive(bytes);
        }
        if matches!(frame, Some(Err(_))) {
            self.unread.put(Left::Failed);
        }
        if is_at_end || !matches!(frame, Some(Ok(_))) {
            self.progress.end_wait();
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = SizeHint::with_exact(0);
        self.body.as_ref().map_or(none, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::Version;
    use futures::channel::mpsc::unbounded;
    use futures::stream::{iter, pending, repeat_with};
    use futures::{FutureExt, StreamExt};
    use tokio::time::{Instant, advance};

    use super::*;
    use crate::net::activity::Activity;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_stalls_from_the_beginning_of_the_wait() {
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        let request = activity.begin_request(Version::HTTP_11);
        let (sender, receiver) = unbounded::<Result<Bytes, std::io::Error>>();
        let body = axum::body::Body::from_stream(receiver);
        let mut body = RequestBody::new(body, request.body_progress(), &UnreadBody::new());
        let send = |bytes: usize| sender.unbounded_send(Ok(vec![7; bytes].into())).unwrap();
        assert_eq!(activity.stalled_since(), None, "no handler reads it");
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
        assert_eq!(
            activity.stalled_since(),
            None,
            "no handler reads it any more"
        );
    }

    /// A body of `count` chunks, and the number of chunks that were read.
    fn chunks(count: usize) -> (axum::body::Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let chunks = repeat_with(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; CHUNK]))
        });
        let body = axum::body::Body::from_stream(chunks.take(count));
        (body, read)
    }

    const CHUNK: usize = 64 * 1024;

    #[tokio::test(start_paused = true)]
    async fn an_unread_body_is_discarded_within_bounds() {
        const MOST: usize = MAX_DISCARDED_BYTES / CHUNK;
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        for (count, is_over, expected) in [(0, true, 0), (3, true, 3), (usize::MAX, false, MOST)] {
            let (body, read) = chunks(count);
            let request = activity.begin_request(Version::HTTP_11);
            let unread = UnreadBody::new();
            drop(RequestBody::new(body, request.body_progress(), &unread));
            assert_eq!(unread.discard().await, is_over, "{count}");
            assert_eq!(read.load(Ordering::Relaxed), expected);
        }
        let silent = UnreadBody::new();
        let nothing = pending::<Result<Bytes, std::io::Error>>();
        silent.put(Left::Unread(axum::body::Body::from_stream(nothing)));
        let began = Instant::now();
        assert!(!silent.discard().await);
        assert_eq!(began.elapsed(), MAX_DISCARD_TIME);
        // Whether or not a handler reads it: the connection takes no other request.
        for is_read in [true, false] {
            let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            let body = axum::body::Body::from_stream(iter([Err::<Bytes, _>(error)]));
            let request = activity.begin_request(Version::HTTP_11);
            let broken = UnreadBody::new();
            let mut body = RequestBody::new(body, request.body_progress(), &broken);
            if is_read {
                body.frame().await.unwrap().unwrap_err();
            }
            drop(body);
            assert!(!broken.discard().await, "{is_read}");
        }
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_body_that_was_read() {
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        let request = activity.begin_request(Version::HTTP_11);
        let unread = UnreadBody::new();
        for body in [
            axum::body::Body::empty(),
            axum::body::Body::from("x"),
            chunks(3).0,
        ] {
            let body = RequestBody::new(body, request.body_progress(), &unread);
            body.collect().await.unwrap();
            assert!(unread.is_empty());
        }
        let mut body = RequestBody::new(chunks(3).0, request.body_progress(), &unread);
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert!(!unread.is_empty(), "two chunks are left");
    }
}
