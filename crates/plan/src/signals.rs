//! What can be followed, and up to what.

use springtide_api::targets::{Signal, Targets};
use springtide_contract::metrics::pods;

/// A signal that serving itself reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServingSignal {
    /// Requests that arrive, per second and pod.
    RequestsPerSecond,
    /// Rows that wait, per pod.
    QueueSize,
    /// 95th percentile of the latency of all pods together.
    P95LatencyMilliseconds,
    /// Requests that were accepted and not yet answered, per pod.
    Concurrency,
    /// Work that arrives, in percent of what the pods can do.
    LoadPercent,
}

impl ServingSignal {
    /// All of them, in the order of the API's fields.
    pub const ALL: [Self; 5] = [
        Self::RequestsPerSecond,
        Self::QueueSize,
        Self::P95LatencyMilliseconds,
        Self::Concurrency,
        Self::LoadPercent,
    ];

    /// Its name in the API.
    #[must_use]
    pub const fn signal(self) -> Signal {
        match self {
            Self::RequestsPerSecond => Signal::RequestsPerSecond,
            Self::QueueSize => Signal::QueueSize,
            Self::P95LatencyMilliseconds => Signal::P95LatencyMilliseconds,
            Self::Concurrency => Signal::Concurrency,
            Self::LoadPercent => Signal::LoadPercent,
        }
    }

    /// The name under which a custom metrics API has it, for each pod.
    #[must_use]
    pub const fn pods_metric(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => pods::REQUESTS_PER_SECOND,
            Self::QueueSize => pods::QUEUE_SIZE,
            Self::P95LatencyMilliseconds => pods::P95_LATENCY_MILLISECONDS,
            Self::Concurrency => pods::CONCURRENCY,
            Self::LoadPercent => pods::LOAD_PERCENT,
        }
    }
}

/// The serving signals among `targets`, each with its target, in the order of the API's fields.
pub(crate) fn serving(targets: &Targets) -> impl Iterator<Item = (ServingSignal, i32)> {
    ServingSignal::ALL
        .into_iter()
        .filter_map(|signal| Some((signal, targets.of(signal.signal())?)))
}
