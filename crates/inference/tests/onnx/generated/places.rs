//! Nodes that take or put elements by their places.

use super::arithmetic::Draw;
use super::builder::{Builder, Kind, Len, ONE, ROWS};
use super::proto;

pub(super) const DRAWS: [Draw; 7] = [slice, gather, look_up, one_hot, gather_nd, scatter, trilu];

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
    b.since(14)?;
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
