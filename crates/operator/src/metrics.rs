//! The operator's own metrics.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use springtide_plan::Stage;

/// Bucket boundaries of the duration, in seconds. A reconcile without a change takes a few round trips to the API
/// server; one that waits for it may take up to a minute.
const DURATION_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// Outcome of a reconcile, as the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster is as the spec wants it.
    Success,
    /// The reconcile failed and is retried.
    Error,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

/// Values of the labels `image` and `upgrade`, by namespace and name.
type CurrentLabels = HashMap<(String, String), [String; 2]>;

/// The operator's metrics and their registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    errors: IntCounterVec,
    lost_events: IntCounter,
    leader: IntGauge,
    images: IntGaugeVec,
    /// The current labels of each ModelService in `images`.
    current: Arc<Mutex<CurrentLabels>>,
}

/// The upgrade stage of a ModelService, as the label `upgrade`.
const fn upgrade(stage: Stage) -> &'static str {
    match stage {
        Stage::Current => "none",
        Stage::Upgrading => "in_progress",
        Stage::Failed => "failed",
        Stage::Waiting(_) => "waiting",
    }
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    ///
    /// If two metrics have the same name, which is a bug in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reconciles = IntCounterVec::new(
            Opts::new(
                "springtide_operator_reconciles_total",
                "Reconciles of ModelServices, by outcome.",
            ),
            &["outcome"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "springtide_operator_reconcile_seconds",
                "Time that a reconcile took.",
            )
            .buckets(DURATION_BUCKETS.to_vec()),
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "springtide_operator_reconcile_errors_total",
                "Failed reconciles, by reason.",
            ),
            &["reason"],
        )?;
        let lost_events = IntCounter::new(
            "springtide_operator_events_lost_total",
            "Events on ModelServices that were not recorded: the API server rejected them, or the queue was full.",
        )?;
        let leader = IntGauge::new(
            "springtide_operator_leader",
            "1 if this replica is the leader or runs without leader election, otherwise 0.",
        )?;
        let images = IntGaugeVec::new(
            Opts::new(
                "springtide_operator_model_service_image",
                "1 for each ModelService. The labels are the image of its server and the stage of its upgrade.",
            ),
            &["namespace", "name", "image", "upgrade"],
        )?;
        registry.register(Box::new(images.clone()))?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(lost_events.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        for outcome in [Outcome::Success, Outcome::Error] {
            // For a rate, the series must exist before the first event.
            reconciles.get_metric_with_label_values(&[outcome.label()])?;
        }
        Ok(Self {
            registry,
            reconciles,
            duration,
            errors,
            lost_events,
            leader,
            images,
            current: Arc::default(),
        })
    }

    /// Sets the image and the upgrade stage of a ModelService.
    pub fn set_image(&self, namespace: &str, name: &str, image: &str, stage: Stage) {
        let now = [image.to_owned(), upgrade(stage).to_owned()];
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let before = current.insert((namespace.to_owned(), name.to_owned()), now.clone());
        if before.as_ref() == Some(&now) {
            return;
        }
        self.remove_series(namespace, name, before);
        let [image, upgrade] = &now;
        let labels = [namespace, name, image, upgrade];
        if let Ok(gauge) = self.images.get_metric_with_label_values(&labels) {
            gauge.set(1);
        }
    }

    /// Removes the series of a ModelService that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let before = current.remove(&(namespace.to_owned(), name.to_owned()));
        self.remove_series(namespace, name, before);
    }

    fn remove_series(&self, namespace: &str, name: &str, before: Option<[String; 2]>) {
        if let Some([image, upgrade]) = before {
            // The series exists: it was set before.
            let _ = self
                .images
                .remove_label_values(&[namespace, name, &image, &upgrade]);
        }
    }

    /// Counts a successful reconcile.
    pub fn succeeded(&self, took: Duration) {
        self.count(Outcome::Success, took);
    }

    /// Counts a failed reconcile, with its reason.
    pub fn failed(&self, reason: &str, took: Duration) {
        self.count(Outcome::Error, took);
        if let Ok(counter) = self.errors.get_metric_with_label_values(&[reason]) {
            counter.inc();
        }
    }

    /// Counts an event that wasn't recorded.
    pub fn lost_event(&self) {
        self.lost_events.inc();
    }

    /// Sets whether this replica is the leader.
    pub fn set_leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// If a metric can't be written as text, which is impossible for those of this file.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn count(&self, outcome: Outcome, took: Duration) {
        if let Ok(counter) = self
            .reconciles
            .get_metric_with_label_values(&[outcome.label()])
        {
            counter.inc();
        }
        self.duration.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use springtide_plan::UpgradeReadiness;

    use super::*;

    #[test]
    fn a_model_service_has_one_series_until_it_is_gone() {
        let metrics = Metrics::new().unwrap();
        let lines = || {
            let text = metrics.render().unwrap();
            let found = text
                .lines()
                .filter(|line| line.starts_with("springtide_operator_model_service_image{"));
            found.map(str::to_owned).collect::<Vec<_>>()
        };
        let line = |image: &str, upgrade: &str| {
            let labels =
                format!(r#"image="{image}",name="iris",namespace="models",upgrade="{upgrade}""#);
            format!("springtide_operator_model_service_image{{{labels}}} 1")
        };
        metrics.set_image(
            "models",
            "iris",
            "s:1",
            Stage::Waiting(UpgradeReadiness::Healthy),
        );
        assert_eq!(lines(), [line("s:1", "waiting")]);
        for (stage, upgrade) in [
            (Stage::Upgrading, "in_progress"),
            (Stage::Failed, "failed"),
            (Stage::Current, "none"),
            (Stage::Current, "none"),
        ] {
            metrics.set_image("models", "iris", "s:2", stage);
            assert_eq!(lines(), [line("s:2", upgrade)]);
        }
        metrics.forget("models", "other");
        metrics.forget("models", "iris");
        assert!(lines().is_empty());
    }

    #[test]
    fn every_metric_is_rendered() {
        let metrics = Metrics::new().unwrap();
        metrics.succeeded(Duration::from_millis(20));
        metrics.failed("Forbidden", Duration::from_millis(1));
        metrics.lost_event();
        metrics.set_leading(true);
        let text = metrics.render().unwrap();
        for line in [
            "springtide_operator_reconciles_total{outcome=\"success\"} 1",
            "springtide_operator_reconciles_total{outcome=\"error\"} 1",
            "springtide_operator_reconcile_errors_total{reason=\"Forbidden\"} 1",
            "springtide_operator_reconcile_seconds_count 2",
            "springtide_operator_events_lost_total 1",
            "springtide_operator_leader 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
    }
}
