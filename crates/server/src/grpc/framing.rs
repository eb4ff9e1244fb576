//! The boundaries of messages in a gRPC body.

/// Bytes before each message: the compressed flag and the length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
const PREFIX_BYTES: usize = 5;

/// Tracks the messages of a body, however its bytes are divided.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MessageCursor {
    position: Position,
    /// Bytes of the incomplete message, with its prefix.
    incomplete: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before a message or after the last one.
    #[default]
    Between,
    /// In the prefix of a message.
    Prefix {
        read: usize,
        bytes: [u8; PREFIX_BYTES],
    },
    /// In a message of which `left` bytes are missing.
    Message { left: usize },
}

impl MessageCursor {
    /// Advances by a part of the body. Gives the number of messages that it completes.
    pub(super) fn advance(&mut self, mut part: &[u8]) -> usize {
        let mut completed = 0;
        while !part.is_empty() {
            let wanted = match self.position {
                Position::Between => PREFIX_BYTES,
                Position::Prefix { read, .. } => PREFIX_BYTES - read,
                Position::Message { left } => left,
            };
            let (now, rest) = part.split_at(wanted.min(part.len()));
            part = rest;
            self.incomplete += now.len();
            self.position = self.position.after(now);
            if self.position == Position::Between {
                self.incomplete = 0;
                completed += 1;
            }
        }
        completed
    }

    /// Whether there is no incomplete message.
    pub(super) fn is_between(&self) -> bool {
        self.position == Position::Between
    }

    /// Bytes of the incomplete message, with its prefix.
    pub(super) const fn incomplete_bytes(&self) -> usize {
        self.incomplete
    }
}

impl Position {
    /// The position after bytes that don't extend beyond the end of this one.
    fn after(self, now: &[u8]) -> Self {
        let (read, mut bytes) = match self {
            Self::Message { left } if left > now.len() => {
                let left = left - now.len();
                return Self::Message { left };
            }
            Self::Message { .. } => return Self::Between,
            Self::Prefix { read, bytes } => (read, bytes),
            Self::Between => (0, [0; PREFIX_BYTES]),
        };
        bytes[read..read + now.len()].copy_from_slice(now);
        let read = read + now.len();
        if read < PREFIX_BYTES {
            return Self::Prefix { read, bytes };
        }
        let [_is_compressed, length @ ..] = bytes;
        match usize::try_from(u32::from_be_bytes(length)) {
            Ok(0) => Self::Between,
            left => Self::Message {
                left: left.unwrap_or(usize::MAX),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_are_found_however_a_body_is_divided(
            lengths in prop::collection::vec(0..50_u8, 0..5),
            cuts in prop::collection::vec(1..20_usize, 1..40),
        ) {
            let mut body = Vec::new();
            let mut ends = Vec::new();
            for length in &lengths {
                body.extend_from_slice(&[0, 0, 0, 0, *length]);
                body.resize(body.len() + usize::from(*length), 7);
                ends.push(body.len());
            }
            let (mut cursor, mut read, mut whole) = (MessageCursor::default(), 0, 0);
            for cut in cuts.iter().cycle() {
                if read == body.len() {
                    break;
                }
                let next = (read + cut).min(body.len());
                whole += cursor.advance(&body[read..next]);
                read = next;
                let before = ends.iter().filter(|end| **end <= read);
                prop_assert_eq!(whole, before.clone().count());
                prop_assert_eq!(cursor.incomplete_bytes(), read - before.max().unwrap_or(&0));
                prop_assert_eq!(cursor.is_between(), cursor.incomplete_bytes() == 0);
            }
        }
    }
}
