//! Tasks of this repository that need its Rust code. `cargo xtask` is an alias in `.cargo/config.toml`.
//!
//! | command | effect |
//! |---|---|
//! | `cargo xtask generate` | writes the files that are generated from the code: the CRD and its copies, the API reference, the list of decisions and the gRPC code |
//! | `cargo xtask check` | fails if a generated file is out of date |
//! | `cargo xtask circles` | fails if files of a crate import each other in a cycle |

mod artifact;
mod artifacts;
mod circles;
mod decisions;
mod grpc;
mod json_schema;
mod reference;

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail};

use crate::artifact::Artifact;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no workspace")?;
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate"] => generate(root, &artifacts::all(root)?),
        ["check"] => check(root, &artifacts::all(root)?),
        ["circles"] => circles::check(root),
        _ => bail!("usage: cargo xtask generate | cargo xtask check | cargo xtask circles"),
    }
}

fn generate(root: &Path, artifacts: &[Artifact]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for artifact in stale(root, artifacts) {
        let path = root.join(artifact.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::write(&path, &artifact.content).with_context(|| format!("write {}", path.display()))?;
        writeln!(out, "wrote {}", artifact.path)?;
    }
    Ok(())
}

fn check(root: &Path, artifacts: &[Artifact]) -> anyhow::Result<()> {
    let stale = stale(root, artifacts)
        .map(|artifact| artifact.path)
        .collect::<Vec<_>>();
    if stale.is_empty() {
        return Ok(());
    }
    bail!(
        "out of date: {}. Run `cargo xtask generate` and commit the changes.",
        stale.join(", ")
    )
}

/// The generated files that are missing or have other content.
fn stale<'a>(root: &Path, artifacts: &'a [Artifact]) -> impl Iterator<Item = &'a Artifact> {
    artifacts.iter().filter(|artifact| {
        fs::read_to_string(root.join(artifact.path)).ok().as_ref() != Some(&artifact.content)
    })
}
