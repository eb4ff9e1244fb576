//! Discovers the capabilities of the cluster.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::join;
use kube::{Client, Resource, core::GroupVersion, discovery};
use springtide_api::targets::Signal;
use springtide_plan::{Capabilities, ExternalMetrics, Platform, PodsMetrics, keda::ScaledObject};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::error::{Error, brief};

/// Interval of refreshes: the time until an installed component, or the removal of KEDA, is noticed.
const PERIOD: Duration = Duration::from_secs(10);

/// The versions of the custom metrics API, the one that the HPA controller prefers first
/// (`MetricVersions` of <https://pkg.go.dev/k8s.io/metrics/pkg/client/custom_metrics>).
const CUSTOM_METRICS: [&str; 2] = [
    "custom.metrics.k8s.io/v1beta2",
    "custom.metrics.k8s.io/v1beta1",
];

/// The version of the external metrics API, which KEDA registers
/// (<https://keda.sh/docs/latest/operate/metrics-server/>).
const EXTERNAL_METRICS: &str = "external.metrics.k8s.io/v1beta1";

/// The version of `OpenShift`'s security context constraints.
const SECURITY_CONTEXT_CONSTRAINTS: &str = "security.openshift.io/v1";

/// The capabilities of the cluster at the latest refresh. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ClusterCapabilities {
    capabilities: watch::Sender<Capabilities>,
    /// Whether a refresh has determined if KEDA is installed.
    knows_keda: Arc<AtomicBool>,
}

impl ClusterCapabilities {
    /// Discovers the capabilities again. Those that can't be determined stay as they were.
    pub async fn refresh(&self, client: &Client) {
        let (keda, pods_metrics, external_metrics, platform) = join!(
            timeout(PERIOD, serves_keda(client)),
            timeout(PERIOD, pods_metrics(client)),
            timeout(PERIOD, external_metrics(client)),
            timeout(PERIOD, platform(client)),
        );
        match &keda {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(error = brief(error), "KEDA could not be discovered"),
            Err(_) => warn!("KEDA could not be discovered in time"),
        }
        self.capabilities.send_if_modified(|known| {
            let before = known.clone();
            if let Ok(Ok(keda)) = keda {
                known.keda = keda;
                self.knows_keda.store(true, Ordering::Release);
            }
            match pods_metrics {
                Err(_) | Ok(PodsMetrics::Unknown) => {}
                Ok(pods_metrics) => known.pods_metrics = pods_metrics,
            }
            match external_metrics {
                Err(_) | Ok(ExternalMetrics::Unknown) => {}
                Ok(external_metrics) => known.external_metrics = external_metrics,
            }
            match platform {
                Err(_) | Ok(Platform::Unknown) => {}
                Ok(platform) => known.platform = platform,
            }
            let changed = *known != before;
            if changed {
                info!(
                    keda = known.keda,
                    external_metrics = ?known.external_metrics,
                    pods_metrics = ?known.pods_metrics,
                    platform = ?known.platform,
                    "the capabilities of the cluster changed"
                );
            }
            changed
        });
    }

    /// The capabilities. Before a refresh has determined whether KEDA is installed, the API server is asked.
    ///
    /// # Errors
    ///
    /// If the API server can't be asked.
    pub(crate) async fn current(&self, client: &Client) -> Result<Capabilities, Error> {
        let known = self.capabilities.borrow().clone();
        if self.knows_keda.load(Ordering::Acquire) {
            return Ok(known);
        }
        let keda = serves_keda(client)
            .await
            .map_err(Error::api("discovering KEDA"))?;
        Ok(Capabilities { keda, ..known })
    }

    /// A receiver of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Capabilities> {
        self.capabilities.subscribe()
    }
}

/// Refreshes the capabilities periodically.
pub(crate) async fn monitor(client: Client, known: ClusterCapabilities) {
    loop {
        sleep(PERIOD).await;
        known.refresh(&client).await;
    }
}

