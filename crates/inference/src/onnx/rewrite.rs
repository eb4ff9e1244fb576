//! Edits of the protobuf messages of a model file.
//!
//! A message of
//! [onnx.proto](https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto) is rebuilt only where a
//! message inside it is replaced. All other bytes are unchanged.

use super::model_file::FileError;

/// Maximum nesting of messages: the limit of protobuf and of ONNX Runtime's parser.
const MAX_DEPTH: usize = 100;

/// Messages that are nodes or external data, or contain them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Model,
    TrainingInfo,
    Graph,
    Function,
    Node,
    /// The `ValueInfoProto` of an output.
    Output,
    Attribute,
    SparseTensor,
    Tensor,
    /// A `StringStringEntryProto` of a tensor's `external_data`.
    ExternalData,
}

impl Message {
    /// The message in a field with this number, if it is one of these.
    const fn of_field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::TrainingInfo, 1 | 2) | (Self::Attribute, 6 | 11) => {
                Self::Graph
            }
            (Self::Model, 20) => Self::TrainingInfo,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 12) => Self::Output,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => {
                Self::Tensor
            }
            (Self::Tensor, 13) => Self::ExternalData,
            _ => return None,
        })
    }
}

/// Value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    /// A field with a length: text, bytes or a message.
    Bytes(&'a [u8]),
    /// A number of fixed length.
    Fixed,
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its number in onnx.proto.
    pub(super) number: u64,
    /// Its value.
    pub(super) value: Value<'a>,
    /// All of its bytes, key and length included.
    pub(super) whole: &'a [u8],
}

/// The fields of a message. After an error there are no more.
pub(super) struct Fields<'a>(&'a [u8]);

/// The fields of a message, each of which may turn out to be malformed.
pub(super) const fn fields(message: &[u8]) -> Fields<'_> {
    Fields(message)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        Some(first_field(rest).map(|(field, rest)| {
            self.0 = rest;
            field
        }))
    }
}

/// The first field of a message, and the rest.
fn first_field(message: &[u8]) -> Result<(Field<'_>, &[u8]), FileError> {
    let mut rest = message;
    let key = take_number(&mut rest)?;
    // The wire types of https://protobuf.dev/programming-guides/encoding/#structure; groups are long
    // deprecated and no ONNX model has any.
    let value = match key & 7 {
        0 => Value::Number(take_number(&mut rest)?),
        1 => {
            take(&mut rest, 8)?;
            Value::Fixed
        }
        2 => {
            let length = take_number(&mut rest)?;
            Value::Bytes(take(&mut rest, length)?)
        }
        5 => {
            take(&mut rest, 4)?;
            Value::Fixed
        }
        _ => return Err(FileError::Malformed),
    };
    let (whole, _) = message.split_at(message.len() - rest.len());
    let field = Field {
        number: key >> 3,
        value,
        whole,
    };
    Ok((field, rest))
}

/// Gives the replacement of a message. None keeps it.
pub(super) type Edit<'a> = dyn FnMut(Message, &[u8]) -> Result<Option<Vec<u8>>, FileError> + 'a;

/// The model with the messages that `edit` replaces. None where it replaces none. Replaced messages aren't searched
/// further.
///
/// # Errors
/// When the bytes are no model.
pub(super) fn rewrite(model: &[u8], edit: &mut Edit<'_>) -> Result<Option<Vec<u8>>, FileError> {
    rewrite_within(Message::Model, model, edit)
}

/// The same for a message inside a model whose nesting was checked before.
///
/// # Errors
/// When the bytes are no such message.
pub(super) fn rewrite_within(
    kind: Message,
    message: &[u8],
    edit: &mut Edit<'_>,
) -> Result<Option<Vec<u8>>, FileError> {
    rewrite_message(kind, message, MAX_DEPTH, edit)
}

fn rewrite_message(
    kind: Message,
    message: &[u8],
    depth: usize,
    edit: &mut Edit<'_>,
) -> Result<Option<Vec<u8>>, FileError> {
    let depth = depth.checked_sub(1).ok_or(FileError::TooDeep)?;
    if let Some(replaced) = edit(kind, message)? {
        return Ok(Some(replaced));
    }
    let mut rebuilt = Vec::new();
    // Up to where `message` is in `rebuilt`.
    let mut copied = 0;
    let mut position = 0;
    for field in fields(message) {
        let field = field?;
        let end = position + field.whole.len();
        if let Some(inner) = kind.of_field(field.number)
            && let Value::Bytes(content) = field.value
            && let Some(replaced) = rewrite_message(inner, content, depth, edit)?
        {
            rebuilt.extend_from_slice(message.get(copied..position).unwrap_or_default());
            push_field(&mut rebuilt, field.number, &replaced);
            copied = end;
        }
        position = end;
    }
    if copied == 0 {
        return Ok(None);
    }
    rebuilt.extend_from_slice(message.get(copied..).unwrap_or_default());
    Ok(Some(rebuilt))
}

