//! What an attempt's fault means, and whether another attempt is worth it.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::StatusCode;
use springtide_contract::sha256::Sha256;
use springtide_contract::termination::ModelFailure;

use super::location::HttpUrl;

/// Pause before the first retry; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// Why an attempt failed, and what to do about it. The text is the same for the same fault: it
/// becomes the message of a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The volume has no such file.
    #[error(
        "there is no file {path} in the model's source, which {content}: create it, or correct \
         spec.model.uri"
    )]
    NoFile {
        /// The file, relative to the source.
        path: String,
        /// What is there instead.
        content: SourceContent,
    },
    /// The path leads out of the volume or to something else than a file.
    #[error("{path} in the model's source {problem}: correct spec.model.uri")]
    NotAModelFile {
        /// The file, relative to the source.
        path: String,
        /// What it is.
        problem: &'static str,
    },
    /// The volume can't be read.
    #[error("{path} in the model's source can't be read: {kind}")]
    Unreadable {
        /// The file, relative to the source.
        path: String,
        /// Why.
        kind: io::ErrorKind,
    },
    /// The web server answered with an error.
    #[error("{url} answered {status}: {advice}", advice = advice(*status))]
    Status {
        /// The model's URL.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The web server didn't answer, or broke off.
    #[error("{url} can't be read: {problem}")]
    Unreachable {
        /// The model's URL.
        url: String,
        /// What happened.
        problem: NetworkFault,
    },
    /// The content is another than expected.
    ///
    /// What it has isn't told: the URL may lead where only this pod gets, and whoever set it is not to
    /// learn what is there.
    #[error(
        "the model's sha256 isn't {expected}, which is expected: correct spec.model.sha256 if the \
         model was changed on purpose"
    )]
    Checksum {
        /// The sha256 that the file should have.
        expected: Sha256,
    },
    /// There is more than allowed.
    #[error("the model is larger than {max} bytes, the most that is accepted")]
    TooLarge {
        /// Most bytes.
        max: u64,
    },
    /// The place for the model can't be written.
    #[error("the model can't be written to {path}: {kind}")]
    Storage {
        /// The place.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
}

/// What a model's source has in place of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceContent {
    /// Nothing: the volume is empty, or the ConfigMap that it should show doesn't exist.
    Nothing,
    /// These names, the first ones of them.
    Names(Vec<String>),
}

impl std::fmt::Display for SourceContent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("is empty or missing"),
            Self::Names(names) => write!(formatter, "has {}", names.join(", ")),
        }
    }
}

/// What went wrong on the way to a web server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// The name service doesn't know the host.
    #[error("its host name is not known")]
    UnknownHost,
    /// Nothing listens there.
    #[error("the connection was refused")]
    Refused,
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// The connection ended before the content did.
    #[error("the connection broke off")]
    BrokeOff,
    /// What was there before and what came now are parts of two files.
    #[error("the model there changed in the middle of the download")]
    Changed,
    /// The certificate can't be trusted, or TLS failed in another way.
    #[error("its certificate can't be trusted, or TLS failed in another way")]
    Tls,
    /// One redirect after another.
    #[error("it redirects too often")]
    Redirects,
    /// A redirect to the cluster's network, this pod or a metadata service.
    #[error(
        "it redirects to an address in a network that redirects may not lead to: name where the model \
         is, or allow it with --allow-private-redirects"
    )]
    RedirectAddress,
    /// From https to http.
    #[error("it redirects from https to http")]
    RedirectUnencrypted,
    /// Not HTTP.
    #[error("it doesn't speak HTTP as it should")]
    Protocol,
    /// The proxy of the environment can't be used.
    #[error("the proxy in HTTP_PROXY or HTTPS_PROXY can't be used")]
    Proxy,
    /// Something else.
    #[error("the connection failed")]
    Other,
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            "put the model there, or correct spec.model.uri"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "the model must be readable without credentials"
        }
        status if is_transient_status(status) => "this may pass; it is tried again",
        _ => "correct spec.model.uri",
    }
}

