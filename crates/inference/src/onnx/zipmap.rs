//! Cuts a model's graph before each `ZipMap`, so that class probabilities come out as a plain tensor.
//!
//! skl2onnx and onnxmltools end a classifier in a
//! [ZipMap](https://github.com/onnx/onnx/blob/v1.17.0/docs/Operators-ml.md#ai.onnx.ml.ZipMap) by default,
//! which makes one map of names to numbers for each row: no tensor, and no server can put it into an
//! answer. An `Identity` of the ZipMap's input takes its place under the same name; the names of the
//! columns are kept beside it.
//!
//! Only the bytes of the ZipMap's own node and output are replaced; everything else stays as it is in
//! the file, whatever fields a newer ONNX may have.

use std::ops::Range;

use crate::classifier::placement::Classes;

/// A model without ZipMaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// The edited file.
    pub(super) file: Vec<u8>,
    /// The outputs that were maps, with the names of their columns.
    pub(super) outputs: Vec<(String, Classes)>,
}

/// The ZipMaps cut out of a model file; None where there is none to cut: no output is a ZipMap's, or
/// the file isn't laid out as expected, which is left to ONNX Runtime to say.
pub(super) fn cut(file: &[u8]) -> Option<Cut> {
    let graph = last(file, MODEL_GRAPH)?;
    let outputs: Vec<(Field, String)> = fields(&file[graph.value.clone()])
        .filter(|field| field.number == GRAPH_OUTPUT)
        .filter_map(|field| {
            let field = field.offset(graph.value.start);
            let name = text(file, &last_in(file, &field.value, VALUE_NAME)?.value)?;
            Some((field, name))
        })
        .collect();
    let mut edits = Vec::new();
    let mut names = Vec::new();
    for field in fields(&file[graph.value.clone()]) {
        if field.number != GRAPH_NODE {
            continue;
        }
        let node = field.offset(graph.value.start);
        let Some(zipmap) = ZipMap::read(file, &node.value) else {
            continue;
        };
        let Some((output, name)) = outputs.iter().find(|(_, name)| *name == zipmap.output) else {
            continue;
        };
        edits.push((node.all.clone(), delimited(GRAPH_NODE, &zipmap.identity())));
        let value = value_info(name, zipmap.classes.len());
        edits.push((output.all.clone(), delimited(GRAPH_OUTPUT, &value)));
        names.push((name.clone(), zipmap.classes));
    }
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(range, _)| range.start);
    let new_graph = spliced(file, &graph.value, &edits);
    let mut new_file = Vec::with_capacity(file.len());
    new_file.extend_from_slice(&file[..graph.all.start]);
    new_file.extend(delimited(MODEL_GRAPH, &new_graph));
    new_file.extend_from_slice(&file[graph.all.end..]);
    Some(Cut {
        file: new_file,
        outputs: names,
    })
}

// Numbers of fields in onnx.proto.
const MODEL_GRAPH: u64 = 7;
const GRAPH_NODE: u64 = 1;
const GRAPH_OUTPUT: u64 = 12;
const NODE_INPUT: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const NODE_NAME: u64 = 3;
const NODE_OPERATOR: u64 = 4;
const NODE_ATTRIBUTE: u64 = 5;
const NODE_DOMAIN: u64 = 7;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_INTS: u64 = 8;
const ATTRIBUTE_STRINGS: u64 = 9;
const VALUE_NAME: u64 = 1;
const VALUE_TYPE: u64 = 2;
const TYPE_TENSOR: u64 = 1;
const TENSOR_ELEMENT: u64 = 1;
const TENSOR_SHAPE: u64 = 2;
const SHAPE_DIMENSION: u64 = 1;
const DIMENSION_LENGTH: u64 = 1;
/// `TensorProto.DataType.FLOAT`: a ZipMap takes nothing else.
const FLOAT: u64 = 1;

struct ZipMap {
    name: String,
    input: String,
    output: String,
    classes: Classes,
}

