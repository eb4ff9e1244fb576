//! Nodes that move elements: shapes, slices, places.

use super::arithmetic::Draw;
use super::builder::{Builder, Kind, Len, ONE, ROWS, Value};
use super::proto;

pub(super) const DRAWS: [Draw; 20] = [
    transpose,
    reshape,
    reshape,
    reshape_by_shape,
    reshape_by_shape,
    flatten,
    unsqueeze,
    squeeze,
    concat,
    slice,
    gather,
    look_up,
    split,
    expand,
    tile,
    pad,
    one_hot,
    gather_nd,
    scatter,
    trilu,
];

fn transpose(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() >= 2)?;
    let mut order: Vec<usize> = (0..value.rank()).collect();
    if b.careful && b.random.u8(..4) > 0 {
        b.random.shuffle(&mut order[1..]);
    } else {
        b.random.shuffle(&mut order);
    }
    let shape = order.iter().map(|axis| value.shape[*axis]).collect();
    let order = order.iter().map(|axis| i64::try_from(*axis).unwrap_or(0));
    let attributes = vec![proto::ints("perm", order.collect())];
    let name = b.node("Transpose", &[&value.name], attributes);
    b.give_bounded(name, value.kind, shape, value.bound);
    Some(())
}

/// All elements, for N rows.
fn elements(value: &Value) -> Option<Len> {
    value
        .shape
        .iter()
        .try_fold(ONE, |product, len| product.times(*len))
}

/// Two factors.
fn factors(b: &mut Builder, of: i64) -> Option<(i64, i64)> {
    let divisors: Vec<i64> = (1..=of).filter(|divisor| of % divisor == 0).collect();
    let divisor = b.one_of(&divisors)?;
    Some((divisor, of / divisor))
}

/// To constants.
fn reshape(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() >= 1)?;
    let all = elements(&value).filter(|all| all.fixed == 0 && all.rows > 0)?;
    let (one, other) = factors(b, all.rows)?;
    let rows = |times: i64| Len {
        rows: times,
        fixed: 0,
    };
    let first = value.shape[0] == ROWS;
    let (target, shape) = match b.random.u8(..8) {
        0 if first => (vec![0, -1], vec![ROWS, Len::of(all.rows)]),
        1 if first => (vec![0, one, -1], vec![ROWS, Len::of(one), Len::of(other)]),
        2 => (vec![-1, all.rows], vec![ROWS, Len::of(all.rows)]),
        3 => (
            vec![-1, one, other],
            vec![ROWS, Len::of(one), Len::of(other)],
        ),
        4 => (vec![-1, one], vec![rows(other), Len::of(one)]),
        5 => (vec![-1], vec![rows(all.rows)]),
        6 if !b.careful => (vec![one, -1], vec![Len::of(one), rows(other)]),
        7 if !b.careful => (
            vec![one, -1, other],
            vec![Len::of(one), ROWS, Len::of(other)],
        ),
        _ => (vec![-1, all.rows, 1], vec![ROWS, Len::of(all.rows), ONE]),
    };
    let target = b.ints(&target);
    let name = b.node("Reshape", &[&value.name, &target], Vec::new());
    b.give_bounded(name, value.kind, shape, value.bound);
    Some(())
}

/// To what is read from a shape, as exporters write it.
fn reshape_by_shape(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() >= 1)?;
    let all = elements(&value).filter(|all| all.fixed == 0 && all.rows > 0)?;
    let (one, other) = factors(b, all.rows)?;
    let source = b.pick(|value| value.shape.contains(&ROWS))?;
    let axis = source.shape.iter().position(|len| *len == ROWS)?;
    let axis = b.signed(axis, source.rank());
    let count = b.length_of(&source.name, axis, true);
    let rest = b.ints(&[-1]);
    let (first, second) = (b.ints(&[one]), b.ints(&[other]));
    let (parts, shape) = match b.random.u8(..6) {
        0 => (vec![&count, &rest], vec![ROWS, Len::of(all.rows)]),
        1 => (
            vec![&count, &first, &rest],
            vec![ROWS, Len::of(one), Len::of(other)],
        ),
        2 => (
            vec![&count, &first, &second],
            vec![ROWS, Len::of(one), Len::of(other)],
        ),
        3 => (
            vec![&rest, &first, &second],
            vec![ROWS, Len::of(one), Len::of(other)],
        ),
        _ if b.careful => (vec![&count, &rest], vec![ROWS, Len::of(all.rows)]),
        4 => (
            vec![&first, &count, &second],
            vec![Len::of(one), ROWS, Len::of(other)],
        ),
        _ => (vec![&rest, &count], vec![Len::of(all.rows), ROWS]),
    };
    let parts: Vec<&str> = parts.into_iter().map(String::as_str).collect();
    let target = b.node("Concat", &parts, vec![proto::int("axis", 0)]);
    let name = b.node("Reshape", &[&value.name, &target], Vec::new());
    b.give_bounded(name, value.kind, shape, value.bound);
    Some(())
}

