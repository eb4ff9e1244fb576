//! The settings of the operator: flags and environment variables.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    str::FromStr,
};

use clap::{ArgAction, Parser};
use springtide_plan::{LabelName, OperatorSettings, UpgradePolicy};

use crate::{
    claims::{DEFAULT_CLASS, OperatorClass},
    scope::{Namespace, Scope},
};

/// Kubernetes operator that maintains a Deployment, a Service, a PodDisruptionBudget and an autoscaler for each
/// ModelService.
///
/// Runs in a cluster with the permissions from its Helm chart, or outside with the permissions of the current
/// kubeconfig context.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "springtide-operator",
    version,
    after_help = "Examples:\n  \
        # Watch all namespaces:\n  \
        springtide-operator --server-image registry.example.com/springtide-server:0.1.0\n\n  \
        # Run the operator of a checkout against the current kubeconfig context:\n  \
        springtide-operator --leader-election=false --watch-namespaces default --log-format text"
)]
pub struct Settings {
    /// Server image of ModelServices without spec.server.image.
    #[arg(
        long,
        env = "SERVER_IMAGE",
        default_value = concat!("ghcr.io/springtide/springtide-server:", env!("CARGO_PKG_VERSION"))
    )]
    pub server_image: String,

    /// Address of the Prometheus server that KEDA queries for serving signals if
    /// spec.autoscaling.keda.prometheusAddress is not set.
    #[arg(
        long,
        env = "PROMETHEUS_ADDRESS",
        default_value = "http://prometheus.monitoring.svc:9090"
    )]
    pub prometheus_address: String,

    /// Further Prometheus addresses that spec.autoscaling.keda.prometheusAddress may name, separated by commas. KEDA
    /// queries them with its own permissions, regardless of the author of the ModelService.
    #[arg(long, env = "ALLOWED_PROMETHEUS_ADDRESSES", value_delimiter = ',')]
    pub allowed_prometheus_addresses: Vec<String>,

    /// Label with the namespace of a scraped pod. It must come from Prometheus' own service discovery, never from the
    /// pod.
    #[arg(long, env = "NAMESPACE_LABEL", default_value = "namespace")]
    pub namespace_label: LabelName,

    /// Label with the name of a scraped pod. It must come from Prometheus' own service discovery, never from the pod.
    #[arg(long, env = "POD_LABEL", default_value = "pod")]
    pub pod_label: LabelName,

    /// Scrape interval of serving pods, in seconds. It must be at least the interval of this Prometheus server and of
    /// any other that a ModelService names. Rates use a window of four times this interval.
    #[arg(
        long,
        env = "SCRAPE_INTERVAL_SECONDS",
        default_value = "15",
        value_parser = clap::value_parser!(u16).range(1..=300)
    )]
    pub scrape_interval_seconds: u16,

    /// Namespaces to watch, separated by commas. The operator needs no permissions in other namespaces [default: all].
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<Namespace>,

    /// Class of this operator. It manages the ModelServices with this spec.operatorClass; the class `springtide` also
    /// manages those without one.
    #[arg(long, env = "OPERATOR_CLASS", default_value = DEFAULT_CLASS)]
    pub operator_class: OperatorClass,

    /// Former name of --watch-namespaces, for one namespace. Read for one more release.
    #[arg(long, env = "WATCH_NAMESPACE", hide = true)]
    pub watch_namespace: Option<Namespace>,

    /// Maximum number of ModelServices that are reconciled at the same time.
    #[arg(long, env = "CONCURRENCY", default_value = "8")]
    pub concurrency: NonZeroU16,

    /// Maximum number of ModelServices whose pods are replaced at the same time during an upgrade. An upgrade is a
    /// change of the pods by a new default server image or another operator version. A change of a ModelService is
    /// applied at once.
    #[arg(long, env = "UPGRADE_MAX_CONCURRENT", default_value = "5")]
    pub upgrade_max_concurrent: NonZeroU16,

    /// Pause the upgrade of further pods while the pods of one ModelService do not become available.
    #[arg(long, env = "UPGRADE_PAUSE_ON_FAILURE", default_value = "true", action = ArgAction::Set)]
    pub upgrade_pause_on_failure: bool,

    /// Address of /healthz, /readyz and /metrics, such as 127.0.0.1:8080. A port alone means all addresses, over IPv6
    /// and IPv4.
    #[arg(
        long,
        env = "LISTEN",
        default_value = ":8080",
        value_name = "[HOST]:PORT"
    )]
    pub listen: ListenAddress,

    /// Serve /metrics only to clients whose bearer token the API server accepts and whose account may get the path
    /// /metrics. Requires permission to create TokenReviews and SubjectAccessReviews.
    #[arg(long, env = "METRICS_AUTHENTICATION", default_value = "false", action = ArgAction::Set)]
    pub metrics_authentication: bool,

    /// Act only while holding the leader election lease, so that several replicas can run.
    #[arg(long, env = "LEADER_ELECTION", default_value = "true", action = ArgAction::Set)]
    pub leader_election: bool,

    /// Name of the leader election lease.
    #[arg(long, env = "LEASE_NAME", default_value = "springtide-operator")]
    pub lease_name: String,

    /// Namespace of the leader election lease [default: the namespace of the pod, or of the kubeconfig context].
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Identity of this replica in the lease and in events [default: the host name and the process ID].
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,

    /// Log filter: log levels by module.
    #[arg(long, env = "LOG_FILTER", default_value = "info,kube=warn")]
    pub log_filter: String,

    /// Log format.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// Address of /healthz, /readyz and /metrics: `HOST:PORT`, or `:PORT` for all addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress {
    /// The IP address, if one is named.
    pub host: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let explained = |error: &dyn fmt::Display| {
            format!("{error}: it must be like :8080, 127.0.0.1:8080 or [::1]:8080")
        };
        if let Some(port) = text.strip_prefix(':')
            && !port.starts_with(':')
        {
            let port = port.parse().map_err(|error| explained(&error))?;
            return Ok(Self { host: None, port });
        }
        let named: SocketAddr = text.parse().map_err(|error| explained(&error))?;
        Ok(Self {
            host: Some(named.ip()),
            port: named.port(),
        })
    }
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Human-readable text.
    Text,
}

