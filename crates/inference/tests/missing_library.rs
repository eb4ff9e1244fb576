//! A missing ONNX Runtime. In a process of its own, since a library that is loaded stays loaded.

use std::path::Path;

use springtide_inference::onnx::{Runtime, RuntimeError};

#[test]
fn the_error_says_where_it_was_looked_for() {
    let refused = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
    assert!(matches!(refused, RuntimeError::Load { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("/nowhere/libonnxruntime.so"),
        "{refused}"
    );
}
