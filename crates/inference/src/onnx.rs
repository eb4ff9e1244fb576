//! Models on ONNX Runtime.
//!
//! [`Runtime`] is the library, which is loaded once. [`Runtime::select`] checks an execution provider.
//! [`OnnxModel`] is a checked model file, and each of its sessions is an [`OnnxBackend`].

mod declaration;
mod edited_model;
mod external_data;
mod integer_division;
mod locale;
mod metadata;
mod model;
mod model_file;
mod provider;
mod rewrite;
mod runtime;
mod session;
mod value;
mod weights;
mod zipmap;

pub use declaration::{ModelDeclaration, NewestSupported, OperatorSet};
pub use external_data::{ExternalDataError, LinkPolicy};
pub use model::{HazardPolicy, LoadError, ModelAnalysis, OnnxModel};
pub use model_file::{FileError, ModelFile};
pub use provider::{Provider, ProviderSelection, ProviderUnavailable};
pub use runtime::{Runtime, RuntimeError};
pub use session::OnnxBackend;

/// The text of an error of ONNX Runtime, without the location in its source and the error code.
fn error_text(message: &str) -> String {
    let text = message
        .rsplit_once("[ONNXRuntimeError] : ")
        .and_then(|(_source, text)| text.splitn(3, " : ").nth(2));
    text.unwrap_or(message).trim().to_owned()
}

/// Maximum length of an error about an input, in characters.
const MAX_INPUT_ERROR_CHARACTERS: usize = 300;

/// The text of an error about an input that an operator rejects, fit for the client: the operator and
/// the message, on one line, without locations in source files.
fn input_error_text(message: &str) -> String {
    let text = error_text(message);
    let text = text.lines().next().unwrap_or_default();
    let (operator, status) = match text.split_once("Status Message: ") {
        Some((head, status)) => {
            let operator = head.split_once("while running ").map(|(_, rest)| rest);
            let operator = operator.and_then(|rest| rest.split_whitespace().next());
            (operator, status)
        }
        None => (None, text),
    };
    let words = status
        .split_whitespace()
        .filter(|word| !word.contains('/'))
        .collect::<Vec<_>>()
        .join(" ");
    let text = match operator {
        Some(operator) => format!("{operator}: {words}"),
        None => words,
    };
    text.chars().take(MAX_INPUT_ERROR_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::{error_text, input_error_text};

    #[test]
    fn what_is_said_of_an_input_is_one_line_without_paths() {
        let gather = "Non-zero status code returned while running Gather node. Name:'/embed/Gather' \
                      Status Message: indices element out of data bounds, idx=9 must be within the \
                      inclusive range [-5,4]\nStacktrace:";
        assert_eq!(
            input_error_text(gather),
            "Gather: indices element out of data bounds, idx=9 must be within the inclusive range [-5,4]"
        );
        let with_source = "Non-zero status code returned while running Slice node. Name:'' Status \
                           Message: /onnxruntime_src/core/slice.cc:30 steps are bad";
        assert_eq!(input_error_text(with_source), "Slice: steps are bad");
        assert_eq!(input_error_text(&"x".repeat(1_000)).len(), 300);
        assert_eq!(input_error_text(""), "");
    }

    #[test]
    fn what_is_said_has_neither_source_nor_number() {
        let message = "/onnxruntime_src/core/session.cc:1952 Get() [ONNXRuntimeError] : 1 : FAIL : \
                       Failed to load library a : b\n";
        assert_eq!(error_text(message), "Failed to load library a : b");
        assert_eq!(error_text("something else\n"), "something else");
    }
}
