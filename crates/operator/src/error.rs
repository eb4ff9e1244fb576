//! Errors of a reconcile.

use std::{borrow::Cow, time::Duration};

use kube::core::Status;
use springtide_contract::text::plain;
use springtide_plan::Invalid;

/// Maximum bytes of an error message of the API server.
const MAX_BRIEF_BYTES: usize = 4096;

/// Why a reconcile did not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the API server failed.
    #[error("{doing}: {}", brief(source))]
    Api {
        /// Purpose of the call.
        doing: String,
        /// Error of the call.
        source: kube::Error,
    },
    /// The spec is invalid, although the API server accepted it.
    #[error("invalid spec: {0}")]
    Invalid(#[from] Invalid),
    /// The reconcile exceeded its timeout.
    #[error("not done within {0:?}")]
    Timeout(Duration),
}

impl Error {
    /// Adds the purpose of a failed call.
    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source }
    }

    /// A stable name, for conditions, events and metric labels.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => api_reason(source),
            Self::Invalid(invalid) => invalid.reason(),
            Self::Timeout(_) => "Timeout",
        }
    }

    /// Whether only this call failed, so that others may still succeed.
    pub(crate) fn fails_alone(&self) -> bool {
        matches!(self, Self::Api { source, .. } if fails_alone(source))
    }

    /// Whether the namespace is being deleted, so that nothing can be created in it.
    pub(crate) fn is_terminating(&self) -> bool {
        matches!(self, Self::Api { source, .. } if is_terminating(source))
    }

    /// Whether a retry may succeed although neither the spec nor the cluster has changed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        !matches!(self, Self::Invalid(_))
    }
}

/// The stable reason of a failed call.
#[must_use]
pub(crate) fn api_reason(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) => status_reason(status),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => "UnreadableAnswer",
        kube::Error::Auth(_) => "Unauthorized",
        _ => "Unreachable",
    }
}

fn status_reason(status: &Status) -> &'static str {
    match status.code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        400 | 422 => "Refused",
        429 => "TooManyRequests",
        500..=599 => "ServerError",
        _ => "UnexpectedAnswer",
    }
}

/// The error message of a failed call, on one line. It is the same for the same fault, but may repeat text of other
/// clients.
#[must_use]
pub(crate) fn brief(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => Cow::Borrowed(&*status.message),
        other => Cow::Owned(other.to_string()),
    };
    plain(&text, MAX_BRIEF_BYTES).into_owned()
}

/// Whether only this call failed, so that others may still succeed. False if the API server is unreachable or asks for
/// fewer calls.
#[must_use]
pub(crate) fn fails_alone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code != 429)
}

/// Whether the namespace is being deleted, so that nothing can be created in it (`NamespaceTerminatingCause` of
/// <https://pkg.go.dev/k8s.io/api/core/v1#pkg-constants>).
#[must_use]
pub(crate) fn is_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("no", "No").with_code(code).boxed())
    }

    #[test]
    fn messages_of_the_api_server_are_shown_on_one_bounded_line() {
        let message = format!("no\n\u{1b}]0;title\u{7}{}", "x".repeat(10_000));
        let error = kube::Error::Api(Status::failure(&message, "No").boxed());
        let brief = brief(&error);
        assert!(
            brief.starts_with("no \u{fffd}]0;title\u{fffd}xx"),
            "{brief}"
        );
        assert_eq!(brief.len(), MAX_BRIEF_BYTES);
    }

    #[test]
    fn reasons_are_names_and_never_messages() {
        for code in [400, 401, 403, 404, 409, 418, 422, 429, 500, 503] {
            let error = Error::api("applying the Service")(answered(code));
            assert!(
                error.reason().chars().all(char::is_alphabetic),
                "{code}: {}",
                error.reason()
            );
            assert!(error.is_transient());
        }
        assert_eq!(Error::Timeout(Duration::from_secs(1)).reason(), "Timeout");
        assert_eq!(
            Error::api("x")(kube::Error::TlsRequired).reason(),
            "Unreachable"
        );
    }

    #[test]
    fn a_call_fails_alone_unless_the_server_is_overloaded_or_unreachable() {
        for code in [400, 401, 403, 404, 409, 422, 500, 503] {
            assert!(fails_alone(&answered(code)), "{code}");
        }
        assert!(!fails_alone(&answered(429)));
        assert!(!fails_alone(&kube::Error::TlsRequired));
    }
}
