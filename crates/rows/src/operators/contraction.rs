//! Products of matrices and tensors: sums over shared axes of the operands.

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::elementwise;
use crate::operators::labels::{self, Label, Operand};
use crate::value::{Blame, Value};

/// Labels of the axes of a matrix product that aren't batch axes.
const ROW: Label = 1_000_000;
const COLUMN: Label = 1_000_001;
const SUM: Label = 1_000_002;

/// `left` times `right` as in NumPy's matmul: matrices on the last two axes, broadcast on the others.
pub(crate) fn product<'m>(
    call: &mut Call<'_, '_, 'm>,
    left: &Value<'m>,
    right: &Value<'m>,
) -> Result<Value<'m>, Blame> {
    product_of(call, left, right, [false, false])
}

fn product_of<'m>(
    call: &mut Call<'_, '_, 'm>,
    left: &Value<'m>,
    right: &Value<'m>,
    transposed: [bool; 2],
) -> Result<Value<'m>, Blame> {
    let (left_rank, right_rank) = (call.shape(left)?.len(), call.shape(right)?.len());
    if left_rank == 0 || right_rank == 0 {
        return Err(call.unproven("multiplies a matrix with a number"));
    }
    let matrix = |rank: usize, axes: [Label; 2], vector: Label, transposed: bool| match rank {
        1 => vec![vector],
        _ => {
            let mut labels = labels::from_the_back(rank - 2);
            labels.extend(if transposed { [axes[1], axes[0]] } else { axes });
            labels
        }
    };
    let operands = [
        Operand {
            value: left,
            labels: matrix(left_rank, [ROW, SUM], SUM, transposed[0]),
        },
        Operand {
            value: right,
            labels: matrix(right_rank, [SUM, COLUMN], SUM, transposed[1]),
        },
    ];
    let mut output = labels::from_the_back(left_rank.max(right_rank).saturating_sub(2));
    if left_rank > 1 {
        output.push(ROW);
    }
    if right_rank > 1 {
        output.push(COLUMN);
    }
    labels::combine(call, &operands, &output)
}

/// `MatMul`, and `MatMulInteger` with zero points that are the same for all rows.
pub(crate) fn matmul<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (left, right) = (call.input(0)?, call.input(1)?);
    Ok(vec![product(call, &left, &right)?])
}

/// `com.microsoft.FusedMatMul` and `TransposeMatMul`: with operands transposed.
pub(crate) fn fused_matmul<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (left, right) = (call.input(0)?, call.input(1)?);
    if call.int_or("transBatchA", 0) != 0 || call.int_or("transBatchB", 0) != 0 {
        return Err(call.unproven("transposes its operands' batches"));
    }
    let transposed = [call.int_or("transA", 0) != 0, call.int_or("transB", 0) != 0];
    Ok(vec![product_of(call, &left, &right, transposed)?])
}

