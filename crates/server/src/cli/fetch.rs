//! The arguments of `fetch`.

use std::path::PathBuf;

use clap::{Args, value_parser};
use springtide_contract::{env, paths};

/// What to fetch. The URI and the sha256 are parsed by [`crate::fetch::run`] and not here: a pod's
/// owner doesn't see usage errors, but reads of a refused model.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Where the model is: `file:///source/…`, `https://…` or `http://…`. Where its query is a secret, as
    /// in presigned URLs, use the variable or --uri-file: arguments show in the pod's spec
    #[arg(long, env = env::MODEL_URI, hide_env_values = true)]
    pub uri: Option<String>,
    /// File that holds the URI instead, such as a key of a mounted Secret
    #[arg(long, env = env::MODEL_URI_FILE)]
    pub uri_file: Option<PathBuf>,
    /// Where to put it
    #[arg(long)]
    pub to: PathBuf,
    /// The file's sha256, 64 hexadecimal digits; required for https and http
    #[arg(long)]
    pub sha256: Option<String>,
    /// Largest file to accept, in bytes
    #[arg(long, default_value_t = 8 << 30)]
    pub max_bytes: u64,
    /// Longest time without a byte, retries included, in seconds
    #[arg(long, default_value_t = 600, value_parser = value_parser!(u32).range(1..=86_400))]
    pub stall_timeout_seconds: u32,
    /// Longest time for everything, retries included, in seconds [default: none, for as long as bytes come]
    #[arg(long, value_parser = value_parser!(u32).range(1..=604_800))]
    pub timeout_seconds: Option<u32>,
    /// Longest time until a connection stands, in seconds
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=600))]
    pub connect_timeout_seconds: u32,
    /// How often a passing fault is tried again, after 0.5, 1, 2, 4 … seconds. Counted anew whenever there is more of
    /// the model than before
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(0..=10))]
    pub retries: u32,
    /// Follow redirects to every address. Without it a redirect may lead to public addresses, and within
    /// the kind of network that the URI's host is in (private, or this machine)
    #[arg(long)]
    pub allow_private_redirects: bool,
    /// The folder that a `file://` model must be in
    #[arg(long, default_value = paths::SOURCE_DIR)]
    pub source_dir: PathBuf,
    /// File that gets the reason of a failure as JSON, where it exists
    #[arg(long, env = env::TERMINATION_MESSAGE_PATH, default_value = paths::TERMINATION_LOG)]
    pub termination_message_path: PathBuf,
}
