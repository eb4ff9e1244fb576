//! Addons of the cluster, which a test can stop for a while.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::cluster::Cluster;
use crate::json::number;
use crate::kind;
use crate::wait::{Look, until};

/// Maximum time until an addon has started or is gone.
const LIMIT: Duration = Duration::from_secs(90);

/// A Deployment of an addon, and its Service of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addon {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Label selector of its pods.
    labels: &'static str,
}

/// Serving signals, for KEDA and for the custom metrics API.
pub const PROMETHEUS: Addon = Addon {
    namespace: "monitoring",
    name: "prometheus",
    labels: "app.kubernetes.io/name=prometheus",
};
/// CPU and memory, for every HPA.
pub const METRICS_SERVER: Addon = Addon {
    namespace: "kube-system",
    name: "metrics-server",
    labels: "k8s-app=metrics-server",
};
/// The external metrics of the HPAs that KEDA creates.
pub const KEDA_METRICS_API_SERVER: Addon = Addon {
    namespace: "keda",
    name: "keda-metrics-apiserver",
    labels: "app=keda-metrics-apiserver",
};

/// All addons.
pub const ALL: [Addon; 3] = [PROMETHEUS, METRICS_SERVER, KEDA_METRICS_API_SERVER];

impl Addon {
    /// Deletes all its pods, and waits until they are gone.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request, or if the pods are not gone in time.
    pub async fn stop(self, cluster: &Cluster) -> Result<()> {
        self.scale(cluster, 0).await?;
        until(&format!("{} to be gone", self.name), LIMIT, async || {
            let pods = cluster
                .list(Some(self.namespace), kind::POD, self.labels)
                .await?;
            Ok(Look::at(pods.is_empty(), || format!("{} pods", pods.len())))
        })
        .await?;
        Ok(())
    }

    /// [`start`](Self::start), if the cluster has the addon.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request, or if it isn't ready in time.
    pub async fn start_where_installed(self, cluster: &Cluster) -> Result<()> {
        match cluster
            .find(self.namespace, kind::DEPLOYMENT, self.name)
            .await?
        {
            Some(_deployment) => self.start(cluster).await,
            None => Ok(()),
        }
    }

    /// Starts it again, if it was stopped, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request, or if it isn't ready in time.
    pub async fn start(self, cluster: &Cluster) -> Result<()> {
        let deployment = cluster
            .get(self.namespace, kind::DEPLOYMENT, self.name)
            .await?;
        if number(&deployment, "/spec/replicas") == 0 {
            self.scale(cluster, 1).await?;
        }
        until(&format!("{} to be ready", self.name), LIMIT, async || {
            let deployment = cluster
                .get(self.namespace, kind::DEPLOYMENT, self.name)
                .await?;
            let ready = number(&deployment, "/status/readyReplicas") >= 1;
            Ok(Look::at(ready, || deployment["status"].to_string()))
        })
        .await?;
        Ok(())
    }

    async fn scale(self, cluster: &Cluster, replicas: i64) -> Result<()> {
        let change = json!({"spec": {"replicas": replicas}});
        cluster
            .merge(self.namespace, kind::DEPLOYMENT, self.name, &change)
            .await?;
        Ok(())
    }
}
