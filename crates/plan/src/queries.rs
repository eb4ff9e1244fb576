//! PromQL that reads the load of one ModelService.
//!
//! Three things hold for each query. It selects exactly the pods of one ModelService, by labels that
//! the server itself puts on every series. It gives one number while the pods are scraped, and zero
//! where there is no load. And it gives nothing where the pods aren't scraped: no data must never
//! read as no load, or the number of pods would fall just when nobody can see.

use springtide_contract::metrics::{
    QUEUE_SIZE, REQUEST_LATENCY_SECONDS, REQUESTS_RECEIVED_TOTAL,
    label::{MODEL_SERVICE, MODEL_SERVICE_NAMESPACE},
};

use crate::{settings::OperatorSettings, validated::ValidatedModelService};

/// How many scrapes back rates look: a rate needs two readings, and one scrape that fails, or that
/// falls just outside, then leaves enough.
const RATE_SCRAPES: u32 = 4;

fn rate_window(settings: &OperatorSettings) -> String {
    let seconds = RATE_SCRAPES * u32::from(settings.scrape_interval_seconds);
    format!("[{seconds}s]")
}

fn selector(model_service: &ValidatedModelService) -> String {
    // Both names are DNS labels: nothing in them has to be escaped.
    format!(
        r#"{{{MODEL_SERVICE}="{}",{MODEL_SERVICE_NAMESPACE}="{}"}}"#,
        model_service.name(),
        model_service.namespace()
    )
}

/// Requests that arrive per second, at all pods together.
pub(crate) fn request_rate(
    model_service: &ValidatedModelService,
    settings: &OperatorSettings,
) -> String {
    let selector = selector(model_service);
    let window = rate_window(settings);
    format!("sum(rate({REQUESTS_RECEIVED_TOTAL}{selector}{window}))")
}

/// Rows that wait, at all pods together.
pub(crate) fn queue_size(model_service: &ValidatedModelService) -> String {
    let selector = selector(model_service);
    format!("sum({QUEUE_SIZE}{selector})")
}

/// 95th percentile of the latency over all pods, in seconds.
///
/// Without requests the quantile is NaN, which `>= 0` drops; the right-hand side of `or` then gives
/// zero, but only where arrivals can be counted over the same window: readings that are too far apart
/// for a rate are no data.
pub(crate) fn p95_latency(
    model_service: &ValidatedModelService,
    settings: &OperatorSettings,
) -> String {
    let selector = selector(model_service);
    let window = rate_window(settings);
    format!(
        "(histogram_quantile(0.95, sum by (le) (rate({REQUEST_LATENCY_SECONDS}_bucket{selector}{window}))) >= 0) \
         or (0 * {})",
        request_rate(model_service, settings)
    )
}