fn flatten(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(2, 5)?;
    let axis = if b.careful {
        1
    } else {
        b.random.usize(0..=value.rank())
    };
    let product = |lens: &[Len]| {
        lens.iter()
            .try_fold(ONE, |product, len| product.times(*len))
    };
    let shape = vec![
        product(&value.shape[..axis])?,
        product(&value.shape[axis..])?,
    ];
    let axis = i64::try_from(axis).ok()?;
    let name = b.node("Flatten", &[&value.name], vec![proto::int("axis", axis)]);
    b.give(name, Kind::Float, shape);
    Some(())
}

fn unsqueeze(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() <= 4)?;
    let least = usize::from(b.careful && b.random.u8(..4) > 0);
    let axis = b.random.usize(least.min(value.rank())..=value.rank());
    let mut shape = value.shape.clone();
    shape.insert(axis, ONE);
    let axis = b.signed(axis, shape.len());
    let axes = b.ints(&[axis]);
    let name = b.node("Unsqueeze", &[&value.name, &axes], Vec::new());
    b.give_bounded(name, value.kind, shape, value.bound);
    Some(())
}

fn squeeze(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.shape.contains(&ONE))?;
    let axis = value.shape.iter().position(|len| *len == ONE)?;
    let mut shape = value.shape.clone();
    shape.remove(axis);
    let name = if b.carelessly(3) {
        // All axes of length 1: that of a single row as well.
        b.node("Squeeze", &[&value.name], Vec::new())
    } else {
        let axis = b.signed(axis, value.rank());
        let axes = b.ints(&[axis]);
        b.node("Squeeze", &[&value.name, &axes], Vec::new())
    };
    b.give_bounded(name, value.kind, shape, value.bound);
    Some(())
}

fn concat(b: &mut Builder) -> Option<()> {
    let one = b.pick_float(1, 5)?;
    let axis = b.axis(&one)?;
    let other = b.pick(|other| {
        other.kind == Kind::Float
            && other.rank() == one.rank()
            && (0..one.rank()).all(|at| at == axis || other.shape[at] == one.shape[at])
    })?;
    if b.careful && !other.shape[axis].is_fixed() {
        return None;
    }
    let shape = one.with(axis, one.shape[axis].plus(other.shape[axis]));
    let attributes = vec![proto::int("axis", b.signed(axis, one.rank()))];
    let name = b.node("Concat", &[&one.name, &other.name], attributes);
    b.give(name, Kind::Float, shape);
    Some(())
}

fn slice(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() >= 1)?;
    let axis = b.axis(&value)?;
    let len = value.shape[axis];
    let last = i64::from(i32::MAX);
    let (start, end, step, left) = match b.random.u8(..5) {
        0 => (0, last, 1, len),
        1 => (-1, -last, -1, len),
        2 => (0, 1, 1, ONE),
        3 => (-1, last, 1, ONE),
        _ if len.is_fixed() && len.fixed > 1 => (1, last, 1, Len::of(len.fixed - 1)),
        _ => (0, last, 2, len),
    };
    // Of a fixed length every other one is half of it.
    let left = if step == 2 && len.is_fixed() {
        Len::of((len.fixed + 1) / 2)
    } else {
        left
    };
    let axis_number = b.signed(axis, value.rank());
    let (start, end) = (b.ints(&[start]), b.ints(&[end]));
    let (axes, step) = (b.ints(&[axis_number]), b.ints(&[step]));
    let name = b.node(
        "Slice",
        &[&value.name, &start, &end, &axes, &step],
        Vec::new(),
    );
    let shape = value.with(axis, left);
    b.give_bounded(name, value.kind, shape, value.bound);
    Some(())
}

