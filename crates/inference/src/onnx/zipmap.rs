//! Cuts a model's graph before each `ZipMap`, so that class probabilities come out as a plain tensor.
//!
//! skl2onnx and onnxmltools end a classifier in a
//! [ZipMap](https://github.com/onnx/onnx/blob/v1.17.0/docs/Operators-ml.md#ai.onnx.ml.ZipMap) by default,
//! which makes one map of names to numbers for each row. A map is no tensor, so responses can't contain it.
//! The ZipMap is replaced by a `Cast` to 32-bit floats with the same output name. The names of the columns are kept.
//!
//! Only the bytes of the ZipMap's node and output are replaced. Everything else is unchanged, including fields of
//! newer versions of ONNX.

use super::model_file::FileError;
use super::rewrite::{
    Message, Value, fields, packed_numbers, push_field, push_number_field, rewrite,
};
use crate::classifier::label_columns::Classes;

/// A model without ZipMaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// The edited file.
    pub(super) file: Vec<u8>,
    /// The outputs that were maps, with the names of their columns.
    pub(super) outputs: Vec<(String, Classes)>,
}

/// The model without its ZipMaps. None where no output is one of a ZipMap.
///
/// # Errors
/// When the bytes are no model.
pub(super) fn cut(model: &[u8]) -> Result<Option<Cut>, FileError> {
    let (mut zipmaps, mut outputs) = (Vec::new(), Vec::new());
    rewrite(model, &mut |kind, message| {
        match kind {
            Message::Node => zipmaps.extend(ZipMap::read(message)?),
            Message::Output => outputs.extend(text(message, VALUE_NAME)?),
            _ => {}
        }
        Ok(None)
    })?;
    zipmaps.retain(|zipmap| outputs.contains(&zipmap.output));
    if zipmaps.is_empty() {
        return Ok(None);
    }
    // Another node that reads the maps needs them.
    rewrite(model, &mut |kind, message| {
        if kind == Message::Node {
            for field in fields(message) {
                let field = field?;
                if let (NODE_INPUT, Value::Bytes(input)) = (field.number, field.value) {
                    zipmaps.retain(|zipmap| zipmap.output.as_bytes() != input);
                }
            }
        }
        Ok(None)
    })?;
    let file = rewrite(model, &mut |kind, message| {
        Ok(match kind {
            Message::Node => ZipMap::read(message)?
                .filter(|zipmap| zipmaps.contains(zipmap))
                .map(|zipmap| zipmap.cast()),
            Message::Output => {
                let name = text(message, VALUE_NAME)?;
                let mut of_zipmaps = zipmaps.iter();
                of_zipmaps
                    .find(|zipmap| Some(&zipmap.output) == name.as_ref())
                    .map(ZipMap::value_info)
            }
            _ => None,
        })
    })?;
    let outputs = |zipmap: ZipMap| (zipmap.output, zipmap.classes);
    Ok(file.map(|file| Cut {
        file,
        outputs: zipmaps.into_iter().map(outputs).collect(),
    }))
}

// Field numbers of onnx.proto.
const NODE_INPUT: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const NODE_NAME: u64 = 3;
const NODE_OPERATOR: u64 = 4;
const NODE_ATTRIBUTE: u64 = 5;
const NODE_DOMAIN: u64 = 7;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_INT: u64 = 3;
const ATTRIBUTE_INTS: u64 = 8;
const ATTRIBUTE_STRINGS: u64 = 9;
const ATTRIBUTE_TYPE: u64 = 20;
/// `AttributeProto.AttributeType.INT`.
const ATTRIBUTE_TYPE_INT: u64 = 2;
const VALUE_NAME: u64 = 1;
const VALUE_TYPE: u64 = 2;
const TYPE_TENSOR: u64 = 1;
const TENSOR_ELEMENT: u64 = 1;
const TENSOR_SHAPE: u64 = 2;
const SHAPE_DIMENSION: u64 = 1;
const DIMENSION_LENGTH: u64 = 1;
/// `TensorProto.DataType.FLOAT`, the type of the values in the maps.
const FLOAT: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
struct ZipMap {
    name: String,
    input: String,
    output: String,
    classes: Classes,
}

