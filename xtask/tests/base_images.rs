//! `scripts/base-images` finds the base images of Dockerfiles and pins them. A script replaces `docker` and its registry.

// Clippy takes only functions with #[test] for tests, not their helpers.
#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/base-images");

/// An empty folder for a test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(arguments: &[&str], files: &[&Path], docker: Option<&Path>) -> Output {
    let path = env::var("PATH").unwrap();
    let path = match docker {
        Some(folder) => format!("{}:{path}", folder.display()),
        None => path,
    };
    let mut command = Command::new(SCRIPT);
    command.args(arguments).args(files).env("PATH", path);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A `docker` that reports this digest for every tag.
fn docker(folder: &Path, digest: &str) {
    let program = folder.join("docker");
    let script = format!("#!/bin/sh\n[ \"$1 $2\" = 'buildx imagetools' ] && echo '{digest}'\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

/// A Dockerfile with all forms of base images in this repository, and `pin` after each image of a registry.
fn dockerfile(pin: &str) -> String {
    format!(
        "# What it runs on: gcr.io/base:1 will do.\n\
         ARG BUILD=source\n\
         ARG BASE=gcr.io/distroless/cc-debian12:nonroot{pin}\n\
         FROM rust:1.95-bookworm{pin} AS source\n\
         RUN echo FROM rust:1.95-bookworm\n\
         FROM scratch AS prebuilt\n\
         FROM python:3.12-slim-bookworm{pin}\n\
         FROM prebuilt\n\
         FROM ${{BUILD}} AS binaries\n\
         FROM ${{BASE}}\n"
    )
}

#[test]
fn the_dockerfiles_build_on_images_with_a_tag() {
    let names = run(&["--names"], &[], None);
    let names = text(&names.stdout);
    let bare: Vec<_> = names
        .lines()
        .map(|name| name.split('@').next().unwrap())
        .map(|name| name.rsplit_once(':').unwrap().0)
        .collect();
    assert_eq!(bare, ["gcr.io/distroless/cc-debian12", "python", "rust"]);
}

#[test]
fn an_image_without_a_digest_is_reported() {
    let folder = folder("check");
    let file = folder.join("Dockerfile");
    let pin = format!("@{}", digest("a"));
    fs::write(&file, dockerfile(&pin)).unwrap();
    let checked = run(&["--check"], &[&file], None);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    for image in [
        "gcr.io/distroless/cc-debian12:nonroot",
        "rust:1.95-bookworm",
        "python:3.12-slim-bookworm",
    ] {
        let unpinned = dockerfile(&pin).replace(&format!("{image}{pin}"), image);
        fs::write(&file, unpinned).unwrap();
        let checked = run(&["--check"], &[&file], None);
        assert!(!checked.status.success(), "{image}");
        let said = text(&checked.stderr);
        assert!(said.lines().any(|line| line == image), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    for bad in ["@sha256:abc", "@", "@sha512:abc"] {
        fs::write(&file, dockerfile(bad)).unwrap();
        let checked = run(&["--check"], &[&file], None);
        assert_eq!(text(&checked.stderr).lines().count(), 4, "{bad}");
    }
}

/// `FROM ${BASE}` is kept: its value is an argument of builds with another base image.
#[test]
fn every_image_is_pinned_and_updated_and_nothing_else_changes() {
    let folder = folder("renew");
    let file = folder.join("Dockerfile");
    fs::write(&file, dockerfile("")).unwrap();
    for digit in ["a", "b"] {
        docker(&folder, &digest(digit));
        let renewed = run(&[], &[&file], Some(&folder));
        assert!(renewed.status.success(), "{}", text(&renewed.stderr));
        let pin = format!("@{}", digest(digit));
        assert_eq!(fs::read_to_string(&file).unwrap(), dockerfile(&pin));
    }
    docker(&folder, "not a digest");
    let before = fs::read_to_string(&file).unwrap();
    let renewed = run(&[], &[&file], Some(&folder));
    assert!(!renewed.status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}
