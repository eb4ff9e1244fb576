//! Models on ONNX Runtime.
//!
//! A [`Runtime`] is the library, loaded once. [`Runtime::select`] finds out what it can run on, an
//! [`OnnxModel`] is a file that was found fit to be loaded, and each of its sessions is an
//! [`OnnxBackend`].

mod external_data;
mod file;
mod model;
mod provider;
mod runtime;
mod session;
mod value;
mod weights;
mod zipmap;

pub use external_data::ExternalDataError;
pub use file::{FileError, ModelFile};
pub use model::{Knowledge, LoadError, OnnxModel};
pub use provider::{Provider, ProviderUnavailable, Selected, Selection};
pub use runtime::{Runtime, RuntimeError};
pub use session::OnnxBackend;

/// What ONNX Runtime says, without the place in its source and the number of the error before it.
fn said(message: &str) -> String {
    let said = message
        .rsplit_once("[ONNXRuntimeError] : ")
        .and_then(|(_source, said)| said.splitn(3, " : ").nth(2));
    said.unwrap_or(message).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn what_is_said_has_neither_source_nor_number() {
        let message = "/onnxruntime_src/core/session.cc:1952 Get() [ONNXRuntimeError] : 1 : FAIL : \
                       Failed to load library a : b\n";
        assert_eq!(said(message), "Failed to load library a : b");
        assert_eq!(said("something else\n"), "something else");
    }
}
