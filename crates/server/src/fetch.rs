//! `springtide-server fetch`: brings a model file to its place, checked.
//!
//! The file is written beside its place under another name and moved there only when its sha256
//! holds, so whoever sees it sees all of it. Passing faults are tried again for as long as each attempt brings the
//! download further, and a bounded time and number beyond. What has come stays for the next attempt, and for the next
//! run.

pub mod fault;
pub mod location;

mod address_scope;
mod destination;
mod resolver;
mod volume;
mod web;

use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use springtide_contract::env::MODEL_URI;
use springtide_contract::sha256::{InvalidSha256, Sha256};
use springtide_contract::termination::{ModelFailure, TerminationMessage};

use self::address_scope::RedirectPolicy;
use self::destination::Destination;
use self::fault::{Fault, Progress, RetryPolicy};
use self::location::{InvalidUri, Source};
use self::web::Download;
use crate::cli::FetchArgs;
use crate::small_file;

/// Most bytes of a file with a URI: presigned URLs have up to two thousand.
const MAX_URI_BYTES: u64 = 8192;

/// The model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nothing says where the model is, or two things do.
    #[error("the model's URI must be given once: by --uri, {MODEL_URI} or --uri-file")]
    NotOneUri,
    /// The file that holds the URI can't be read.
    #[error("the file with the model's URI can't be read: {0}")]
    UriFile(io::ErrorKind),
    /// The model can't come from there.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// The model can't have this checksum.
    #[error("--sha256 {0}")]
    Sha256(#[from] InvalidSha256),
    /// Whoever controls the way to a web server could replace the model.
    #[error("--sha256 is required for https and http: without it the model can't be checked")]
    Sha256Required,
    /// The last attempt failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl FetchError {
    /// The error as the operator reads it.
    #[must_use]
    pub fn termination_message(&self) -> TerminationMessage {
        let reason = match self {
            Self::NotOneUri
            | Self::UriFile(_)
            | Self::Uri(_)
            | Self::Sha256(_)
            | Self::Sha256Required => ModelFailure::ModelRefused,
            Self::Fault(fault) => fault.reason(),
        };
        TerminationMessage {
            reason,
            message: self.to_string(),
        }
    }
}

/// Where the model is and what it must be.
fn wanted(args: &FetchArgs) -> Result<(Source, Option<Sha256>), FetchError> {
    let source = match (&args.uri, &args.uri_file) {
        (Some(uri), None) => uri.trim().parse()?,
        (None, Some(file)) => uri_in(file)?.trim().parse()?,
        (Some(_), Some(_)) | (None, None) => return Err(FetchError::NotOneUri),
    };
    let sha256 = args.sha256.as_deref().map(str::to_ascii_lowercase);
    let sha256: Option<Sha256> = sha256.map(|digits| digits.parse()).transpose()?;
    if matches!(source, Source::Http(_)) && sha256.is_none() {
        return Err(FetchError::Sha256Required);
    }
    Ok((source, sha256))
}

/// The text of a file that holds a URI.
fn uri_in(file: &Path) -> Result<String, FetchError> {
    let bytes = small_file::read(file, MAX_URI_BYTES);
    let text = bytes.and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_not_text| io::ErrorKind::InvalidData.into())
    });
    text.map_err(|error| FetchError::UriFile(error.kind()))
}

/// Fetches a model.
///
/// # Errors
/// When its URI or sha256 can't be one, or it can't be had, isn't the right one or can't be written, and trying again didn't help.
pub fn run(args: &FetchArgs) -> Result<(), FetchError> {
    let (source, sha256) = wanted(args)?;
    let target = Destination::new(&args.to, sha256, args.max_bytes);
    if target.is_there() {
        tracing::info!(path = %args.to.display(), "the model is already there");
        return Ok(());
    }
    let began = Instant::now();
    let bound = args.timeout_seconds.map(u64::from).map(Duration::from_secs);
    let retries = RetryPolicy {
        stall: Duration::from_secs(args.stall_timeout_seconds.into()),
        deadline: bound.map(|bound| began + bound),
        count: args.retries,
    };
    let mut progress = Progress::new(began);
    let connect_timeout = Duration::from_secs(args.connect_timeout_seconds.into());
    let redirects = if args.allow_private_redirects {
        RedirectPolicy::Anywhere
    } else {
        RedirectPolicy::SameScope
    };
    let mut failures = 0;
    let mut most_bytes = target.begun_bytes();
    loop {
        let now = Instant::now();
        let fault = match &source {
            Source::File(path) => volume::copy(path, &args.source_dir, &target, &mut progress),
            Source::Http(url) => Download {
                url,
                connect_timeout,
                stall: retries.left(progress.heard(), now),
                time: retries.left_in_all(now),
                redirects,
            }
            .download(&target, &mut progress),
        };
        let Err(fault) = fault else {
            tracing::info!(%source, path = %args.to.display(), "model fetched");
            return Ok(());
        };
        let bytes = target.begun_bytes();
        (most_bytes, failures) = if bytes > most_bytes {
            (bytes, 0)
        } else {
            (most_bytes, failures + 1)
        };
        let now = Instant::now();
        let Some(pause) = retries.after(failures, &fault, progress.heard(), now) else {
            if !fault.is_transient() {
                target.discard();
            }
            return Err(fault.into());
        };
        tracing::warn!(%fault, pause_seconds = pause.as_secs_f64(), "trying again");
        sleep(pause);
    }
}
