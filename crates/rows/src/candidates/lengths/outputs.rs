//! The axes of outputs.

use crate::candidates::collect::Collector;
use crate::candidates::tensor::Axis;

/// The axes of a node's outputs, where they are known.
pub(super) type Outputs = Vec<Option<Vec<Axis>>>;

/// The axes of two operands that are broadcast to each other.
pub(super) fn broadcast_two(left: &[Axis], right: &[Axis], collector: &mut Collector) -> Vec<Axis> {
    let rank = left.len().max(right.len());
    let of = |axes: &[Axis], position: usize| {
        (position + axes.len())
            .checked_sub(rank)
            .and_then(|position| axes.get(position))
            .cloned()
            .unwrap_or(Axis::Fixed(1))
    };
    (0..rank)
        .map(|position| match (of(left, position), of(right, position)) {
            (Axis::Fixed(1), other) | (other, Axis::Fixed(1)) => other,
            (left, right) => {
                collector.equal(&left, &right);
                match (&left, &right) {
                    (Axis::Fixed(_), _) | (_, Axis::Unknown) => left,
                    _ => right,
                }
            }
        })
        .collect()
}
