//! What is true at the instant of a scrape, and so isn't counted but looked up.

use std::collections::BTreeMap;

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use springtide_contract::metrics as names;
use springtide_contract::metrics::label;

/// What is true at the instant of a scrape.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Rows that wait, by model.
    pub waiting_rows: BTreeMap<String, usize>,
    /// All versions that are known.
    pub versions: Vec<VersionFacts>,
}

/// What is known of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionFacts {
    /// The model.
    pub model: String,
    /// The version.
    pub version: String,
    /// `ready`, `loading` or `unavailable`.
    pub state: &'static str,
    /// Set where the version serves.
    pub serving: Option<ServingFacts>,
}

/// What is known of a version that serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServingFacts {
    /// Time that it took to load it and to warm it up, in seconds.
    pub load_seconds: f64,
    /// What it runs on.
    pub provider: &'static str,
    /// Whether that took the place of a better one.
    pub fallback: bool,
    /// Whether requests share batches.
    pub shares_batches: bool,
    /// Why, or why not.
    pub batching_reason: &'static str,
}

impl Snapshot {
    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let waiting = gauge(
            names::QUEUE_SIZE,
            "Rows that wait in the queue",
            &[label::MODEL],
        )?;
        // There from the start, so that a queue that doesn't exist yet reads as empty.
        waiting.with_label_values(&[""]).set(0);
        for (model, &rows) in &self.waiting_rows {
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            waiting.with_label_values(&[model]).set(rows);
        }
        let info = gauge(
            names::MODEL_INFO,
            "Versions of models by their state",
            &[label::MODEL, label::VERSION, label::STATE],
        )?;
        let provider = gauge(
            names::EXECUTION_PROVIDER_INFO,
            "What the versions that serve run on",
            &[
                label::MODEL,
                label::VERSION,
                label::PROVIDER,
                label::FALLBACK,
            ],
        )?;
        let batching = gauge(
            names::BATCHING_INFO,
            "Whether the requests of versions that serve share batches, and why",
            &[label::MODEL, label::VERSION, label::ENABLED, label::REASON],
        )?;
        let help = "Time that it took to load a version and to warm it up";
        let load_seconds = GaugeVec::new(
            Opts::new(names::MODEL_LOAD_SECONDS, help),
            &[label::MODEL, label::VERSION],
        )?;
        registry.register(Box::new(load_seconds.clone()))?;
        for facts in &self.versions {
            let (model, version) = (&*facts.model, &*facts.version);
            info.with_label_values(&[model, version, facts.state])
                .set(1);
            if let Some(serving) = facts.serving {
                let text = |yes: bool| if yes { "true" } else { "false" };
                let fallback = text(serving.fallback);
                let shares = text(serving.shares_batches);
                batching
                    .with_label_values(&[model, version, shares, serving.batching_reason])
                    .set(1);
                provider
                    .with_label_values(&[model, version, serving.provider, fallback])
                    .set(1);
                load_seconds
                    .with_label_values(&[model, version])
                    .set(serving.load_seconds);
            }
        }
        Ok(())
    }
}