impl Settings {
    /// The upgrade policy.
    #[must_use]
    pub const fn upgrades(&self) -> UpgradePolicy {
        UpgradePolicy {
            max_concurrent: self.upgrade_max_concurrent,
            pause_on_failure: self.upgrade_pause_on_failure,
        }
    }

    /// The settings that plans depend on.
    #[must_use]
    pub fn for_plans(&self) -> OperatorSettings {
        OperatorSettings {
            server_image: self.server_image.clone(),
            prometheus_address: self.prometheus_address.clone(),
            allowed_prometheus_addresses: self.allowed_prometheus_addresses.clone(),
            namespace_label: self.namespace_label.clone(),
            pod_label: self.pod_label.clone(),
            scrape_interval_seconds: self.scrape_interval_seconds,
        }
    }

    /// The watched namespaces.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let names = self.watch_namespaces.iter().chain(&self.watch_namespace);
        names.cloned().collect()
    }

    /// The identity of this replica.
    #[must_use]
    pub fn identity(&self) -> String {
        self.identity.clone().unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let host = Some(host.trim())
                .filter(|host| !host.is_empty())
                .unwrap_or("springtide-operator");
            format!("{host}-{}", std::process::id())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Settings::command().debug_assert();
    }

    #[test]
    fn namespaces_are_watched_by_either_name_of_the_flag() {
        let scope = |flags: &[&str]| {
            let program = ["springtide-operator"];
            Settings::try_parse_from(program.iter().chain(flags))
                .unwrap()
                .scope()
        };
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        assert_eq!(scope(&[]), Scope::Cluster);
        for flags in [
            &["--watch-namespaces=a,b"][..],
            &["--watch-namespaces", "a", "--watch-namespaces", "b"],
            &["--watch-namespaces=a,b", "--watch-namespace=a"],
        ] {
            let expected: Scope = names(&["a", "b"]);
            assert_eq!(scope(flags), expected, "{flags:?}");
        }
        let former: Scope = names(&["a"]);
        assert_eq!(scope(&["--watch-namespace=a"]), former);
    }

    /// Clusters of IPv6 alone need all addresses, and the machine decides which there are.
    #[test]
    fn the_operator_listens_on_all_addresses_by_default() {
        let at = |flags: &[&str]| {
            let program = ["springtide-operator"];
            let settings = Settings::try_parse_from(program.iter().chain(flags)).unwrap();
            (settings.listen.host, settings.listen.port)
        };
        assert_eq!(at(&[]), (None, 8080));
        assert_eq!(at(&["--listen=:9000"]), (None, 9000));
        let any = Some(Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(at(&["--listen=0.0.0.0:8080"]), (any, 8080));
        let local = Some(Ipv6Addr::LOCALHOST.into());
        assert_eq!(at(&["--listen=[::1]:9000"]), (local, 9000));
    }

    #[test]
    fn valid_flags_are_parsed_and_invalid_ones_rejected() {
        let settings = Settings::try_parse_from([
            "springtide-operator",
            "--server-image=server:1",
            "--leader-election=false",
            "--allowed-prometheus-addresses=http://a:9090,http://b:9090",
            "--pod-label=kubernetes_pod_name",
        ])
        .unwrap();
        assert_eq!(settings.for_plans().server_image, "server:1");
        assert!(!settings.leader_election);
        assert!(!settings.metrics_authentication);
        let plans = settings.for_plans();
        assert_eq!(plans.scrape_interval_seconds, 15);
        assert_eq!(
            plans.allowed_prometheus_addresses,
            ["http://a:9090", "http://b:9090"]
        );
        assert_eq!(plans.pod_label.to_string(), "kubernetes_pod_name");
        assert_eq!(plans.namespace_label.to_string(), "namespace");
        for bad in [
            "--concurrency=0",
            "--listen=8080",
            "--listen=:",
            "--listen=::1:",
            "--listen=:80800",
            "--listen=localhost:8080",
            "--scrape-interval-seconds=0",
            "--scrape-interval-seconds=301",
            "--pod-label=",
            "--pod-label=1pod",
            "--namespace-label=namespace,pod",
            "--watch-namespaces=",
            "--watch-namespaces=a,,b",
            "--watch-namespaces=a/b",
            "--watch-namespace=*",
            "--unknown",
        ] {
            assert!(
                Settings::try_parse_from(["springtide-operator", bad]).is_err(),
                "{bad}"
            );
        }
    }
}
