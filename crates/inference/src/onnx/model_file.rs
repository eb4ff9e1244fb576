//! Facts about a model file that ONNX Runtime reports too late or not at all: other files that it names, inputs and
//! outputs without a rank, and the offsets of its weights.
//!
//! The parser walks the protobuf messages of
//! [onnx.proto](https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto) and skips
//! other fields. A file of any size needs a buffer, the kept names, and bounded stack.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, BufRead, ErrorKind, Seek, SeekFrom};

/// Maximum nesting of messages: the limit of protobuf and of ONNX Runtime's parser.
const MAX_DEPTH: usize = 100;

/// Maximum length of a name, in bytes: a path on Linux (`PATH_MAX`).
const MAX_NAME: u64 = 4096;

/// Maximum number of files with external data. Large language models have some hundreds.
const MAX_EXTERNAL_FILES: usize = 10_000;

/// Maximum rank of a tensor: the limit of NumPy, which exporters use.
const MAX_RANK: usize = 64;

/// Minimum size of weights that are worth sharing, in bytes.
const MIN_SHARED_BYTES: u64 = 1024;

/// The operator that changes the case of text.
pub(super) const CHANGES_CASE: &str = "StringNormalizer";

/// A file that isn't a model or exceeds a limit.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("the model file can't be read: {0}")]
    Read(#[from] io::Error),
    /// Its messages don't parse.
    #[error("the model file is not an ONNX model, or is cut off")]
    Malformed,
    /// Its messages are nested too deep.
    #[error("the model file is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// It names too many files.
    #[error("the model names more than {MAX_EXTERNAL_FILES} files beside its own")]
    TooManyFiles,
    /// A file's name is too long.
    #[error("the model names a file whose name has more than {MAX_NAME} bytes")]
    NameTooLong,
}

/// Facts about a model file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ModelFile {
    /// Names of files with external data.
    pub(super) external: BTreeSet<String>,
    /// Inputs and outputs without a shape.
    pub(super) unranked: HashSet<String>,
    /// Weights of the model's main graph that are in this file, and that nodes only multiply by or look up in.
    pub(super) weights: Vec<Weights>,
    /// Whether any node may change the case of text.
    pub(super) changes_case: bool,
}

/// An initializer in the file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Weights {
    /// Its name in the graph.
    pub(super) name: String,
    /// `TensorProto.DataType`.
    pub(super) data_type: u64,
    /// Length of each dimension.
    pub(super) shape: Vec<i64>,
    /// Offset of its little-endian elements in the file.
    pub(super) offset: u64,
    /// Length of its elements in bytes.
    pub(super) bytes: u64,
}

impl ModelFile {
    /// Parses a model with this size in bytes.
    ///
    /// # Errors
    /// When it can't be read or isn't a model.
    pub fn parse(input: impl BufRead + Seek, bytes: u64) -> Result<Self, FileError> {
        let mut walker = Walker {
            input,
            position: 0,
            depth: 0,
            tensor: Tensor::default(),
            node: Node::default(),
            used_otherwise: HashSet::new(),
            found: Self::default(),
        };
        walker.message(bytes, Walker::model)?;
        let mut found = walker.found;
        found
            .weights
            .retain(|weights| !walker.used_otherwise.contains(&weights.name));
        Ok(found)
    }
}

/// Value of a field.
#[derive(Clone, Copy)]
enum Value {
    Number(u64),
    /// Bytes up to this offset.
    Bytes(u64),
}

/// Parsed fields of a `TensorProto`, which isn't nested.
#[derive(Default)]
struct Tensor {
    weights: Weights,
    external: bool,
}

/// Parsed fields of a `NodeProto`.
#[derive(Default)]
struct Node {
    op_type: String,
    inputs: Vec<String>,
}

impl Node {
    /// Whether the node multiplies by its weights or looks up in them. Others may have theirs
    /// transposed by ONNX Runtime's optimizer, under the same name:
    /// [transpose_optimizer.cc](https://github.com/microsoft/onnxruntime/blob/v1.31.1/onnxruntime/core/optimizer/transpose_optimization/onnx_transpose_optimization.cc).
    fn multiplies(&self) -> bool {
        matches!(
            &*self.op_type,
            "MatMul"
                | "MatMulInteger"
                | "Gemm"
                | "Conv"
                | "ConvInteger"
                | "ConvTranspose"
                | "Gather"
        )
    }
}

struct Walker<R> {
    input: R,
    position: u64,
    depth: usize,
    tensor: Tensor,
    node: Node,
    /// Inputs of nodes that don't multiply.
    used_otherwise: HashSet<String>,
    found: ModelFile,
}

