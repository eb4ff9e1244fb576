//! Which autoscaler a cluster has for a ModelService, and which targets it follows there.
//!
//! See `docs/adr/0013-signals-and-engines.md`.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use springtide_api::{
    autoscaling::ActiveEngine,
    targets::{Signal, Targets},
};

use crate::{
    autoscaling::memory::{self, MemoryTarget},
    observed::{ExternalMetrics, Observed, PodsMetrics, foreign_status::spec_replicas},
    spec::{
        Scaling,
        behavior::CompleteBehavior,
        scaling::{AutoscalerEngine, PodAutoscaling},
    },
};

/// Sync period of an HPA: the default of kube-controller-manager's `--horizontal-pod-autoscaler-sync-period`.
const SYNC_PERIOD: SignedDuration = SignedDuration::from_secs(15);

/// What sets the replicas in a cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum ActiveAutoscaler<'a> {
    /// No autoscaler: the replicas are fixed.
    Fixed {
        /// Number of replicas.
        replicas: i32,
    },
    /// A HorizontalPodAutoscaler.
    Hpa(EffectiveTargets<'a>),
    /// A KEDA ScaledObject, whether or not KEDA is installed.
    Keda(EffectiveTargets<'a>),
}

/// An autoscaler and the targets that it follows in a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveTargets<'a> {
    /// The autoscaling part of the spec.
    pub pods: &'a PodAutoscaling,
    /// The targets that it follows: at least one is set.
    pub targets: Targets,
    /// Signals with a target that it can't follow, because the cluster lacks their source.
    pub unavailable: Vec<Signal>,
    /// Whether it follows the memory target, if there is one.
    pub(crate) memory: MemoryTarget,
    /// Whether it follows CPU because it can't follow any target of the spec.
    pub is_cpu_fallback: bool,
}

impl ActiveAutoscaler<'_> {
    /// The engine, as in the status.
    #[must_use]
    pub const fn engine(&self) -> ActiveEngine {
        match self {
            Self::Fixed { .. } => ActiveEngine::None,
            Self::Hpa(_) => ActiveEngine::Hpa,
            Self::Keda(_) => ActiveEngine::Keda,
        }
    }

    /// Maximum replicas.
    #[must_use]
    pub fn max_replicas(&self, observed: &Observed) -> i32 {
        let (EffectiveTargets { pods, .. }, current_max) = match self {
            Self::Fixed { replicas } => return *replicas,
            Self::Hpa(effective) => {
                let hpa = observed.horizontal_pod_autoscaler.as_ref();
                let spec = hpa.and_then(|hpa| hpa.spec.as_ref());
                (effective, spec.map(|spec| spec.max_replicas))
            }
            Self::Keda(effective) => {
                let scaled_object = observed.scaled_object.as_ref();
                let current = scaled_object.and_then(|object| object.spec.max_replica_count);
                (effective, current)
            }
        };
        let replicas = observed.deployment.as_ref().and_then(spec_replicas);
        pods.max_replicas.effective(replicas, current_max)
    }

    /// Current minimum replicas. With an autoscaler, active schedules count.
    #[must_use]
    pub fn min_replicas(&self, now: Timestamp) -> i32 {
        match self {
            Self::Fixed { replicas } => *replicas,
            Self::Hpa(EffectiveTargets { pods, .. })
            | Self::Keda(EffectiveTargets { pods, .. }) => {
                let scheduled = pods.schedules.min_replicas(self.lead_time(), now);
                scheduled.unwrap_or_default().max(pods.min_replicas)
            }
        }
    }

    /// The next time at which the plan may change because of the time alone.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Fixed { .. } => None,
            Self::Hpa(EffectiveTargets { pods, .. })
            | Self::Keda(EffectiveTargets { pods, .. }) => {
                pods.schedules.next_change(self.lead_time(), now)
            }
        }
    }

    /// How long before its start a schedule's minimum is applied. KEDA's cron triggers need no lead time: they are
    /// metrics beside the others and delay none.
    fn lead_time(&self) -> SignedDuration {
        match self {
            Self::Fixed { .. } | Self::Keda(_) => SignedDuration::ZERO,
            Self::Hpa(effective) => hpa_lead_time(&effective.pods.behavior),
        }
    }
}

