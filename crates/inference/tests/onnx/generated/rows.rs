//! Random rows, alone and in mixed batches.

use fastrand::Rng;
use springtide_inference::independence::compare;
use springtide_inference::{Backend, Data, DataView, Tensor, TensorView};

use super::builder::Kind;
use super::graphs::{Generated, Input};

const SIZES: [usize; 4] = [2, 3, 5, 8];

/// What the rows of a graph did in batches.
pub(super) enum Mixed {
    /// No row alone can be run.
    Impossible(String),
    /// Up to this part of an element, or of the root mean square of the row's output if that is more.
    Equal(f64),
    Differs(String),
}

/// One input of one row. Rows differ in scale, sign and offset.
fn element(input: &Input, longer: bool, random: &mut Rng) -> Tensor {
    let mut shape = vec![1];
    shape.extend(&input.lengths);
    if input.free {
        shape[1] += usize::from(longer);
    }
    let count = shape.iter().product();
    let data: Data = match input.kind {
        Kind::Float => {
            let scale = [0.25, 1.0, 1.0, 4.0][random.usize(..4)];
            let offset = [0.0, 0.0, 0.5, -2.0][random.usize(..4)];
            let eighths = |random: &mut Rng| f32::from(random.i8(-16..=16)) / 8.0;
            let floats = (0..count).map(|_| eighths(random) * scale + offset);
            floats.collect::<Vec<f32>>().into()
        }
        Kind::Int | Kind::Bool => {
            let ids = (0..count).map(|_| random.i64(0..input.bound));
            ids.collect::<Vec<i64>>().into()
        }
    };
    Tensor::new(shape, data).unwrap()
}

/// Joins rows at random, and compares each with itself alone.
pub(super) fn mixed(
    backend: &mut impl Backend,
    generated: &Generated,
    longer: bool,
    random: &mut Rng,
) -> Mixed {
    let free = generated.inputs.iter().any(|input| input.free);
    if longer && !free {
        return Mixed::Impossible("no length is free".to_owned());
    }
    let mut farthest = 0.0_f64;
    let mut rows = Vec::new();
    for _ in 0..6 {
        let inputs = generated.inputs.iter();
        let inputs: Vec<Tensor> = inputs.map(|input| element(input, longer, random)).collect();
        match backend.try_run(&inputs.iter().collect::<Vec<_>>()) {
            Ok(outputs) => rows.push((inputs, outputs)),
            Err(error) => return Mixed::Impossible(error.to_string()),
        }
    }
    for size in SIZES {
        let chosen: Vec<_> = (0..size).filter_map(|_| random.choice(&rows)).collect();
        let columns = 0..generated.inputs.len();
        let batch: Vec<Tensor> = columns
            .map(|column| {
                let parts: Vec<&Tensor> = chosen.iter().map(|row| &row.0[column]).collect();
                Tensor::stack(&parts).unwrap()
            })
            .collect();
        let outputs = match backend.try_run(&batch.iter().collect::<Vec<_>>()) {
            Ok(outputs) => outputs,
            Err(error) => return Mixed::Differs(format!("{size} rows together: {error}")),
        };
        if let Some(output) = outputs
            .iter()
            .find(|output| output.shape().first() != Some(&size))
        {
            return Mixed::Differs(format!("{size} rows together give {}", output.view()));
        }
        for (place, row) in chosen.iter().enumerate() {
            let alone: Vec<_> = row.1.iter().map(Tensor::view).collect();
            let views = outputs
                .iter()
                .map(|output| output.view_rows(place..place + 1));
            let together: Vec<_> = views.map(Option::unwrap).collect();
            if let Err(difference) = compare(&alone, &together) {
                return Mixed::Differs(format!("row {place} of {size}: {difference}"));
            }
            for (alone, together) in alone.iter().zip(&together) {
                farthest = farthest.max(distance(alone, together));
            }
        }
    }
    Mixed::Equal(farthest)
}

fn distance(alone: &TensorView<'_>, together: &TensorView<'_>) -> f64 {
    let (DataView::F32(alone), DataView::F32(together)) = (alone.data(), together.data()) else {
        return 0.0;
    };
    let squares: f64 = alone
        .iter()
        .map(|element| f64::from(*element).powi(2))
        .sum();
    let usual = (squares / (alone.len() as f64)).sqrt();
    let pairs = alone
        .iter()
        .zip(together)
        .filter(|(one, other)| one != other);
    pairs
        .map(|(one, other)| (f64::from(*one), f64::from(*other)))
        .map(|(one, other)| (one - other).abs() / one.abs().max(other.abs()).max(usual))
        .filter(|distance| distance.is_finite())
        .fold(0.0, f64::max)
}
