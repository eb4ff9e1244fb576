//! What the operator was installed with.

/// What the operator was installed with, as far as plans depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSettings {
    /// Image of the server where `spec.server.image` is left out.
    pub server_image: String,
    /// URL of the Prometheus that scrapes serving pods, where `spec.autoscaling.keda.prometheusAddress`
    /// is left out.
    pub prometheus_address: String,
    /// Longest time between two scrapes of a serving pod by any of these Prometheus, in seconds.
    pub scrape_interval_seconds: u16,
}