/// How long before its start a schedule's minimum is written to an HPA's `minReplicas`.
///
/// If there are fewer pods than the minimum, an HPA raises them to it, reads no metrics in that sync, and counts the
/// new pods towards its policies. After one more sync it follows the metrics again. After the longest period of the
/// policies, the new pods no longer count. So both effects are over when the schedule starts.
fn hpa_lead_time(behavior: &CompleteBehavior) -> SignedDuration {
    let periods = behavior.scale_up.policies.iter();
    let longest = periods.map(|policy| policy.period_seconds).max();
    let longest = SignedDuration::from_secs(longest.unwrap_or_default().into());
    SYNC_PERIOD + longest.max(SYNC_PERIOD)
}

impl Scaling {
    /// Resolves what sets the replicas for this observed state.
    ///
    /// `Auto` depends on whether KEDA runs, and not on the metrics of the custom metrics API. That API comes and goes
    /// with its adapter, and the engine must not change with it.
    #[must_use]
    pub fn resolve(&self, observed: &Observed) -> ActiveAutoscaler<'_> {
        let pods = match self {
            Self::Fixed { replicas } => {
                return ActiveAutoscaler::Fixed {
                    replicas: *replicas,
                };
            }
            Self::Autoscaled(pods) => pods,
        };
        let needs_keda = || serving(&pods.targets).next().is_some();
        match pods.engine {
            AutoscalerEngine::Keda => ActiveAutoscaler::Keda(effective(pods, observed, Vec::new())),
            AutoscalerEngine::Auto if needs_keda() && is_keda_running(observed) => {
                ActiveAutoscaler::Keda(effective(pods, observed, Vec::new()))
            }
            AutoscalerEngine::Auto | AutoscalerEngine::Hpa => {
                ActiveAutoscaler::Hpa(effective_for_hpa(pods, observed))
            }
        }
    }
}

/// Whether KEDA runs, and not only its CRDs are installed. A ScaledObject that KEDA has processed stays with KEDA.
/// Without KEDA an HPA lacks readings and removes no pods, and a single failed discovery may be too early to tell.
fn is_keda_running(observed: &Observed) -> bool {
    observed.capabilities.keda
        && match observed.capabilities.external_metrics {
            ExternalMetrics::Registered => true,
            ExternalMetrics::Unknown => observed.horizontal_pod_autoscaler.is_none(),
            ExternalMetrics::Absent => observed.keda_horizontal_pod_autoscaler.is_some(),
        }
}

/// The serving signals with a target: those from the server's own metrics.
fn serving(targets: &Targets) -> impl Iterator<Item = Signal> {
    let signals = targets.iter().map(|(signal, _)| signal);
    signals.filter(|signal| signal.server_metric().is_some())
}

fn effective_for_hpa<'a>(pods: &'a PodAutoscaling, observed: &Observed) -> EffectiveTargets<'a> {
    let unavailable = serving(&pods.targets)
        .filter(|signal| !is_available(*signal, observed))
        .collect();
    effective(pods, observed, unavailable)
}

/// The targets of the spec without unavailable signals, and without memory if it can't be followed.
fn effective<'a>(
    pods: &'a PodAutoscaling,
    observed: &Observed,
    unavailable: Vec<Signal>,
) -> EffectiveTargets<'a> {
    let percent = pods.targets.of(Signal::MemoryUtilizationPercent);
    let memory = memory::target(&pods.memory, percent, observed);
    let left_out = unavailable.iter().copied();
    let is_out = memory != MemoryTarget::Followed;
    let mut targets = left_out
        .chain(is_out.then_some(Signal::MemoryUtilizationPercent))
        .fold(pods.targets, Targets::without);
    let is_cpu_fallback = targets == Targets::default();
    if is_cpu_fallback {
        targets = Targets::defaults(false).without(Signal::MemoryUtilizationPercent);
    }
    EffectiveTargets {
        pods,
        targets,
        unavailable,
        memory,
        is_cpu_fallback,
    }
}

/// Whether an HPA can follow a signal. It continues to follow a signal whose source is temporarily unavailable: an HPA
/// that lacks a reading removes no pods, and an HPA without the metric would.
fn is_available(signal: Signal, observed: &Observed) -> bool {
    match &observed.capabilities.pods_metrics {
        PodsMetrics::Absent => false,
        PodsMetrics::Listed(listed) if listed.contains(&signal) => true,
        PodsMetrics::Unknown | PodsMetrics::Listed(_) => is_followed(signal, observed),
    }
}

/// Whether the present HPA follows a signal.
fn is_followed(signal: Signal, observed: &Observed) -> bool {
    let spec = observed
        .horizontal_pod_autoscaler
        .as_ref()
        .and_then(|hpa| hpa.spec.as_ref());
    spec.and_then(|spec| spec.metrics.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|metric| metric.pods.as_ref())
        .any(|pods| Some(&*pods.metric.name) == signal.pods_metric())
}
