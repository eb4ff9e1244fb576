//! Random graphs: what they take, and their last value as what they give.

use std::collections::HashSet;
use std::fmt::Write as _;

use fastrand::Rng;
use prost::Message as _;

use super::builder::{Builder, Kind, Len, ROWS, Value, declared};
use super::proto::{self, Attribute, Dimension, Graph, Model, OperatorSet};
use super::{arithmetic, layers, layout, places};

/// What rows hold, beside the rows' own axis.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) kind: Kind,
    pub(super) lengths: Vec<usize>,
    /// Whether the graph leaves the first of two lengths open.
    pub(super) free: bool,
    /// Integers are below this.
    pub(super) bound: i64,
}

/// A graph with every value that it could give.
pub(super) struct Generated {
    pub(super) inputs: Vec<Input>,
    /// Values with a row for each row that went in come last.
    pub(super) values: Vec<Value>,
    /// Whether rounding may be seen.
    pub(super) jumps: bool,
    gives_two: bool,
    graph: Graph,
    opset: i64,
}

/// The graph of a seed.
pub(super) fn generate(seed: u64) -> Generated {
    let mut b = Builder::new(Rng::with_seed(seed));
    let inputs = inputs(&mut b);
    let given = b.values.len();
    let wanted = b.random.usize(3..=12);
    let mut tries = 0;
    while b.graph.node.len() < wanted && tries < 200 {
        tries += 1;
        let draw = match b.random.u8(..10) {
            0..4 => b.one_of(&arithmetic::DRAWS),
            4..6 => b.one_of(&layout::DRAWS),
            6 => b.one_of(&places::DRAWS),
            _ => b.one_of(&layers::DRAWS),
        };
        if let Some(draw) = draw {
            draw(&mut b);
        }
    }
    // What has its rows along another axis is turned, or it would seldom be an output.
    let behind = b.values[given..]
        .iter()
        .filter(|value| value.shape.first() != Some(&ROWS));
    for value in behind.cloned().collect::<Vec<_>>() {
        layout::rows_first(&mut b, &value);
    }
    let made = b.values.split_off(given);
    let (row_by_row, others): (Vec<Value>, Vec<Value>) = made
        .into_iter()
        .partition(|value| value.shape.first() == Some(&ROWS));
    Generated {
        inputs,
        values: others.into_iter().chain(row_by_row).collect(),
        jumps: b.jumps,
        gives_two: b.rarely(4),
        graph: b.graph,
        opset: b.opset,
    }
}

/// One to three inputs; a length that the second axes share may be free.
fn inputs(b: &mut Builder) -> Vec<Input> {
    let (steps, width) = (b.length(), b.length());
    let free = b.random.bool();
    let mut inputs = Vec::new();
    for position in 0..b.random.usize(1..=3) {
        let kind = if b.rarely(3) { Kind::Int } else { Kind::Float };
        let bound = b.random.i64(2..=5);
        let lengths = match b.random.u8(..8) {
            0..4 => vec![width],
            4..7 => vec![steps, width],
            _ => vec![steps],
        };
        let name = format!("x{position}");
        let mut dims = vec![Dimension {
            length: None,
            name: Some("N".to_owned()),
        }];
        for (axis, length) in lengths.iter().enumerate() {
            let is_free = free && axis == 0 && lengths.len() == 2;
            dims.push(Dimension {
                length: (!is_free).then_some(*length),
                name: is_free.then(|| "T".to_owned()),
            });
        }
        let dims_count = dims.len();
        let element = if kind == Kind::Int {
            proto::INT64
        } else {
            proto::FLOAT
        };
        b.graph.input.push(declared(&name, element, Some(dims)));
        let mut shape = vec![ROWS];
        shape.extend(lengths.iter().copied().map(Len::of));
        b.give_bounded(name, kind, shape, (kind == Kind::Int).then_some(bound));
        let lengths = lengths
            .iter()
            .filter_map(|length| usize::try_from(*length).ok());
        inputs.push(Input {
            kind,
            lengths: lengths.collect(),
            free: free && dims_count == 3,
            bound,
        });
    }
    inputs
}

impl Generated {
    /// The value that most nodes go into, one with a row for each row that went in if there is any;
    /// in some graphs the last value beside it.
    pub(super) fn outputs(&self) -> Vec<&Value> {
        let nodes = |value: &&Value| {
            let graph = self.model(&[value]).graph;
            let row_by_row = value.shape.first() == Some(&ROWS);
            (row_by_row, graph.map_or(0, |graph| graph.node.len()))
        };
        let most = self.values.iter().max_by_key(nodes);
        let last = self.values.last().filter(|_| self.gives_two);
        let last = last.filter(|last| most.is_some_and(|most| most.name != last.name));
        most.into_iter().chain(last).collect()
    }