/// Whether KEDA's ScaledObject is served. The API server knows it, whatever the state of KEDA.
///
/// # Errors
///
/// If the API server can't be asked. That the kind isn't served is no error.
pub(crate) async fn serves_keda(client: &Client) -> Result<bool, kube::Error> {
    let version = GroupVersion::gv(&ScaledObject::group(&()), &ScaledObject::version(&()));
    match discovery::pinned_group(client, &version).await {
        Ok(group) => Ok(group.recommended_kind(&ScaledObject::kind(&())).is_some()),
        Err(error) if is_not_served(&error) => Ok(false),
        Err(kube::Error::Discovery(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The Pods metrics that the custom metrics API lists.
///
/// The adapter serves this API. While it is down, the API server responds with 503; with 404 only if no adapter is
/// registered. Every authenticated user may read the list, by the `ClusterRole` `system:discovery`.
async fn pods_metrics(client: &Client) -> PodsMetrics {
    let mut is_registered = false;
    for version in CUSTOM_METRICS {
        match client.list_api_group_resources(version).await {
            Ok(list) => {
                let names: BTreeSet<&str> = list
                    .resources
                    .iter()
                    .map(|resource| resource.name.as_str())
                    .collect();
                let is_listed = |signal: &Signal| {
                    let metric = signal.pods_metric();
                    metric.is_some_and(|metric| names.contains(format!("pods/{metric}").as_str()))
                };
                return PodsMetrics::Listed(Signal::ALL.into_iter().filter(is_listed).collect());
            }
            Err(error) if is_not_served(&error) => {}
            Err(error) => {
                warn!(
                    version,
                    error = brief(&error),
                    "Pods metrics could not be discovered"
                );
                is_registered = true;
            }
        }
    }
    if is_registered {
        PodsMetrics::Unknown
    } else {
        PodsMetrics::Absent
    }
}

/// Whether the external metrics API is registered. While KEDA, which serves it, is down, the API server responds with
/// 503.
async fn external_metrics(client: &Client) -> ExternalMetrics {
    match client.list_api_group_resources(EXTERNAL_METRICS).await {
        Ok(_) => ExternalMetrics::Registered,
        Err(error) if is_not_served(&error) => ExternalMetrics::Absent,
        Err(kube::Error::Api(status)) if status.code == 503 => ExternalMetrics::Registered,
        Err(error) => {
            warn!(
                error = brief(&error),
                "external metrics could not be discovered"
            );
            ExternalMetrics::Unknown
        }
    }
}

/// Whether security context constraints are served. They belong to `OpenShift`'s own API server; while it is down, the
/// response is 503.
async fn platform(client: &Client) -> Platform {
    match client
        .list_api_group_resources(SECURITY_CONTEXT_CONSTRAINTS)
        .await
    {
        Ok(_) => Platform::OpenShift,
        Err(error) if is_not_served(&error) => Platform::Kubernetes,
        Err(kube::Error::Api(status)) if status.code == 503 => Platform::OpenShift,
        Err(error) => {
            warn!(
                error = brief(&error),
                "the platform could not be discovered"
            );
            Platform::Unknown
        }
    }
}

/// The response for a group that isn't served is plain text without a reason.
fn is_not_served(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use springtide_testkit::{Aggregated, FakeApi, Fault, ResourceType};

    use super::*;

    /// A list of resources as an adapter has it, with metrics of others among them.
    fn listing(signals: &[Signal]) -> Aggregated {
        let ours = signals
            .iter()
            .map(|signal| format!("pods/{}", signal.pods_metric().unwrap()));
        let others = ["pods/http_requests", "namespaces/springtide_queue_size"];
        Aggregated::Resources(ours.chain(others.map(str::to_owned)).collect())
    }

    fn pods_metrics_of(known: &ClusterCapabilities) -> PodsMetrics {
        known.subscribe().borrow().pods_metrics.clone()
    }

    fn external_metrics_of(known: &ClusterCapabilities) -> ExternalMetrics {
        known.subscribe().borrow().external_metrics
    }

    fn listed(signals: &[Signal]) -> PodsMetrics {
        PodsMetrics::Listed(signals.iter().copied().collect())
    }

    #[tokio::test(start_paused = true)]
    async fn installation_and_removal_of_keda_are_discovered() {
        let fake = FakeApi::new();
        let keda = ResourceType::of::<ScaledObject>();
        let known = ClusterCapabilities::default();
        let mut found = known.subscribe();
        let looking = tokio::spawn(monitor(fake.client(), known));
        let mut until = async |is_it: fn(&Capabilities) -> bool| {
            let found = timeout(2 * PERIOD, found.wait_for(is_it)).await;
            drop(found.unwrap().unwrap());
        };
        fake.install(keda.clone());
        until(|now| now.keda && now.pods_metrics == PodsMetrics::Absent).await;
        fake.register(CUSTOM_METRICS[1], listing(&[Signal::QueueSize]));
        until(|now| now.pods_metrics == listed(&[Signal::QueueSize])).await;
        fake.uninstall(&keda);
        until(|now| !now.keda).await;
        fake.unregister(CUSTOM_METRICS[1]);
        until(|now| now.pods_metrics == PodsMetrics::Absent).await;
        looking.abort();
    }

    #[tokio::test]
    async fn a_failed_discovery_keeps_the_state_of_keda() {
        let fake = FakeApi::new();
        fake.install(ResourceType::of::<ScaledObject>());
        fake.inject(1, Fault::Status(503));
        assert!(serves_keda(&fake.client()).await.is_err());
        assert!(serves_keda(&fake.client()).await.unwrap());
    }

    #[tokio::test]
    async fn the_group_without_the_kind_is_no_keda() {
        let fake = FakeApi::new();
        fake.install(ResourceType::new(
            "keda.sh",
            "v1alpha1",
            "scaledjobs",
            "ScaledJob",
        ));
        assert!(!serves_keda(&fake.client()).await.unwrap());
    }

    #[tokio::test]
    async fn pods_metrics_are_discovered_in_either_version() {
        let all = Signal::of_server().collect::<Vec<_>>();
        for (first, second, expected) in [
            (None, None, PodsMetrics::Absent),
            (Some(listing(&all)), None, listed(&all)),
            (None, Some(listing(&all[..2])), listed(&all[..2])),
            (None, Some(listing(&[])), listed(&[])),
            (Some(Aggregated::Unavailable), None, PodsMetrics::Unknown),
            (None, Some(Aggregated::Unavailable), PodsMetrics::Unknown),
            (
                Some(Aggregated::Unavailable),
                Some(listing(&all)),
                listed(&all),
            ),
        ] {
            let fake = FakeApi::new();
            for (version, api) in CUSTOM_METRICS.into_iter().zip([first, second]) {
                if let Some(api) = api {
                    fake.register(version, api);
                }
            }
            assert_eq!(pods_metrics(&fake.client()).await, expected);
        }
    }

    #[tokio::test]
    async fn an_unavailable_adapter_keeps_the_known_metrics() {
        let fake = FakeApi::new();
        let known = ClusterCapabilities::default();
        fake.register(CUSTOM_METRICS[0], Aggregated::Unavailable);
        known.refresh(&fake.client()).await;
        assert_eq!(pods_metrics_of(&known), PodsMetrics::Unknown);
        let all = listed(&Signal::of_server().collect::<Vec<_>>());
        fake.register(
            CUSTOM_METRICS[0],
            listing(&Signal::of_server().collect::<Vec<_>>()),
        );
        known.refresh(&fake.client()).await;
        assert_eq!(pods_metrics_of(&known), all);
        for fault in [Fault::Status(500), Fault::Status(403), Fault::Refused] {
            // KEDA, both versions, the external metrics API, and the platform.
            for call in 1..=5 {
                fake.inject(call, fault);
            }
            known.refresh(&fake.client()).await;
            fake.clear_faults();
            assert_eq!(pods_metrics_of(&known), all, "{fault:?}");
        }
        fake.register(CUSTOM_METRICS[0], Aggregated::Unavailable);
        known.refresh(&fake.client()).await;
        assert_eq!(pods_metrics_of(&known), all);
    }

    #[tokio::test]
    async fn unavailable_keda_stays_registered_and_removed_keda_does_not() {
        let fake = FakeApi::new();
        let known = ClusterCapabilities::default();
        assert_eq!(external_metrics_of(&known), ExternalMetrics::Unknown);
        let look = async |api: Option<Aggregated>| {
            match api {
                Some(api) => fake.register(EXTERNAL_METRICS, api),
                None => fake.unregister(EXTERNAL_METRICS),
            }
            known.refresh(&fake.client()).await;
            external_metrics_of(&known)
        };
        assert_eq!(look(None).await, ExternalMetrics::Absent);
        let down = Some(Aggregated::Unavailable);
        assert_eq!(look(down).await, ExternalMetrics::Registered);
        assert_eq!(look(None).await, ExternalMetrics::Absent);
        let answers = Some(Aggregated::Resources(Vec::new()));
        assert_eq!(look(answers).await, ExternalMetrics::Registered);
        for fault in [Fault::Status(500), Fault::Status(403), Fault::Refused] {
            fake.unregister(EXTERNAL_METRICS);
            for call in 1..=5 {
                fake.inject(call, fault);
            }
            known.refresh(&fake.client()).await;
            fake.clear_faults();
            let known = external_metrics_of(&known);
            assert_eq!(known, ExternalMetrics::Registered, "{fault:?}");
        }
    }

    #[tokio::test]
    async fn openshift_is_discovered_by_its_constraints_and_kept_during_failures() {
        let fake = FakeApi::new();
        let known = ClusterCapabilities::default();
        assert_eq!(known.capabilities.borrow().platform, Platform::Unknown);
        known.refresh(&fake.client()).await;
        assert_eq!(known.capabilities.borrow().platform, Platform::Kubernetes);
        for api in [Aggregated::Unavailable, Aggregated::Resources(Vec::new())] {
            fake.register(SECURITY_CONTEXT_CONSTRAINTS, api);
            known.refresh(&fake.client()).await;
            assert_eq!(known.capabilities.borrow().platform, Platform::OpenShift);
        }
        fake.unregister(SECURITY_CONTEXT_CONSTRAINTS);
        for call in 1..=5 {
            fake.inject(call, Fault::Status(500));
        }
        known.refresh(&fake.client()).await;
        fake.clear_faults();
        assert_eq!(known.capabilities.borrow().platform, Platform::OpenShift);
    }

    #[tokio::test(start_paused = true)]
    async fn an_adapter_without_a_response_does_not_prevent_the_discovery_of_keda() {
        let fake = FakeApi::new();
        fake.install(ResourceType::of::<ScaledObject>());
        let known = ClusterCapabilities::default();
        // KEDA is asked for first.
        fake.inject(2, Fault::Stall);
        let begun = tokio::time::Instant::now();
        known.refresh(&fake.client()).await;
        assert!(begun.elapsed() <= PERIOD);
        assert!(known.subscribe().borrow().keda);
        assert_eq!(pods_metrics_of(&known), PodsMetrics::Unknown);
    }
}
