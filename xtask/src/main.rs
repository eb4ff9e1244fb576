//! `cargo xtask generate` writes the files that are generated from code, `cargo xtask check` fails
//! where one of them is stale, and `cargo xtask circles` where files import each other in a circle.

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
        .context("xtask isn't in a workspace")?;
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
        "stale: {}. Run `cargo xtask generate` and commit what it writes.",
        stale.join(", ")
    )
}

/// Artifacts whose file is missing or has other content.
fn stale<'a>(root: &Path, artifacts: &'a [Artifact]) -> impl Iterator<Item = &'a Artifact> {
    artifacts.iter().filter(|artifact| {
        fs::read_to_string(root.join(artifact.path)).ok().as_ref() != Some(&artifact.content)
    })
}