/// Handles a field, by its number in onnx.proto. Bytes that it doesn't read are skipped.
type Visit<R> = fn(&mut Walker<R>, u64, Value) -> Result<(), FileError>;

impl<R: BufRead + Seek> Walker<R> {
    fn message(&mut self, end: u64, visit: Visit<R>) -> Result<(), FileError> {
        if self.depth == MAX_DEPTH {
            return Err(FileError::TooDeep);
        }
        self.depth += 1;
        while self.position < end {
            let key = self.number(end)?;
            // The wire types of https://protobuf.dev/programming-guides/encoding/#structure; groups
            // are long deprecated and no ONNX model has any.
            match key & 7 {
                0 => {
                    let number = self.number(end)?;
                    visit(self, key >> 3, Value::Number(number))?;
                }
                1 => self.skip_to(self.end_of(8, end)?)?,
                2 => {
                    let bytes = self.number(end)?;
                    let field_end = self.end_of(bytes, end)?;
                    visit(self, key >> 3, Value::Bytes(field_end))?;
                    self.skip_to(field_end)?;
                }
                5 => self.skip_to(self.end_of(4, end)?)?,
                _ => return Err(FileError::Malformed),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn model(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        match (field, value) {
            (7, Value::Bytes(end)) => self.message(end, Self::graph),
            (20, Value::Bytes(end)) => self.message(end, Self::training_info),
            (25, Value::Bytes(end)) => self.message(end, Self::function),
            _ => Ok(()),
        }
    }

    fn training_info(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        match (field, value) {
            (1 | 2, Value::Bytes(end)) => self.message(end, Self::graph),
            _ => Ok(()),
        }
    }

    fn graph(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        // The model's own graph is a field of the outermost message.
        let own = self.depth == 2;
        match (field, value) {
            (1, Value::Bytes(end)) => self.node(end),
            (5, Value::Bytes(end)) => {
                self.tensor(end)?;
                let Tensor { weights, external } = std::mem::take(&mut self.tensor);
                if own && !external && weights.bytes >= MIN_SHARED_BYTES {
                    self.found.weights.push(weights);
                }
                Ok(())
            }
            (11 | 12, Value::Bytes(end)) if own => self.port(end),
            (15, Value::Bytes(end)) => self.message(end, Self::sparse_tensor),
            _ => Ok(()),
        }
    }

    fn node(&mut self, end: u64) -> Result<(), FileError> {
        // Its attributes may hold graphs of other nodes.
        let outer = std::mem::take(&mut self.node);
        self.message(end, Self::node_field)?;
        let node = std::mem::replace(&mut self.node, outer);
        self.found.changes_case |= node.op_type == CHANGES_CASE;
        if !node.multiplies() {
            self.used_otherwise.extend(node.inputs);
        }
        Ok(())
    }

    fn node_field(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        match (field, value) {
            (1, Value::Bytes(end)) => {
                let name = self.text(end)?.unwrap_or_default();
                self.node.inputs.push(name);
            }
            (4, Value::Bytes(end)) => self.node.op_type = self.text(end)?.unwrap_or_default(),
            (5, Value::Bytes(end)) => return self.message(end, Self::attribute),
            _ => {}
        }
        Ok(())
    }

    fn function(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        match (field, value) {
            (7, Value::Bytes(end)) => self.node(end),
            (11, Value::Bytes(end)) => self.message(end, Self::attribute),
            _ => Ok(()),
        }
    }

    fn attribute(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        match (field, value) {
            (5 | 10, Value::Bytes(end)) => self.tensor(end),
            (6 | 11, Value::Bytes(end)) => self.message(end, Self::graph),
            (22 | 23, Value::Bytes(end)) => self.message(end, Self::sparse_tensor),
            _ => Ok(()),
        }
    }

    fn sparse_tensor(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        match (field, value) {
            (1 | 2, Value::Bytes(end)) => self.tensor(end),
            _ => Ok(()),
        }
    }

    fn tensor(&mut self, end: u64) -> Result<(), FileError> {
        self.tensor = Tensor::default();
        self.message(end, Self::tensor_field)
    }

    fn tensor_field(&mut self, field: u64, value: Value) -> Result<(), FileError> {
        match (field, value) {
            (1, Value::Number(length)) => return self.dimension(length),
            (1, Value::Bytes(end)) => {
                while self.position < end {
                    let length = self.number(end)?;
                    self.dimension(length)?;
                }
            }
            (2, Value::Number(data_type)) => self.tensor.weights.data_type = data_type,
            (8, Value::Bytes(end)) => {
                self.tensor.weights.name = self.text(end)?.unwrap_or_default();
            }
            (9, Value::Bytes(end)) => {
                self.tensor.weights.offset = self.position;
                self.tensor.weights.bytes = end - self.position;
            }
            (13, Value::Bytes(end)) => {
                self.tensor.external = true;
                return self.external_data(end);
            }
            _ => {}
        }
        Ok(())
    }

    fn dimension(&mut self, length: u64) -> Result<(), FileError> {
        let shape = &mut self.tensor.weights.shape;
        if shape.len() == MAX_RANK {
            return Err(FileError::Malformed);
        }
        shape.push(length.cast_signed());
        Ok(())
    }

    /// The number of a field and the end of its bytes, in a message that has no other kind of field.
    fn only_bytes(&mut self, end: u64) -> Result<(u64, u64), FileError> {
        let key = self.number(end)?;
        if key & 7 != 2 {
            return Err(FileError::Malformed);
        }
        let bytes = self.number(end)?;
        Ok((key >> 3, self.end_of(bytes, end)?))
    }

    /// An entry of `external_data`. Fields may come in any order and repeatedly: every value of an entry with the key
    /// `location` is a location.
    fn external_data(&mut self, end: u64) -> Result<(), FileError> {
        let mut is_location = false;
        let mut values = Vec::new();
        while self.position < end {
            let (field, field_end) = self.only_bytes(end)?;
            match field {
                1 => is_location |= self.text(field_end)?.as_deref() == Some("location"),
                2 => values.push(self.text(field_end)?),
                _ => {}
            }
            self.skip_to(field_end)?;
        }
        if is_location {
            for value in values {
                let location = value.ok_or(FileError::NameTooLong)?;
                self.found.external.insert(location);
            }
            if self.found.external.len() > MAX_EXTERNAL_FILES {
                return Err(FileError::TooManyFiles);
            }
        }
        Ok(())
    }

    /// A `ValueInfoProto` of the model's own graph.
    fn port(&mut self, end: u64) -> Result<(), FileError> {
        let mut name = None;
        let mut ranked = false;
        while self.position < end {
            let (field, field_end) = self.only_bytes(end)?;
            match field {
                1 => name = self.text(field_end)?,
                2 => ranked |= self.has_field(field_end, &[1, 2])?,
                _ => {}
            }
            self.skip_to(field_end)?;
        }
        if let Some(name) = name.filter(|_| !ranked) {
            self.found.unranked.insert(name);
        }
        Ok(())
    }

    /// Whether the message up to `end` has the field at the end of a path of field numbers:
    /// `tensor_type` (1) and `shape` (2) of a `TypeProto`.
    fn has_field(&mut self, end: u64, path: &[u64]) -> Result<bool, FileError> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(true);
        };
        let mut found = false;
        while self.position < end {
            let key = self.number(end)?;
            match key & 7 {
                0 => {
                    self.number(end)?;
                }
                2 => {
                    let bytes = self.number(end)?;
                    let field_end = self.end_of(bytes, end)?;
                    if key >> 3 == *first {
                        found |= self.has_field(field_end, rest)?;
                    }
                    self.skip_to(field_end)?;
                }
                _ => return Err(FileError::Malformed),
            }
        }
        Ok(found)
    }

    /// A string. None where it is too long or not UTF-8.
    fn text(&mut self, end: u64) -> Result<Option<String>, FileError> {
        let bytes = end - self.position;
        if bytes > MAX_NAME {
            return Ok(None);
        }
        let mut text = Vec::new();
        for _ in 0..bytes {
            text.push(self.byte()?);
        }
        Ok(String::from_utf8(text).ok())
    }

    /// The end of a field with this number of bytes, inside its message.
    fn end_of(&self, bytes: u64, end: u64) -> Result<u64, FileError> {
        let field_end = self.position.checked_add(bytes);
        field_end
            .filter(|field_end| *field_end <= end)
            .ok_or(FileError::Malformed)
    }

    /// A base-128 number of at most 10 bytes.
    fn number(&mut self, end: u64) -> Result<u64, FileError> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            if self.position == end {
                break;
            }
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(FileError::Malformed)
    }

    fn byte(&mut self) -> Result<u8, FileError> {
        let mut byte = [0];
        match self.input.read_exact(&mut byte) {
            Ok(()) => {
                self.position += 1;
                Ok(byte[0])
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(FileError::Malformed),
            Err(error) => Err(error.into()),
        }
    }

    fn skip_to(&mut self, end: u64) -> Result<(), FileError> {
        let skipped = end - self.position;
        let buffered = self.input.fill_buf()?.len();
        match usize::try_from(skipped) {
            Ok(skipped) if skipped <= buffered => self.input.consume(skipped),
            _ => {
                self.input.seek(SeekFrom::Start(end))?;
            }
        }
        self.position = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
