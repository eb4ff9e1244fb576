use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::*;

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The versions of a model that can be read, and the others.
fn versions(root: &Path, name: &str) -> Versions {
    match scan(root).unwrap().models.remove(name) {
        Some(ModelFolder::Versions(versions)) => versions,
        other => panic!("{other:?}"),
    }
}

fn versions_of(root: &Path, name: &str) -> Vec<String> {
    versions(root, name)
        .keys()
        .map(ToString::to_string)
        .collect()
}

/// The fingerprint of version 1 of `m`.
fn fingerprint_of(root: &Path) -> Fingerprint {
    versions(root, "m")[&Version::FIRST].unwrap()
}

fn problems_of(root: &Path) -> Vec<(String, String)> {
    let problems = scan(root).unwrap().problems.into_iter();
    problems
        .map(|problem| (problem.model, problem.version))
        .collect()
}

fn set_modified(file: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn only_what_is_named_like_a_model_and_has_a_file_counts() {
    let root = tempfile::tempdir().unwrap();
    for path in [
        "iris/1/model.onnx",
        "iris/10/model.onnx",
        "iris/2/model.onnx",
        "iris/02/model.onnx",
        "iris/latest/model.onnx",
        "iris/3/model.onnx.part",
        "iris/4",
        "lost+found/1/model.onnx",
        ".data/1/model.onnx",
        "README.md",
    ] {
        write(root.path(), path, "x");
    }
    fs::create_dir(root.path().join("empty")).unwrap();
    assert_eq!(versions_of(root.path(), "iris"), ["1", "2", "10"]);
    assert!(versions_of(root.path(), "empty").is_empty());
    assert_eq!(scan(root.path()).unwrap().models.len(), 2);
}

#[test]
fn whatever_changes_in_a_version_changes_its_stamp_and_what_changes_beside_it_does_not() {
    let root = tempfile::tempdir().unwrap();
    let version = root.path().join("m/1");
    write(root.path(), "m/1/model.onnx", "graph");
    write(root.path(), "m/1/labels.txt", "cat");
    let mut seen = vec![fingerprint_of(root.path())];
    assert_eq!(fingerprint_of(root.path()), seen[0]);
    write(root.path(), "m/2/model.onnx", "another");
    write(root.path(), "m/README.md", "");
    assert_eq!(fingerprint_of(root.path()), seen[0], "another version");
    let mut changed = |what: &str| {
        let fingerprint = fingerprint_of(root.path());
        assert!(!seen.contains(&fingerprint), "{what}");
        seen.push(fingerprint);
    };
    write(root.path(), "m/1/deep/weights.bin", "1234");
    changed("a file in a folder of its own");
    write(root.path(), "m/1/deep/weights.bin", "12345");
    changed("its length");
    let then = SystemTime::UNIX_EPOCH;
    set_modified(
        &version.join("deep/weights.bin"),
        then + Duration::from_secs(4_000_000_000),
    );
    changed("its time");
    // A retrained model of the same size and time, renamed into place; all files have one time.
    for file in ["model.onnx", "labels.txt", "deep/weights.bin"] {
        set_modified(&version.join(file), then);
    }
    changed("all times");
    write(root.path(), ".new", "hparg");
    set_modified(&root.path().join(".new"), then);
    fs::rename(root.path().join(".new"), version.join("model.onnx")).unwrap();
    changed("a file of the same size and time");
}

#[test]
fn a_file_that_is_written_to_in_place_has_another_stamp_whatever_its_time() {
    let root = tempfile::tempdir().unwrap();
    let model = root.path().join("m/1/model.onnx");
    write(root.path(), "m/1/model.onnx", "graph");
    set_modified(&model, SystemTime::UNIX_EPOCH);
    let before = fingerprint_of(root.path());
    // Until the file system's clock has moved on.
    let changed = (0..1_000_000).any(|_| {
        fs::write(&model, "hparg").unwrap();
        set_modified(&model, SystemTime::UNIX_EPOCH);
        fingerprint_of(root.path()) != before
    });
    assert!(changed);
}

#[test]
fn links_are_followed_and_dead_ones_passed_over() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), ".store/a", "graph");
    write(root.path(), ".store/b", "hparg");
    write(root.path(), ".store/weights/w", "1");
    let version = root.path().join("m/1");
    fs::create_dir_all(&version).unwrap();
    let link = |target: &str, name: &str| {
        let name = version.join(name);
        let _there_was_none = fs::remove_file(&name);
        symlink(target, name).unwrap();
    };
    link("nowhere", "model.onnx");
    assert!(versions_of(root.path(), "m").is_empty());
    let mut seen = Vec::new();
    let mut changed = |what: &str| {
        let fingerprint = fingerprint_of(root.path());
        assert!(!seen.contains(&fingerprint), "{what}");
        seen.push(fingerprint);
    };
    link("../../.store/a", "model.onnx");
    changed("a linked model");
    link("../../.store/b", "model.onnx");
    changed("another linked model");
    link("../../.store/weights", "weights");
    changed("a linked folder");
    write(root.path(), ".store/weights/w", "22");
    changed("a file in a linked folder");
    symlink("1", root.path().join("m/2")).unwrap();
    assert_eq!(versions_of(root.path(), "m"), ["1", "2"]);
}