impl ZipMap {
    /// None for other nodes, and without labels.
    fn read(node: &[u8]) -> Result<Option<Self>, FileError> {
        let is = |field, expected: &str| {
            Ok::<_, FileError>(text(node, field)?.as_deref() == Some(expected))
        };
        if !is(NODE_OPERATOR, "ZipMap")? || !is(NODE_DOMAIN, "ai.onnx.ml")? {
            return Ok(None);
        }
        let mut found = None;
        for field in fields(node) {
            let field = field?;
            if let (NODE_ATTRIBUTE, Value::Bytes(attribute)) = (field.number, field.value) {
                found = found.or(classes(attribute)?);
            }
        }
        let (input, output) = (text(node, NODE_INPUT)?, text(node, NODE_OUTPUT)?);
        let name = text(node, NODE_NAME)?.unwrap_or_default();
        let zipmap = |input, output, classes| Self {
            name,
            input,
            output,
            classes,
        };
        Ok(match (input, output, found) {
            (Some(input), Some(output), Some(classes)) => Some(zipmap(input, output, classes)),
            _ => None,
        })
    }

    /// The `NodeProto` of the `Cast` to 32-bit floats. A classifier of 64-bit floats gives them to its ZipMap, too,
    /// which only takes 32-bit ones; ONNX Runtime removes a cast that changes nothing.
    fn cast(&self) -> Vec<u8> {
        let mut node = Vec::new();
        push_field(&mut node, NODE_INPUT, self.input.as_bytes());
        push_field(&mut node, NODE_OUTPUT, self.output.as_bytes());
        push_field(&mut node, NODE_NAME, self.name.as_bytes());
        push_field(&mut node, NODE_OPERATOR, b"Cast");
        let mut attribute = Vec::new();
        push_field(&mut attribute, ATTRIBUTE_NAME, b"to");
        push_number_field(&mut attribute, ATTRIBUTE_INT, FLOAT);
        push_number_field(&mut attribute, ATTRIBUTE_TYPE, ATTRIBUTE_TYPE_INT);
        push_field(&mut node, NODE_ATTRIBUTE, &attribute);
        node
    }

    /// A `ValueInfoProto` of `float32[N, classes]`.
    fn value_info(&self) -> Vec<u8> {
        let mut columns = Vec::new();
        push_number_field(&mut columns, DIMENSION_LENGTH, self.classes.len() as u64);
        let mut shape = Vec::new();
        push_field(&mut shape, SHAPE_DIMENSION, &[]);
        push_field(&mut shape, SHAPE_DIMENSION, &columns);
        let mut tensor = Vec::new();
        push_number_field(&mut tensor, TENSOR_ELEMENT, FLOAT);
        push_field(&mut tensor, TENSOR_SHAPE, &shape);
        let mut value_type = Vec::new();
        push_field(&mut value_type, TYPE_TENSOR, &tensor);
        let mut value = Vec::new();
        push_field(&mut value, VALUE_NAME, self.output.as_bytes());
        push_field(&mut value, VALUE_TYPE, &value_type);
        value
    }
}

/// The labels in an attribute of a ZipMap. None in other attributes.
fn classes(attribute: &[u8]) -> Result<Option<Classes>, FileError> {
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for field in fields(attribute) {
        let field = field?;
        match (field.number, field.value) {
            (ATTRIBUTE_INTS, Value::Number(label)) => numbers.push(label.cast_signed()),
            (ATTRIBUTE_INTS, Value::Bytes(packed)) => {
                for label in packed_numbers(packed) {
                    numbers.push(label?.cast_signed());
                }
            }
            (ATTRIBUTE_STRINGS, Value::Bytes(label)) => {
                names.push(String::from_utf8_lossy(label).into_owned());
            }
            _ => {}
        }
    }
    Ok(match text(attribute, ATTRIBUTE_NAME)?.as_deref() {
        Some("classlabels_int64s") if !numbers.is_empty() => Some(Classes::Numbers(numbers)),
        Some("classlabels_strings") if !names.is_empty() => Some(Classes::Names(names)),
        _ => None,
    })
}

