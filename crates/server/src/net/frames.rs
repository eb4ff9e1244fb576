//! What h2 isn't given of what clients send: large trailers, and frames about requests that came after the
//! last one of a connection.
//!
//! # Trailers
//!
//! h2 keeps the trailers of a request until whoever answers it has read its body, which a stream of messages
//! doesn't do while its client takes no answers. A byte can be a field of the table, and a field takes a
//! hundred bytes in memory, which nothing counts. Nobody here reads trailers, and clients of gRPC send none,
//! so a connection ends where they are more than a checksum.
//!
//! # Late frames
//!
//! A connection over HTTP/2 ends with two GOAWAY frames: one that asks for no more requests, and, once
//! the client has acknowledged a PING that was sent with it, one that names the last request that is
//! answered (RFC 9113, section 6.8). A client that began a request just before it read the first may send
//! it after that acknowledgement. It is told so by the second, and sends the request elsewhere: nothing
//! is lost.
//!
//! h2 0.4.20 ignores HEADERS, DATA and `RST_STREAM` of such a request. But it takes a `WINDOW_UPDATE` for a
//! fault in the protocol (`recv_window_update` in its `proto/streams/streams.rs`) and breaks the
//! connection off, with the requests that are still to be answered. gRPC's clients send one right after
//! the head of each request. So these frames are left out here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client that speaks HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame before its payload (RFC 9113, section 4.1).
const HEAD: usize = 9;

/// Types of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// The flag of a PING that acknowledges one.
const ACK: u8 = 1;

/// The flag of HEADERS that no more of them follow.
const END_HEADERS: u8 = 4;

/// Most bytes of a request's trailers, as they are sent.
const MAX_TRAILERS: usize = 128;

/// What h2 sends with its first GOAWAY (`SHUTDOWN_PAYLOAD` in its `frame/ping.rs`).
const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// Most bytes that are read at once after the acknowledgement.
const READ_BYTES: usize = 8 * 1024;

/// A stream from a client, which ends at large trailers, without `WINDOW_UPDATE` frames about requests after
/// the last one.
#[derive(Debug)]
pub(super) struct FrameFilter<S> {
    stream: S,
    frames: Frames,
    /// What is to be given on before more is read. Only after the acknowledgement.
    kept: Vec<u8>,
}

impl<S> FrameFilter<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            frames: Frames::new(),
            kept: Vec::new(),
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
        if this.frames.last.is_none() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let new = buffer.filled().get(before..).unwrap_or_default();
            let given = this.frames.up_to_last(new);
            let rest = new.get(given..).unwrap_or_default();
            this.frames.keep(rest, &mut this.kept);
            if let Err(ended) = this.frames.check() {
                buffer.set_filled(before);
                return Poll::Ready(Err(ended));
            }
            buffer.set_filled(before + given);
            // The acknowledgement itself has been given on, so there is something.
            return Poll::Ready(Ok(()));
        }
        while this.kept.is_empty() {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.frames.keep(read.filled(), &mut this.kept);
            this.frames.check()?;
        }
        let length = this.kept.len().min(buffer.remaining());
        buffer.put_slice(this.kept.get(..length).unwrap_or_default());
        this.kept.drain(..length);
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

/// Where in the frames of a connection its client is.
#[derive(Debug)]
struct Frames {
    at: At,
    /// Of the latest frame, as far as it was read.
    head: [u8; HEAD],
    /// Whether the payload so far is that of the acknowledgement.
    is_shutdown_ping: bool,
    /// The latest request of which the head was sent.
    latest: u32,
    /// The last request that is answered, once the acknowledgement was read.
    last: Option<u32>,
    /// Whether there were trailers that are too large.
    has_large_trailers: bool,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// So many bytes of the preface were read.
    Preface(usize),
    /// So many bytes of a frame's head were read.
    Head(usize),
    /// So many bytes of a frame's payload are left.
    Payload(usize),
    /// It isn't HTTP/2.
    Elsewhere,
}

/// What the next bytes are.
enum Part<'a> {
    /// A piece of a head that isn't complete yet.
    Begun,
    /// The whole head of a frame, with the pieces before.
    Head([u8; HEAD]),
    /// A piece of anything else.
    Piece(&'a [u8]),
}

impl Frames {
    const fn new() -> Self {
        Self {
            at: At::Preface(0),
            head: [0; HEAD],
            is_shutdown_ping: false,
            latest: 0,
            last: None,
            has_large_trailers: false,
        }
    }

    /// Whether the connection may go on.
    fn check(&self) -> io::Result<()> {
        if self.has_large_trailers {
            let what = "a request has more trailers than anybody reads";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(())
    }

    /// How many of these bytes come before the end of the acknowledgement: all, where it isn't in them.
    fn up_to_last(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while self.last.is_none() && !rest.is_empty() {
            (_, rest) = self.next(rest);
        }
        bytes.len() - rest.len()
    }

    /// Adds to `kept` what is given on of bytes after the acknowledgement.
    fn keep(&mut self, mut bytes: &[u8], kept: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let part;
            (part, bytes) = self.next(bytes);
            match part {
                Part::Head(head) if !self.is_late() => kept.extend_from_slice(&head),
                Part::Piece(piece) if !self.is_late() => kept.extend_from_slice(piece),
                Part::Begun | Part::Head(_) | Part::Piece(_) => {}
            }
        }
    }

