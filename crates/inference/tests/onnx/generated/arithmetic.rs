//! Nodes that calculate: by element, along axes, products.

use super::builder::{Builder, Kind, Len, ONE, ROWS, Value};
use super::proto;

/// Adds a node, or several; None where nothing fits.
pub(super) type Draw = fn(&mut Builder) -> Option<()>;

pub(super) const DRAWS: [Draw; 17] = [
    unary,
    unary,
    with_constant,
    with_constant,
    of_two,
    of_two,
    of_several,
    matmul,
    gemm,
    product,
    einsum,
    reduce,
    reduce,
    softmax,
    normalization,
    cumulative,
    compare,
];

fn unary(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 6)?;
    let operators = [
        "Relu",
        "Tanh",
        "Sigmoid",
        "Abs",
        "Neg",
        "Erf",
        "Softplus",
        "LeakyRelu",
        "Elu",
        "Sin",
        "Identity",
        "Sign",
        "Floor",
    ];
    let operator = b.one_of(&operators)?;
    let mut name = value.name;
    if matches!(operator, "Sign" | "Floor") {
        b.jumps = true;
        name = apart(b, &name);
    }
    let name = b.node(operator, &[&name], Vec::new());
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// Moves numbers away from those where a step is.
pub(super) fn apart(b: &mut Builder, name: &str) -> String {
    let threshold = b.threshold();
    let threshold = b.floats_of(&[], vec![threshold]);
    b.node("Add", &[name, &threshold], Vec::new())
}

/// Makes numbers along an axis differ by more than rounding where they would be equal.
pub(super) fn untied(b: &mut Builder, value: &Value, axis: usize) -> String {
    let length = value.shape[axis].fixed;
    if !value.shape[axis].is_fixed() {
        return value.name.clone();
    }
    let mut shape = vec![1; value.rank() - axis];
    shape[0] = length;
    let steps = (0_u8..).map(|step| f32::from(step) * 0.017);
    let steps = steps.take(usize::try_from(length).unwrap_or(0)).collect();
    let steps = b.floats_of(&shape, steps);
    b.node("Add", &[&value.name, &steps], Vec::new())
}

/// A constant's shape that broadcasts against a value: its last axes, each as long or 1.
fn beside(b: &mut Builder, value: &Value) -> Vec<i64> {
    let from = b.random.usize(0..=value.rank());
    let mut shape = Vec::new();
    for len in &value.shape[from..] {
        let whole = len.is_fixed() && b.random.bool();
        // Several where the rows are: right for a single one only.
        let wide = !len.is_fixed() && b.carelessly(6);
        shape.push(if whole {
            len.fixed
        } else if wide {
            2
        } else {
            1
        });
    }
    shape
}

fn with_constant(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 5)?;
    let operator = b.one_of(&["Add", "Mul", "Sub", "Div", "Max", "Min", "PRelu"])?;
    let shape = beside(b, &value);
    let constant = b.floats(&shape);
    let swap = operator != "Div" && operator != "PRelu" && b.random.bool();
    let inputs = [value.name.as_str(), &constant];
    let name = if swap {
        b.node(operator, &[inputs[1], inputs[0]], Vec::new())
    } else {
        b.node(operator, &inputs, Vec::new())
    };
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// What two shapes give together.
pub(super) fn broadcast(one: &[Len], other: &[Len]) -> Option<Vec<Len>> {
    let rank = one.len().max(other.len());
    let at = |shape: &[Len], axis: usize| {
        let missing = rank - shape.len();
        axis.checked_sub(missing).map_or(ONE, |axis| shape[axis])
    };
    let joined = (0..rank).map(|axis| match (at(one, axis), at(other, axis)) {
        (one, other) if one == other || other == ONE => Some(one),
        (ONE, other) => Some(other),
        _ => None,
    });
    joined.collect()
}

fn of_two(b: &mut Builder) -> Option<()> {
    let one = b.pick_float(1, 5)?;
    let careful = b.careful;
    // Rows against rows along another axis are a table of all pairs.
    let other = b.pick(|value| {
        value.kind == Kind::Float
            && value.name != one.name
            && broadcast(&one.shape, &value.shape).is_some_and(|shape| {
                let rows = |shape: &[Len]| shape.iter().filter(|len| !len.is_fixed()).count();
                !careful || rows(&shape) <= rows(&one.shape)
            })
    })?;
    let operator = b.one_of(&["Add", "Mul", "Sub", "Max", "Min"])?;
    let shape = broadcast(&one.shape, &other.shape)?;
    let name = b.node(operator, &[&one.name, &other.name], Vec::new());
    b.give(name, Kind::Float, shape);
    Some(())
}

