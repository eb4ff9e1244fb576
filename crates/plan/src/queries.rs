//! PromQL that reads the load of one ModelService.
//!
//! Three things hold for each query. It selects exactly the pods of one ModelService, by labels that
//! the server itself puts on every series. It gives one number while pods are scraped, and zero
//! where there is no load. And it gives nothing where no pod is scraped: no data must never read as
//! no load, or the number of pods would fall just when nobody can see. A single pod that can't be
//! read counts as one on target in the sums, so it neither goes nor brings others.

use springtide_contract::metrics::{
    ACTIVE_REQUESTS, OFFERED_LOAD_SECONDS_TOTAL, PROCESS_START_TIME_SECONDS, QUEUE_SIZE,
    REQUEST_LATENCY_SECONDS, REQUESTS_RECEIVED_TOTAL,
    label::{MODEL_SERVICE, MODEL_SERVICE_NAMESPACE},
};

use crate::{settings::OperatorSettings, signals::ServingSignal, validated::ValidatedModelService};

/// How many scrapes a query looks back: a rate needs two readings, and one scrape that fails, or that
/// falls just outside, then leaves enough.
const SCRAPES: u32 = 4;

/// For how long after its last reading a pod counts as one that can't be read, in seconds. A pod that
/// is gone counts no longer than its target in Prometheus lives, so this may be long.
const REMEMBERED_SECONDS: u32 = 3600;

/// By how much the square root of the arrivals since the latest scrape has to exceed that of those that
/// the window says, to be believed instead of it: three standard deviations. The square root of a number
/// of independent arrivals deviates by one half, however many are expected (Bartlett, "The square root
/// transformation in analysis of variance", 1936). So a jump shows at once, and chance, of which there
/// is much where requests are few, does not.
const EXCESS: f32 = 1.5;

/// The series of one ModelService's pods, and how far to look back in them.
struct Pods {
    selector: String,
    interval_seconds: u32,
}

impl Pods {
    fn window_seconds(&self) -> u32 {
        SCRAPES * self.interval_seconds
    }

    /// The readings of a series within the window.
    fn range(&self, series: &str) -> String {
        format!("{series}{}[{}s]", self.selector, self.window_seconds())
    }

    /// By how much a counter grows in a second, over all pods.
    ///
    /// `rate` stretches what it sees by half an interval at most, and so reads down to a third of the
    /// truth in a window that isn't full (`extrapolatedRate` in Prometheus' promql/functions.go). That
    /// of a pod that lacks a scrape, is new, or of a Prometheus that was away, is taken between its last
    /// two readings, which says what is true. Only what a pod that is gone did fades with the window: its load is at the others.
    fn rate(&self, counter: &str) -> String {
        let range = self.range(counter);
        format!(
            "sum(rate({range}) and count_over_time({range}) >= {SCRAPES} \
             or irate({range}) and on (job, instance) up or rate({range}))"
        )
    }

    /// [`Pods::rate`], or the growth since the latest scrape where that is more than chance explains.
    fn latest_or_rate(&self, counter: &str) -> String {
        let rate = self.rate(counter);
        // A pod that is gone stays in a range for a window, and has no present reading.
        let latest = format!(
            "sum(irate({}) and {counter}{})",
            self.range(counter),
            self.selector
        );
        let arrivals = format!(
            "{} * sum(rate({}))",
            self.interval_seconds,
            self.range(REQUESTS_RECEIVED_TOTAL)
        );
        format!("({latest} > {rate} * (1 + {EXCESS} / sqrt({arrivals})) ^ 2 or {rate})")
    }

    /// A sum over all pods, in which each pod that has been there for a window and yet isn't in
    /// `readings` counts as one on target.
    ///
    /// An HPA takes a pod without a metric for one on target before it scales down
    /// (`calculatePlainMetricReplicas` in Kubernetes' pkg/controller/podautoscaler/replica_calculator.go).
    /// What KEDA gives it is a sum, in which such a pod would be an idle one.
    fn with_unread(&self, sum: &str, readings: &str, target: i32) -> String {
        let selector = &self.selector;
        let window = self.window_seconds();
        format!(
            "{sum} + ({target} * count(\
             last_over_time({PROCESS_START_TIME_SECONDS}{selector}[{REMEMBERED_SECONDS}s]) < time() - {window} \
             and on (job, instance) timestamp(up) > time() - {window} \
             unless on (job, instance) {readings}) or vector(0))"
        )
    }
}

/// Reads a signal, in the unit of its target.
pub(crate) fn query(
    signal: ServingSignal,
    target: i32,
    model_service: &ValidatedModelService,
    settings: &OperatorSettings,
) -> String {
    let pods = Pods {
        // Both names are DNS labels: nothing in them has to be escaped.
        selector: format!(
            r#"{{{MODEL_SERVICE}="{}",{MODEL_SERVICE_NAMESPACE}="{}"}}"#,
            model_service.name(),
            model_service.namespace(),
        ),
        interval_seconds: u32::from(settings.scrape_interval_seconds),
    };
    let counted = |counter: &str| format!("rate({})", pods.range(counter));
    match signal {
        ServingSignal::RequestsPerSecond => pods.with_unread(
            &pods.latest_or_rate(REQUESTS_RECEIVED_TOTAL),
            &counted(REQUESTS_RECEIVED_TOTAL),
            target,
        ),
        // The latest reading of each pod, also where its latest scrape failed.
        ServingSignal::QueueSize => {
            let latest = format!("last_over_time({})", pods.range(QUEUE_SIZE));
            pods.with_unread(&format!("sum({latest})"), &latest, target)
        }
        // Without answers the quantile is NaN, which `>= 0` drops; the right-hand side of `or` then
        // gives zero, but only where nothing arrives either. Requests without an answer are no data,
        // and so are readings that are too far apart for a rate. A pod that can't be read is missing
        // in the quantile as one of the sample, which is nobody's load.
        ServingSignal::P95LatencyMilliseconds => format!(
            "1000 * ((histogram_quantile(0.95, sum by (le) (rate({}))) >= 0) or (sum({}) == 0))",
            pods.range(&format!("{REQUEST_LATENCY_SECONDS}_bucket")),
            counted(REQUESTS_RECEIVED_TOTAL),
        ),
        // A gauge that moves with every request: one reading is chance.
        ServingSignal::Concurrency => {
            let mean = format!("avg_over_time({})", pods.range(ACTIVE_REQUESTS));
            pods.with_unread(&format!("sum({mean})"), &mean, target)
        }
        ServingSignal::LoadPercent => pods.with_unread(
            &format!("100 * {}", pods.latest_or_rate(OFFERED_LOAD_SECONDS_TOTAL)),
            &counted(OFFERED_LOAD_SECONDS_TOTAL),
            target,
        ),
    }
}
