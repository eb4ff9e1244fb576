//! Small models as text, and what is found of them.
//!
//! A line is one of
//! `in NAME[:ELEMENT] LENGTH…` (`N` or another word for a free length), `float NAME LENGTH…` (weights),
//! `floats NAME = VALUE…`, `ints NAME = VALUE…` (one axis), `scalar NAME = VALUE`,
//! `OUTPUT… = [DOMAIN.]OPERATOR [ATTRIBUTE=VALUE]… ( INPUT… )` (`_` for an input that is left out),
//! `graph NAME` … `end` and `function NAME` … `end` with lines of their own, and `out NAME…`.

mod control;
mod exports;
mod hostile;
mod layout;
mod operators;

use bytes::Bytes;

use crate::analyse;
use crate::decode::Model;
use crate::findings::{Finding, Verdict};
use crate::proto::{
    AttributeProto, Dimension, DimensionValue, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetId, TensorProto, TensorShape, TensorType, TypeKind, TypeProto, ValueInfo, element,
};

/// The operator set of models that don't name one.
const OPSET: i64 = 17;

pub(super) fn parse(text: &str) -> Model {
    with_opset(OPSET, text)
}

pub(super) fn with_opset(opset: i64, text: &str) -> Model {
    let mut lines = text
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let mut functions = Vec::new();
    let graph = graph(&mut lines, &mut functions);
    let import = |domain: &str, version: i64| OperatorSetId {
        domain: domain.to_owned(),
        version,
    };
    let opset_import = vec![
        import("", opset),
        import("ai.onnx.ml", 3),
        import("com.microsoft", 1),
        import("local", 1),
    ];
    Model {
        proto: ModelProto {
            graph: Some(graph),
            opset_import,
            functions,
        },
    }
}

fn graph<'t>(
    lines: &mut impl Iterator<Item = &'t str>,
    functions: &mut Vec<FunctionProto>,
) -> GraphProto {
    let mut result = GraphProto::default();
    let mut graphs: Vec<(String, GraphProto)> = Vec::new();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["end"] => break,
            ["in", name, lengths @ ..] => result.input.push(input(name, lengths)),
            ["out", names @ ..] => result.output.extend(names.iter().map(|name| named(name))),
            ["graph", name] => graphs.push(((*name).to_owned(), graph(lines, functions))),
            ["function", name] => {
                let body = graph(lines, functions);
                functions.push(FunctionProto {
                    name: (*name).to_owned(),
                    domain: "local".to_owned(),
                    input: body.input.iter().map(|input| input.name.clone()).collect(),
                    output: body
                        .output
                        .iter()
                        .map(|output| output.name.clone())
                        .collect(),
                    node: body.node,
                    opset_import: vec![OperatorSetId {
                        domain: String::new(),
                        version: OPSET,
                    }],
                    ..FunctionProto::default()
                });
            }
            ["float", name, lengths @ ..] => result.initializer.push(TensorProto {
                name: (*name).to_owned(),
                dims: lengths
                    .iter()
                    .map(|length| length.parse().unwrap())
                    .collect(),
                data_type: element::FLOAT,
                ..TensorProto::default()
            }),
            ["floats", name, "=", values @ ..] => result.initializer.push(TensorProto {
                name: (*name).to_owned(),
                dims: vec![values.len() as i64],
                data_type: element::FLOAT,
                float_data: values.iter().map(|value| value.parse().unwrap()).collect(),
                ..TensorProto::default()
            }),
            [kind @ ("ints" | "scalar"), name, "=", values @ ..] => {
                result.initializer.push(TensorProto {
                    name: (*name).to_owned(),
                    dims: if *kind == "ints" {
                        vec![values.len() as i64]
                    } else {
                        Vec::new()
                    },
                    data_type: element::INT64,
                    int64_data: values.iter().map(|value| value.parse().unwrap()).collect(),
                    ..TensorProto::default()
                });
            }
            _ => result.node.push(node(line, &graphs)),
        }
    }
    result
}

fn named(name: &str) -> ValueInfo {
    ValueInfo {
        name: name.to_owned(),
        r#type: None,
    }
}

fn input(name: &str, lengths: &[&str]) -> ValueInfo {
    let (name, element) = name.split_once(':').unwrap_or((name, "float"));
    let elem_type = match element {
        "float" => element::FLOAT,
        "int32" => element::INT32,
        "int64" => element::INT64,
        "string" => element::STRING,
        "bool" => element::BOOL,
        other => panic!("no such element: {other}"),
    };
    let dim = lengths
        .iter()
        .map(|length| Dimension {
            value: Some(length.parse().map_or_else(
                |_| DimensionValue::Name((*length).to_owned()),
                DimensionValue::Length,
            )),
        })
        .collect();
    let tensor = TensorType {
        elem_type,
        shape: Some(TensorShape { dim }),
    };
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(TypeKind::Tensor(tensor)),
        }),
    }
}

