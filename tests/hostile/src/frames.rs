//! A minimal encoder of HTTP/2, gRPC and protobuf, for messages that no library would send.

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of HEADERS.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame (RFC 9113, section 4.1). The length field has only the lower 24 bits of the length.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    let head = [&[a, b, c, kind, flags][..], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

/// Method, scheme, authority and path of a POST or a GET (RFC 7541, appendix A), for paths of less than 127 bytes.
pub(crate) fn request(post: bool, path: &str) -> Vec<u8> {
    let method = if post { 0x83 } else { 0x82 };
    [&[method, 0x86, 0x41, 1, b'x', 0x44][..], &text(path)].concat()
}

/// A field that isn't added to the dynamic table.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// An HPACK string without Huffman coding (RFC 7541, sections 5.1 and 5.2).
fn text(text: &str) -> Vec<u8> {
    let mut bytes = match u8::try_from(text.len()) {
        Ok(short @ ..127) => vec![short],
        _ => [&[127][..], &varint(text.len() as u64 - 127)].concat(),
    };
    bytes.extend(text.bytes());
    bytes
}

/// A varint of HPACK and protobuf: seven bits in each byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A gRPC message with its length prefix, truncated to 32 bits.
pub(crate) fn grpc(compressed: u8, declared: usize, message: &[u8]) -> Vec<u8> {
    let [.., a, b, c, d] = declared.to_be_bytes();
    [&[compressed, a, b, c, d][..], message].concat()
}

/// A protobuf field with a length: a string, bytes, a message or packed numbers.
pub(crate) fn nested(number: u8, content: &[u8]) -> Vec<u8> {
    [
        &[number << 3 | 2][..],
        &varint(content.len() as u64),
        content,
    ]
    .concat()
}

/// A protobuf field with an integer.
pub(crate) fn integer(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3][..], &varint(value)].concat()
}

/// A protobuf field with a `float`.
pub(crate) fn float(number: u8, value: f32) -> Vec<u8> {
    [&[number << 3 | 5][..], &value.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_the_specifications_show_them() {
        // RFC 7541, C.1.2: 1337 with a prefix of 5 bits continues with 1337 - 31.
        assert_eq!(varint(1_306), [0x9a, 0x0a]);
        // https://protobuf.dev/programming-guides/encoding/
        assert_eq!(integer(1, 150), [0x08, 0x96, 0x01]);
        assert_eq!(nested(2, b"testing"), *b"\x12\x07testing");
    }

    #[test]
    fn frames_and_fields_have_their_lengths() {
        assert_eq!(
            frame(PING, 1, 3, b"ab"),
            [0, 0, 2, PING, 1, 0, 0, 0, 3, b'a', b'b']
        );
        assert_eq!(field("x", "yz"), *b"\0\x01x\x02yz");
        let long = field("x", &"y".repeat(127));
        assert_eq!(long[..5], [0, 1, b'x', 127, 0]);
        assert_eq!(grpc(1, 258, b"m"), [1, 0, 0, 1, 2, b'm']);
    }
}