/// The first field with this number, as text. None where it doesn't exist or isn't text.
fn text(message: &[u8], number: u64) -> Result<Option<String>, FileError> {
    for field in fields(message) {
        let field = field?;
        if let (true, Value::Bytes(text)) = (field.number == number, field.value) {
            return Ok(std::str::from_utf8(text).ok().map(str::to_owned));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delimited(number: u64, content: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        push_field(&mut field, number, content);
        field
    }

    fn scalar(number: u64, value: u64) -> Vec<u8> {
        let mut field = Vec::new();
        push_number_field(&mut field, number, value);
        field
    }

    fn cut(model: &[u8]) -> Option<Cut> {
        super::cut(model).unwrap()
    }

    const MODEL_GRAPH: u64 = 7;
    const GRAPH_NODE: u64 = 1;
    const GRAPH_OUTPUT: u64 = 12;

    fn node(operator: &str, domain: &str, attributes: &[u8]) -> Vec<u8> {
        let node = [
            delimited(NODE_INPUT, b"p"),
            delimited(NODE_OUTPUT, b"maps"),
            delimited(NODE_OPERATOR, operator.as_bytes()),
            delimited(NODE_DOMAIN, domain.as_bytes()),
            delimited(NODE_ATTRIBUTE, attributes),
        ]
        .concat();
        delimited(GRAPH_NODE, &node)
    }

    fn labels() -> Vec<u8> {
        [
            delimited(ATTRIBUTE_NAME, b"classlabels_strings"),
            delimited(ATTRIBUTE_STRINGS, b"ham"),
            delimited(ATTRIBUTE_STRINGS, b"spam"),
        ]
        .concat()
    }

    fn model(node: Vec<u8>) -> Vec<u8> {
        let output = delimited(GRAPH_OUTPUT, &delimited(VALUE_NAME, b"maps"));
        let unknown = delimited(99, b"something new");
        let graph = [unknown.clone(), node, output].concat();
        [scalar(1, 8), delimited(MODEL_GRAPH, &graph), unknown].concat()
    }

    #[test]
    fn a_zipmap_becomes_a_cast_and_everything_else_stays() {
        let cut_out = cut(&model(node("ZipMap", "ai.onnx.ml", &labels()))).unwrap();
        let names = vec!["ham".to_owned(), "spam".to_owned()];
        let classes = Classes::Names(names);
        assert_eq!(cut_out.outputs, [("maps".to_owned(), classes.clone())]);
        let zipmap = ZipMap {
            name: String::new(),
            input: "p".to_owned(),
            output: "maps".to_owned(),
            classes,
        };
        let to_float = [
            delimited(ATTRIBUTE_NAME, b"to"),
            scalar(ATTRIBUTE_INT, FLOAT),
            scalar(ATTRIBUTE_TYPE, ATTRIBUTE_TYPE_INT),
        ]
        .concat();
        let cast = [
            delimited(NODE_INPUT, b"p"),
            delimited(NODE_OUTPUT, b"maps"),
            delimited(NODE_NAME, b""),
            delimited(NODE_OPERATOR, b"Cast"),
            delimited(NODE_ATTRIBUTE, &to_float),
        ]
        .concat();
        let graph = [
            delimited(99, b"something new"),
            delimited(GRAPH_NODE, &cast),
            delimited(GRAPH_OUTPUT, &zipmap.value_info()),
        ]
        .concat();
        let expected = [
            scalar(1, 8),
            delimited(MODEL_GRAPH, &graph),
            delimited(99, b"something new"),
        ]
        .concat();
        assert_eq!(cut_out.file, expected);
        assert_eq!(cut(&cut_out.file), None, "once is enough");
    }

    #[test]
    fn labels_may_be_numbers_packed_or_not() {
        // -1 and 300.
        let packed = [&[0xff; 9][..], &[0x01, 0xac, 0x02]].concat();
        let name = delimited(ATTRIBUTE_NAME, b"classlabels_int64s");
        let each = [
            scalar(ATTRIBUTE_INTS, (-1_i64).cast_unsigned()),
            scalar(ATTRIBUTE_INTS, 300),
        ]
        .concat();
        for ints in [delimited(ATTRIBUTE_INTS, &packed), each] {
            let attribute = [name.clone(), ints].concat();
            let cut = cut(&model(node("ZipMap", "ai.onnx.ml", &attribute))).unwrap();
            assert_eq!(cut.outputs[0].1, Classes::Numbers(vec![-1, 300]));
        }
    }

    #[test]
    fn maps_that_another_node_reads_stay() {
        let reader = delimited(GRAPH_NODE, &delimited(NODE_INPUT, b"maps"));
        let nodes = [node("ZipMap", "ai.onnx.ml", &labels()), reader].concat();
        assert_eq!(cut(&model(nodes)), None);
    }

    #[test]
    fn what_is_no_zipmap_is_left_alone() {
        for (operator, domain) in [("ZipMap", "mine"), ("Identity", "ai.onnx.ml")] {
            assert_eq!(cut(&model(node(operator, domain, &labels()))), None);
        }
        assert_eq!(cut(&model(node("ZipMap", "ai.onnx.ml", b""))), None);
        assert_eq!(cut(b""), None);
        assert!(super::cut(b"no model").is_err());
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_no_panic() {
        let model = model(node("ZipMap", "ai.onnx.ml", &labels()));
        for end in 0..model.len() {
            let _whatever = super::cut(&model[..end]);
        }
    }
}