impl ZipMap {
    fn read(file: &[u8], node: &Range<usize>) -> Option<Self> {
        let string = |number| text(file, &last_in(file, node, number)?.value);
        if string(NODE_OPERATOR)? != "ZipMap" || string(NODE_DOMAIN)? != "ai.onnx.ml" {
            return None;
        }
        let classes = fields(&file[node.clone()])
            .filter(|field| field.number == NODE_ATTRIBUTE)
            .find_map(|field| classes(&file[field.offset(node.start).value]))?;
        Some(Self {
            name: string(NODE_NAME).unwrap_or_default(),
            input: string(NODE_INPUT)?,
            output: string(NODE_OUTPUT)?,
            classes,
        })
    }

    fn identity(&self) -> Vec<u8> {
        [
            delimited(NODE_INPUT, self.input.as_bytes()),
            delimited(NODE_OUTPUT, self.output.as_bytes()),
            delimited(NODE_NAME, self.name.as_bytes()),
            delimited(NODE_OPERATOR, b"Identity"),
        ]
        .concat()
    }
}

/// The labels in an attribute of a ZipMap; None in any other attribute.
fn classes(attribute: &[u8]) -> Option<Classes> {
    let all = 0..attribute.len();
    let name = text(attribute, &last_in(attribute, &all, ATTRIBUTE_NAME)?.value)?;
    match &*name {
        "classlabels_int64s" => {
            let mut labels = Vec::new();
            for field in fields(attribute).filter(|field| field.number == ATTRIBUTE_INTS) {
                match field.scalar {
                    Some(label) => labels.push(label.cast_signed()),
                    None => {
                        let packed = &attribute[field.value];
                        let mut at = 0;
                        while at < packed.len() {
                            labels.push(varint(packed, &mut at)?.cast_signed());
                        }
                    }
                }
            }
            (!labels.is_empty()).then_some(Classes::Numbers(labels))
        }
        "classlabels_strings" => {
            let labels: Option<Vec<String>> = fields(attribute)
                .filter(|field| field.number == ATTRIBUTE_STRINGS)
                .map(|field| text(attribute, &field.value))
                .collect();
            labels
                .filter(|labels| !labels.is_empty())
                .map(Classes::Names)
        }
        _ => None,
    }
}

/// A `ValueInfoProto` of `float32[N, columns]`.
fn value_info(name: &str, columns: usize) -> Vec<u8> {
    let rows = delimited(SHAPE_DIMENSION, &[]);
    let columns = delimited(SHAPE_DIMENSION, &scalar(DIMENSION_LENGTH, columns as u64));
    let shape = [rows, columns].concat();
    let tensor = [
        scalar(TENSOR_ELEMENT, FLOAT),
        delimited(TENSOR_SHAPE, &shape),
    ]
    .concat();
    let value_type = delimited(TYPE_TENSOR, &tensor);
    [
        delimited(VALUE_NAME, name.as_bytes()),
        delimited(VALUE_TYPE, &value_type),
    ]
    .concat()
}

/// One field of a message, by ranges of bytes.
#[derive(Debug, Clone)]
struct Field {
    number: u64,
    /// With its key and its length.
    all: Range<usize>,
    /// The bytes of a delimited field; empty for others.
    value: Range<usize>,
    /// The number of a scalar field.
    scalar: Option<u64>,
}

impl Field {
    /// The same in a buffer in which the message begins at `start`.
    fn offset(self, start: usize) -> Self {
        let moved = |range: Range<usize>| range.start + start..range.end + start;
        Self {
            all: moved(self.all),
            value: moved(self.value),
            ..self
        }
    }
}

/// The fields of a message up to the first that is malformed.
fn fields(message: &[u8]) -> impl Iterator<Item = Field> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let field = field(message, at)?;
        at = field.all.end;
        Some(field)
    })
}