fn gather(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() >= 1)?;
    let axis = b.axis(&value)?;
    let most = if value.shape[axis].is_fixed() {
        value.shape[axis].fixed
    } else {
        1
    };
    let count = b.random.usize(1..=3);
    let places: Vec<i64> = (0..count).map(|_| b.random.i64(-most..most)).collect();
    let mut shape = value.shape.clone();
    let indices = if b.random.bool() {
        shape.remove(axis);
        b.scalar(places[0])
    } else {
        shape[axis] = Len::of(i64::try_from(count).ok()?);
        b.ints(&places)
    };
    let attributes = vec![proto::int("axis", b.signed(axis, value.rank()))];
    let name = b.node("Gather", &[&value.name, &indices], attributes);
    b.give_bounded(name, value.kind, shape, value.bound);
    Some(())
}

/// In a table, or in another value's axis.
fn look_up(b: &mut Builder) -> Option<()> {
    let ids = b.pick(|value| value.bound.is_some() && value.rank() <= 3)?;
    let bound = ids.bound?;
    if b.rarely(3) {
        let from = b.pick_float(1, 3)?;
        let axis = b.axis(&from)?;
        let len = from.shape[axis];
        if len.rows + len.fixed < bound && len.is_fixed() || b.careful && from.shape[0] == ROWS {
            return None;
        }
        let attributes = vec![proto::int("axis", b.signed(axis, from.rank()))];
        let name = b.node("Gather", &[&from.name, &ids.name], attributes);
        let shape = [&from.shape[..axis], &ids.shape, &from.shape[axis + 1..]].concat();
        b.give(name, Kind::Float, shape);
        return Some(());
    }
    let length = b.length();
    let table = b.floats(&[bound, length]);
    let name = b.node("Gather", &[&table, &ids.name], Vec::new());
    let mut shape = ids.shape;
    shape.push(Len::of(length));
    b.give(name, Kind::Float, shape);
    Some(())
}

fn split(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() >= 1)?;
    let axis = b.axis(&value)?;
    let length = value.shape[axis].fixed;
    let attributes = vec![proto::int("axis", b.signed(axis, value.rank()))];
    let (first, second) = if value.shape[axis].is_fixed() {
        let first = (length > 1).then(|| b.random.i64(1..length))?;
        (first, length - first)
    } else {
        // A part of no rows: right for a single one only.
        (1, 0)
    };
    let parts = b.ints(&[first, second]);
    let names = b.nodes("Split", &[&value.name, &parts], attributes, 2);
    for (name, length) in names.into_iter().zip([first, second]) {
        if length > 0 {
            let shape = value.with(axis, Len::of(length));
            b.give_bounded(name, value.kind, shape, value.bound);
        }
    }
    Some(())
}

/// A constant for each row, or a value to a constant shape.
fn expand(b: &mut Builder) -> Option<()> {
    if b.random.bool() {
        let source = b.pick(|value| value.rank() >= 1 && value.shape[0] == ROWS)?;
        let length = b.length();
        let constant = b.floats(&[1, length]);
        let count = b.length_of(&source.name, 0, true);
        let width = b.ints(&[length]);
        let target = b.node("Concat", &[&count, &width], vec![proto::int("axis", 0)]);
        let name = b.node("Expand", &[&constant, &target], Vec::new());
        b.give(name, Kind::Float, vec![ROWS, Len::of(length)]);
        return Some(());
    }
    let value = b.pick_float(1, 4)?;
    let mut target = vec![1; value.rank()];
    let mut shape = value.shape.clone();
    let ones: Vec<usize> = (0..value.rank())
        .filter(|axis| shape[*axis] == ONE)
        .collect();
    if let Some(axis) = b.one_of(&ones) {
        target[axis] = b.length();
        shape[axis] = Len::of(target[axis]);
    }
    if b.carelessly(3) {
        target.insert(0, 2);
        shape.insert(0, Len::of(2));
    } else if let Some(axis) = value.shape.iter().position(|len| *len == ROWS)
        && b.carelessly(3)
    {
        target[axis] = 2;
    }
    let target = b.ints(&target);
    let name = b.node("Expand", &[&value.name, &target], Vec::new());
    b.give(name, Kind::Float, shape);
    Some(())
}

fn tile(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 4)?;
    let axis = b.axis(&value)?;
    let mut repeats = vec![1; value.rank()];
    repeats[axis] = b.random.i64(1..=2);
    let shape = value.with(axis, value.shape[axis].times(Len::of(repeats[axis]))?);
    let repeats = b.ints(&repeats);
    let name = b.node("Tile", &[&value.name, &repeats], Vec::new());
    b.give(name, Kind::Float, shape);
    Some(())
}