    /// Whether the latest frame is left out.
    fn is_late(&self) -> bool {
        self.last
            .is_some_and(|last| self.kind() == WINDOW_UPDATE && self.request() > last)
    }

    /// Takes in a part of what isn't empty, and returns the rest.
    fn next<'a>(&mut self, bytes: &'a [u8]) -> (Part<'a>, &'a [u8]) {
        match self.at {
            At::Preface(read) => {
                let expected = PREFACE.get(read..).unwrap_or_default();
                let (piece, rest) = bytes.split_at(expected.len().min(bytes.len()));
                self.at = if !expected.starts_with(piece) {
                    At::Elsewhere
                } else if piece.len() == expected.len() {
                    At::Head(0)
                } else {
                    At::Preface(read + piece.len())
                };
                (Part::Piece(piece), rest)
            }
            At::Head(read) => {
                let (piece, rest) = bytes.split_at((HEAD - read).min(bytes.len()));
                for (to, from) in self.head.iter_mut().skip(read).zip(piece) {
                    *to = *from;
                }
                let read = read + piece.len();
                if read < HEAD {
                    self.at = At::Head(read);
                    return (Part::Begun, rest);
                }
                self.begin();
                (Part::Head(self.head), rest)
            }
            At::Payload(left) => {
                let (piece, rest) = bytes.split_at(left.min(bytes.len()));
                let read = self.length() - left;
                let farewell = SHUTDOWN_PING.get(read..).unwrap_or_default();
                self.is_shutdown_ping &= farewell.starts_with(piece);
                self.at = At::Payload(left - piece.len());
                if piece.len() == left {
                    self.end();
                }
                (Part::Piece(piece), rest)
            }
            At::Elsewhere => (Part::Piece(bytes), &[]),
        }
    }

    /// The head of a frame is complete.
    fn begin(&mut self) {
        let [.., flags, _, _, _, _] = self.head;
        if self.kind() == HEADERS {
            let is_known = self.request() <= self.latest;
            let is_large = self.length() > MAX_TRAILERS || flags & END_HEADERS == 0;
            self.has_large_trailers |= is_known && is_large;
            self.latest = self.latest.max(self.request());
        }
        self.is_shutdown_ping =
            self.kind() == PING && flags & ACK != 0 && self.length() == SHUTDOWN_PING.len();
        self.at = match self.length() {
            0 => At::Head(0),
            length => At::Payload(length),
        };
    }

    /// A payload is complete.
    fn end(&mut self) {
        self.at = At::Head(0);
        if self.is_shutdown_ping && self.last.is_none() {
            self.last = Some(self.latest);
        }
    }

    const fn kind(&self) -> u8 {
        let [_, _, _, kind, ..] = self.head;
        kind
    }

    /// Bytes of the payload.
    fn length(&self) -> usize {
        let [high, middle, low, ..] = self.head;
        usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX)
    }

    /// The stream that the frame is about: a request; 0 is the connection.
    const fn request(&self) -> u32 {
        let [.., one, two, three, four] = self.head;
        u32::from_be_bytes([one & 0x7f, two, three, four])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

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

    /// Bytes that come piece by piece.
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

    /// What is given on of bytes that come in pieces of these lengths, over and over.
    async fn given_on(sent: &[u8], lengths: &[usize]) -> Vec<u8> {
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
        let mut given = Vec::new();
        FrameFilter::new(Pieces(pieces))
            .read_to_end(&mut given)
            .await
            .unwrap();
        given
    }

    /// A connection of which the client acknowledges this, and begins requests 5 and 7 after it.
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
    async fn a_connection_ends_at_trailers_that_are_large_or_not_whole() {
        let read = async |trailers: Vec<u8>| {
            let head = frame(HEADERS, 4, 3, &[7; 1_000]);
            let sent = [PREFACE, &head, &frame(DATA, 0, 3, b"body"), &trailers].concat();
            let mut filter = FrameFilter::new(Pieces(VecDeque::from([sent])));
            filter.read_to_end(&mut Vec::new()).await
        };
        assert!(read(frame(HEADERS, 5, 3, &[7; MAX_TRAILERS])).await.is_ok());
        assert!(
            read(frame(HEADERS, 5, 5, &[7; 1_000])).await.is_ok(),
            "a head"
        );
        let large = read(frame(HEADERS, 5, 3, &[7; MAX_TRAILERS + 1])).await;
        let begun = read(frame(HEADERS, 1, 3, b"")).await;
        for ended in [large, begun] {
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    proptest! {
        #[test]
        fn only_late_window_updates_are_left_out_however_the_bytes_come(
            pieces in proptest::collection::vec(1_usize..40, 1..8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (sent, expected) = connection(SHUTDOWN_PING);
            prop_assert_eq!(runtime.block_on(given_on(&sent, &pieces)), expected);
            // A PING of another purpose ends nothing.
            let (sent, _) = connection([7; 8]);
            prop_assert_eq!(&runtime.block_on(given_on(&sent, &pieces)), &sent);
        }

        #[test]
        fn other_protocols_pass_as_they_are(
            sent in proptest::collection::vec(any::<u8>(), 1..200),
            pieces in proptest::collection::vec(1_usize..40, 1..8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let sent = [b"P", &sent[..]].concat();
            prop_assert_eq!(&runtime.block_on(given_on(&sent, &pieces)), &sent);
        }
    }
}