    /// The model that gives some of the values, without what they don't need.
    pub(super) fn model(&self, outputs: &[&Value]) -> Model {
        let mut graph = self.graph.clone();
        let mut needed: HashSet<String> = outputs.iter().map(|value| value.name.clone()).collect();
        let mut kept = Vec::new();
        for node in self.graph.node.iter().rev() {
            if node.output.iter().any(|name| needed.contains(name)) {
                needed.extend(node.input.iter().cloned());
                for inner in node
                    .attribute
                    .iter()
                    .filter_map(|attribute| attribute.g.as_ref())
                {
                    needed.extend(
                        inner
                            .node
                            .iter()
                            .flat_map(|node| node.input.iter().cloned()),
                    );
                }
                kept.push(node.clone());
            }
        }
        kept.reverse();
        graph.node = kept;
        graph
            .initializer
            .retain(|tensor| needed.contains(&tensor.name));
        for value in outputs {
            let element = match value.kind {
                Kind::Float => proto::FLOAT,
                Kind::Int => proto::INT64,
                Kind::Bool => proto::BOOL,
            };
            graph.output.push(declared(&value.name, element, None));
        }
        graph.name = "generated".to_owned();
        let version = |domain: &str, version| OperatorSet {
            domain: domain.to_owned(),
            version,
        };
        Model {
            ir_version: 8,
            graph: Some(graph),
            opset_import: vec![version("", self.opset), version("ai.onnx.ml", 3)],
        }
    }
}

pub(super) fn encode(model: &Model) -> Vec<u8> {
    model.encode_to_vec()
}

/// A model as lines, near to those that the tests of springtide-rows are written in.
pub(super) fn text(model: &Model) -> String {
    let mut text = String::new();
    if let Some(graph) = &model.graph {
        write_graph(&mut text, graph, "");
    }
    let _ = writeln!(
        text,
        "opset {:?}",
        model.opset_import.first().map(|set| set.version)
    );
    text
}

fn write_graph(text: &mut String, graph: &Graph, indent: &str) {
    for input in &graph.input {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor.as_ref());
        let dims = tensor
            .and_then(|tensor| tensor.shape.as_ref())
            .map(|shape| {
                let dim = |dim: &Dimension| match dim.length {
                    Some(length) => length.to_string(),
                    None => dim.name.clone().unwrap_or_default(),
                };
                shape.dim.iter().map(dim).collect::<Vec<_>>().join(" ")
            });
        let element = tensor.map_or(0, |tensor| tensor.element);
        let dims = dims.unwrap_or_default();
        let _ = writeln!(text, "{indent}in {}:{element} {dims}", input.name);
    }
    for tensor in &graph.initializer {
        let (name, dims) = (&tensor.name, &tensor.dims);
        let _ = if tensor.data_type == proto::INT64 {
            writeln!(text, "{indent}{name}{dims:?} = {:?}", tensor.int64_data)
        } else {
            writeln!(text, "{indent}{name}{dims:?} = {:?}", tensor.float_data)
        };
    }
    for node in &graph.node {
        let attributes: Vec<String> = node.attribute.iter().map(attribute).collect();
        let _ = writeln!(
            text,
            "{indent}{} = {} {}( {} )",
            node.output.join(" "),
            node.op_type,
            attributes.concat(),
            node.input.join(" ")
        );
        for inner in node
            .attribute
            .iter()
            .filter_map(|attribute| attribute.g.as_ref())
        {
            write_graph(text, inner, &format!("{indent}    "));
        }
    }
    let outputs: Vec<&str> = graph
        .output
        .iter()
        .map(|output| output.name.as_str())
        .collect();
    let _ = writeln!(text, "{indent}out {}", outputs.join(" "));
}

fn attribute(attribute: &Attribute) -> String {
    let name = &attribute.name;
    match attribute.kind {
        1 => format!("{name}={} ", attribute.f),
        2 => format!("{name}={} ", attribute.i),
        3 => format!("{name}={} ", String::from_utf8_lossy(&attribute.s)),
        6 => format!("{name}={:?} ", attribute.floats),
        7 => format!("{name}={:?} ", attribute.ints),
        _ => format!("{name}=… "),
    }
}
