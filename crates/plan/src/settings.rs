//! What the operator was installed with.

use std::{fmt, str::FromStr};

/// What the operator was installed with, as far as plans depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSettings {
    /// Image of the server where `spec.server.image` is left out.
    pub server_image: String,
    /// URL of the Prometheus that scrapes serving pods, where `spec.autoscaling.keda.prometheusAddress`
    /// is left out.
    pub prometheus_address: String,
    /// URLs that `spec.autoscaling.keda.prometheusAddress` may name besides that one.
    pub allowed_prometheus_addresses: Vec<String>,
    /// Name of the label in which these Prometheus have the namespace of a target that is a pod.
    pub namespace_label: LabelName,
    /// Name of the label in which they have the pod's name.
    pub pod_label: LabelName,
    /// Longest time between two scrapes of a serving pod by any of these Prometheus, in seconds.
    pub scrape_interval_seconds: u16,
}

impl OperatorSettings {
    /// Whether KEDA may be told to ask this Prometheus. It asks with rights of its own, whatever it is told.
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

/// Not the name of a label.
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