fn is_transient_status(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

impl Fault {
    /// A web server's answer other than 200.
    #[must_use]
    pub fn status(url: &HttpUrl, status: StatusCode) -> Self {
        Self::Status {
            url: url.to_string(),
            status,
        }
    }

    /// The stable name of the fault.
    #[must_use]
    pub fn reason(&self) -> ModelFailure {
        match self {
            Self::NoFile { .. } => ModelFailure::ModelNotFound,
            Self::NotAModelFile { .. } => ModelFailure::ModelRefused,
            Self::Status { status, .. } => match *status {
                StatusCode::NOT_FOUND | StatusCode::GONE => ModelFailure::ModelNotFound,
                status if is_transient_status(status) => ModelFailure::ModelUnreachable,
                _ => ModelFailure::ModelRefused,
            },
            Self::Unreadable { .. } | Self::Unreachable { .. } => ModelFailure::ModelUnreachable,
            Self::Checksum { .. } => ModelFailure::ChecksumMismatch,
            Self::TooLarge { .. } => ModelFailure::ModelTooLarge,
            Self::Storage { .. } => ModelFailure::StorageFailed,
        }
    }

    /// Whether the same attempt may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => is_transient_status(*status),
            Self::Unreachable { problem, .. } => match problem {
                NetworkFault::UnknownHost
                | NetworkFault::Refused
                | NetworkFault::TimedOut
                | NetworkFault::BrokeOff
                | NetworkFault::Changed
                | NetworkFault::Other => true,
                NetworkFault::Tls
                | NetworkFault::Redirects
                | NetworkFault::RedirectAddress
                | NetworkFault::RedirectUnencrypted
                | NetworkFault::Protocol
                | NetworkFault::Proxy => false,
            },
            Self::NoFile { .. }
            | Self::NotAModelFile { .. }
            | Self::Unreadable { .. }
            | Self::Checksum { .. }
            | Self::TooLarge { .. }
            | Self::Storage { .. } => false,
        }
    }
}

/// How long and how often to try again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Longest time without a byte, over all attempts and the pauses between them.
    pub stall: Duration,
    /// When everything must be over, if ever.
    pub deadline: Option<Instant>,
    /// Most attempts in a row that bring nothing new and are followed by another one.
    pub count: u32,
}

impl RetryPolicy {
    /// Time without a byte that is left for an attempt at `now`, when the last byte came at `heard`.
    #[must_use]
    pub fn left(&self, heard: Instant, now: Instant) -> Duration {
        let left = self
            .stall
            .saturating_sub(now.saturating_duration_since(heard));
        self.left_in_all(now).map_or(left, |all| left.min(all))
    }

    /// Time that is left for everything, where that is bounded.
    #[must_use]
    pub fn left_in_all(&self, now: Instant) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// How long to wait before the next attempt; None to give up. `failures` is how many attempts in a row brought
    /// nothing new, the one that ended with `fault` included.
    #[must_use]
    pub fn after(
        &self,
        failures: u32,
        fault: &Fault,
        heard: Instant,
        now: Instant,
    ) -> Option<Duration> {
        if !fault.is_transient() || failures > self.count {
            return None;
        }
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
            .min(LONGEST_PAUSE);
        (pause < self.left(heard, now)).then_some(pause)
    }
}

/// Time between two log lines about a download that goes on.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// How far a fetch has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    heard: Instant,
    told: Instant,
}

