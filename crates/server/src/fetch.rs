//! `springtide-server fetch`: downloads a model file, verifies it and moves it to its destination.
//!
//! The file is written beside its destination under another name and moved only when its SHA-256 matches, so readers
//! see a complete file. Transient faults are retried while attempts make progress, and for a limited time and number
//! otherwise. The received part is kept for the next attempt and the next run.

pub mod fault;
pub mod location;
pub mod retry;

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
use springtide_tasks::folder::read_small;

use self::address_scope::RedirectPolicy;
use self::destination::Destination;
use self::fault::Fault;
use self::location::{InvalidUri, Source};
use self::retry::{Progress, RetryPolicy};
use self::web::Download;
use crate::cli::FetchArgs;

/// Maximum bytes of a file with a URI. Presigned URLs have up to two thousand.
const MAX_URI_BYTES: u64 = 8192;

/// The error of a fetch.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URI is given never or twice.
    #[error("the model's URI must be given once: by --uri, {MODEL_URI} or --uri-file")]
    NotOneUri,
    /// The file that holds the URI can't be read.
    #[error("the file with the model's URI can't be read: {0}")]
    UriFile(io::ErrorKind),
    /// The URI is invalid.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// The checksum is invalid.
    #[error("--sha256 must be 64 hexadecimal digits")]
    Sha256(#[from] InvalidSha256),
    /// Without a checksum, the network path to a web server could replace the model.
    #[error("--sha256 is required for https and http: without it the model can't be verified")]
    Sha256Required,
    /// The last attempt failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl FetchError {
    /// The message for the operator.
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

/// The source and the checksum of the model.
fn source_of(args: &FetchArgs) -> Result<(Source, Option<Sha256>), FetchError> {
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

/// The URI in a file.
fn uri_in(file: &Path) -> Result<String, FetchError> {
    let bytes = read_small(file, MAX_URI_BYTES);
    let text = bytes.and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_not_text| io::ErrorKind::InvalidData.into())
    });
    text.map_err(|error| FetchError::UriFile(error.kind()))
}

/// Fetches a model.
///
/// # Errors
/// [`FetchError`], after the retries of transient faults.
pub fn run(args: &FetchArgs) -> Result<(), FetchError> {
    let (source, sha256) = source_of(args)?;
    let destination = Destination::new(&args.to, sha256, args.max_bytes);
    if destination.is_present() {
        tracing::info!(path = %args.to.display(), "the model is already present");
        return Ok(());
    }
    let began = Instant::now();
    let timeout = args.timeout_seconds.map(u64::from).map(Duration::from_secs);
    let retries = RetryPolicy {
        stall_timeout: Duration::from_secs(args.stall_timeout_seconds.into()),
        deadline: timeout.map(|timeout| began + timeout),
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
    let mut max_bytes = destination.partial_bytes();
    loop {
        let now = Instant::now();
        let fault = match &source {
            Source::File(path) => volume::copy(path, &args.source_dir, &destination, &mut progress),
            Source::Http(url) => Download {
                url,
                connect_timeout,
                stall_timeout: retries.left(progress.last_received(), now),
                timeout: retries.left_in_total(now),
                redirects,
            }
            .download(&destination, &mut progress),
        };
        let Err(fault) = fault else {
            tracing::info!(%source, path = %args.to.display(), "model fetched");
            return Ok(());
        };
        let bytes = destination.partial_bytes();
        (max_bytes, failures) = if bytes > max_bytes {
            (bytes, 0)
        } else {
            (max_bytes, failures + 1)
        };
        let now = Instant::now();
        let Some(pause) = retries.pause(failures, &fault, progress.last_received(), now) else {
            if !fault.is_transient() {
                destination.discard();
            }
            return Err(fault.into());
        };
        tracing::warn!(%fault, pause_seconds = pause.as_secs_f64(), "retrying");
        sleep(pause);
    }
}
