//! State at the instant of a scrape, which is read and not counted.

use std::collections::BTreeMap;

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use springtide_contract::metrics as names;
use springtide_contract::metrics::label;

/// State at the instant of a scrape.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Rows in the queue, by model.
    pub waiting_rows: BTreeMap<String, usize>,
    /// All known versions.
    pub versions: Vec<VersionFacts>,
}

/// A version of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionFacts {
    /// The model.
    pub model: String,
    /// The version.
    pub version: String,
    /// `ready`, `loading` or `unavailable`.
    pub state: &'static str,
    /// Set if the version is served.
    pub serving: Option<ServingFacts>,
}

/// A version that is served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServingFacts {
    /// Time to load and warm it up, in seconds.
    pub load_seconds: f64,
    /// Execution provider.
    pub provider: &'static str,
    /// Whether the provider is the fallback for one that can't be used.
    pub fallback: bool,
    /// Whether requests share batches.
    pub shares_batches: bool,
    /// The reason.
    pub batching_reason: &'static str,
}

impl Snapshot {
    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let waiting = gauge(names::QUEUE_SIZE, "Rows in the queue", &[label::MODEL])?;
        // Always present, so that a queue that doesn't exist yet reads as empty.
        waiting.with_label_values(&[""]).set(0);
        for (model, &rows) in &self.waiting_rows {
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            waiting.with_label_values(&[model]).set(rows);
        }
        let info = gauge(
            names::MODEL_INFO,
            "Versions of models, by state",
            &[label::MODEL, label::VERSION, label::STATE],
        )?;
        let provider = gauge(
            names::EXECUTION_PROVIDER_INFO,
            "Execution provider of versions that are served",
            &[
                label::MODEL,
                label::VERSION,
                label::PROVIDER,
                label::FALLBACK,
            ],
        )?;
        let batching = gauge(
            names::BATCHING_INFO,
            "Whether requests share batches, and the reason, for versions that are served",
            &[label::MODEL, label::VERSION, label::ENABLED, label::REASON],
        )?;
        let help = "Time to load and warm up a version";
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
