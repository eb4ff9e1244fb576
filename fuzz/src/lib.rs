//! What the fuzz targets share.

use springtide_inference::{Dimension, ElementType, Port, Signature};
use springtide_open_inference::{InferRequest, InferResponse, Output};

/// The model that requests are for: one input of the kind that most models have.
#[must_use]
pub fn signature() -> Signature {
    let rows = [Dimension::Any, Dimension::Fixed(2)];
    Signature {
        inputs: vec![Port::tensor("x", ElementType::F32, rows)],
        outputs: vec![Port::tensor("y", ElementType::F32, rows)],
    }
}

/// The answer of a model that gives its inputs back.
#[must_use]
pub fn answer(request: &InferRequest, binary: bool) -> InferResponse<'_> {
    InferResponse {
        model_name: "echo",
        model_version: "1",
        id: request.id.as_deref(),
        outputs: request
            .inputs
            .iter()
            .map(|input| Output {
                name: &input.name,
                tensor: input.tensor.view(),
                binary,
            })
            .collect(),
    }
}
