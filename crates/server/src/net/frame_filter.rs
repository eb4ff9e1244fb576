//! The frames of HTTP/2 clients that don't reach h2: large trailers end the connection, and frames that are late
//! are removed (see [`goaway_filter`](super::goaway_filter)).
//!
//! h2 keeps the trailers of a request until its handler has read the body, which the handler of a stream doesn't
//! do while the client takes no responses. One byte of them can be an entry of the header table that takes a
//! hundred bytes of memory, which aren't counted. No handler reads trailers, and clients of gRPC send none, so
//! larger trailers than a checksum end the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{END_HEADERS, FrameHead, FrameParser, HEADERS, Part};
use super::goaway_filter::GoawayFilter;

/// Maximum bytes of a request's trailers as they are sent.
const MAX_TRAILER_BYTES: usize = 128;

/// Bytes that are read at once after the shutdown's PING was acknowledged.
const READ_BYTES: usize = 8 * 1024;

/// A stream from a client without the frames that don't reach h2.
#[derive(Debug)]
pub(super) struct FrameFilter<S> {
    stream: S,
    frames: Frames,
    /// Bytes that passed the filter and weren't read yet. Used once frames may be late.
    passed: Vec<u8>,
}

impl<S> FrameFilter<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            frames: Frames::new(),
            passed: Vec::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameFilter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.frames.goaway.is_active() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let new = buffer.filled().get(before..).unwrap_or_default();
            let unfiltered = this.frames.skip_to_shutdown(new);
            let rest = new.get(unfiltered..).unwrap_or_default();
            this.frames.filter(rest, &mut this.passed);
            if let Err(error) = this.frames.check() {
                buffer.set_filled(before);
                return Poll::Ready(Err(error));
            }
            buffer.set_filled(before + unfiltered);
            // The acknowledgement itself is passed on, so this isn't taken for the end of the stream.
            return Poll::Ready(Ok(()));
        }
        while this.passed.is_empty() {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.frames.filter(read.filled(), &mut this.passed);
            this.frames.check()?;
        }
        let length = this.passed.len().min(buffer.remaining());
        buffer.put_slice(this.passed.get(..length).unwrap_or_default());
        this.passed.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameFilter<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The frames of a connection so far.
#[derive(Debug)]
struct Frames {
    parser: FrameParser,
    goaway: GoawayFilter,
    /// The latest request whose head was sent.
    latest: u32,
    has_large_trailers: bool,
}

impl Frames {
    fn new() -> Self {
        Self {
            parser: FrameParser::new(),
            goaway: GoawayFilter::default(),
            latest: 0,
            has_large_trailers: false,
        }
    }

    /// Whether the connection may continue.
    fn check(&self) -> io::Result<()> {
        if self.has_large_trailers {
            let message = "the trailers of a request are too large";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }

    /// Gives the number of bytes up to the end of the acknowledgement of the shutdown: all if it isn't in them.
    fn skip_to_shutdown(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !self.goaway.is_active() && !rest.is_empty() {
            (_, rest) = self.next(rest);
        }
        bytes.len() - rest.len()
    }

    /// Appends to `passed` the bytes that pass the filter.
    fn filter(&mut self, mut bytes: &[u8], passed: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let part;
            (part, bytes) = self.next(bytes);
            match part {
                Part::IncompleteHead => {}
                _ if self.goaway.removes(self.parser.head()) => {}
                Part::Head(FrameHead(head)) => passed.extend_from_slice(&head),
                Part::Payload { bytes, .. } | Part::Other(bytes) => passed.extend_from_slice(bytes),
            }
        }
    }