fn pad(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 4)?;
    let axis = b.axis(&value)?;
    let (before, after) = b.one_of(&[(1, 0), (0, 1), (1, 1), (0, -1), (-1, 1), (0, 0)])?;
    let mut pads = vec![0; 2 * value.rank()];
    (pads[axis], pads[axis + value.rank()]) = (before, after);
    let shape = value.with(axis, value.shape[axis].plus(Len::of(before + after)));
    if shape[axis].is_fixed() && shape[axis].fixed < 1 {
        return None;
    }
    let mode = b.one_of(&["constant", "constant", "edge"])?;
    let pads = b.ints(&pads);
    let attributes = vec![proto::string("mode", mode)];
    let name = b.node("Pad", &[&value.name, &pads], attributes);
    b.give(name, Kind::Float, shape);
    Some(())
}

fn one_hot(b: &mut Builder) -> Option<()> {
    let ids = b.pick(|value| value.bound.is_some() && value.rank() <= 3)?;
    let depth = ids.bound?;
    let least = usize::from(b.careful).min(ids.rank());
    let axis = b.random.usize(least..=ids.rank());
    let mut shape = ids.shape.clone();
    shape.insert(axis, Len::of(depth));
    let attributes = vec![proto::int("axis", b.signed(axis, shape.len()))];
    let (depth, values) = (b.scalar(depth), b.floats(&[2]));
    let name = b.node("OneHot", &[&ids.name, &depth, &values], attributes);
    b.give(name, Kind::Float, shape);
    Some(())
}

/// Places of each row, or of all.
fn gather_nd(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(2, 4)?;
    if b.random.bool() && value.shape[0] == ROWS {
        let from = value.shape[1];
        let indices = b.pick(|ids| {
            ids.rank() == 2
                && ids.shape[0] == ROWS
                && ids.shape[1] == ONE
                && ids
                    .bound
                    .is_some_and(|bound| !from.is_fixed() || bound <= from.fixed)
        })?;
        let batched = b.careful || b.random.bool();
        let attributes = vec![proto::int("batch_dims", i64::from(batched))];
        let name = b.node("GatherND", &[&value.name, &indices.name], attributes);
        let inner = if batched { 2 } else { 1 };
        let shape = [&[ROWS], &value.shape[inner..]].concat();
        b.give(name, Kind::Float, shape);
        return Some(());
    }
    let axis = b.axis(&value)?;
    let indices = b.pick(|ids| {
        ids.rank() == value.rank()
            && ids
                .bound
                .is_some_and(|bound| bound <= value.shape[axis].fixed)
            && (0..ids.rank()).all(|at| at == axis || ids.shape[at] == value.shape[at])
    })?;
    let attributes = vec![proto::int("axis", b.signed(axis, value.rank()))];
    let name = b.node("GatherElements", &[&value.name, &indices.name], attributes);
    b.give(name, Kind::Float, indices.shape);
    Some(())
}

/// Numbers put somewhere in a value.
fn scatter(b: &mut Builder) -> Option<()> {
    let value = b.pick_float(1, 4)?;
    let axis = b.axis(&value)?;
    let rank = value.rank();
    let mut shape = vec![1; rank];
    if value.shape[axis].is_fixed() && value.shape[axis].fixed > 1 {
        shape[axis] = 2;
    }
    let name = if b.carelessly(2) && rank >= 2 {
        let place = b.ints_of(&[1, 1], &[0]);
        let rest: Vec<i64> = value.shape[1..].iter().map(|len| len.fixed).collect();
        let updates = b.floats(&[&[1], &rest[..]].concat());
        b.node("ScatterND", &[&value.name, &place, &updates], Vec::new())
    } else {
        // It writes to the first row, so the rows have to be moved out of the way.
        let indices: Vec<i64> = (0..shape.iter().product()).collect();
        let indices = b.ints_of(&shape, &indices);
        let updates = b.floats(&shape);
        let attributes = vec![proto::int("axis", b.signed(axis, rank))];
        b.node(
            "ScatterElements",
            &[&value.name, &indices, &updates],
            attributes,
        )
    };
    b.give(name, Kind::Float, value.shape);
    Some(())
}

fn trilu(b: &mut Builder) -> Option<()> {
    let careful = b.careful;
    let value = b.pick(|value| {
        value.kind == Kind::Float
            && value.rank() >= 2
            && (!careful
                || value.shape[value.rank() - 2..]
                    .iter()
                    .all(|len| len.is_fixed()))
    })?;
    let attributes = vec![proto::int("upper", b.random.i64(0..2))];
    let name = b.node("Trilu", &[&value.name], attributes);
    b.give(name, Kind::Float, value.shape);
    Some(())
}
