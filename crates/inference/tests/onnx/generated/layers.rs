//! Nodes that models are made of: layers, classical estimators, numbers of places.

use super::arithmetic::{Draw, apart, untied};
use super::builder::{Builder, Kind, Len, ONE, ROWS, Value};
use super::proto;
use super::subgraphs::{choose, scan};

pub(super) const DRAWS: [Draw; 16] = [
    top_k,
    arg,
    number,
    conv,
    pool,
    recurrent,
    quantize,
    quantize_from_batch,
    choose,
    estimator,
    estimator,
    scaler,
    positions,
    count,
    attention_scores,
    scan,
];

fn top_k(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 4)?;
    let axis = b.axis(&value)?;
    let len = value.shape[axis];
    let most = if len.is_fixed() { len.fixed } else { 1 };
    let k = b.random.i64(1..=most);
    b.jumps = true;
    let attributes = vec![
        proto::int("axis", b.signed(axis, value.rank())),
        proto::int("largest", b.random.i64(0..2)),
    ];
    let count = b.ints(&[k]);
    let untied = untied(b, &value, axis);
    let mut names = b
        .nodes("TopK", &[&untied, &count], attributes, 2)
        .into_iter();
    let shape = value.with(axis, Len::of(k));
    b.give(names.next()?, Kind::Float, shape.clone());
    let bound = len.is_fixed().then_some(len.fixed);
    b.give_bounded(names.next()?, Kind::Int, shape, bound);
    Some(())
}

fn arg(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 4)?;
    let axis = b.axis(&value)?;
    b.jumps = true;
    let keeps = b.random.bool();
    let attributes = vec![
        proto::int("axis", b.signed(axis, value.rank())),
        proto::int("keepdims", i64::from(keeps)),
    ];
    let operator = b.one_of(&["ArgMax", "ArgMin"])?;
    let untied = untied(b, &value, axis);
    let name = b.node(operator, &[&untied], attributes);
    let mut shape = value.with(axis, ONE);
    if !keeps {
        shape.remove(axis);
    }
    let len = value.shape[axis];
    b.give_bounded(name, Kind::Int, shape, len.is_fixed().then_some(len.fixed));
    Some(())
}

/// From integers and truth values to floats, and back.
fn number(b: &mut Builder) -> Option<()> {
    let value = b.pick(|_| true)?;
    if value.kind != Kind::Float {
        let attributes = vec![proto::int("to", i64::from(proto::FLOAT))];
        let name = b.node("Cast", &[&value.name], attributes);
        b.give(name, Kind::Float, value.shape);
        return Some(());
    }
    b.jumps = true;
    let (limit, least) = (b.floats_of(&[], vec![4.0]), b.floats_of(&[], vec![-4.0]));
    let moved = apart(b, &value.name);
    let clipped = b.node("Clip", &[&moved, &least, &limit], Vec::new());
    let attributes = vec![proto::int("to", i64::from(proto::INT64))];
    let whole = b.node("Cast", &[&clipped], attributes);
    let bound = b.random.i64(2..=4);
    let divisor = b.scalar(bound);
    let name = b.node("Mod", &[&whole, &divisor], Vec::new());
    b.give_bounded(name, Kind::Int, value.shape, Some(bound));
    Some(())
}

fn conv(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(3, 3)?;
    let channels = value.shape[1].is_fixed().then_some(value.shape[1].fixed)?;
    let (filters, transposed) = (b.length(), b.rarely(4));
    let kernel = if value.fixed_last().is_some_and(|length| length < 2) {
        1
    } else {
        2
    };
    let weights = if transposed {
        b.floats(&[channels, filters, kernel])
    } else {
        b.floats(&[filters, channels, kernel])
    };
    let grown = value.shape[2].plus(Len::of(if transposed { kernel - 1 } else { 1 - kernel }));
    let operator = if transposed { "ConvTranspose" } else { "Conv" };
    let name = b.node(operator, &[&value.name, &weights], Vec::new());
    b.give(
        name,
        Kind::Float,
        vec![value.shape[0], Len::of(filters), grown],
    );
    Some(())
}

fn pool(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(3, 4)?;
    if b.random.bool() {
        let operator = b.one_of(&["GlobalAveragePool", "GlobalMaxPool"])?;
        let name = b.node(operator, &[&value.name], Vec::new());
        let mut shape = vec![ONE; value.rank()];
        shape[..2].copy_from_slice(&value.shape[..2]);
        b.give(name, Kind::Float, shape);
        return Some(());
    }
    if value.rank() != 3 {
        return None;
    }
    let operator = b.one_of(&["MaxPool", "AveragePool"])?;
    let attributes = vec![
        proto::ints("kernel_shape", vec![2]),
        proto::ints("pads", vec![1, 0]),
    ];
    let name = b.node(operator, &[&value.name], attributes);
    b.give(name, Kind::Float, value.shape);
    Some(())
}