impl Progress {
    /// It begins.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            told: now,
        }
    }

    /// When the last byte came, or it began.
    #[must_use]
    pub const fn heard(&self) -> Instant {
        self.heard
    }

    /// Bytes have come, so that there are `bytes` now, of `total` where that is known. Logged now and then.
    pub fn hear(&mut self, bytes: u64, total: Option<u64>, now: Instant) {
        if self.is_to_be_told(now) {
            tracing::info!(bytes, total, "fetching");
        }
    }

    /// Notes that bytes have come, and whether the log is to say so.
    fn is_to_be_told(&mut self, now: Instant) -> bool {
        self.heard = now;
        let is_due = now.saturating_duration_since(self.told) >= TELL_EVERY;
        if is_due {
            self.told = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Fault {
        Fault::Status {
            url: "http://models/m".to_owned(),
            status: StatusCode::from_u16(code).unwrap(),
        }
    }

    fn unreachable(problem: NetworkFault) -> Fault {
        Fault::Unreachable {
            url: "http://models/m".to_owned(),
            problem,
        }
    }

    #[test]
    fn what_an_answer_means() {
        use ModelFailure::{ModelNotFound, ModelRefused, ModelUnreachable};
        for (code, reason, is_transient) in [
            (404, ModelNotFound, false),
            (410, ModelNotFound, false),
            (401, ModelRefused, false),
            (403, ModelRefused, false),
            (400, ModelRefused, false),
            (204, ModelRefused, false),
            (304, ModelRefused, false),
            (408, ModelUnreachable, true),
            (425, ModelUnreachable, true),
            (429, ModelUnreachable, true),
            (500, ModelUnreachable, true),
            (503, ModelUnreachable, true),
        ] {
            assert_eq!(
                (status(code).reason(), status(code).is_transient()),
                (reason, is_transient),
                "{code}"
            );
        }
    }

    #[test]
    fn what_a_broken_connection_means() {
        for (problem, is_transient) in [
            (NetworkFault::UnknownHost, true),
            (NetworkFault::Refused, true),
            (NetworkFault::TimedOut, true),
            (NetworkFault::BrokeOff, true),
            (NetworkFault::Changed, true),
            (NetworkFault::Tls, false),
            (NetworkFault::Redirects, false),
            (NetworkFault::RedirectAddress, false),
            (NetworkFault::RedirectUnencrypted, false),
            (NetworkFault::Protocol, false),
            (NetworkFault::Proxy, false),
        ] {
            let fault = unreachable(problem);
            assert_eq!(fault.reason(), ModelFailure::ModelUnreachable, "{problem}");
            assert_eq!(fault.is_transient(), is_transient, "{problem}");
        }
    }

    #[test]
    fn messages_say_what_to_do() {
        assert_eq!(
            status(404).to_string(),
            "http://models/m answered 404 Not Found: put the model there, or correct spec.model.uri"
        );
        assert_eq!(
            unreachable(NetworkFault::Refused).to_string(),
            "http://models/m can't be read: the connection was refused"
        );
        let missing = Fault::NoFile {
            path: "model.onnx".to_owned(),
            content: SourceContent::Names(vec!["iris.onnx".to_owned()]),
        };
        assert_eq!(
            missing.to_string(),
            "there is no file model.onnx in the model's source, which has iris.onnx: create it, or \
             correct spec.model.uri"
        );
    }

    fn retries(count: u32) -> RetryPolicy {
        RetryPolicy {
            stall: Duration::from_secs(60),
            deadline: None,
            count,
        }
    }

    #[test]
    fn pauses_double_until_the_retries_or_the_time_are_used_up() {
        let began = Instant::now();
        let retries = retries(7);
        let pauses: Vec<_> = (1..=8)
            .map(|failures| retries.after(failures, &status(503), began, began))
            .map(|pause| pause.map(|pause| pause.as_millis()))
            .collect();
        let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000].map(Some);
        assert_eq!(pauses[..7], expected);
        assert_eq!(pauses[7], None);
        // One that brought something isn't counted.
        assert_eq!(
            retries.after(0, &status(503), began, began),
            Some(FIRST_PAUSE)
        );
        let late = began + Duration::from_millis(59_600);
        assert_eq!(retries.after(0, &status(503), began, late), None);
        assert_eq!(retries.left(began, late), Duration::from_millis(400));
        // Time since the last byte counts, and however long it took is no matter.
        let day = began + Duration::from_secs(86_400);
        assert_eq!(retries.left(day, day), retries.stall);
        assert_eq!(retries.after(0, &status(503), day, day), Some(FIRST_PAUSE));
    }

    #[test]
    fn a_time_for_everything_is_kept_where_there_is_one() {
        let began = Instant::now();
        let bounded = RetryPolicy {
            deadline: Some(began + Duration::from_secs(10)),
            ..retries(4)
        };
        let late = began + Duration::from_secs(9);
        assert_eq!(bounded.left(late, late), Duration::from_secs(1));
        assert_eq!(bounded.left_in_all(late), Some(Duration::from_secs(1)));
        assert_eq!(
            bounded.after(1, &status(503), late, late),
            Some(FIRST_PAUSE)
        );
        assert_eq!(bounded.after(2, &status(503), late, late), None);
        assert_eq!(retries(4).left_in_all(late), None);
    }

    #[test]
    fn progress_is_told_now_and_then() {
        let began = Instant::now();
        let mut progress = Progress::new(began);
        let told: Vec<_> = (1..=100)
            .map(|seconds| began + Duration::from_secs(seconds))
            .map(|now| progress.is_to_be_told(now))
            .collect();
        let at: Vec<_> = (1..=100).filter(|second| told[second - 1]).collect();
        assert_eq!(at, [30, 60, 90]);
        assert_eq!(progress.heard(), began + Duration::from_secs(100));
    }

    #[test]
    fn faults_that_stay_are_not_tried_again() {
        let began = Instant::now();
        for fault in [
            status(404),
            Fault::TooLarge { max: 1 },
            unreachable(NetworkFault::Tls),
        ] {
            assert_eq!(retries(4).after(0, &fault, began, began), None, "{fault}");
        }
    }
}
