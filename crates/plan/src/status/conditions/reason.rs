//! The operator's own reasons. Reasons of other controllers are passed on unchanged.
//!
//! `docs/reference/conditions.md` lists all reasons.

macro_rules! reasons {
    ($($reason:ident),* $(,)?) => {
        /// The reason of a condition, a stable name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($reason,)*
        }

        impl Reason {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$reason),*];

            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason),)*
                }
            }
        }
    };
}

reasons! {
    AnotherAutoscaler,
    AnotherOperator,
    Available,
    Complete,
    ContainerCrashing,
    ContainerNotStarted,
    FailedGetExternalMetric,
    FailedGetPodsMetric,
    FailedGetResourceMetric,
    FallbackActive,
    FixedReplicas,
    HeldByFinalizer,
    ImagePullFailed,
    KedaMissing,
    KedaNotRunning,
    Loaded,
    Loading,
    MemoryNotFollowed,
    MetricsUnavailable,
    ModelsDiffer,
    NameTaken,
    NoReplicas,
    NodeLost,
    NotNeeded,
    NotReported,
    OnePodAtATime,
    OutOfMemory,
    PartlyAvailable,
    Paused,
    PodsEvicted,
    PodsPreempted,
    PodsRefused,
    ProgressDeadlineExceeded,
    PrometheusAddressRefused,
    Readings,
    Ready,
    RollingOut,
    ScaledObjectNotReady,
    Scaling,
    SignalsUnavailable,
    Starting,
    SwitchingAutoscaler,
    TriggerError,
    UnableToScale,
    Unschedulable,
    UpgradeWaiting,
    VolumeNotMounted,
    WritesUndone,
}

/// Maximum bytes of a reason, which is the limit for events
/// (<https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>).
const MAX_BYTES: usize = 128;

/// Another controller's reason if it is valid for a condition, else `instead`. With an invalid reason the API server
/// would reject the whole status.
pub(crate) fn foreign_reason(reason: Option<&str>, instead: Reason) -> &str {
    reason
        .filter(|reason| reason.len() <= MAX_BYTES && is_reason(reason))
        .unwrap_or(instead.as_str())
}

/// The pattern of `metav1.Condition`.
fn is_reason(reason: &str) -> bool {
    let bytes = reason.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(is_word)
        && bytes
            .iter()
            .all(|byte| is_word(byte) || b",:".contains(byte))
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use springtide_contract::{batching::BatchingReason, termination::ModelFailure};

    use super::*;
    use crate::spec::invalid::{INVALID_SPEC, UNREADABLE_SPEC};

    const DOCUMENTED: &str = include_str!("../../../../../docs/reference/conditions.md");

    /// The reasons that the table lists by name, without its examples of other controllers' reasons.
    fn documented() -> BTreeSet<&'static str> {
        DOCUMENTED
            .lines()
            .filter(|line| line.starts_with('|'))
            .filter_map(|line| line.split('|').nth(3))
            .map(str::trim)
            .filter(|reasons| reasons.starts_with('`'))
            .flat_map(|reasons| reasons.split('`').skip(1).step_by(2))
            .collect()
    }

    #[test]
    fn invalid_reasons_of_others_are_replaced() {
        for reason in [
            "FailedGetScale",
            "a",
            "A1",
            "x_y,z:0",
            &"R".repeat(MAX_BYTES),
        ] {
            assert_eq!(foreign_reason(Some(reason), Reason::Starting), reason);
        }
        for reason in [
            "",
            "1st",
            "_x",
            "Reason:",
            "Re ason",
            "Reason\n",
            "\u{1b}[2J",
            "Größe",
            &"R".repeat(MAX_BYTES + 1),
        ] {
            assert_eq!(
                foreign_reason(Some(reason), Reason::Starting),
                "Starting",
                "{reason:?}"
            );
        }
        assert_eq!(foreign_reason(None, Reason::Starting), "Starting");
        for reason in Reason::ALL {
            assert!(is_reason(reason.as_str()), "{reason:?}");
        }
    }

    #[test]
    fn each_reason_is_documented_and_each_documented_one_exists() {
        let of_hpas = crate::observed::foreign_status::HPA_DISABLED_REASONS;
        let ours = Reason::ALL.iter().map(|reason| reason.as_str());
        let of_models = ModelFailure::ALL.iter().map(|failure| failure.reason());
        let exist = ours
            .chain(of_models)
            .chain(of_hpas)
            .chain(BatchingReason::ALL.iter().map(|reason| reason.name()))
            .chain([INVALID_SPEC, UNREADABLE_SPEC])
            .collect::<BTreeSet<_>>();
        assert_eq!(documented(), exist);
    }
}
