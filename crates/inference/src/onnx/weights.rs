//! Weights that the sessions of one model share.
//!
//! ONNX Runtime shares the packed form of weights between sessions only where the weights themselves
//! are shared, that is given to each session by the caller
//! ([`AddInitializer`](https://onnxruntime.ai/docs/api/c/struct_ort_api.html)). It then keeps the
//! given ones beside the packed ones, so a single session is smaller without.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use half::f16;
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::DynValue;

use super::model_file::{FileError, Weights};

/// Weights for the sessions of one model.
pub(super) struct SharedWeights {
    initializers: Vec<(String, Arc<DynValue>)>,
    prepacked: PrepackedWeights,
}

impl fmt::Debug for SharedWeights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedWeights")
            .field("initializers", &self.initializers.len())
            .finish_non_exhaustive()
    }
}

impl SharedWeights {
    /// Reads weights from a model file. Those that have no packed form are left out; None where no
    /// others are.
    ///
    /// # Errors
    /// When the file can't be read, or isn't any more what it was.
    pub(super) fn read(model: &Path, weights: &[Weights]) -> Result<Option<Self>, FileError> {
        let mut file = File::open(model)?;
        let mut initializers = Vec::new();
        for weights in weights.iter().filter(|weights| may_be_packed(weights)) {
            let bytes = usize::try_from(weights.bytes).map_err(|_| FileError::Malformed)?;
            let mut raw = vec![0; bytes];
            file.seek(SeekFrom::Start(weights.offset))?;
            file.read_exact(&mut raw)?;
            let value = tensor(weights, raw).ok_or(FileError::Malformed)?;
            initializers.push((weights.name.clone(), Arc::new(value)));
        }
        Ok((!initializers.is_empty()).then(|| Self {
            initializers,
            prepacked: PrepackedWeights::new(),
        }))
    }

    /// Makes a session use them.
    pub(super) fn add_to(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        for (name, value) in &self.initializers {
            builder = builder.with_initializer(name, Arc::clone(value))?;
        }
        Ok(builder.with_prepacked_weights(&self.prepacked)?)
    }
}

/// `TensorProto.DataType` of what matrix multiplications and convolutions have for weights.
const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;
const FLOAT16: u64 = 10;

/// Matrices and more, not vectors.
const fn may_be_packed(weights: &Weights) -> bool {
    weights.shape.len() > 1 && matches!(weights.data_type, FLOAT | UINT8 | INT8 | FLOAT16)
}

/// None where there are more or fewer bytes than the shape says.
fn tensor(weights: &Weights, raw: Vec<u8>) -> Option<DynValue> {
    macro_rules! from_bytes {
        ($element:ty, $elements:expr) => {{
            let elements: Vec<$element> = $elements;
            ort::value::Tensor::from_array((weights.shape.clone(), elements))
                .ok()
                .map(ort::value::Value::into_dyn)
        }};
    }
    match weights.data_type {
        FLOAT => {
            let (elements, []) = raw.as_chunks() else {
                return None;
            };
            from_bytes!(
                f32,
                elements.iter().copied().map(f32::from_le_bytes).collect()
            )
        }
        FLOAT16 => {
            let (elements, []) = raw.as_chunks() else {
                return None;
            };
            from_bytes!(
                f16,
                elements.iter().copied().map(f16::from_le_bytes).collect()
            )
        }
        INT8 => from_bytes!(i8, raw.into_iter().map(u8::cast_signed).collect()),
        UINT8 => from_bytes!(u8, raw),
        _ => None,
    }
}
