//! Models with weights in files of their own. The rules are tested beside the code; here, that they
//! hold when a model is loaded.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use springtide_inference::onnx::{ExternalDataError, LoadError};
use springtide_inference::{Backend, Stop};

use crate::support::{model, open, tensor};

/// A folder with the model, which wants `weights.bin` beside it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::copy(model("external"), &path).unwrap();
    (folder, path)
}

fn weights() -> Vec<u8> {
    [2.0_f32, 3.0]
        .into_iter()
        .flat_map(f32::to_le_bytes)
        .collect()
}

#[test]
fn weights_beside_the_model_are_read() {
    let (folder, path) = folder();
    fs::write(folder.path().join("weights.bin"), weights()).unwrap();
    let mut backend = open(&path).unwrap();
    let outputs = backend.run(&[&tensor(&[1, 2], vec![10.0_f32, 10.0])], &Stop::new());
    assert_eq!(outputs, Ok(vec![tensor(&[1, 2], vec![20.0_f32, 30.0])]));
}

#[test]
fn weights_in_a_volume_of_kubernetes_are_read() {
    let (folder, path) = folder();
    let data = folder.path().join("..2026_01_01");
    fs::create_dir(&data).unwrap();
    fs::rename(&path, data.join("model.onnx")).unwrap();
    fs::write(data.join("weights.bin"), weights()).unwrap();
    symlink("..2026_01_01", folder.path().join("..data")).unwrap();
    for name in ["model.onnx", "weights.bin"] {
        symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
    }
    open(&path).unwrap();
}

#[test]
fn weights_elsewhere_are_refused() {
    let (folder, path) = folder();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), weights()).unwrap();
    symlink(elsewhere.path(), folder.path().join("weights.bin")).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(
        matches!(
            refused,
            LoadError::ExternalData(ExternalDataError::Outside { .. })
        ),
        "{refused}"
    );
}
