//! Nodes that run graphs.

use super::builder::{Builder, Kind, Len, declared};
use super::proto;

/// One of two graphs, by a constant, a length, or what the rows say.
pub(super) fn choose(b: &mut Builder) -> Option<()> {
    if b.has("DequantizeLinear") {
        return None;
    }
    let value = b.pick_float(1, 4)?;
    let condition = match b.random.u8(..3) {
        0 => {
            let (one, other) = (b.scalar(1), b.random.i64(0..2));
            let other = b.scalar(other);
            b.node("Equal", &[&one, &other], Vec::new())
        }
        1 => {
            let axis = b.axis(&value)?;
            let axis = b.signed(axis, value.rank());
            let length = b.length_of(&value.name, axis, false);
            let limit = b.scalar(2);
            b.node("Less", &[&length, &limit], Vec::new())
        }
        _ if b.careful => return None,
        _ => {
            b.jumps = true;
            let most = b.node(
                "ReduceMean",
                &[&value.name],
                vec![proto::int("keepdims", 0)],
            );
            let limit = b.floats_of(&[], vec![0.0]);
            b.node("Greater", &[&most, &limit], Vec::new())
        }
    };
    let mut branch = |name: &str, operator: &str| {
        let output = b.name("b");
        let node = proto::Node {
            input: vec![value.name.clone()],
            output: vec![output.clone()],
            op_type: operator.to_owned(),
            ..proto::Node::default()
        };
        let graph = proto::Graph {
            node: vec![node],
            name: name.to_owned(),
            output: vec![declared(&output, proto::FLOAT, None)],
            ..proto::Graph::default()
        };
        proto::graph(&format!("{name}_branch"), Box::new(graph))
    };
    let attributes = vec![branch("then", "Neg"), branch("else", "Tanh")];
    let name = b.node("If", &[&condition], attributes);
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// A running sum, or each step by itself, along an axis.
pub(super) fn scan(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(2, 3)?;
    let runs = b.random.bool();
    let axis = if runs {
        b.axis(&value)?
    } else {
        b.random.usize(..value.rank())
    };
    let length = value.shape.iter().enumerate().filter(|(at, _)| *at != axis);
    let rest: Vec<Len> = length.map(|(_, len)| *len).collect();
    let (state, step, next, given) = (b.name("b"), b.name("b"), b.name("b"), b.name("b"));
    let inner = |operator: &str, input: Vec<String>, output: &str| proto::Node {
        input,
        output: vec![output.to_owned()],
        op_type: operator.to_owned(),
        ..proto::Node::default()
    };
    let mut graph = proto::Graph {
        name: "body".to_owned(),
        ..proto::Graph::default()
    };
    let mut inputs = Vec::new();
    if runs {
        let first = b.scalar(0);
        let attributes = vec![proto::int("axis", i64::try_from(axis).ok()?)];
        let start = b.node("Gather", &[&value.name, &first], attributes);
        inputs.push(start);
        graph.input.push(declared(&state, proto::FLOAT, None));
        graph
            .node
            .push(inner("Add", vec![state, step.clone()], &next));
        graph.node.push(inner("Tanh", vec![next.clone()], &given));
        graph.output.push(declared(&next, proto::FLOAT, None));
    } else {
        graph.node.push(inner("Tanh", vec![step.clone()], &given));
    }
    graph.input.push(declared(&step, proto::FLOAT, None));
    graph.output.push(declared(&given, proto::FLOAT, None));
    inputs.push(value.name.clone());
    let along = i64::try_from(axis).ok()?;
    let out = if b.careful || b.random.bool() {
        along
    } else {
        0
    };
    let attributes = vec![
        proto::graph("body", Box::new(graph)),
        proto::int("num_scan_inputs", 1),
        proto::ints("scan_input_axes", vec![along]),
        proto::ints("scan_output_axes", vec![out]),
    ];
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let names = b.nodes("Scan", &inputs, attributes, usize::from(runs) + 1);
    let mut shape = rest.clone();
    shape.insert(usize::try_from(out).ok()?, value.shape[axis]);
    if runs && b.random.bool() {
        b.give(names.first()?.clone(), Kind::Float, rest);
    }
    b.give(names.last()?.clone(), Kind::Float, shape);
    Some(())
}
