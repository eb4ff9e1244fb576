//! PromQL that reads the load of one ModelService.
//!
//! Three things hold for each query. It selects exactly the pods of one ModelService, by labels that
//! the server itself puts on every series. It gives one number while the pods are scraped, and zero
//! where there is no load. And it gives nothing where the pods aren't scraped: no data must never
//! read as no load, or the number of pods would fall just when nobody can see.

use springtide_contract::metrics::{
    ACTIVE_REQUESTS, OFFERED_LOAD_SECONDS_TOTAL, QUEUE_SIZE, REQUEST_LATENCY_SECONDS,
    REQUESTS_RECEIVED_TOTAL,
    label::{MODEL_SERVICE, MODEL_SERVICE_NAMESPACE},
};

use crate::{settings::OperatorSettings, signals::ServingSignal, validated::ValidatedModelService};

/// How many scrapes a query looks back: a rate needs two readings, and one scrape that fails, or that
/// falls just outside, then leaves enough.
const SCRAPES: u32 = 4;

/// By how much the square root of the arrivals since the latest scrape has to exceed that of those that
/// the window says, to be believed instead of it: three standard deviations. The square root of a number
/// of independent arrivals deviates by one half, however many are expected (Bartlett, "The square root
/// transformation in analysis of variance", 1936). So a jump shows at once, and chance, of which there
/// is much where requests are few, does not.
const EXCESS: f32 = 1.5;

/// Reads a signal, in the unit of its target.
pub(crate) fn query(
    signal: ServingSignal,
    model_service: &ValidatedModelService,
    settings: &OperatorSettings,
) -> String {
    // Both names are DNS labels: nothing in them has to be escaped.
    let selector = format!(
        r#"{{{MODEL_SERVICE}="{}",{MODEL_SERVICE_NAMESPACE}="{}"}}"#,
        model_service.name(),
        model_service.namespace(),
    );
    let interval = u32::from(settings.scrape_interval_seconds);
    let series = format!("{selector}[{}s]", SCRAPES * interval);
    let arrivals = format!("sum(rate({REQUESTS_RECEIVED_TOTAL}{series}))");
    let latest_or_rate = |counter: &str| {
        let rate = format!("sum(rate({counter}{series}))");
        // A pod that is gone stays in a range for a window, and has no present reading.
        let latest = format!("sum(irate({counter}{series}) and {counter}{selector})");
        format!(
            "({latest} > {rate} * (1 + {EXCESS} / sqrt({interval} * {arrivals})) ^ 2 or {rate})"
        )
    };
    match signal {
        ServingSignal::RequestsPerSecond => latest_or_rate(REQUESTS_RECEIVED_TOTAL),
        // The latest reading of each pod, also where its latest scrape failed.
        ServingSignal::QueueSize => format!("sum(last_over_time({QUEUE_SIZE}{series}))"),
        // Without answers the quantile is NaN, which `>= 0` drops; the right-hand side of `or` then
        // gives zero, but only where nothing arrives either. Requests without an answer are no data,
        // and so are readings that are too far apart for a rate.
        ServingSignal::P95LatencyMilliseconds => format!(
            "1000 * ((histogram_quantile(0.95, sum by (le) (rate({REQUEST_LATENCY_SECONDS}_bucket{series}))) >= 0) \
             or ({arrivals} == 0))"
        ),
        // A gauge that moves with every request: one reading is chance.
        ServingSignal::Concurrency => format!("sum(avg_over_time({ACTIVE_REQUESTS}{series}))"),
        ServingSignal::LoadPercent => {
            format!("100 * {}", latest_or_rate(OFFERED_LOAD_SECONDS_TOTAL))
        }
    }
}
