//! Prometheus metrics, with the names of [`springtide_contract::metrics`].
//!
//! Events are counted in the [`Series`] of their model ([`Call`] counts a request). State is read at the
//! instant of a scrape, as a [`Snapshot`].

mod call;
mod families;
mod outcome;
mod overhead;
mod scrape_limit;
mod series;
mod snapshot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use prometheus::{Encoder, Gauge, Registry, TextEncoder};
use springtide_contract::metrics as names;
use springtide_inference::threads::available_processors;

pub use self::call::Call;
pub use self::outcome::{Dropped, Rejected, Status};
pub use self::overhead::{PodLoad, Window};
pub use self::series::Series;
pub use self::snapshot::{ServingFacts, Snapshot, VersionFacts};

use self::families::Families;
use self::scrape_limit::ScrapeLimit;

/// Content type of the text format of Prometheus.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Label of requests that name no model that is served.
const NO_MODEL: &str = "";

/// All metrics of the server.
#[derive(Debug)]
pub struct Metrics {
    /// Labels of every series: those of the ModelService.
    labels: HashMap<String, String>,
    registry: Registry,
    families: Families,
    no_model: Arc<Series>,
    load: Arc<PodLoad>,
    scrapes: Mutex<ScrapeLimit>,
}

impl Metrics {
    /// Registers the metrics, with the labels of a ModelService if there is one. Every series that a query may
    /// select exists from the start, as zero, so that rates have a first sample.
    ///
    /// # Errors
    /// When a label has an invalid value.
    pub fn new(
        model_service: Option<&str>,
        namespace: Option<&str>,
    ) -> Result<Self, prometheus::Error> {
        let labels = [
            (names::label::MODEL_SERVICE, model_service),
            (names::label::MODEL_SERVICE_NAMESPACE, namespace),
        ];
        let labels: HashMap<String, String> = labels
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let registry = Registry::new_custom(None, Some(labels.clone()))?;
        let started = Gauge::new(
            names::PROCESS_START_TIME_SECONDS,
            "Start time of the server, in seconds since 1970",
        )?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        started.set(since_1970.unwrap_or_default().as_secs_f64());
        registry.register(Box::new(started))?;
        let load = Arc::new(PodLoad::new(available_processors().get() as f64));
        let families = Families::register(&registry)?;
        let no_model = Series::new(families.of(NO_MODEL), Arc::clone(&load));
        Ok(Self {
            labels,
            registry,
            families,
            no_model: Arc::new(no_model),
            load,
            scrapes: Mutex::new(ScrapeLimit::new(Instant::now())),
        })
    }

    /// The series of a model, which exist from now on.
    #[must_use]
    pub fn of_model(&self, name: &str) -> Arc<Series> {
        Arc::new(Series::new(self.families.of(name), Arc::clone(&self.load)))
    }

    /// The series of requests that name no model that is served.
    #[must_use]
    pub const fn of_no_model(&self) -> &Arc<Series> {
        &self.no_model
    }

    /// The pod's CPUs and the overhead of its requests.
    #[must_use]
    pub const fn load(&self) -> &Arc<PodLoad> {
        &self.load
    }

    /// Removes the series of a model that is no longer served.
    pub fn forget(&self, name: &str) {
        self.families.remove(name);
    }

    /// The metrics in the text format, for a scrape. The rate of new texts is limited.
    ///
    /// # Errors
    /// Those of [`Metrics::text`].
    pub fn scrape(&self, snapshot: impl FnOnce() -> Snapshot) -> Result<Bytes, prometheus::Error> {
        let mut scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        scrapes.text(Instant::now(), || self.text(&snapshot()))
    }

    /// The current metrics in the text format.
    ///
    /// # Errors
    /// When a series can't be written, which would be a fault of this module.
    pub fn text(&self, snapshot: &Snapshot) -> Result<String, prometheus::Error> {
        let now = Registry::new_custom(None, Some(self.labels.clone()))?;
        snapshot.register(&now)?;
        let mut text = Vec::new();
        for registry in [&self.registry, &now] {
            TextEncoder::new().encode(&registry.gather(), &mut text)?;
        }
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