fn recurrent(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(3, 3)?;
    let input = value.fixed_last()?;
    let (mut shape, mut name) = (value.shape, value.name);
    // What comes first are the steps.
    if b.careful && !shape[0].is_fixed() || b.random.bool() {
        name = b.node(
            "Transpose",
            &[&name],
            vec![proto::ints("perm", vec![1, 0, 2])],
        );
        shape.swap(0, 1);
    }
    let (operator, gates) = b.one_of(&[("LSTM", 4), ("GRU", 3), ("RNN", 1)])?;
    let hidden = b.random.i64(1..=3);
    let both = b.rarely(3);
    let directions = if both { 2 } else { 1 };
    let weights = b.floats(&[directions, gates * hidden, input]);
    let again = b.floats(&[directions, gates * hidden, hidden]);
    let mut attributes = vec![proto::int("hidden_size", hidden)];
    if both {
        attributes.push(proto::string("direction", "bidirectional"));
    }
    let names = b.nodes(operator, &[&name, &weights, &again], attributes, 2);
    let (every, end) = (names.first()?.clone(), names.get(1)?.clone());
    let (directions, hidden) = (Len::of(directions), Len::of(hidden));
    // As exporters go on: [steps, rows, directions · hidden], or the last state with the rows first.
    let width = directions.times(hidden)?;
    if b.rarely(3) {
        let turned = b.node(
            "Transpose",
            &[&end],
            vec![proto::ints("perm", vec![1, 0, 2])],
        );
        b.give(turned, Kind::Float, vec![shape[1], directions, hidden]);
        return Some(());
    }
    let turned = b.node(
        "Transpose",
        &[&every],
        vec![proto::ints("perm", vec![0, 2, 1, 3])],
    );
    let target = b.ints(&[0, 0, -1]);
    let joined = b.node("Reshape", &[&turned, &target], Vec::new());
    if b.random.bool() {
        let back = b.node(
            "Transpose",
            &[&joined],
            vec![proto::ints("perm", vec![1, 0, 2])],
        );
        b.give(back, Kind::Float, vec![shape[1], shape[0], width]);
    } else {
        b.give(joined, Kind::Float, vec![shape[0], shape[1], width]);
    }
    Some(())
}

fn quantize(b: &mut Builder) -> Option<()> {
    b.since(13)?;
    // ONNX Runtime 1.31 ends the process where a branch takes what is dequantized and transposed.
    if b.has("If") {
        return None;
    }
    let value = b.pick_float(1, 4)?;
    b.jumps = true;
    let (shape, steps, attributes) = match b.fixed_axis(&value) {
        Some((axis, length)) if b.random.bool() => {
            let steps = vec![0.125; usize::try_from(length).ok()?];
            let axis = b.signed(axis, value.rank());
            (vec![length], steps, vec![proto::int("axis", axis)])
        }
        _ => (Vec::new(), vec![0.0625], Vec::new()),
    };
    let zero = b.bytes_of(&shape, vec![128; steps.len()]);
    let scale = b.floats_of(&shape, steps);
    let inputs = [&value.name, &*scale, &zero];
    let quantized = b.node("QuantizeLinear", &inputs, attributes.clone());
    let name = b.node("DequantizeLinear", &[&quantized, &scale, &zero], attributes);
    b.give(name, Kind::Float, value.shape);
    Some(())
}

