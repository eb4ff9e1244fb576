//! PromQL that reads the load of one ModelService.
//!
//! Each query has four properties. It selects exactly the pods of one ModelService, by labels that Prometheus itself
//! adds to the series of a target, and that no pod can write. It gives one number while pods are scraped, and zero
//! without load. It gives no data if no pod is scraped: no data must never read as no load, or pods would be removed
//! during an outage of the monitoring. And implausible values are no readings. In a sum, a single pod without a reading
//! counts as on target. So it is neither removed nor does it add pods.

use springtide_api::targets::Reading;
use springtide_contract::metrics::{
    PROCESS_START_TIME_SECONDS, REQUESTS_RECEIVED_TOTAL,
    label::{MODEL_SERVICE, MODEL_SERVICE_NAMESPACE},
};

use crate::{settings::OperatorSettings, spec::ValidatedModelService};

/// Scrape intervals that a query looks back. A rate needs two readings; so one failed or late scrape does no harm.
const WINDOW_SCRAPES: u32 = 4;

/// Time in seconds for which a pod without readings is counted, after its last one. Pods of a lost node are replaced
/// after 300 s (`DefaultTolerationSeconds` of Kubernetes) and remain targets of Prometheus. So they count beside their
/// replacements for the rest of this time.
const UNREAD_POD_SECONDS: u32 = 600;

/// Plausible readings of a pod, in all units: not negative, not NaN, and below any real value. Requests time out after
/// 600,000 ms, and a queue has at most a million rows.
const PLAUSIBLE: &str = ">= 0 <= 1e6";

/// How far the square root of the arrivals since the latest scrape must exceed that of the window's mean to be used
/// instead: three standard deviations. The square root of a count of independent arrivals has a standard deviation of
/// one half, for any mean (Bartlett, "The square root transformation in analysis of variance", 1936). So jumps are
/// visible at once, and chance, which is large for few requests, is not.
const EXCESS: f32 = 1.5;

/// Maximum length of a generated name before its random suffix.
const MAX_GENERATED_PREFIX: usize = 58;

/// Length of the random suffix.
const SUFFIX_LENGTH: usize = 5;

/// Maximum length of a pod template hash: a 32-bit number in decimal, encoded digit by digit (`SafeEncodeString` in
/// Kubernetes' `k8s.io/apimachinery/pkg/util/rand`).
const MAX_HASH_LENGTH: usize = 10;

/// The series of one ModelService's pods, and their scrape interval.
struct Pods {
    selector: String,
    /// Matches the series of a pod with its `up`, by labels that Prometheus adds to both. By the address alone, it
    /// could be another pod's.
    same_pod: String,
    interval_seconds: u32,
}

impl Pods {
    fn of(model_service: &ValidatedModelService, settings: &OperatorSettings) -> Self {
        let (name, namespace) = (model_service.name(), model_service.namespace());
        let OperatorSettings {
            namespace_label,
            pod_label,
            ..
        } = settings;
        // Both names are DNS labels, and the expression has letters, digits and `[]{}(),-|`. So nothing needs escaping.
        let pod_names = pod_names(name);
        Self {
            selector: format!(
                r#"{{{namespace_label}="{namespace}",{pod_label}=~"{pod_names}",{MODEL_SERVICE}="{name}",{MODEL_SERVICE_NAMESPACE}="{namespace}"}}"#
            ),
            same_pod: format!("on (job, instance, {namespace_label}, {pod_label})"),
            interval_seconds: u32::from(settings.scrape_interval_seconds),
        }
    }

    /// The growth per second of each series.
    fn growth(&self, function: &str, counter: &str) -> String {
        // A counter that a pod decreases below zero has a negative rate.
        format!("({function}({}) {PLAUSIBLE})", self.range(counter))
    }

    fn window_seconds(&self) -> u32 {
        WINDOW_SCRAPES * self.interval_seconds
    }

    /// The readings of a series within the window.
    fn range(&self, series: &str) -> String {
        format!("{series}{}[{}s]", self.selector, self.window_seconds())
    }

    /// The start time of each pod's server, as read within `seconds`, compared with the start of the window.
    fn started(&self, seconds: u32, compared: char) -> String {
        let (selector, window) = (&self.selector, self.window_seconds());
        format!(
            "last_over_time({PROCESS_START_TIME_SECONDS}{selector}[{seconds}s]) {compared} time() - {window}"
        )
    }

    /// The growth per second of a counter, summed over all pods.
    ///
    /// `rate` extrapolates by at most half an interval. If scrapes are missing in the window, it reads as low as a
    /// third of the real value (`extrapolatedRate` in Prometheus' `promql/functions.go`). For such a pod the rate of
    /// its last two readings is used. New and deleted pods are excluded: their part is read at the other pods, or
    /// already was.
    fn rate(&self, counter: &str) -> String {
        let same_pod = &self.same_pod;
        format!(
            "sum({} and {same_pod} (count_over_time({}) < {WINDOW_SCRAPES} and {} and {same_pod} up) or {})",
            self.growth("irate", counter),
            self.range(PROCESS_START_TIME_SECONDS),
            self.started(self.window_seconds(), '<'),
            self.growth("rate", counter),
        )
    }