/// The numbers of a packed field.
pub(super) fn packed_numbers(packed: &[u8]) -> impl Iterator<Item = Result<u64, FileError>> {
    let mut rest = packed;
    std::iter::from_fn(move || (!rest.is_empty()).then(|| take_number(&mut rest)))
}

/// Appends a field with a length.
pub(super) fn push_field(message: &mut Vec<u8>, number: u64, content: &[u8]) {
    push_number(message, (number << 3) | 2);
    push_number(message, content.len() as u64);
    message.extend_from_slice(content);
}

/// Appends a field that is a number.
pub(super) fn push_number_field(message: &mut Vec<u8>, number: u64, value: u64) {
    push_number(message, number << 3);
    push_number(message, value);
}

fn push_number(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    message.push((number & 0x7f) as u8);
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], FileError> {
    let length = usize::try_from(length).map_err(|_| FileError::Malformed)?;
    let (taken, left) = rest.split_at_checked(length).ok_or(FileError::Malformed)?;
    *rest = left;
    Ok(taken)
}

/// A base-128 number of at most 10 bytes.
fn take_number(rest: &mut &[u8]) -> Result<u64, FileError> {
    let mut number = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, left) = rest.split_first().ok_or(FileError::Malformed)?;
        *rest = left;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(FileError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(number: u64, content: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        push_field(&mut message, number, content);
        message
    }

    /// A model: a version, a graph of a node with an attribute that is a graph of a node, a name.
    fn nested(inner: &[u8]) -> Vec<u8> {
        let node = message(1, inner);
        let attribute = message(6, &node);
        let outer = [message(4, b"If"), message(5, &attribute)].concat();
        let mut model = Vec::new();
        push_number_field(&mut model, 1, 300);
        push_field(
            &mut model,
            7,
            &[message(1, &outer), message(2, b"graph")].concat(),
        );
        push_field(&mut model, 2, b"producer");
        model
    }

    fn longer(kind: Message, bytes: &[u8]) -> Result<Option<Vec<u8>>, FileError> {
        let is_it = kind == Message::Node && bytes == message(4, b"Old");
        Ok(is_it.then(|| message(4, &[b'x'; 200])))
    }

    #[test]
    fn what_is_replaced_may_be_longer_and_the_rest_stays() {
        let before = nested(&message(4, b"Old"));
        let after = rewrite(&before, &mut longer).unwrap();
        assert_eq!(after, Some(nested(&message(4, &[b'x'; 200]))));
        let other = nested(&message(4, b"Other"));
        assert_eq!(rewrite(&other, &mut longer).unwrap(), None);
    }

    #[test]
    fn several_are_replaced() {
        let two = |op_type: &[u8]| {
            let node = message(1, &message(4, op_type));
            message(7, &[node.clone(), message(2, b"graph"), node].concat())
        };
        let after = rewrite(&two(b"Old"), &mut longer).unwrap();
        assert_eq!(after, Some(two(&[b'x'; 200])));
    }

    #[test]
    fn what_is_no_message_or_too_deep_is_refused() {
        for malformed in [&[0x3a_u8, 5, 1][..], &[0x3b], &[0x80; 11], &[0x3a]] {
            let refused = rewrite(malformed, &mut longer);
            assert!(
                matches!(refused, Err(FileError::Malformed)),
                "{malformed:?}"
            );
        }
        let mut graph = Vec::new();
        for _ in 0..40 {
            graph = message(1, &message(5, &message(6, &graph)));
        }
        let refused = rewrite(&message(7, &graph), &mut longer);
        assert!(matches!(refused, Err(FileError::TooDeep)), "{refused:?}");
    }

    proptest! {
        /// The wire has several ways to write the same, so what is replaced by itself may come out
        /// shorter, and then stays.
        #[test]
        fn any_bytes_are_rewritten_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut itself = |kind: Message, bytes: &[u8]| {
                Ok((kind == Message::Graph).then(|| bytes.to_vec()))
            };
            if let Ok(Some(once)) = rewrite(&bytes, &mut itself) {
                prop_assert!(once.len() <= bytes.len());
                prop_assert_eq!(rewrite(&once, &mut itself).unwrap(), Some(once));
            }
        }
    }
}