    /// Takes in the next part of bytes, which aren't empty. Gives it and the rest.
    fn next<'a>(&mut self, bytes: &'a [u8]) -> (Part<'a>, &'a [u8]) {
        let (part, rest) = self.parser.next(bytes);
        match &part {
            Part::Head(head) => {
                self.check_trailers(head);
                self.goaway.head(head);
            }
            Part::Payload { bytes, offset } => self.goaway.payload(bytes, *offset),
            Part::IncompleteHead | Part::Other(_) => {}
        }
        (part, rest)
    }

    /// The second HEADERS of a request are its trailers.
    fn check_trailers(&mut self, head: &FrameHead) {
        if head.kind() != HEADERS {
            return;
        }
        let is_trailers = head.stream() <= self.latest;
        let is_large = head.length() > MAX_TRAILER_BYTES || head.flags() & END_HEADERS == 0;
        self.has_large_trailers |= is_trailers && is_large;
        self.latest = self.latest.max(head.stream());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::super::frames::{ACK, PING, PREFACE, WINDOW_UPDATE};
    use super::super::goaway_filter::SHUTDOWN_PING;
    use super::*;

    const DATA: u8 = 0;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
        [&head.concat(), payload].concat()
    }

    fn window_update(stream: u32) -> Vec<u8> {
        frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 5])
    }

    /// A stream that gives its bytes in pieces.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.0.pop_front() {
                let more = piece.split_off(piece.len().min(buffer.remaining()));
                buffer.put_slice(&piece);
                if !more.is_empty() {
                    self.0.push_front(more);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    /// The bytes that pass the filter when they are received in pieces of these lengths, repeatedly.
    async fn filtered(sent: &[u8], lengths: &[usize]) -> Vec<u8> {
        let mut pieces = VecDeque::new();
        let mut rest = sent;
        for length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*length).min(rest.len()));
            pieces.push_back(piece.to_vec());
            rest = more;
        }
        let mut passed = Vec::new();
        FrameFilter::new(Pieces(pieces))
            .read_to_end(&mut passed)
            .await
            .unwrap();
        passed
    }

    /// The bytes of a client that acknowledges this PING and begins requests 5 and 7 after it, and those that are
    /// expected to pass.
    fn connection(acknowledged: [u8; 8]) -> (Vec<u8>, Vec<u8>) {
        let before = [
            PREFACE.to_vec(),
            frame(HEADERS, 4, 1, b"head"),
            window_update(1),
            frame(HEADERS, 4, 3, b"head"),
            window_update(3),
            frame(PING, ACK, 0, &acknowledged),
        ]
        .concat();
        let late = window_update(5);
        let after = |late: &[u8]| {
            [
                &frame(HEADERS, 4, 5, b"head"),
                late,
                &frame(DATA, 1, 5, b"body"),
                &window_update(0),
                &window_update(3),
                &frame(DATA, 1, 3, b""),
                &frame(HEADERS, 4, 7, b"head"),
                late,
            ]
            .concat()
        };
        (
            [&before[..], &after(&late)].concat(),
            [&before[..], &after(&[])].concat(),
        )
    }

    #[tokio::test]
    async fn large_or_incomplete_trailers_end_a_connection() {
        let read = async |trailers: Vec<u8>| {
            let head = frame(HEADERS, 4, 3, &[7; 1_000]);
            let sent = [PREFACE, &head, &frame(DATA, 0, 3, b"body"), &trailers].concat();
            let mut filter = FrameFilter::new(Pieces(VecDeque::from([sent])));
            filter.read_to_end(&mut Vec::new()).await
        };
        assert!(
            read(frame(HEADERS, 5, 3, &[7; MAX_TRAILER_BYTES]))
                .await
                .is_ok()
        );
        assert!(
            read(frame(HEADERS, 5, 5, &[7; 1_000])).await.is_ok(),
            "a head"
        );
        let large = read(frame(HEADERS, 5, 3, &[7; MAX_TRAILER_BYTES + 1])).await;
        let incomplete = read(frame(HEADERS, 1, 3, b"")).await;
        for failed in [large, incomplete] {
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    proptest! {
        #[test]
        fn only_late_window_updates_are_removed_however_the_bytes_are_divided(
            pieces in proptest::collection::vec(1_usize..40, 1..8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (sent, expected) = connection(SHUTDOWN_PING);
            prop_assert_eq!(runtime.block_on(filtered(&sent, &pieces)), expected);
            // A PING with another payload has no effect.
            let (sent, _) = connection([7; 8]);
            prop_assert_eq!(&runtime.block_on(filtered(&sent, &pieces)), &sent);
        }

        #[test]
        fn other_protocols_pass_unchanged(
            sent in proptest::collection::vec(any::<u8>(), 1..200),
            pieces in proptest::collection::vec(1_usize..40, 1..8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let sent = [b"P", &sent[..]].concat();
            prop_assert_eq!(&runtime.block_on(filtered(&sent, &pieces)), &sent);
        }
    }
}
