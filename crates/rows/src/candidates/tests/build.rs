//! Builds small graphs.

use bytes::Bytes;

use crate::candidates::{Candidate, Candidates, Values, candidates};
use crate::decode::Model;
use crate::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TensorShape, TensorType, TypeKind, TypeProto, ValueInfo, element,
};

#[derive(Default)]
pub(super) struct Graph(pub(super) GraphProto);

impl Graph {
    /// An input; lengths of 0 are free.
    pub(super) fn input(mut self, name: &str, kind: i32, lengths: &[i64]) -> Self {
        let dim = lengths
            .iter()
            .map(|length| Dimension {
                value: (*length > 0).then_some(DimensionValue::Length(*length)),
            })
            .collect();
        let tensor = TensorType {
            elem_type: kind,
            shape: Some(TensorShape { dim }),
        };
        self.0.input.push(ValueInfo {
            name: name.to_owned(),
            r#type: Some(TypeProto {
                value: Some(TypeKind::Tensor(tensor)),
            }),
        });
        self
    }

    /// Weights, of which no more than the shape matters.
    pub(super) fn weights(mut self, name: &str, dims: &[i64]) -> Self {
        self.0.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: element::FLOAT,
            data_location: 1,
            ..TensorProto::default()
        });
        self
    }

    pub(super) fn integers(mut self, name: &str, values: &[i64]) -> Self {
        self.0.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: vec![i64::try_from(values.len()).unwrap()],
            data_type: element::INT64,
            int64_data: values.to_vec(),
            ..TensorProto::default()
        });
        self
    }

    pub(super) fn integer(mut self, name: &str, value: i64) -> Self {
        self = self.integers(name, &[value]);
        self.0.initializer.last_mut().unwrap().dims.clear();
        self
    }

    pub(super) fn floats(mut self, name: &str, values: &[f32]) -> Self {
        self.0.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: vec![i64::try_from(values.len()).unwrap()],
            data_type: element::FLOAT,
            float_data: values.to_vec(),
            ..TensorProto::default()
        });
        self
    }

    /// A node; names of inputs and outputs are split at spaces, `-` is one that isn't given.
    pub(super) fn node(
        mut self,
        operator: &str,
        inputs: &str,
        outputs: &str,
        attributes: Vec<AttributeProto>,
    ) -> Self {
        let names = |list: &str| -> Vec<String> {
            list.split_whitespace()
                .map(|name| name.trim_matches('-').to_owned())
                .collect()
        };
        let (domain, op_type) = operator.rsplit_once(':').unwrap_or(("", operator));
        self.0.node.push(NodeProto {
            input: names(inputs),
            output: names(outputs),
            op_type: op_type.to_owned(),
            domain: domain.to_owned(),
            attribute: attributes,
            ..NodeProto::default()
        });
        self
    }

    pub(super) fn candidates(self) -> Candidates {
        candidates(&Model {
            proto: ModelProto {
                graph: Some(self.0),
                ..ModelProto::default()
            },
        })
    }

    /// What is found of this input.
    pub(super) fn of(self, input: &str) -> Candidate {
        self.candidates().inputs.remove(input).unwrap_or_default()
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: value,
        ..AttributeProto::default()
    }
}

pub(super) fn texts(name: &str, values: &[&str]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        strings: values
            .iter()
            .map(|value| Bytes::copy_from_slice(value.as_bytes()))
            .collect(),
        ..AttributeProto::default()
    }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        s: Bytes::copy_from_slice(value.as_bytes()),
        ..AttributeProto::default()
    }
}

pub(super) fn graph(name: &str, graph: Graph) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        g: Some(Box::new(graph.0)),
        ..AttributeProto::default()
    }
}

pub(super) fn strings(values: &[&str]) -> Values {
    Values::Strings(values.iter().map(ToString::to_string).collect())
}

pub(super) fn range(least: i64, greatest: i64) -> Values {
    Values::Range { least, greatest }
}
