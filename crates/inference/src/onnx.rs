//! Models on ONNX Runtime.
//!
//! A [`Runtime`] is the library, loaded once. [`Runtime::select`] finds out what it can run on, an
//! [`OnnxModel`] is a file that was found fit to be loaded, and each of its sessions is an
//! [`OnnxBackend`].

mod division;
mod edited;
mod external_data;
mod file;
mod locale;
mod model;
mod provider;
mod rewrite;
mod runtime;
mod session;
mod value;
mod weights;
mod zipmap;

pub use external_data::{ExternalDataError, Links};
pub use file::{FileError, ModelFile};
pub use model::{Knowledge, LoadError, OnnxModel, Trust};
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

/// Most characters that are told of an input that the model doesn't take.
const MAX_SAID_OF_INPUT: usize = 300;

/// What ONNX Runtime says of an input that an operator doesn't take, fit for whoever sent it: the
/// operator and what it says, on one line, without places in source files.
fn said_of_input(message: &str) -> String {
    let said = said(message);
    let said = said.lines().next().unwrap_or_default();
    let (operator, status) = match said.split_once("Status Message: ") {
        Some((head, status)) => {
            let operator = head.split_once("while running ").map(|(_, rest)| rest);
            let operator = operator.and_then(|rest| rest.split_whitespace().next());
            (operator, status)
        }
        None => (None, said),
    };
    let words = status
        .split_whitespace()
        .filter(|word| !word.contains('/'))
        .collect::<Vec<_>>()
        .join(" ");
    let told = match operator {
        Some(operator) => format!("{operator}: {words}"),
        None => words,
    };
    told.chars().take(MAX_SAID_OF_INPUT).collect()
}

#[cfg(test)]
mod tests {
    use super::{said, said_of_input};

    #[test]
    fn what_is_said_of_an_input_is_one_line_without_paths() {
        let gather = "Non-zero status code returned while running Gather node. Name:'/embed/Gather' \
                      Status Message: indices element out of data bounds, idx=9 must be within the \
                      inclusive range [-5,4]\nStacktrace:";
        assert_eq!(
            said_of_input(gather),
            "Gather: indices element out of data bounds, idx=9 must be within the inclusive range [-5,4]"
        );
        let with_source = "Non-zero status code returned while running Slice node. Name:'' Status \
                           Message: /onnxruntime_src/core/slice.cc:30 steps are bad";
        assert_eq!(said_of_input(with_source), "Slice: steps are bad");
        assert_eq!(said_of_input(&"x".repeat(1_000)).len(), 300);
        assert_eq!(said_of_input(""), "");
    }

    #[test]
    fn what_is_said_has_neither_source_nor_number() {
        let message = "/onnxruntime_src/core/session.cc:1952 Get() [ONNXRuntimeError] : 1 : FAIL : \
                       Failed to load library a : b\n";
        assert_eq!(said(message), "Failed to load library a : b");
        assert_eq!(said("something else\n"), "something else");
    }
}
