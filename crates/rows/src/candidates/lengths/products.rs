//! Matrix products, and what is made of them.

use crate::candidates::collect::Collector;
use crate::candidates::operands::Operands;
use crate::candidates::tensor::Axis;

use super::outputs::{Outputs, broadcast_two};

pub(super) fn infer(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    match operands.operator() {
        "Gemm" => gemm(operands, 1, collector),
        "QGemm" => gemm(operands, 3, collector),
        "QLinearMatMul" => matmul(operands, 3, collector),
        "MatMulNBits" => {
            let mut axes = operands.input(0).axes()?.to_vec();
            let last = axes.last_mut()?;
            collector.exactly(last, operands.integer("K", 0));
            *last = Axis::Fixed(operands.integer("N", 0));
            Some(axes)
        }
        "Attention" | "QAttention" => {
            // ONNX's own operator of this name has no weights, but three inputs of one shape.
            if operands.node.domain.is_empty() {
                return operands.input(0).axes().map(<[Axis]>::to_vec);
            }
            collector.equal(operands.axis(0, -1), operands.axis(1, 0));
            let mut axes = operands.input(0).axes()?.to_vec();
            *axes.last_mut()? = match operands.axis(1, -1) {
                Axis::Fixed(all) => Axis::Fixed(all / 3),
                _ => Axis::Unknown,
            };
            Some(axes)
        }
        _ => matmul(operands, 1, collector),
    }
}

fn matmul(
    operands: &Operands<'_, '_>,
    second: usize,
    collector: &mut Collector,
) -> Option<Vec<Axis>> {
    let mut right = operands.input(second).axes()?.to_vec();
    let is_transposed = |name: &str| operands.integer(name, 0) != 0;
    if is_transposed("transB") && right.len() >= 2 {
        let rank = right.len();
        right.swap(rank - 1, rank - 2);
    }
    let inner = match right.len() {
        0 => return None,
        1 => right.first()?,
        rank => right.get(rank - 2)?,
    }
    .clone();
    let mut left = operands.input(0).axes()?.to_vec();
    if is_transposed("transA") && left.len() >= 2 {
        let rank = left.len();
        left.swap(rank - 1, rank - 2);
    }
    collector.equal(left.last()?, &inner);
    if left.len() < 2 || right.len() < 2 {
        left.pop();
        if right.len() >= 2 {
            left.push(right.pop()?);
        }
        return Some(left);
    }
    let (columns, _) = (right.pop()?, right.pop()?);
    let (_, rows) = (left.pop()?, left.pop()?);
    let mut axes = broadcast_two(&left, &right, collector);
    axes.extend([rows, columns]);
    Some(axes)
}

fn gemm(
    operands: &Operands<'_, '_>,
    second: usize,
    collector: &mut Collector,
) -> Option<Vec<Axis>> {
    let sides = |transposed: &str| {
        if operands.integer(transposed, 0) == 0 {
            (0, 1)
        } else {
            (1, 0)
        }
    };
    let (rows, inner) = sides("transA");
    let (other_inner, columns) = sides("transB");
    collector.equal(operands.axis(0, inner), operands.axis(second, other_inner));
    Some(vec![
        operands.axis(0, rows).clone(),
        operands.axis(second, columns).clone(),
    ])
}

/// The axes of the three outputs of a recurrent layer.
pub(super) fn recurrent(operands: &Operands<'_, '_>, collector: &mut Collector) -> Outputs {
    let [steps, rows] = if operands.integer("layout", 0) == 0 {
        [0, 1]
    } else {
        [1, 0]
    };
    // X [steps, rows, features], W [directions, gates · hidden, features], R [.., gates · hidden, hidden]
    collector.equal(operands.axis(0, 2), operands.axis(1, 2));
    let (directions, hidden) = (operands.axis(1, 0).clone(), operands.axis(2, 2).clone());
    let (length, batch) = (
        operands.axis(0, steps).clone(),
        operands.axis(0, rows).clone(),
    );
    for state in [5, 6] {
        let (state_directions, state_rows) = if rows == 1 { (0, 1) } else { (1, 0) };
        collector.equal(operands.axis(state, state_directions), &directions);
        collector.equal(operands.axis(state, state_rows), &batch);
        collector.equal(operands.axis(state, 2), &hidden);
    }
    let (all, last) = if rows == 1 {
        (
            vec![length, directions.clone(), batch.clone(), hidden.clone()],
            vec![directions, batch, hidden],
        )
    } else {
        (
            vec![batch.clone(), length, directions.clone(), hidden.clone()],
            vec![batch, directions, hidden],
        )
    };
    vec![Some(all), Some(last.clone()), Some(last)]
}
