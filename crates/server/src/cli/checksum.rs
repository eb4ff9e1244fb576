//! The arguments of `checksum`.

use std::path::PathBuf;

use clap::Args;

/// The arguments.
#[derive(Debug, Args)]
pub struct ChecksumArgs {
    /// Path of a file or folder
    pub path: PathBuf,
}
