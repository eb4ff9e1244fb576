//! Checks the decoded size of messages before they are decoded. Two bytes on the wire can be an empty tensor of a hundred
//! bytes in memory, so lists are counted first, without allocations.

use prost::Message;

use super::message;
use crate::InvalidRequest;
use crate::limits::{MAX_DIMENSIONS, MAX_PARAMETERS, MAX_STRINGS, MAX_TENSORS, MAX_TYPED_INTEGERS};

/// Maximum size of requests other than inference, in bytes: a few names.
const MAX_BYTES: usize = 64 * 1024;

/// Maximum size of a number on the wire, in bytes.
const MAX_VARINT_BYTES: usize = 10;

/// A message whose decoded size can be checked before it is decoded.
pub trait Bounded: Message + Default {
    /// # Errors
    /// When it would take far more memory than it has bytes, or it is no message.
    fn check(wire: &[u8]) -> Result<(), InvalidRequest>;
}

impl Bounded for message::ModelInferRequest {
    fn check(wire: &[u8]) -> Result<(), InvalidRequest> {
        use field::{input, request};

        let mut parameters = Count::new("parameters", MAX_PARAMETERS);
        let mut inputs = Count::new("inputs", MAX_TENSORS);
        let mut outputs = Count::new("outputs", MAX_TENSORS);
        let mut raw = Count::new("raw_input_contents", MAX_TENSORS);
        let mut typed = Typed {
            strings: Count::new("bytes_contents", MAX_STRINGS),
            integers: Count::new("integers outside raw_input_contents", MAX_TYPED_INTEGERS),
        };
        for field in Fields(wire) {
            match field? {
                (request::PARAMETERS, _) => parameters.add(1)?,
                (request::OUTPUTS, Field::Bytes(output)) => {
                    outputs.add(1)?;
                    check_output(output)?;
                }
                (request::RAW_INPUT_CONTENTS, _) => raw.add(1)?,
                (request::INPUTS, Field::Bytes(message)) => {
                    inputs.add(1)?;
                    let mut parameters = Count::new("parameters of an input", MAX_PARAMETERS);
                    let mut shape =
                        Count::new("bytes of a shape", MAX_DIMENSIONS * MAX_VARINT_BYTES);
                    for field in Fields(message) {
                        match field? {
                            (input::SHAPE, Field::Bytes(lengths)) => shape.add(lengths.len())?,
                            (input::SHAPE, Field::Number) => shape.add(1)?,
                            (input::PARAMETERS, _) => parameters.add(1)?,
                            (input::CONTENTS, Field::Bytes(contents)) => {
                                typed.check(contents)?;
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn check_output(output: &[u8]) -> Result<(), InvalidRequest> {
    let mut parameters = Count::new("parameters of an output", MAX_PARAMETERS);
    for field in Fields(output) {
        if let (field::output::PARAMETERS, _) = field? {
            parameters.add(1)?;
        }
    }
    Ok(())
}

/// Elements in typed lists that are larger in memory than on the wire.
struct Typed {
    strings: Count,
    integers: Count,
}

impl Typed {
    fn check(&mut self, contents: &[u8]) -> Result<(), InvalidRequest> {
        use field::contents::{BYTES, INT32, INT64, UINT32, UINT64};

        for field in Fields(contents) {
            match field? {
                (BYTES, _) => self.strings.add(1)?,
                (INT32 | INT64 | UINT32 | UINT64, Field::Number) => self.integers.add(1)?,
                (INT32 | INT64 | UINT32 | UINT64, Field::Bytes(packed)) => {
                    // The last byte of each is the only one without the highest bit.
                    let ends = packed.iter().filter(|byte| **byte < 0x80);
                    self.integers.add(ends.count())?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

macro_rules! small {
    ($($message:ident,)+) => {$(
        impl Bounded for message::$message {
            fn check(wire: &[u8]) -> Result<(), InvalidRequest> {
                if wire.len() > MAX_BYTES {
                    let message = format!(
                        "the request has {} bytes, at most {MAX_BYTES} are allowed",
                        wire.len(),
                    );
                    return Err(InvalidRequest::new(message));
                }
                Ok(())
            }
        }
    )+};
}

small! {
    ServerLiveRequest,
    ServerReadyRequest,
    ModelReadyRequest,
    ServerMetadataRequest,
    ModelMetadataRequest,
    ModelConfigRequest,
    ModelStatisticsRequest,
    RepositoryIndexRequest,
}

/// Field numbers, as in the protocol.
mod field {
    pub(super) mod request {
        pub(in super::super) const PARAMETERS: u64 = 4;
        pub(in super::super) const INPUTS: u64 = 5;
        pub(in super::super) const OUTPUTS: u64 = 6;
        pub(in super::super) const RAW_INPUT_CONTENTS: u64 = 7;
    }
    pub(super) mod input {
        pub(in super::super) const SHAPE: u64 = 3;
        pub(in super::super) const PARAMETERS: u64 = 4;
        pub(in super::super) const CONTENTS: u64 = 5;
    }
    pub(super) mod output {
        pub(in super::super) const PARAMETERS: u64 = 2;
    }
    pub(super) mod contents {
        pub(in super::super) const INT32: u64 = 2;
        pub(in super::super) const INT64: u64 = 3;
        pub(in super::super) const UINT32: u64 = 4;
        pub(in super::super) const UINT64: u64 = 5;
        pub(in super::super) const BYTES: u64 = 8;
    }
}

struct Count {
    what: &'static str,
    max: usize,
    count: usize,
}

impl Count {
    const fn new(what: &'static str, max: usize) -> Self {
        Self {
            what,
            max,
            count: 0,
        }
    }

    fn add(&mut self, count: usize) -> Result<(), InvalidRequest> {
        self.count = self.count.saturating_add(count);
        if self.count > self.max {
            let Self { what, max, .. } = self;
            let message = format!("there are more than {max} {what}");
            return Err(InvalidRequest::new(message));
        }
        Ok(())
    }
}

/// A field's value.
enum Field<'w> {
    Number,
    Bytes(&'w [u8]),
}

/// The fields of a message, in the order of the wire.
struct Fields<'w>(&'w [u8]);

impl<'w> Fields<'w> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for index in 0..MAX_VARINT_BYTES {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'w [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Field<'w>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => self.varint().map(|_| Field::Number),
            1 => self.take(8).map(|_| Field::Number),
            2 => {
                let length = self.varint()?;
                self.take(length).map(Field::Bytes)
            }
            5 => self.take(4).map(|_| Field::Number),
            // Groups, which are deprecated, and invalid wire types.
            _ => None,
        };
        Some((tag >> 3, value?))
    }
}

impl<'w> Iterator for Fields<'w> {
    type Item = Result<(u64, Field<'w>), InvalidRequest>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| InvalidRequest::new("the message is no protocol buffer")))
    }
}

#[cfg(test)]
mod tests {
    use super::message::ModelInferRequest;
    use super::message::model_infer_request::InferInputTensor;
    use super::*;

    fn field(number: u64, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::bytes::encode(
            u32::try_from(number).unwrap(),
            &content.to_vec(),
            &mut bytes,
        );
        bytes
    }

    #[test]
    fn an_honest_request_passes() {
        let request = ModelInferRequest {
            model_name: "iris".to_owned(),
            inputs: vec![InferInputTensor {
                shape: vec![i64::MAX; MAX_DIMENSIONS - 1],
                contents: Some(Box::new(message::InferTensorContents {
                    bytes_contents: vec!["a".into(); 10],
                    ..Default::default()
                })),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(ModelInferRequest::check(&request.encode_to_vec()), Ok(()));
    }

    #[test]
    fn lists_of_nothing_are_counted() {
        let strings = field(8, b"").repeat(MAX_STRINGS / 2 + 1);
        let two_inputs = field(5, &field(5, &strings)).repeat(2);
        let half_of_most = vec![0; MAX_TYPED_INTEGERS / 2 + 1];
        let integers = [2, 3, 4, 5].map(|list| {
            let contents = field(5, &field(list, &half_of_most));
            (field(5, &contents).repeat(2), "more than 4194304 integers")
        });
        for (wire, what) in integers {
            let refused = ModelInferRequest::check(&wire).unwrap_err();
            assert!(refused.to_string().contains(what), "{refused}");
        }
        for (wire, what) in [
            (
                field(5, b"").repeat(MAX_TENSORS + 1),
                "more than 1024 inputs",
            ),
            (
                field(6, b"").repeat(MAX_TENSORS + 1),
                "more than 1024 outputs",
            ),
            (
                field(7, b"").repeat(MAX_TENSORS + 1),
                "more than 1024 raw_input_contents",
            ),
            (
                field(4, b"").repeat(MAX_PARAMETERS + 1),
                "more than 64 parameters",
            ),
            (
                field(5, &field(4, b"").repeat(MAX_PARAMETERS + 1)),
                "more than 64 parameters of an input",
            ),
            (
                field(6, &field(2, b"").repeat(MAX_PARAMETERS + 1)),
                "more than 64 parameters of an output",
            ),
            (
                field(5, &field(3, &[1; 161])),
                "more than 160 bytes of a shape",
            ),
            (two_inputs, "more than 1048576 bytes_contents"),
        ] {
            let refused = ModelInferRequest::check(&wire).unwrap_err();
            assert!(refused.to_string().contains(what), "{refused}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for wire in [&[0xff][..], &[0x0a, 5, 1], &[0x0b], &[0x80; 11]] {
            let refused = ModelInferRequest::check(wire).unwrap_err();
            assert!(refused.to_string().contains("no protocol buffer"));
        }
    }

    #[test]
    fn other_requests_are_small() {
        let request = message::ModelReadyRequest {
            name: "x".repeat(MAX_BYTES),
            ..Default::default()
        };
        assert!(message::ModelReadyRequest::check(&request.encode_to_vec()).is_err());
    }
}
