//! Shared weights of the sessions of a model.
//!
//! ONNX Runtime shares packed weights between sessions only where the caller passes the same weights to each session
//! ([`AddInitializer`](https://onnxruntime.ai/docs/api/c/struct_ort_api.html)). It then keeps both forms,
//! so a single session needs less memory without this.

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
    /// Reads the weights that have a packed form from a model file. None where there are none.
    ///
    /// # Errors
    /// When the file can't be read or has changed.
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

    /// Adds them to a session.
    pub(super) fn add_to(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        for (name, value) in &self.initializers {
            builder = builder.with_initializer(name, Arc::clone(value))?;
        }
        Ok(builder.with_prepacked_weights(&self.prepacked)?)
    }
}

/// `TensorProto.DataType` of weights of matrix multiplications and convolutions.
const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;
const FLOAT16: u64 = 10;

/// Whether the rank is at least 2, and the type is one that can be packed.
const fn may_be_packed(weights: &Weights) -> bool {
    weights.shape.len() > 1 && matches!(weights.data_type, FLOAT | UINT8 | INT8 | FLOAT16)
}

/// None where the number of bytes doesn't match the shape.
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
