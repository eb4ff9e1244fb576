//! A stream whose peer must go on reading.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::{Activity, PROGRESS_BYTES};

/// A stream on which writing fails when the peer has taken no byte for a while.
#[derive(Debug)]
pub(super) struct WriteTimeout<S> {
    stream: S,
    patience: Duration,
    /// To be told while the peer takes nothing or less than it is offered.
    activity: Arc<Activity>,
    /// Set while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(super) const fn new(stream: S, patience: Duration, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            patience,
            activity,
            stalled: None,
        }
    }

    fn tell(&self, written: &Poll<io::Result<usize>>, offered: usize) {
        match written {
            Poll::Pending => self.activity.blocked(true),
            Poll::Ready(Ok(taken)) if *taken >= offered.min(PROGRESS_BYTES) => {
                self.activity.blocked(false);
            }
            Poll::Ready(_) => {}
        }
    }

    fn unless_stalled<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
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
        self.tell(&written, buffer.len());
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        let offered = buffers.iter().map(|buffer| buffer.len()).sum();
        self.tell(&written, offered);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.unless_stalled(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.unless_stalled(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn with_timeout(stream: DuplexStream) -> WriteTimeout<DuplexStream> {
        let activity = Arc::new(Activity::new(Duration::from_secs(75)));
        WriteTimeout::new(stream, PATIENCE, activity)
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_peer_that_takes_what_it_is_offered_makes_progress() {
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
        assert_eq!(activity.stalled_since(), Some(since), "a byte is none");
        theirs.read_u8().await.unwrap();
        let _ours = writing.await.unwrap();
        assert_eq!(activity.stalled_since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_ends_the_writing() {
        let (ours, _theirs) = duplex(4);
        let began = Instant::now();
        let result = with_timeout(ours).write_all(b"an answer").await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_gets_everything() {
        let (ours, mut theirs) = duplex(1);
        let reader = tokio::spawn(async move {
            let mut text = Vec::new();
            while text.len() < 9 {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                text.push(theirs.read_u8().await.unwrap());
            }
            text
        });
        with_timeout(ours).write_all(b"an answer").await.unwrap();
        assert_eq!(reader.await.unwrap(), b"an answer");
    }
}