fn of_several(b: &mut Builder) -> Option<()> {
    let one = b.pick_float(1, 5)?;
    let other = b.pick(|value| value.kind == Kind::Float && value.shape == one.shape)?;
    let operator = b.one_of(&["Sum", "Mean", "Max", "Min"])?;
    let shape = beside(b, &one);
    let constant = b.floats(&shape);
    let name = b.node(operator, &[&one.name, &constant, &other.name], Vec::new());
    b.give(name, Kind::Float, one.shape);
    Some(())
}

fn matmul(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 5)?;
    let length = b.length();
    if value.rank() >= 3 && b.rarely(3) {
        let axis = value.rank() - 2;
        let inner = value.shape[axis];
        let weights = inner.is_fixed().then(|| b.floats(&[length, inner.fixed]))?;
        let name = b.node("MatMul", &[&weights, &value.name], Vec::new());
        let shape = value.with(axis, Len::of(length));
        b.give(name, Kind::Float, shape);
        return Some(());
    }
    let weights = b.floats(&[value.fixed_last()?, length]);
    let name = b.node("MatMul", &[&value.name, &weights], Vec::new());
    let shape = value.with(value.rank() - 1, Len::of(length));
    b.give(name, Kind::Float, shape);
    Some(())
}

fn gemm(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(2, 2)?;
    let from_front = value.shape[0].is_fixed();
    let (inner, outer) = if from_front {
        (value.shape[0].fixed, value.shape[1])
    } else {
        (value.fixed_last()?, value.shape[0])
    };
    let (length, transposed) = (b.length(), b.random.bool());
    let weights = if transposed {
        b.floats(&[length, inner])
    } else {
        b.floats(&[inner, length])
    };
    let bias = match b.random.u8(..4) {
        0 => b.floats(&[length]),
        1 => b.floats(&[1, length]),
        2 => b.floats(&[1]),
        _ => String::new(),
    };
    let attributes = vec![
        proto::int("transA", i64::from(from_front)),
        proto::int("transB", i64::from(transposed)),
        proto::float("alpha", 0.5),
    ];
    let name = b.node("Gemm", &[&value.name, &weights, &bias], attributes);
    b.give(name, Kind::Float, vec![outer, Len::of(length)]);
    Some(())
}

/// A value times its own transpose.
fn product(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(2, 4)?;
    let rank = value.rank();
    let (row, column) = (value.shape[rank - 2], value.shape[rank - 1]);
    if b.careful && !(row.is_fixed() && column.is_fixed()) {
        return None;
    }
    let mut order: Vec<i64> = (0_i64..).take(rank).collect();
    order.swap(rank - 2, rank - 1);
    let transposed = b.node(
        "Transpose",
        &[&value.name],
        vec![proto::ints("perm", order)],
    );
    let mut shape = value.shape.clone();
    let name = if b.random.bool() {
        shape[rank - 1] = row;
        b.node("MatMul", &[&value.name, &transposed], Vec::new())
    } else {
        shape[rank - 2] = column;
        b.node("MatMul", &[&transposed, &value.name], Vec::new())
    };
    b.give(name, Kind::Float, shape);
    Some(())
}

fn einsum(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(2, 3)?;
    let other = b.pick(|other| other.kind == Kind::Float && other.shape == value.shape)?;
    let shape = &value.shape;
    let equations: &[(&str, &[usize])] = match (value.rank(), b.careful) {
        (2, true) => &[("ni,ni->n", &[0]), ("ni,nj->nij", &[0, 1, 1])],
        (2, false) => &[
            ("ni,mi->nm", &[0, 0]),
            ("ni,nj->ij", &[1, 1]),
            ("ni,ni->i", &[1]),
        ],
        (_, true) => &[("nti,nsi->nts", &[0, 1, 1]), ("nti,ntj->nij", &[0, 2, 2])],
        (_, false) => &[("nti,ntj->tij", &[1, 2, 2]), ("nti,mti->nm", &[0, 0])],
    };
    let (equation, axes) = b.one_of(equations)?;
    let shape = axes.iter().map(|axis| shape[*axis]).collect();
    let attributes = vec![proto::string("equation", equation)];
    let name = b.node("Einsum", &[&value.name, &other.name], attributes);
    b.give(name, Kind::Float, shape);
    Some(())
}

fn reduce(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 5)?;
    let operators = [
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceL2",
        "ReduceL1",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ];
    let operator = b.one_of(&operators)?;
    let mut axes = vec![b.axis(&value)?];
    if b.rarely(3) {
        let more = b.axis(&value)?;
        axes.extend((more != axes[0]).then_some(more));
    }
    let keeps = b.random.bool();
    let attributes = vec![proto::int("keepdims", i64::from(keeps))];
    if b.carelessly(5) {
        // Without axes it is over all.
        let name = b.node(operator, &[&value.name], attributes);
        let shape = if keeps {
            vec![ONE; value.rank()]
        } else {
            Vec::new()
        };
        b.give(name, Kind::Float, shape);
        return Some(());
    }
    let signed: Vec<i64> = axes
        .iter()
        .map(|axis| b.signed(*axis, value.rank()))
        .collect();
    let since = if operator == "ReduceSum" { 13 } else { 18 };
    let name = b.with_axes(operator, &value.name, &signed, since, attributes);
    let kept = value.shape.iter().enumerate().filter_map(|(axis, len)| {
        match (axes.contains(&axis), keeps) {
            (false, _) => Some(*len),
            (true, true) => Some(ONE),
            (true, false) => None,
        }
    });
    b.give(name, Kind::Float, kept.collect());
    Some(())
}

