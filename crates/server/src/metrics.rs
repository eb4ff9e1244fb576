//! Metrics, named as the contract names them.
//!
//! What happens is counted in the [`Series`] of its model ([`Call`] does so for a request); what is
//! true at the instant of a scrape comes as a [`Snapshot`].

mod call;
mod load;
mod outcome;
mod scrapes;
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
pub use self::load::{PodLoad, Window};
pub use self::outcome::{Dropped, Rejected, Status};
pub use self::series::Series;
pub use self::snapshot::{ServingFacts, Snapshot, VersionFacts};

use self::scrapes::Scrapes;
use self::series::AllSeries;

/// Content type of the text that Prometheus scrapes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label of requests that named no model which serves.
const NO_MODEL: &str = "";

/// All metrics of the server.
#[derive(Debug)]
pub struct Metrics {
    /// Of the ModelService, on every series.
    labels: HashMap<String, String>,
    registry: Registry,
    all: AllSeries,
    no_model: Arc<Series>,
    load: Arc<PodLoad>,
    scrapes: Mutex<Scrapes>,
}

impl Metrics {
    /// Registers the metrics with the labels of a ModelService where there is one. Every series
    /// that a query may ask for is there from the start, as zero, so that rates have a beginning.
    ///
    /// # Errors
    /// When a label's value can't be one.
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
            "When the server started, in seconds since 1970",
        )?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        started.set(since_1970.unwrap_or_default().as_secs_f64());
        registry.register(Box::new(started))?;
        let load = Arc::new(PodLoad::new(available_processors().get() as f64));
        let all = AllSeries::new(&registry, Arc::clone(&load))?;
        let no_model = Arc::new(all.of(NO_MODEL));
        Ok(Self {
            labels,
            registry,
            all,
            no_model,
            load,
            scrapes: Mutex::new(Scrapes::new(Instant::now())),
        })
    }

    /// The series of a model. There from now on.
    #[must_use]
    pub fn of_model(&self, name: &str) -> Arc<Series> {
        Arc::new(self.all.of(name))
    }

    /// The series for requests that named no model which serves.
    #[must_use]
    pub const fn of_no_model(&self) -> &Arc<Series> {
        &self.no_model
    }

    /// What is known of the pod, as one learns to price requests.
    #[must_use]
    pub const fn load(&self) -> &Arc<PodLoad> {
        &self.load
    }

    /// Takes away the series of a model that serves no more.
    pub fn forget(&self, name: &str) {
        self.all.remove(name);
    }

    /// The metrics as text for whoever scrapes them, written anew but in a flood of scrapes.
    ///
    /// # Errors
    /// Those of [`Metrics::text`].
    pub fn scrape(&self, snapshot: impl FnOnce() -> Snapshot) -> Result<Bytes, prometheus::Error> {
        let mut scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        scrapes.text(Instant::now(), || self.text(&snapshot()))
    }

    /// The metrics as text, of this instant.
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