fn node(line: &str, graphs: &[(String, GraphProto)]) -> NodeProto {
    let (outputs, rest) = line
        .split_once(" = ")
        .unwrap_or_else(|| panic!("not a line: {line}"));
    let (head, inputs) = rest
        .split_once('(')
        .unwrap_or_else(|| panic!("no inputs: {line}"));
    let mut head = head.split_whitespace();
    let operator = head.next().unwrap();
    let (domain, op_type) = operator.rsplit_once('.').unwrap_or(("", operator));
    let names = |text: &str| -> Vec<String> {
        text.split_whitespace()
            .map(|name| {
                if name == "_" {
                    String::new()
                } else {
                    name.to_owned()
                }
            })
            .collect()
    };
    NodeProto {
        input: names(inputs.trim_end_matches(')')),
        output: names(outputs),
        name: format!("the {op_type}"),
        op_type: op_type.to_owned(),
        domain: domain.to_owned(),
        attribute: head.map(|text| attribute(text, graphs)).collect(),
        overload: String::new(),
    }
}

/// `name=1`, `name=1,2`, `name=1.5`, `name=[1]`, `name="text"`, `name=[a,b]`, `name=#1` (a tensor) or `name=@graph`.
fn attribute(text: &str, graphs: &[(String, GraphProto)]) -> AttributeProto {
    let (name, value) = text.split_once('=').unwrap();
    let mut result = AttributeProto {
        name: name.to_owned(),
        ..AttributeProto::default()
    };
    if let Some(graph) = value.strip_prefix('@') {
        let (_, graph) = graphs.iter().find(|(name, _)| name == graph).unwrap();
        result.g = Some(Box::new(graph.clone()));
    } else if let Some(integer) = value.strip_prefix('#') {
        result.t = Some(Box::new(TensorProto {
            dims: vec![1],
            data_type: element::INT64,
            int64_data: vec![integer.parse().unwrap()],
            ..TensorProto::default()
        }));
    } else if let Some(text) = value.strip_prefix('"') {
        result.s = Bytes::copy_from_slice(text.trim_end_matches('"').as_bytes());
    } else if let Some(list) = value.strip_prefix('[') {
        for item in list.trim_end_matches(']').split(',') {
            match item.parse() {
                Ok(integer) => result.ints.push(integer),
                Err(_) => result.strings.push(Bytes::copy_from_slice(item.as_bytes())),
            }
        }
    } else if value.contains(',') {
        result.ints = value.split(',').map(|item| item.parse().unwrap()).collect();
    } else if let Ok(integer) = value.parse() {
        result.i = integer;
    } else {
        result.f = value.parse().unwrap();
    }
    result
}

pub(super) fn independent(text: &str) {
    assert_eq!(
        analyse(&parse(text)).verdict,
        Verdict::Independent,
        "{text}"
    );
}

pub(super) fn independent_with(opset: i64, text: &str) {
    assert_eq!(
        analyse(&with_opset(opset, text)).verdict,
        Verdict::Independent,
        "{text}"
    );
}

fn finding(opset: i64, text: &str, dependent: bool) -> Finding {
    match (analyse(&with_opset(opset, text)).verdict, dependent) {
        (Verdict::Dependent(finding), true) | (Verdict::Unknown(finding), false) => finding,
        (other, _) => panic!("{other:?} of {text}"),
    }
}

/// The model is called dependent, for this reason.
pub(super) fn dependent(text: &str, why: &str) {
    dependent_with(OPSET, text, why);
}

pub(super) fn dependent_with(opset: i64, text: &str, why: &str) {
    let finding = finding(opset, text, true);
    assert!(finding.to_string().contains(why), "{finding} of {text}");
}

/// Nothing is said for or against the model, for this reason.
pub(super) fn unknown(text: &str, why: &str) {
    unknown_with(OPSET, text, why);
}

pub(super) fn unknown_with(opset: i64, text: &str, why: &str) {
    let finding = finding(opset, text, false);
    assert!(finding.to_string().contains(why), "{finding} of {text}");
}

pub(super) fn hazards(text: &str) -> Vec<String> {
    analyse(&parse(text))
        .hazards
        .iter()
        .map(ToString::to_string)
        .collect()
}
