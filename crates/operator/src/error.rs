//! What can go wrong in a reconcile.

use std::time::Duration;

use kube::core::Status;
use springtide_plan::Invalid;

/// Why a reconcile did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the API server failed.
    #[error("{doing}: {}", brief(source))]
    Api {
        /// What the call was for.
        doing: String,
        /// What came back.
        source: kube::Error,
    },
    /// The ModelService can't be parsed: its definition is newer than this operator.
    #[error("the ModelService can't be read, its definition may be newer than the operator: {0}")]
    Unreadable(serde_json::Error),
    /// The spec is one that the API server should have refused.
    #[error("invalid spec: {0}")]
    Invalid(#[from] Invalid),
    /// The reconcile took too long and was given up.
    #[error("not done within {0:?}")]
    Timeout(Duration),
}

impl Error {
    /// Names what a failed call was for.
    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source }
    }

    /// A stable name for the condition, the event and the metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => api_reason(source),
            Self::Unreadable(_) => "UnreadableSpec",
            Self::Invalid(invalid) => invalid.reason(),
            Self::Timeout(_) => "Timeout",
        }
    }

    /// Whether another try can help although neither the spec nor the cluster has changed.
    #[must_use]
    pub const fn passes(&self) -> bool {
        !matches!(self, Self::Invalid(_) | Self::Unreadable(_))
    }
}

/// The stable name of a failed call.
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

/// What went wrong, as the API server said it; the same for the same fault.
#[must_use]
pub(crate) fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Whether the API server itself refused this one request, so that others may still succeed.
#[must_use]
pub(crate) fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 409 | 422))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("no", "No").with_code(code).boxed())
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
            assert!(error.passes());
        }
        assert_eq!(Error::Timeout(Duration::from_secs(1)).reason(), "Timeout");
        assert_eq!(
            Error::api("x")(kube::Error::TlsRequired).reason(),
            "Unreachable"
        );
    }

    #[test]
    fn an_overloaded_server_refuses_no_request_in_particular() {
        assert!(is_refusal(&answered(403)));
        assert!(is_refusal(&answered(422)));
        assert!(!is_refusal(&answered(429)));
        assert!(!is_refusal(&answered(503)));
        assert!(!is_refusal(&kube::Error::TlsRequired));
    }
}
