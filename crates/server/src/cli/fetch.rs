//! The arguments of `fetch`.

use std::path::PathBuf;

use clap::{Args, value_parser};
use springtide_contract::{env, paths};

/// The arguments. The URI and the checksum are parsed by [`crate::fetch::run`] and not here: the owner of a pod
/// doesn't see usage errors, but sees the termination message.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// URI of the model file: `file:///source/…`, `https://…` or `http://…`. If its query is secret, as in presigned
    /// URLs, use the environment variable or --uri-file. Arguments are visible in the spec of the pod
    #[arg(long, env = env::MODEL_URI, hide_env_values = true)]
    pub uri: Option<String>,
    /// File that contains the URI, such as a key of a mounted Secret, instead of --uri
    #[arg(long, env = env::MODEL_URI_FILE)]
    pub uri_file: Option<PathBuf>,
    /// Destination path of the model file
    #[arg(long)]
    pub to: PathBuf,
    /// SHA-256 of the model file, 64 hexadecimal digits; required for https and http
    #[arg(long)]
    pub sha256: Option<String>,
    /// Maximum size of the model file, in bytes
    #[arg(long, default_value_t = 8 << 30)]
    pub max_bytes: u64,
    /// Maximum time without received data, including retries, in seconds
    #[arg(long, default_value_t = 600, value_parser = value_parser!(u32).range(1..=86_400))]
    pub stall_timeout_seconds: u32,
    /// Maximum time of the whole fetch, including retries, in seconds [default: none, for as long as data arrives]
    #[arg(long, value_parser = value_parser!(u32).range(1..=604_800))]
    pub timeout_seconds: Option<u32>,
    /// Connection timeout, in seconds
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=600))]
    pub connect_timeout_seconds: u32,
    /// Maximum retries of a transient error, after 0.5, 1, 2, 4 … seconds. The count restarts whenever more of the
    /// model file has been received than before
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(0..=10))]
    pub retries: u32,
    /// Follow redirects to every address. Without this flag, redirects may lead to public addresses, and to the kind of
    /// network of the URI's host (private or loopback)
    #[arg(long)]
    pub allow_private_redirects: bool,
    /// Folder that must contain the model file of a `file://` URI
    #[arg(long, default_value = paths::SOURCE_DIR)]
    pub source_dir: PathBuf,
    /// Existing file that receives the reason of a failure, as JSON
    #[arg(long, env = env::TERMINATION_MESSAGE_PATH, default_value = paths::TERMINATION_LOG)]
    pub termination_message_path: PathBuf,
}
