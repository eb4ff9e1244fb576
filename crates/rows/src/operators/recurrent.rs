//! LSTM, GRU and RNN: sequences on one axis, the batch on another.

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::value::{Layout, Value};

/// All three: X [time, batch, input] or, with layout 1, [batch, time, input].
pub(crate) fn recurrent<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let shape = call.shape(&value)?;
    let [first, second, _] = shape.as_slice() else {
        return Err(call.unproven("has inputs of unexpected rank"));
    };
    let batch_first = match call.int_or("layout", 0) {
        0 => false,
        1 => true,
        _ => return Err(call.unproven("has a layout that isn't known")),
    };
    let (batch_axis, state_axis) = if batch_first { (0, 0) } else { (1, 1) };
    let (batch, time) = if batch_first {
        (first, second)
    } else {
        (second, first)
    };
    // W, R, B; and the peepholes of an LSTM.
    call.require_fixed([1, 2, 3, 7])?;
    let layout = value.layout().cloned();
    if layout
        .as_ref()
        .is_some_and(|layout| layout.axis != batch_axis)
    {
        let on_time = layout
            .as_ref()
            .is_some_and(|layout| layout.axis == 1 - batch_axis);
        return Err(if on_time {
            call.blame(
                crate::value::Certainty::Certain,
                "reads the rows of the batch as the steps of a sequence",
                Some("export the model with the batch on the first axis"),
            )
        } else {
            call.certain("computes over the rows of the batch")
        });
    }
    // Lengths of the sequences, and their initial states.
    for (index, axis) in [(4, 0), (5, state_axis), (6, state_axis)] {
        let Some(other) = call.optional(index) else {
            continue;
        };
        match (&layout, other.layout()) {
            (Some(own), Some(other)) if own.at(axis) == *other => {}
            (None, None) if other.is_invariant() => {}
            _ => return Err(call.unproven("begins with states that aren't those of the rows")),
        }
    }
    let hidden = match call.int("hidden_size") {
        Some(size) => Dim::from(size),
        None => call.walk.fresh(),
    };
    let directions = Dim::from(if call.string("direction") == Some("bidirectional") {
        2
    } else {
        1
    });
    let (all, last, all_axis) = if batch_first {
        (
            vec![
                batch.clone(),
                time.clone(),
                directions.clone(),
                hidden.clone(),
            ],
            vec![batch.clone(), directions, hidden],
            0,
        )
    } else {
        (
            vec![
                time.clone(),
                directions.clone(),
                batch.clone(),
                hidden.clone(),
            ],
            vec![directions, batch.clone(), hidden],
            2,
        )
    };
    let output = |shape: Vec<Dim>, axis: usize| match &layout {
        None => Ok(Value::invariant(Some(shape))),
        Some(layout) => call.rows(
            shape,
            Layout {
                axis,
                ..layout.clone()
            },
        ),
    };
    let last = output(last, state_axis)?;
    Ok(vec![output(all, all_axis)?, last.clone(), last])
}