fn softmax(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 5)?;
    let operator = b.one_of(&["Softmax", "LogSoftmax", "Hardmax"])?;
    let axis = b.axis(&value)?;
    let mut name = value.name.clone();
    if operator == "Hardmax" {
        b.jumps = true;
        name = untied(b, &value, axis);
    }
    let axis = b.signed(axis, value.rank());
    let name = b.node(operator, &[&name], vec![proto::int("axis", axis)]);
    b.give(name, Kind::Float, value.shape);
    Some(())
}

fn normalization(b: &mut Builder) -> Option<()> {
    b.since(17)?;
    let value = b.pick_float(2, 4)?;
    let name = match b.random.u8(..4) {
        0 | 1 => {
            let length = value.fixed_last()?;
            let (scale, bias) = (b.floats(&[length]), b.floats(&[length]));
            let axis = b.signed(value.rank() - 1, value.rank());
            let attributes = vec![proto::int("axis", axis), proto::float("epsilon", 0.01)];
            b.node(
                "LayerNormalization",
                &[&value.name, &scale, &bias],
                attributes,
            )
        }
        2 => {
            let axis = b.axis(&value)?;
            let attributes = vec![proto::int("axis", b.signed(axis, value.rank()))];
            b.node("LpNormalization", &[&value.name], attributes)
        }
        _ => {
            let channels = value.shape[1].is_fixed().then_some(value.shape[1].fixed)?;
            let (scale, bias) = (b.floats(&[channels]), b.floats(&[channels]));
            if value.rank() > 2 && b.random.bool() {
                b.node(
                    "InstanceNormalization",
                    &[&value.name, &scale, &bias],
                    Vec::new(),
                )
            } else {
                let mean = b.floats(&[channels]);
                let variance = vec![0.5; usize::try_from(channels).ok()?];
                let variance = b.floats_of(&[channels], variance);
                let inputs = [value.name.as_str(), &scale, &bias, &mean, &variance];
                b.node("BatchNormalization", &inputs, Vec::new())
            }
        }
    };
    b.give(name, Kind::Float, value.shape);
    Some(())
}

fn cumulative(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 4)?;
    let axis = b.axis(&value)?;
    let axis = b.signed(axis, value.rank());
    let axis = b.scalar(axis);
    let attributes = vec![
        proto::int("exclusive", b.random.i64(0..2)),
        proto::int("reverse", b.random.i64(0..2)),
    ];
    let name = b.node("CumSum", &[&value.name, &axis], attributes);
    b.give(name, Kind::Float, value.shape);
    Some(())
}

/// A comparison, and often what is chosen by it.
fn compare(b: &mut Builder) -> Option<()> {
    if b.rarely(3) {
        let ids = b.pick(|value| value.kind == Kind::Int)?;
        let one = b.scalar(1);
        let condition = b.node("Equal", &[&ids.name, &one], Vec::new());
        b.give(condition, Kind::Bool, ids.shape);
        return Some(());
    }
    let value = b.pick_float(1, 4)?;
    b.jumps = true;
    let shape = beside(b, &value);
    let count = usize::try_from(shape.iter().product::<i64>()).ok()?;
    let thresholds = (0..count).map(|_| b.threshold()).collect();
    let constant = b.floats_of(&shape, thresholds);
    let operator = b.one_of(&["Greater", "Less", "GreaterOrEqual"])?;
    let condition = b.node(operator, &[&value.name, &constant], Vec::new());
    match b.random.u8(..4) {
        0 => b.give(condition, Kind::Bool, value.shape),
        1 => {
            let attributes = vec![proto::int("to", i64::from(proto::INT64))];
            let name = b.node("Cast", &[&condition], attributes);
            b.give_bounded(name, Kind::Int, value.shape, Some(2));
        }
        _ => {
            let shape = beside(b, &value);
            let (otherwise, shape_of_other) = match b.pick_float(1, 4) {
                Some(other) if b.random.bool() => (other.name, other.shape),
                _ => (
                    b.floats(&shape),
                    shape.iter().map(|len| Len::of(*len)).collect(),
                ),
            };
            let shape = broadcast(&value.shape, &shape_of_other)?;
            let name = b.node("Where", &[&condition, &value.name, &otherwise], Vec::new());
            let crowded = shape.iter().filter(|len| **len == ROWS).count() > 1;
            if crowded && b.careful {
                return None;
            }
            b.give(name, Kind::Float, shape);
        }
    }
    Some(())
}