/// Gemm, of ONNX and fused with an activation.
pub(crate) fn gemm<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    if call.opset < 7 && call.node.domain.is_empty() {
        return Err(call.unproven("is of an operator set before 7"));
    }
    let (left, right) = (call.input(0)?, call.input(1)?);
    if call.shape(&left)?.len() != 2 || call.shape(&right)?.len() != 2 {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    let transposed = [call.int_or("transA", 0) != 0, call.int_or("transB", 0) != 0];
    let product = product_of(call, &left, &right, transposed)?;
    let Some(bias) = call.optional(2) else {
        return Ok(vec![product]);
    };
    if bias.rank().is_none_or(|rank| rank > 2) && !bias.is_invariant() {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    Ok(vec![elementwise::broadcast(call, &[&product, &bias])?])
}

/// Einsum, with its own labels.
pub(crate) fn einsum<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    if call
        .string("equation")
        .is_some_and(|equation| equation.len() > 500)
    {
        return Err(call.unproven("has an equation that can't be read"));
    }
    let equation: String = call
        .string("equation")
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let (terms, output) = match equation.split_once("->") {
        Some((terms, output)) => (terms.to_owned(), Some(output.to_owned())),
        None => (equation.clone(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    let values: Vec<_> = call.inputs.iter().flatten().cloned().collect();
    if terms.len() != values.len() {
        return Err(call.unproven("has an equation for other inputs"));
    }
    let mut operands = Vec::new();
    let mut most = 0;
    for (term, value) in terms.iter().zip(&values) {
        let rank = call.shape(value)?.len();
        let (labels, ellipsis) = subscripts(call, term, Some(rank))?;
        most = most.max(ellipsis);
        operands.push(Operand { value, labels });
    }
    let output = match output {
        Some(output) => subscripts(call, &output, None).map(|(labels, _)| labels)?,
        None => {
            // Labels that occur once, in alphabetical order. Implementations differ in the order of upper and lower
            // case.
            let all: String = terms.concat().replace('.', "");
            if all.chars().any(char::is_uppercase) && all.chars().any(char::is_lowercase) {
                return Err(call.unproven("leaves the order of its output's axes open"));
            }
            let mut once: Vec<char> = all
                .chars()
                .filter(|c| all.matches(*c).count() == 1)
                .collect();
            once.sort_unstable();
            let mut labels: Vec<Label> = if equation.contains("...") {
                vec![labels::NEW]
            } else {
                Vec::new()
            };
            labels.extend(once.into_iter().map(subscript));
            labels
        }
    };
    let output: Vec<Label> = output
        .into_iter()
        .flat_map(|label| {
            if label == labels::NEW {
                labels::from_the_back(most)
            } else {
                vec![label]
            }
        })
        .collect();
    Ok(vec![labels::combine(call, &operands, &output)?])
}

fn subscript(letter: char) -> Label {
    Label::from(letter).saturating_add(1000)
}

/// The labels of a term. An ellipsis is as many axes as the rank leaves, or one `NEW` if the rank is unknown.
fn subscripts(
    call: &Call<'_, '_, '_>,
    term: &str,
    rank: Option<usize>,
) -> Result<(Vec<Label>, usize), Blame> {
    let broken = || call.unproven("has an equation that can't be read");
    let letters = |text: &str| -> Option<Vec<Label>> {
        text.chars()
            .map(|c| c.is_ascii_alphabetic().then(|| subscript(c)))
            .collect()
    };
    let (mut labels, tail, ellipsis) = match term.split_once("...") {
        None => (letters(term).ok_or_else(broken)?, Vec::new(), None),
        Some((head, tail)) => (
            letters(head).ok_or_else(broken)?,
            letters(tail).ok_or_else(broken)?,
            Some(()),
        ),
    };
    let mut count = 0;
    if ellipsis.is_some() {
        match rank {
            Some(rank) => {
                count = rank
                    .checked_sub(labels.len() + tail.len())
                    .ok_or_else(broken)?;
                labels.extend(labels::from_the_back(count));
            }
            None => labels.push(labels::NEW),
        }
        labels.extend(tail);
    }
    if rank.is_some_and(|rank| rank != labels.len()) {
        return Err(broken());
    }
    Ok((labels, count))
}

/// `com.microsoft.CDist`: the distance of each row of the first input to each row of the second.
pub(crate) fn distances<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let (left, right) = (call.input(0)?, call.input(1)?);
    if left.rank() != Some(2) || right.rank() != Some(2) {
        return Err(call.unproven("has inputs of unexpected rank"));
    }
    Ok(vec![product_of(call, &left, &right, [false, true])?])
}

/// `com.microsoft.MatMulNBits`: a product with constant weights, whose shape is in attributes.
pub(crate) fn matmul_packed<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    call.require_fixed_from(1)?;
    let mut shape = call.shape(&value)?;
    let last = shape
        .len()
        .checked_sub(1)
        .ok_or_else(|| call.unproven("has inputs of unexpected rank"))?;
    if value.layout().is_some_and(|layout| layout.axis == last) {
        return Err(call.certain("computes over the rows of the batch"));
    }
    let columns = Dim::from(
        call.int("N")
            .ok_or_else(|| call.unproven("lacks an attribute"))?,
    );
    shape.splice(last.., [columns]);
    Ok(vec![Value::new(Some(shape), value.dependence.clone())])
}
