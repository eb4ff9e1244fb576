//! A stream with a timeout for writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::{Activity, PROGRESS_BYTES};

/// A stream on which writing fails once the peer has taken no byte for the timeout.
#[derive(Debug)]
pub(super) struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    /// Is told when the peer stops and resumes taking what is written.
    activity: Arc<Activity>,
    /// Set while the peer takes nothing.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(super) const fn new(stream: S, timeout: Duration, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            timeout,
            activity,
            timer: None,
        }
    }

    fn report(&self, written: &Poll<io::Result<usize>>, offered: usize) {
        match written {
            Poll::Pending => self.activity.set_write_blocked(true),
            Poll::Ready(Ok(taken)) if *taken >= offered.min(PROGRESS_BYTES) => {
                self.activity.set_write_blocked(false);
            }
            Poll::Ready(_) => {}
        }
    }

    fn with_timer<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.report(&written, buffer.len());
        self.with_timer(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        let offered = buffers.iter().map(|buffer| buffer.len()).sum();
        self.report(&written, offered);
        self.with_timer(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.with_timer(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.with_timer(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn with_timeout(stream: DuplexStream) -> WriteTimeout<DuplexStream> {
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        WriteTimeout::new(stream, TIMEOUT, activity)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_makes_progress_only_if_it_takes_all_that_is_offered() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = with_timeout(ours);
        let activity = Arc::clone(&ours.activity);
        ours.write_all(b"1234").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(activity.stalled_since(), None);
        let writing = tokio::spawn(async move {
            ours.write_all(b"56").await.unwrap();
            ours
        });
        sleep(Duration::from_secs(1)).await;
        let since = activity.stalled_since().unwrap();
        theirs.read_u8().await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            activity.stalled_since(),
            Some(since),
            "one byte is no progress"
        );
        theirs.read_u8().await.unwrap();
        let _ours = writing.await.unwrap();
        assert_eq!(activity.stalled_since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn writing_fails_when_the_peer_reads_nothing() {
        let (ours, _theirs) = duplex(4);
        let began = Instant::now();
        let result = with_timeout(ours).write_all(b"a response").await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_receives_everything() {
        let (ours, mut theirs) = duplex(1);
        let reader = tokio::spawn(async move {
            let mut text = Vec::new();
            while text.len() < 10 {
                sleep(TIMEOUT - Duration::from_secs(1)).await;
                text.push(theirs.read_u8().await.unwrap());
            }
            text
        });
        with_timeout(ours).write_all(b"a response").await.unwrap();
        assert_eq!(reader.await.unwrap(), b"a response");
    }
}
