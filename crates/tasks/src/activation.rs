//! Functions that make scores from a model's outputs.

/// Function that makes the scores of a row from a model's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Probabilities of classes that exclude each other.
    Softmax,
    /// Probabilities of classes that don't.
    Sigmoid,
    /// The output itself.
    Identity,
}

impl Activation {
    /// Replaces the outputs of a row by its scores.
    pub fn apply(self, row: &mut [f32]) {
        match self {
            Self::Softmax => softmax(row),
            Self::Sigmoid => {
                for value in row {
                    *value = 1.0 / (1.0 + (-*value).exp());
                }
            }
            Self::Identity => {}
        }
    }
}

fn softmax(row: &mut [f32]) {
    // Without the largest value, exponentials of large logits would be infinite.
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    for value in row {
        *value /= sum;
    }
}
