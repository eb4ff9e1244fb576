//! The faults of attempts to fetch a model.

use std::io;
use std::path::PathBuf;

use http::StatusCode;
use springtide_contract::sha256::Sha256;
use springtide_contract::termination::ModelFailure;

use super::location::HttpUrl;

/// The fault of an attempt, with advice. The text of a fault is stable, because it becomes the message of a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The volume doesn't have the file.
    #[error(
        "there is no file {path} in the model's source, which {content}: create it, or correct \
         spec.model.uri"
    )]
    NoFile {
        /// The file, relative to the source.
        path: String,
        /// The content of the source.
        content: SourceContent,
    },
    /// The path leads out of the volume, or it isn't a regular file.
    #[error("{path} in the model's source {problem}: correct spec.model.uri")]
    NotAModelFile {
        /// The file, relative to the source.
        path: String,
        /// The problem.
        problem: &'static str,
    },
    /// The volume can't be read.
    #[error("{path} in the model's source can't be read: {kind}")]
    Unreadable {
        /// The file, relative to the source.
        path: String,
        /// The kind of the error.
        kind: io::ErrorKind,
    },
    /// The web server answered with an error.
    #[error("{url} answered {status}: {advice}", advice = advice(*status))]
    Status {
        /// The model's URL.
        url: String,
        /// The status of the response.
        status: StatusCode,
    },
    /// The web server didn't respond, or the response is incomplete.
    #[error("{url} can't be read: {problem}")]
    Unreachable {
        /// The model's URL.
        url: String,
        /// The problem.
        problem: NetworkFault,
    },
    /// The content differs from the expected content.
    ///
    /// Its own checksum isn't reported: the URL may be reachable for this pod only, and its author must not learn about
    /// the content.
    #[error(
        "the model's SHA-256 is not {expected}: correct spec.model.sha256 if the model was changed \
         on purpose"
    )]
    Checksum {
        /// The expected checksum.
        expected: Sha256,
    },
    /// The model is too large.
    #[error("the model is larger than {max} bytes, the maximum")]
    TooLarge {
        /// Maximum bytes.
        max: u64,
    },
    /// The destination can't be written.
    #[error("the model can't be written to {path}: {kind}")]
    Storage {
        /// The destination.
        path: PathBuf,
        /// The kind of the error.
        kind: io::ErrorKind,
    },
}

/// The content of a source without the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceContent {
    /// The volume is empty, or its ConfigMap doesn't exist.
    Nothing,
    /// Names of files, at most a few.
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

/// The fault of a connection to a web server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// DNS doesn't have the host.
    #[error("its host name is unknown")]
    UnknownHost,
    /// The host refused the connection.
    #[error("the connection was refused")]
    Refused,
    /// A timeout passed.
    #[error("the timeout passed")]
    TimedOut,
    /// The connection ended before the content.
    #[error("the connection was interrupted")]
    Interrupted,
    /// The earlier part and the present one belong to different files.
    #[error("the model changed during the download")]
    Changed,
    /// The certificate isn't trusted, or TLS failed in another way.
    #[error("its certificate is not trusted, or TLS failed in another way")]
    Tls,
    /// There are too many redirects.
    #[error("it has too many redirects")]
    Redirects,
    /// A redirect leads to the network of the cluster, this pod or a metadata service.
    #[error(
        "it redirects to an address that is not public: use the final URI, or allow it with \
         --allow-private-redirects"
    )]
    RedirectAddress,
    /// A redirect leads from https to http.
    #[error("it redirects from https to http")]
    RedirectUnencrypted,
    /// The response isn't valid HTTP.
    #[error("its response is not valid HTTP")]
    Protocol,
    /// The proxy in the environment can't be used.
    #[error("the proxy in HTTP_PROXY or HTTPS_PROXY can't be used")]
    Proxy,
    /// Another fault.
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
        status if is_transient_status(status) => "this may be transient; it is retried",
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
    /// The fault of a response other than 200.
    #[must_use]
    pub fn status(url: &HttpUrl, status: StatusCode) -> Self {
        Self::Status {
            url: url.to_string(),
            status,
        }
    }

    /// The stable reason of the fault.
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

    /// Whether a retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => is_transient_status(*status),
            Self::Unreachable { problem, .. } => match problem {
                NetworkFault::UnknownHost
                | NetworkFault::Refused
                | NetworkFault::TimedOut
                | NetworkFault::Interrupted
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
    fn responses_have_a_reason_and_may_be_transient() {
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
    fn faults_of_connections_may_be_transient() {
        for (problem, is_transient) in [
            (NetworkFault::UnknownHost, true),
            (NetworkFault::Refused, true),
            (NetworkFault::TimedOut, true),
            (NetworkFault::Interrupted, true),
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
    fn messages_have_advice() {
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
}
