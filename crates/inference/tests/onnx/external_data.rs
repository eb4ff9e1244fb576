//! Models with weights in files of their own. The rules are tested beside the code; here, that they
//! hold when a model is loaded.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use springtide_inference::onnx::{
    ExternalDataError, HazardPolicy, LinkPolicy, LoadError, OnnxBackend, OnnxModel, Provider,
};
use springtide_inference::{Backend, CancelHandle};

use crate::support::{ONE, RUNTIME, model, open, tensor};

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
    check(open(&path).unwrap());
}

/// Whether the model runs with its weights.
#[track_caller]
fn check(mut backend: OnnxBackend) {
    let outputs = backend.run(
        &[&tensor(&[1, 2], vec![10.0_f32, 10.0])],
        &CancelHandle::new(),
    );
    assert_eq!(outputs, Ok(vec![tensor(&[1, 2], vec![20.0_f32, 30.0])]));
}

/// A version's folder in a directory of models, whose files are in the store of these names.
fn linked(model_file: Option<&str>, data: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let version = root.path().join("m/1");
    fs::create_dir_all(&version).unwrap();
    let store = |name: &str, target: &str, content: Vec<u8>| {
        let stored = root.path().join(".store").join(target);
        fs::create_dir_all(stored.parent().unwrap()).unwrap();
        fs::write(stored, content).unwrap();
        symlink(Path::new("../../.store").join(target), version.join(name)).unwrap();
    };
    let graph = fs::read(model("external")).unwrap();
    match model_file {
        Some(target) => store("model.onnx", target, graph),
        None => fs::write(version.join("model.onnx"), graph).unwrap(),
    }
    store("weights.bin", data, weights());
    let path = version.join("model.onnx");
    (root, path)
}

#[test]
fn weights_that_are_links_inside_the_model_directory_are_read() {
    for (model_file, data) in [
        // Hugging Face's cache.
        (Some("blobs/a"), "blobs/b"),
        // Stores that give each file a folder of its own: git-annex, DVC. ONNX Runtime 1.24 and newer
        // refuse these by themselves.
        (Some("a/a0"), "b/b0"),
        (None, "weights of all versions/b"),
    ] {
        let (root, path) = linked(model_file, data);
        let links = LinkPolicy::Inside(root.path().to_owned());
        let model = OnnxModel::open(
            &RUNTIME,
            &path,
            &links,
            Provider::Cpu,
            ONE,
            HazardPolicy::Allow,
        )
        .unwrap();
        for _session in 0..2 {
            check(model.session(ONE).unwrap());
        }
        let narrower = LinkPolicy::Inside(root.path().join("m"));
        let refused = OnnxModel::open(
            &RUNTIME,
            &path,
            &narrower,
            Provider::Cpu,
            ONE,
            HazardPolicy::Allow,
        );
        assert!(
            matches!(
                refused,
                Err(LoadError::ExternalData(ExternalDataError::Outside { .. }))
            ),
            "{data}: {refused:?}"
        );
    }
}

#[test]
fn of_a_single_model_the_blob_beside_its_own_is_read() {
    let (_root, path) = linked(Some("blobs/a"), "blobs/b");
    check(open(&path).unwrap());
    let (_root, path) = linked(None, "blobs/b");
    assert!(open(&path).is_err());
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