#[test]
fn a_volume_of_kubernetes_is_swapped_at_once() {
    let root = tempfile::tempdir().unwrap();
    let version = root.path().join("m/1");
    write(root.path(), "m/1/..2026_01/model.onnx", "graph");
    symlink("..2026_01", version.join("..data")).unwrap();
    symlink("..data/model.onnx", version.join("model.onnx")).unwrap();
    let before = fingerprint_of(root.path());
    assert_eq!(problems_of(root.path()), []);
    write(root.path(), "m/1/..2026_02/model.onnx", "graph");
    symlink("..2026_02", version.join("..data_tmp")).unwrap();
    fs::rename(version.join("..data_tmp"), version.join("..data")).unwrap();
    fs::remove_dir_all(version.join("..2026_01")).unwrap();
    let after = fingerprint_of(root.path());
    assert_ne!(after, before);
    assert_eq!(fingerprint_of(root.path()), after);
}

#[test]
fn what_is_nearly_right_is_hinted_at() {
    let root = tempfile::tempdir().unwrap();
    for path in [
        "good/1/model.onnx",
        "good/README.md",
        ".hidden/model.onnx",
        "flat/model.onnx",
        "deep/onnx/model.onnx",
        "half/1/other.onnx",
        "half/2/model.onnx",
        "my model/1/model.onnx",
        "loose.onnx",
        "README.md",
    ] {
        write(root.path(), path, "x");
    }
    symlink("nowhere", root.path().join("half/3")).unwrap();
    symlink("1", root.path().join("good/latest")).unwrap();
    let expected = [
        ("deep", "onnx"),
        ("flat", ""),
        ("half", "1"),
        ("half", "3"),
        ("loose", ""),
        ("my model", ""),
    ];
    let expected = expected.map(|(model, version)| (model.to_owned(), version.to_owned()));
    assert_eq!(problems_of(root.path()), expected);
    assert_eq!(versions_of(root.path(), "half"), ["2"]);
}

#[test]
fn hints_are_bounded() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..=MAX_PROBLEMS {
        write(root.path(), &format!("m{index}/model.onnx"), "x");
    }
    assert_eq!(problems_of(root.path()).len(), MAX_PROBLEMS);
}

#[test]
fn a_version_that_can_not_be_read_is_there_and_hides_no_other() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "iris/1/model.onnx", "graph");
    let looped = root.path().join("iris/2");
    symlink(&looped, &looped).unwrap();
    let versions = versions(root.path(), "iris");
    let readable: Vec<bool> = versions.values().map(Option::is_some).collect();
    assert_eq!(readable, [true, false]);
}

#[test]
fn a_missing_directory_is_an_error_and_not_empty() {
    let root = tempfile::tempdir().unwrap();
    let missing = scan(&root.path().join("models")).unwrap_err();
    assert!(matches!(missing, ScanError::Io { .. }), "{missing}");
}

#[test]
fn too_many_models_are_refused() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..=MAX_MODELS {
        fs::create_dir(root.path().join(format!("m{index}"))).unwrap();
    }
    let refused = scan(root.path()).unwrap_err();
    assert!(matches!(refused, ScanError::TooMany { .. }), "{refused}");
}
