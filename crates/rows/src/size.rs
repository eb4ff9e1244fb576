//! Limits the decoded size of a file before it is decoded: two bytes can be an empty message of 300 bytes in memory.

/// Maximum number of messages and list entries of a model. A forest of a million nodes has about ten million entries,
/// but most of them are packed, which aren't counted.
pub(crate) const MAXIMUM_ITEMS: usize = 8_000_000;

/// Messages nest as deep as `prost` decodes them.
const MAXIMUM_DEPTH: usize = 100;

/// The messages of which there can be many.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Function,
    /// A string, or a message in which there is nothing more to count.
    Leaf,
}

impl Kind {
    /// What a field of this message holds, where it can be there many times or hold what can.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) | (Self::SparseTensor, 1) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::ValueInfo,
            (Self::Graph, 15) => Self::SparseTensor,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::ValueInfo, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8)
            | (Self::Node, 1 | 2)
            | (Self::Attribute, 9)
            | (Self::Tensor, 6)
            | (Self::Shape, 1)
            | (Self::Function, 4 | 5 | 9) => Self::Leaf,
            _ => return None,
        })
    }
}

/// Whether `message` has at most `left` messages and list entries in it, which are taken off. What isn't
/// well formed is left to the decoder, which refuses it.
pub(crate) fn is_bounded(message: &[u8], kind: Kind, left: &mut usize, depth: usize) -> bool {
    let mut rest = Wire(message);
    while let Some((number, content)) = rest.field() {
        let (Some(content), Some(held)) = (content, kind.field(number)) else {
            continue;
        };
        if *left == 0 || depth > MAXIMUM_DEPTH {
            return false;
        }
        *left -= 1;
        if !matches!(held, Kind::Leaf) && !is_bounded(content, held, left, depth + 1) {
            return false;
        }
    }
    true
}

/// The fields of a message, as the protocol buffers' encoding has them.
struct Wire<'w>(&'w [u8]);

impl<'w> Wire<'w> {
    /// The next field's number, and its content where that has a length.
    fn field(&mut self) -> Option<(u64, Option<&'w [u8]>)> {
        let key = self.varint()?;
        let content = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => {
                self.take(8)?;
                None
            }
            2 => {
                let length = self.varint()?;
                Some(self.take(usize::try_from(length).ok()?)?)
            }
            5 => {
                self.take(4)?;
                None
            }
            _ => return None,
        };
        Some((key >> 3, content))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let [byte] = *self.take(1)? else {
                return None;
            };
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'w [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
