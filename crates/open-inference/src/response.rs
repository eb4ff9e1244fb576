//! The result of inference, as it is to be told.

use springtide_inference::TensorView;

/// The result of inference, whichever way it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct InferResponse<'a> {
    /// The model.
    pub model_name: &'a str,
    /// The version that answered.
    pub model_version: &'a str,
    /// The request's id.
    pub id: Option<&'a str>,
    /// The outputs that were wanted, in the client's order.
    pub outputs: Vec<Output<'a>>,
}

/// An output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its elements.
    pub tensor: TensorView<'a>,
    /// Whether as raw bytes; over gRPC they always are.
    pub binary: bool,
}
