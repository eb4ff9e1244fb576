//! Parses the frames that an HTTP/2 client sends, however their bytes are divided.

/// The first bytes of an HTTP/2 client (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113, section 6).
pub(super) const HEADERS: u8 = 1;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;

/// The flag of a PING that acknowledges another one.
pub(super) const ACK: u8 = 1;

/// The flag of HEADERS that no CONTINUATION follows.
pub(super) const END_HEADERS: u8 = 4;

/// The head of a frame: 9 bytes (RFC 9113, section 4.1).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameHead(pub(super) [u8; Self::BYTES]);

impl FrameHead {
    const BYTES: usize = 9;

    /// The type of the frame.
    pub(super) const fn kind(&self) -> u8 {
        let [_, _, _, kind, ..] = self.0;
        kind
    }

    pub(super) const fn flags(&self) -> u8 {
        let [.., flags, _, _, _, _] = self.0;
        flags
    }

    /// Bytes of the payload.
    pub(super) fn length(&self) -> usize {
        let [high, middle, low, ..] = self.0;
        usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX)
    }

    /// The stream, which is a request. 0 is the connection.
    pub(super) const fn stream(&self) -> u32 {
        let [.., one, two, three, four] = self.0;
        u32::from_be_bytes([one & 0x7f, two, three, four])
    }
}

/// A part of the bytes of a client.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// A part of a head that isn't complete.
    IncompleteHead,
    /// The head that is complete now, with its earlier parts.
    Head(FrameHead),
    /// A part of the payload of the latest head.
    Payload {
        bytes: &'a [u8],
        /// Bytes of the payload before these.
        offset: usize,
    },
    /// A part of the preface, or of another protocol.
    Other(&'a [u8]),
}

/// Finds the frames in the bytes of a client.
#[derive(Debug)]
pub(super) struct FrameParser {
    position: Position,
    /// The latest head, as far as it was read.
    head: FrameHead,
}

#[derive(Debug, Clone, Copy)]
enum Position {
    /// In the preface, after this number of bytes.
    Preface(usize),
    /// In a head, after this number of bytes.
    Head(usize),
    /// In a payload, before this number of bytes.
    Payload(usize),
    /// In another protocol.
    OtherProtocol,
}

impl FrameParser {
    pub(super) const fn new() -> Self {
        Self {
            position: Position::Preface(0),
            head: FrameHead([0; FrameHead::BYTES]),
        }
    }

    /// The latest head, as far as it was read.
    pub(super) const fn head(&self) -> &FrameHead {
        &self.head
    }

    /// Splits a part from bytes, which aren't empty. Gives it and the rest.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> (Part<'a>, &'a [u8]) {
        match self.position {
            Position::Preface(read) => {
                let expected = PREFACE.get(read..).unwrap_or_default();
                let (part, rest) = bytes.split_at(expected.len().min(bytes.len()));
                self.position = if !expected.starts_with(part) {
                    Position::OtherProtocol
                } else if part.len() == expected.len() {
                    Position::Head(0)
                } else {
                    Position::Preface(read + part.len())
                };
                (Part::Other(part), rest)
            }
            Position::Head(read) => {
                let (part, rest) = bytes.split_at((FrameHead::BYTES - read).min(bytes.len()));
                for (to, from) in self.head.0.iter_mut().skip(read).zip(part) {
                    *to = *from;
                }
                let read = read + part.len();
                if read < FrameHead::BYTES {
                    self.position = Position::Head(read);
                    return (Part::IncompleteHead, rest);
                }
                self.position = before_payload(self.head.length());
                (Part::Head(self.head), rest)
            }
            Position::Payload(left) => {
                let (bytes, rest) = bytes.split_at(left.min(bytes.len()));
                let offset = self.head.length() - left;
                self.position = before_payload(left - bytes.len());
                (Part::Payload { bytes, offset }, rest)
            }
            Position::OtherProtocol => (Part::Other(bytes), &[]),
        }
    }
}

const fn before_payload(bytes: usize) -> Position {
    match bytes {
        0 => Position::Head(0),
        left => Position::Payload(left),
    }
}
