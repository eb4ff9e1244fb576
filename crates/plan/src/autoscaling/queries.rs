//! PromQL that reads the load of one ModelService.
//!
//! Four things hold for each query. It selects exactly the pods of one ModelService, by the labels that
//! Prometheus itself gives the series of a target, which no pod can write. It gives one number while pods
//! are scraped, and zero where there is no load. It gives nothing where no pod is scraped: no data must
//! never read as no load, or the number of pods would fall just when nobody can see. And what no pod can
//! do is no reading. A single pod that can't be read counts as one on target in the sums, so it neither
//! goes nor brings others.

use springtide_api::targets::Reading;
use springtide_contract::metrics::{
    PROCESS_START_TIME_SECONDS, REQUESTS_RECEIVED_TOTAL,
    label::{MODEL_SERVICE, MODEL_SERVICE_NAMESPACE},
};

use crate::{settings::OperatorSettings, spec::ValidatedModelService};

/// How many scrapes a query looks back: a rate needs two readings, and one scrape that fails, or that
/// falls just outside, then leaves enough.
const WINDOW_SCRAPES: u32 = 4;

/// For how long after its last reading a pod counts as one that can't be read, in seconds. Pods of a
/// lost node are replaced after 300 s (`DefaultTolerationSeconds` of Kubernetes) and stay targets of
/// Prometheus, so they count beside their replacements for as long as this is more.
const UNREAD_POD_SECONDS: u32 = 600;

/// What a pod's reading may be, in any of the units: not negative, not NaN, and less than what would be
/// beyond any pod. Requests time out after 600,000 ms, a queue has a million rows at most.
const PLAUSIBLE: &str = ">= 0 <= 1e6";

/// By how much the square root of the arrivals since the latest scrape has to exceed that of those that
/// the window says, to be believed instead of it: three standard deviations. The square root of a number
/// of independent arrivals deviates by one half, however many are expected (Bartlett, "The square root
/// transformation in analysis of variance", 1936). So a jump shows at once, and chance, of which there
/// is much where requests are few, does not.
const EXCESS: f32 = 1.5;

/// Characters of a generated name before those that are random.
const MAX_GENERATED_PREFIX: usize = 58;

/// Characters that are random.
const SUFFIX_LENGTH: usize = 5;

/// Characters of the hash of a pod template: a 32-bit number in decimal, digit by digit
/// (`SafeEncodeString` in Kubernetes' `k8s.io/apimachinery/pkg/util/rand`).
const MAX_HASH_LENGTH: usize = 10;

/// The series of one ModelService's pods, and how far to look back in them.
struct Pods {
    selector: String,
    /// Matches the series of a pod and its `up`, by labels that Prometheus gives both alike. An address
    /// alone may be of another pod by now.
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
        // Both names are DNS labels, and the expression has letters, digits and `[]{}(),-|`: nothing has
        // to be escaped.
        let pod_names = pod_names(name);
        Self {
            selector: format!(
                r#"{{{namespace_label}="{namespace}",{pod_label}=~"{pod_names}",{MODEL_SERVICE}="{name}",{MODEL_SERVICE_NAMESPACE}="{namespace}"}}"#
            ),
            same_pod: format!("on (job, instance, {namespace_label}, {pod_label})"),
            interval_seconds: u32::from(settings.scrape_interval_seconds),
        }
    }

    /// A growth in a second of each series.
    fn growth(&self, function: &str, counter: &str) -> String {
        // A counter that a pod lets fall below zero has a negative rate.
        format!("({function}({}) {PLAUSIBLE})", self.range(counter))
    }

    fn window_seconds(&self) -> u32 {
        WINDOW_SCRAPES * self.interval_seconds
    }

    /// The readings of a series within the window.
    fn range(&self, series: &str) -> String {
        format!("{series}{}[{}s]", self.selector, self.window_seconds())
    }

    /// When the server of each pod started, as read within this many seconds, compared with the
    /// beginning of the window.
    fn started(&self, seconds: u32, compared: char) -> String {
        let (selector, window) = (&self.selector, self.window_seconds());
        format!(
            "last_over_time({PROCESS_START_TIME_SECONDS}{selector}[{seconds}s]) {compared} time() - {window}"
        )
    }

    /// By how much a counter grows in a second, over all pods.
    ///
    /// `rate` stretches what it sees by half an interval at most, and so reads down to a third of the
    /// status where scrapes are missing in the window (`extrapolatedRate` in Prometheus'
    /// `promql/functions.go`). Such a pod's is taken between its last two readings. New pods and those that
    /// are gone aren't meant: what is missing of them is still read at the others, or already.
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

    /// A gauge of each pod that is there, taken `over` the window, and from its second reading on, as a
    /// rate is: the first of few pods would read as the load of all.
    fn gauge(&self, over: &str, gauge: &str) -> String {
        let (range, selector, same_pod) = (self.range(gauge), &self.selector, &self.same_pod);
        format!(
            "{over}({range}) {PLAUSIBLE} and count_over_time({range}) > 1 and {same_pod} (up or {gauge}{selector})"
        )
    }

    /// [`Pods::rate`], or the growth since the latest scrape where that is more than chance explains.
    fn latest_or_rate(&self, counter: &str) -> String {
        let rate = self.rate(counter);
        // A pod that is gone stays in a range for a window, and has no present reading. What new pods
        // have taken over was read at the others at their latest scrape.
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

    /// The pods that have been there for a window and yet aren't in `readings`.
    fn unread(&self, readings: &str) -> String {
        let (window, same_pod) = (self.window_seconds(), &self.same_pod);
        format!(
            "{} and {same_pod} timestamp(up) > time() - {window} unless {same_pod} ({readings})",
            self.started(UNREAD_POD_SECONDS, '<')
        )
    }

    /// A sum over all pods, in which those that aren't in `readings` count as on target.
    ///
    /// An HPA takes a pod without a metric for one on target before it scales down
    /// (`calculatePlainMetricReplicas` in Kubernetes' `pkg/controller/podautoscaler/replica_calculator.go`).
    /// What KEDA gives it is a sum, in which such a pod would be an idle one.
    fn with_unread(&self, sum: &str, readings: &str, target: i32) -> String {
        let unread = self.unread(readings);
        format!("{sum} + ({target} * count({unread}) or vector(0))")
    }
}

/// Reads a signal, in the unit of its target.
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
        // The latest reading of each pod, also where its latest scrape failed.
        Reading::Latest { gauge } => sum_of(&pods.gauge("last_over_time", gauge)),
        Reading::Mean { gauge } => sum_of(&pods.gauge("avg_over_time", gauge)),
        // Without answers the quantile is NaN, which `>= 0` drops; the right-hand side of `or` then
        // gives zero, but only where nothing arrives either, at any pod. Requests without an answer are
        // no data, and so are readings that are too far apart for a rate.
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

/// A regular expression of the names that a Deployment's pods can have, and those of a Deployment with a
/// longer name can't.
///
/// A pod is named after its ReplicaSet, with five characters more, and that after its Deployment, with a
/// hash of at most ten digits. What comes before the five characters is cut off after 58
/// (`SimpleNameGenerator` in Kubernetes' `k8s.io/apiserver/pkg/storage/names`), so that of a long name a part of
/// the hash is left.
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
