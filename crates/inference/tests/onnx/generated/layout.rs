//! Nodes that give elements another shape.

use super::arithmetic::Draw;
use super::builder::{Builder, Kind, Len, ONE, ROWS, Value};
use super::proto;

pub(super) const DRAWS: [Draw; 13] = [
    transpose,
    reshape,
    reshape,
    reshape_by_shape,
    reshape_by_shape,
    flatten,
    unsqueeze,
    squeeze,
    concat,
    split,
    expand,
    tile,
    pad,
];

fn transpose(b: &mut Builder) -> Option<()> {
    let value = b.pick(|value| value.rank() >= 2)?;
    let mut order: Vec<usize> = (0..value.rank()).collect();
    if b.careful && b.random.bool() {
        b.random.shuffle(&mut order[1..]);
    } else {
        b.random.shuffle(&mut order);
    }
    give_transposed(b, &value, &order);
    Some(())
}

/// The axis of the rows to the front, where it is another one.
pub(super) fn rows_first(b: &mut Builder, value: &Value) -> Option<()> {
    let axis = value.shape.iter().position(|len| *len == ROWS)?;
    let mut order: Vec<usize> = (0..value.rank()).filter(|at| *at != axis).collect();
    order.insert(0, axis);
    give_transposed(b, value, &order);
    Some(())
}

fn give_transposed(b: &mut Builder, value: &Value, order: &[usize]) {
    let shape = order.iter().map(|axis| value.shape[*axis]).collect();
    let order = order.iter().map(|axis| i64::try_from(*axis).unwrap_or(0));
    let attributes = vec![proto::ints("perm", order.collect())];
    let name = b.node("Transpose", &[&value.name], attributes);
    b.give_bounded(name, value.kind, shape, value.bound);
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
    let name = b.with_axes("Unsqueeze", &value.name, &[axis], 13, Vec::new());
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
        b.with_axes("Squeeze", &value.name, &[axis], 13, Vec::new())
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

fn split(b: &mut Builder) -> Option<()> {
    b.since(13)?;
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
