//! The operator's installation settings.

use std::{fmt, str::FromStr};

/// The operator's installation settings, as far as plans depend on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSettings {
    /// Default of `spec.server.image`.
    pub server_image: String,
    /// URL of the Prometheus that scrapes serving pods: the default of `spec.autoscaling.keda.prometheusAddress`.
    pub prometheus_address: String,
    /// Other URLs that `spec.autoscaling.keda.prometheusAddress` may have.
    pub allowed_prometheus_addresses: Vec<String>,
    /// Prometheus label with the namespace of a pod target.
    pub namespace_label: LabelName,
    /// Prometheus label with the name of a pod target.
    pub pod_label: LabelName,
    /// Maximum scrape interval for serving pods of any of these Prometheus servers, in seconds.
    pub scrape_interval_seconds: u16,
}

impl OperatorSettings {
    /// Whether the spec may direct KEDA to this Prometheus. KEDA queries it with its own credentials.
    pub(crate) fn allows_prometheus(&self, address: &str) -> bool {
        let address = address.trim_end_matches('/');
        self.allowed_prometheus_addresses
            .iter()
            .chain([&self.prometheus_address])
            .any(|allowed| allowed.trim_end_matches('/') == address)
    }
}

/// Name of a label in Prometheus
/// (<https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelName(String);

/// An invalid label name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must consist of letters, digits and _, and not begin with a digit")]
pub struct InvalidLabelName;

impl FromStr for LabelName {
    type Err = InvalidLabelName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let begins = text
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit());
        if begins && text.bytes().all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidLabelName)
        }
    }
}

impl fmt::Display for LabelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