    /// A gauge of each present pod, aggregated with the function `over` the window. It counts from the second reading
    /// on, like a rate: the first one of a few pods would read as the load of all.
    fn gauge(&self, over: &str, gauge: &str) -> String {
        let (range, selector, same_pod) = (self.range(gauge), &self.selector, &self.same_pod);
        format!(
            "{over}({range}) {PLAUSIBLE} and count_over_time({range}) > 1 and {same_pod} (up or {gauge}{selector})"
        )
    }

    /// [`Pods::rate`], or the growth since the latest scrape if chance doesn't explain it.
    fn latest_or_rate(&self, counter: &str) -> String {
        let rate = self.rate(counter);
        // A deleted pod stays in a range for a window, but has no present reading. The load that new pods have taken
        // over was read at the others in their latest scrape.
        let latest = format!(
            "sum({} and {counter}{} unless {} {})",
            self.growth("irate", counter),
            self.selector,
            self.same_pod,
            self.started(self.window_seconds(), '>')
        );
        let arrivals = format!(
            "{} * sum({})",
            self.interval_seconds,
            self.growth("rate", REQUESTS_RECEIVED_TOTAL)
        );
        format!("({latest} > {rate} * (1 + {EXCESS} / sqrt({arrivals})) ^ 2 or {rate})")
    }

    /// The pods that have been running for a window and have no sample in `readings`.
    fn unread(&self, readings: &str) -> String {
        let (window, same_pod) = (self.window_seconds(), &self.same_pod);
        format!(
            "{} and {same_pod} timestamp(up) > time() - {window} unless {same_pod} ({readings})",
            self.started(UNREAD_POD_SECONDS, '<')
        )
    }

    /// A sum over all pods. Pods without a sample in `readings` count as on target.
    ///
    /// Before it scales down, an HPA counts a pod without a metric as on target (`calculatePlainMetricReplicas` in
    /// Kubernetes' `pkg/controller/podautoscaler/replica_calculator.go`). KEDA gives the HPA a sum, in which such a pod
    /// would count as idle.
    fn with_unread(&self, sum: &str, readings: &str, target: i32) -> String {
        let unread = self.unread(readings);
        format!("{sum} + ({target} * count({unread}) or vector(0))")
    }
}

/// The query of a signal, in the unit of its target.
pub(crate) fn query(
    reading: Reading,
    target: i32,
    model_service: &ValidatedModelService,
    settings: &OperatorSettings,
) -> String {
    let pods = Pods::of(model_service, settings);
    let rates = |counter: &str| pods.growth("rate", counter);
    let sum_of = |gauge: &str| pods.with_unread(&format!("sum({gauge})"), gauge, target);
    match reading {
        Reading::Rate { counter, factor } => {
            let rate = pods.latest_or_rate(counter);
            let sum = match factor {
                1 => rate,
                factor => format!("{factor} * {rate}"),
            };
            pods.with_unread(&sum, &rates(counter), target)
        }
        // The latest reading of each pod, even if its latest scrape failed.
        Reading::Latest { gauge } => sum_of(&pods.gauge("last_over_time", gauge)),
        Reading::Mean { gauge } => sum_of(&pods.gauge("avg_over_time", gauge)),
        // Without responses the quantile is NaN, which `>= 0` drops. The right-hand side of `or` then gives zero, but
        // only if no pod has arrivals either. Requests without a response are no data, and so are readings that are too
        // far apart for a rate.
        Reading::P95Milliseconds { histogram } => {
            let arrivals = rates(REQUESTS_RECEIVED_TOTAL);
            format!(
                "1000 * histogram_quantile(0.95, sum by (le) {}) {PLAUSIBLE} \
                 or sum({arrivals}) == 0 unless on () ({})",
                rates(&format!("{histogram}_bucket")),
                pods.unread(&arrivals),
            )
        }
    }
}

/// A regular expression that matches the names of a Deployment's pods, and no names of pods of a Deployment with a
/// longer name.
///
/// The name of a pod is that of its ReplicaSet with a suffix of five characters. The name of a ReplicaSet is that of
/// its Deployment with a hash of at most ten digits. The part before the suffix is truncated to 58 characters
/// (`SimpleNameGenerator` in Kubernetes' `k8s.io/apiserver/pkg/storage/names`). So a long name keeps only a part of the
/// hash.
fn pod_names(deployment: &str) -> String {
    let room = MAX_GENERATED_PREFIX.saturating_sub(deployment.len() + 1);
    if room > MAX_HASH_LENGTH {
        return format!("{deployment}-[a-z0-9]{{1,{MAX_HASH_LENGTH}}}-[a-z0-9]{{{SUFFIX_LENGTH}}}");
    }
    let (whole, cut_off) = (room.saturating_sub(1).max(1), room + SUFFIX_LENGTH);
    format!(
        "{deployment}-([a-z0-9]{{1,{whole}}}-[a-z0-9]{{{SUFFIX_LENGTH}}}|[a-z0-9]{{{cut_off}}})"
    )
}
