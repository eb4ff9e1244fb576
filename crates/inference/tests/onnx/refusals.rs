//! What can't be loaded or run.

use std::path::Path;

use springtide_inference::onnx::{FileError, LoadError, Runtime, RuntimeError};
use springtide_inference::{Backend, CancelHandle, ElementType, RunError, Tensor};

use crate::support::{RUNTIME, model, open};

#[test]
fn what_is_not_a_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let whole = std::fs::read(model("dense")).unwrap();
    for (content, what) in [
        (&b"{\"not\": \"a model\"}"[..], "text"),
        (&whole[..whole.len() / 2], "cut off"),
    ] {
        std::fs::write(&path, content).unwrap();
        let refused = open(&path).unwrap_err();
        assert!(
            matches!(refused, LoadError::File(FileError::Malformed)),
            "{what}: {refused}"
        );
    }
    std::fs::write(&path, []).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, LoadError::Model(_)), "{refused}");
}

#[test]
fn an_optional_output_is_refused() {
    let refused = open(&model("optional")).unwrap_err();
    assert!(
        matches!(refused, LoadError::OptionalOutput { .. }),
        "{refused}"
    );
}

#[test]
fn a_sparse_output_fails_the_run() {
    let mut backend = open(&model("sparse")).unwrap();
    let zero = Tensor::zeros(ElementType::F32, vec![1]).unwrap();
    let failed = RunError::Failed("output y: not a dense tensor".to_owned());
    assert_eq!(backend.run(&[&zero], &CancelHandle::new()), Err(failed));
}

#[test]
fn the_format_of_onnx_runtime_itself_is_refused() {
    let refused = open(Path::new("model.ort")).unwrap_err();
    assert!(matches!(refused, LoadError::OrtFormat), "{refused}");
}

#[test]
fn a_row_of_the_wrong_length_is_not_taken_and_the_session_goes_on() {
    let mut backend = open(&model("dense")).unwrap();
    let mut run = |columns| {
        let zeros = Tensor::zeros(ElementType::F32, vec![1, columns]).unwrap();
        backend.run(&[&zeros], &CancelHandle::new())
    };
    assert!(matches!(run(65), Err(RunError::InvalidInput(_))));
    assert!(run(64).is_ok());
}

#[test]
fn the_library_is_loaded_once_per_process() {
    std::sync::LazyLock::force(&RUNTIME);
    let refused = Runtime::load(Path::new("libonnxruntime.so")).unwrap_err();
    assert!(matches!(refused, RuntimeError::Start(_)), "{refused}");
}

#[test]
fn letters_of_a_language_that_the_system_does_not_know_are_refused_by_name() {
    let mut letters = std::fs::read(model("letters")).unwrap();
    let american = letters
        .windows(5)
        .position(|name| name == b"en_US")
        .unwrap();
    letters[american..american + 5].copy_from_slice(b"xx_YY");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), letters).unwrap();
    let refused = open(file.path()).unwrap_err();
    let LoadError::Locale { name } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(name, "xx_YY");
    let advice = "localedef -i xx_YY -f UTF-8 xx_YY";
    assert!(refused.to_string().contains(advice), "{refused}");
}
