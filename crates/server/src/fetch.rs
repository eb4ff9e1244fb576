//! `springtide-server fetch`: brings a model file to its place, checked.
//!
//! The file is written beside its place under another name and moved there only when its sha256
//! holds, so whoever sees it sees all of it. Passing faults are tried again for a bounded time.

pub mod attempt;
pub mod location;

mod file;
mod target;
mod web;

use std::thread::sleep;
use std::time::{Duration, Instant};

use springtide_contract::termination::{ModelFailure, TerminationMessage};

use self::attempt::{Fault, Retries};
use self::location::{InvalidSha256, InvalidUri, Sha256, Source};
use self::target::Target;
use self::web::Web;
use crate::cli::FetchArgs;

/// The model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The model can't come from there.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// The model can't have this checksum.
    #[error(transparent)]
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
            Self::Uri(_) | Self::Sha256(_) | Self::Sha256Required => ModelFailure::ModelRefused,
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
    let source = args.uri.parse()?;
    let sha256: Option<Sha256> = args.sha256.as_deref().map(str::parse).transpose()?;
    if matches!(source, Source::Http(_)) && sha256.is_none() {
        return Err(FetchError::Sha256Required);
    }
    Ok((source, sha256))
}

/// Fetches a model.
///
/// # Errors
/// When its URI or sha256 can't be one, or it can't be had, isn't the right one or can't be written, and trying again didn't help.
pub fn run(args: &FetchArgs) -> Result<(), FetchError> {
    let (source, sha256) = wanted(args)?;
    let target = Target::new(&args.to, sha256, args.max_bytes);
    if target.is_there() {
        tracing::info!(path = %args.to.display(), "the model is already there");
        return Ok(());
    }
    let retries = Retries {
        began: Instant::now(),
        timeout: Duration::from_secs(args.timeout_seconds.into()),
        count: args.retries,
    };
    let connect_timeout = Duration::from_secs(args.connect_timeout_seconds.into());
    let mut failures = 0;
    loop {
        let fault = match &source {
            Source::File(path) => file::copy(path, &args.source_dir, &target),
            Source::Http(url) => Web {
                url,
                connect_timeout,
                time: retries.left(Instant::now()),
            }
            .download(&target),
        };
        let Err(fault) = fault else {
            tracing::info!(%source, path = %args.to.display(), "model fetched");
            return Ok(());
        };
        let Some(pause) = retries.after(failures, &fault, Instant::now()) else {
            return Err(fault.into());
        };
        tracing::warn!(%fault, pause_seconds = pause.as_secs_f64(), "trying again");
        sleep(pause);
        failures += 1;
    }
}