fn quantize_from_batch(b: &mut Builder) -> Option<()> {
    if b.careful || b.has("If") {
        return None;
    }
    let value = b.pick_float(1, 4)?;
    b.jumps = true;
    let names = b.nodes("DynamicQuantizeLinear", &[&value.name], Vec::new(), 3);
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = b.node("DequantizeLinear", &inputs, Vec::new());
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// A linear model or a tree of ai.onnx.ml on what looks like a table.
fn estimator(b: &mut Builder) -> Option<()> {
    let careful = b.careful;
    let table = |value: &Value| {
        value.kind == Kind::Float
            && value.rank() == 2
            && value.shape[1].is_fixed()
            && (!careful || value.shape[0] == ROWS)
    };
    let value = b.pick(table)?;
    let (rows, columns) = (value.shape[0], value.fixed_last()?);
    let count = usize::try_from(columns).ok()?;
    match b.random.u8(..3) {
        0 => {
            let attributes = vec![
                proto::floats("coefficients", b.weights(3 * count)),
                proto::floats("intercepts", b.weights(3)),
                proto::ints("classlabels_ints", vec![0, 1, 2]),
                proto::int("multi_class", 1),
                proto::string(
                    "post_transform",
                    b.one_of(&["SOFTMAX", "LOGISTIC", "NONE"])?,
                ),
            ];
            b.jumps = true;
            let mut names = b
                .nodes("ai.onnx.ml.LinearClassifier", &[&value.name], attributes, 2)
                .into_iter();
            b.give_bounded(names.next()?, Kind::Int, vec![rows], Some(3));
            b.give(names.next()?, Kind::Float, vec![rows, Len::of(3)]);
        }
        1 => {
            let attributes = vec![
                proto::floats("coefficients", b.weights(2 * count)),
                proto::floats("intercepts", b.weights(2)),
                proto::int("targets", 2),
            ];
            let name = b.node("ai.onnx.ml.LinearRegressor", &[&value.name], attributes);
            b.give(name, Kind::Float, vec![rows, Len::of(2)]);
        }
        _ => {
            b.jumps = true;
            let modes = ["BRANCH_LEQ", "LEAF", "LEAF"];
            let aggregate = b.one_of(&["SUM", "AVERAGE", "MAX", "MIN"])?;
            let attributes = vec![
                proto::ints("nodes_treeids", vec![0, 0, 0]),
                proto::ints("nodes_nodeids", vec![0, 1, 2]),
                proto::ints("nodes_featureids", vec![b.random.i64(0..columns), 0, 0]),
                proto::floats("nodes_values", vec![b.threshold(), 0.0, 0.0]),
                proto::strings(
                    "nodes_modes",
                    modes.map(|mode| mode.as_bytes().to_vec()).to_vec(),
                ),
                proto::ints("nodes_truenodeids", vec![1, 0, 0]),
                proto::ints("nodes_falsenodeids", vec![2, 0, 0]),
                proto::ints("target_treeids", vec![0, 0]),
                proto::ints("target_nodeids", vec![1, 2]),
                proto::ints("target_ids", vec![0, 0]),
                proto::floats("target_weights", b.weights(2)),
                proto::int("n_targets", 1),
                proto::string("aggregate_function", aggregate),
            ];
            let name = b.node(
                "ai.onnx.ml.TreeEnsembleRegressor",
                &[&value.name],
                attributes,
            );
            b.give(name, Kind::Float, vec![rows, ONE]);
        }
    }
    Some(())
}

fn scaler(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 2)?;
    let name = if b.random.bool() {
        let count = usize::try_from(value.fixed_last()?).ok()?;
        let attributes = vec![
            proto::floats("offset", b.weights(count)),
            proto::floats("scale", b.weights(count)),
        ];
        b.node("ai.onnx.ml.Scaler", &[&value.name], attributes)
    } else {
        let norm = b.one_of(&["MAX", "L1", "L2"])?;
        b.node(
            "ai.onnx.ml.Normalizer",
            &[&value.name],
            vec![proto::string("norm", norm)],
        )
    };
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// The numbers 0, 1, ... along an axis, added to what is there.
fn positions(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 3)?;
    let axis = b.axis(&value)?;
    let behind = value.rank() - 1 - axis;
    let axis = b.signed(axis, value.rank());
    let length = b.length_of(&value.name, axis, false);
    let (zero, one) = (b.scalar(0), b.scalar(1));
    let range = b.node("Range", &[&zero, &length, &one], Vec::new());
    let attributes = vec![proto::int("to", i64::from(proto::FLOAT))];
    let mut name = b.node("Cast", &[&range], attributes);
    if behind > 0 {
        let axes: Vec<i64> = (1_i64..).take(behind).collect();
        name = b.with_axes("Unsqueeze", &name, &axes, 13, Vec::new());
    }
    let name = b.node("Add", &[&value.name, &name], Vec::new());
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// How long an axis is, or how many elements there are, as a factor.
fn count(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 4)?;
    let length = if b.carelessly(2) {
        b.node("Size", &[&value.name], Vec::new())
    } else {
        let axis = b.axis(&value)?;
        let axis = b.signed(axis, value.rank());
        b.length_of(&value.name, axis, false)
    };
    let attributes = vec![proto::int("to", i64::from(proto::FLOAT))];
    let float = b.node("Cast", &[&length], attributes);
    let name = b.node("Div", &[&value.name, &float], Vec::new());
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// softmax(x · xᵀ) · x over the last two axes.
fn attention_scores(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(2, 4)?;
    let rank = value.rank();
    if b.careful && !value.shape[rank - 2].is_fixed() {
        return None;
    }
    let mut order: Vec<i64> = (0_i64..).take(rank).collect();
    order.swap(rank - 2, rank - 1);
    let turned = b.node(
        "Transpose",
        &[&value.name],
        vec![proto::ints("perm", order)],
    );
    let scores = b.node("MatMul", &[&value.name, &turned], Vec::new());
    let weights = b.node("Softmax", &[&scores], vec![proto::int("axis", -1)]);
    let name = b.node("MatMul", &[&weights, &value.name], Vec::new());
    b.give(name, Kind::Float, value.shape);
    Some(())
}
