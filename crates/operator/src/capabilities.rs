//! What this cluster can do, found by discovery.

use std::time::Duration;

use kube::{Client, Resource, core::GroupVersion, discovery};
use springtide_plan::{Capabilities, keda::ScaledObject};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::error::brief;

/// Time between two looks: how soon KEDA is found after it was installed, or missed after it was
/// removed.
const PERIOD: Duration = Duration::from_secs(10);

/// Asks the API server what it serves.
///
/// # Errors
///
/// Where it can't be asked. That something isn't served is an answer, not an error.
pub async fn discover(client: &Client) -> Result<Capabilities, kube::Error> {
    let version = GroupVersion::gv(&ScaledObject::group(&()), &ScaledObject::version(&()));
    let keda = match discovery::pinned_group(client, &version).await {
        Ok(group) => group.recommended_kind(&ScaledObject::kind(&())).is_some(),
        // The answer for a group that isn't served is plain text, with no reason to read.
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(kube::Error::Discovery(_)) => false,
        Err(error) => return Err(error),
    };
    Ok(Capabilities {
        keda,
        ..Capabilities::default()
    })
}

/// Looks again and again, and tells `found` when something has changed.
pub async fn monitor(client: Client, found: watch::Sender<Capabilities>) {
    loop {
        match timeout(PERIOD, discover(&client)).await {
            Ok(Ok(capabilities)) => {
                let keda = capabilities.keda;
                let changed = found.send_if_modified(|known| {
                    let changed = *known != capabilities;
                    *known = capabilities;
                    changed
                });
                if changed {
                    info!(keda, "capabilities of the cluster changed");
                }
            }
            Ok(Err(error)) => warn!(error = brief(&error), "discovery"),
            Err(_) => warn!("discovery: no answer in time"),
        }
        sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use springtide_testkit::{FakeApi, Fault, ResourceType};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keda_is_found_when_it_comes_and_missed_when_it_goes() {
        let fake = FakeApi::new();
        let keda = ResourceType::of::<ScaledObject>();
        let (sender, mut found) = watch::channel(Capabilities::default());
        let looking = tokio::spawn(monitor(fake.client(), sender));
        fake.install(keda.clone());
        timeout(2 * PERIOD, found.wait_for(|now| now.keda))
            .await
            .unwrap()
            .unwrap();
        fake.uninstall(&keda);
        timeout(2 * PERIOD, found.wait_for(|now| !now.keda))
            .await
            .unwrap()
            .unwrap();
        looking.abort();
    }

    #[tokio::test]
    async fn a_server_that_fails_says_nothing_about_keda() {
        let fake = FakeApi::new();
        fake.install(ResourceType::of::<ScaledObject>());
        fake.inject(1, Fault::Status(503));
        assert!(discover(&fake.client()).await.is_err());
        assert!(discover(&fake.client()).await.unwrap().keda);
    }

    #[tokio::test]
    async fn the_group_without_the_kind_is_not_keda() {
        let fake = FakeApi::new();
        fake.install(ResourceType::new(
            "keda.sh",
            "v1alpha1",
            "scaledjobs",
            "ScaledJob",
        ));
        assert!(!discover(&fake.client()).await.unwrap().keda);
    }
}