/// The field that begins at `start`, by the wire types of
/// <https://protobuf.dev/programming-guides/encoding/#structure>.
fn field(message: &[u8], start: usize) -> Option<Field> {
    if start >= message.len() {
        return None;
    }
    let mut at = start;
    let key = varint(message, &mut at)?;
    let (value, scalar) = match key & 7 {
        0 => {
            let number = varint(message, &mut at)?;
            (at..at, Some(number))
        }
        1 => (at + 8..at + 8, None),
        2 => {
            let length = usize::try_from(varint(message, &mut at)?).ok()?;
            (at..at.checked_add(length)?, None)
        }
        5 => (at + 4..at + 4, None),
        _ => return None,
    };
    (value.end <= message.len()).then_some(Field {
        number: key >> 3,
        all: start..value.end,
        value,
        scalar,
    })
}

/// A base-128 number of at most 10 bytes.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The last field of a number: of several, that is the one which counts.
fn last(message: &[u8], number: u64) -> Option<Field> {
    fields(message)
        .filter(|field| field.number == number)
        .last()
}

fn last_in(file: &[u8], message: &Range<usize>, number: u64) -> Option<Field> {
    last(&file[message.clone()], number).map(|field| field.offset(message.start))
}

fn text(file: &[u8], range: &Range<usize>) -> Option<String> {
    String::from_utf8(file[range.clone()].to_vec()).ok()
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn delimited(number: u64, value: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(value.len() + 12);
    put_varint(&mut field, number << 3 | 2);
    put_varint(&mut field, value.len() as u64);
    field.extend_from_slice(value);
    field
}

fn scalar(number: u64, value: u64) -> Vec<u8> {
    let mut field = Vec::new();
    put_varint(&mut field, number << 3);
    put_varint(&mut field, value);
    field
}

/// A range of the file with some of its parts, in their order, replaced.
fn spliced(file: &[u8], range: &Range<usize>, edits: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut result = Vec::with_capacity(range.len());
    let mut at = range.start;
    for (part, new) in edits {
        result.extend_from_slice(&file[at..part.start]);
        result.extend_from_slice(new);
        at = part.end;
    }
    result.extend_from_slice(&file[at..range.end]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_zipmap_becomes_an_identity_and_everything_else_stays() {
        let cut = cut(&model(node("ZipMap", "ai.onnx.ml", &labels()))).unwrap();
        let names = vec!["ham".to_owned(), "spam".to_owned()];
        assert_eq!(cut.outputs, [("maps".to_owned(), Classes::Names(names))]);
        let identity = [
            delimited(NODE_INPUT, b"p"),
            delimited(NODE_OUTPUT, b"maps"),
            delimited(NODE_NAME, b""),
            delimited(NODE_OPERATOR, b"Identity"),
        ]
        .concat();
        let graph = [
            delimited(99, b"something new"),
            delimited(GRAPH_NODE, &identity),
            delimited(GRAPH_OUTPUT, &value_info("maps", 2)),
        ]
        .concat();
        let expected = [
            scalar(1, 8),
            delimited(MODEL_GRAPH, &graph),
            delimited(99, b"something new"),
        ]
        .concat();
        assert_eq!(cut.file, expected);
        assert_eq!(super::cut(&cut.file), None, "once is enough");
    }

    #[test]
    fn labels_may_be_numbers_packed_or_not() {
        let mut packed = Vec::new();
        put_varint(&mut packed, (-1_i64).cast_unsigned());
        put_varint(&mut packed, 300);
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
    fn what_is_no_zipmap_is_left_alone() {
        for (operator, domain) in [("ZipMap", "mine"), ("Identity", "ai.onnx.ml")] {
            assert_eq!(cut(&model(node(operator, domain, &labels()))), None);
        }
        assert_eq!(cut(&model(node("ZipMap", "ai.onnx.ml", b""))), None);
        assert_eq!(cut(b""), None);
        assert_eq!(cut(b"no model"), None);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_no_panic() {
        let model = model(node("ZipMap", "ai.onnx.ml", &labels()));
        for end in 0..model.len() {
            let _whatever = cut(&model[..end]);
        }
    }
}
