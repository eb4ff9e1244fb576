//! Responses of inference.

use springtide_inference::TensorView;

/// The response of inference, for both transports.
#[derive(Debug, Clone, PartialEq)]
pub struct InferResponse<'a> {
    /// The model.
    pub model_name: &'a str,
    /// The version.
    pub model_version: &'a str,
    /// The request's id.
    pub id: Option<&'a str>,
    /// The requested outputs, in the client's order.
    pub outputs: Vec<Output<'a>>,
}

/// An output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its elements.
    pub tensor: TensorView<'a>,
    /// Whether it is written as raw bytes. Over gRPC it always is.
    pub binary: bool,
}
