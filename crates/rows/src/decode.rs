//! Decodes the bytes of a model file.

use bytes::Bytes;
use prost::Message as _;

use crate::proto::{GraphProto, ModelProto};
use crate::size::{self, Kind, MAXIMUM_ITEMS};

/// A decoded model file, as far as the analysis needs it. Weights stay slices of the file's bytes.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) proto: ModelProto,
}

/// A file that can't be analysed.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes aren't an ONNX model, or nest deeper than a hundred messages.
    #[error("not an ONNX model: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// It has so many messages that decoding would take too much memory.
    #[error("more than {MAXIMUM_ITEMS} messages in one model")]
    TooMany,
    /// The model has no graph.
    #[error("the model has no graph")]
    NoGraph,
}

impl Model {
    /// Decodes a whole model file. External data is neither read nor needed.
    ///
    /// # Errors
    ///
    /// When the bytes aren't an ONNX model or have no graph.
    pub fn decode(file: Bytes) -> Result<Self, DecodeError> {
        let mut left = MAXIMUM_ITEMS;
        if !size::is_bounded(&file, Kind::Model, &mut left, 0) {
            return Err(DecodeError::TooMany);
        }
        let proto = ModelProto::decode(file)?;
        if proto.graph.is_none() {
            return Err(DecodeError::NoGraph);
        }
        Ok(Self { proto })
    }

    /// The model's main graph; empty where there is none, which `decode` refuses.
    pub(crate) fn graph(&self) -> &GraphProto {
        static EMPTY: std::sync::LazyLock<GraphProto> =
            std::sync::LazyLock::new(GraphProto::default);
        self.proto.graph.as_ref().unwrap_or(&EMPTY)
    }
}
