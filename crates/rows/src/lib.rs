//! What the graph of an ONNX model says about its rows.
//!
//! A server that joins the rows of several requests into one batch must know that each row's answer
//! is the same as when it runs alone. [`analyse`] proves it from the model's graph, operator by
//! operator, or says which node speaks against it, or which it can't judge. Nothing here runs a model
//! or reads a file; docs/adr/0021 tells the idea and its limits.

mod decode;
mod findings;
mod proto;

pub use decode::{DecodeError, Model};
pub use findings::{Analysis, Finding, Hazard, Verdict};

/// Judges whether the rows of a batch are independent in this model, and which nodes of it could end
/// the process that runs it.
#[must_use]
pub fn analyse(model: &Model) -> Analysis {
    let operator = model
        .graph()
        .node
        .first()
        .map(|node| node.op_type.clone())
        .unwrap_or_default();
    Analysis {
        verdict: Verdict::Unknown(Finding {
            node: String::new(),
            operator,
            why: "isn't analysed yet".to_owned(),
            remedy: None,
        }),
        hazards: Vec::new(),
    }
}
