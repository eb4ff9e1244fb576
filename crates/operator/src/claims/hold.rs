//! Holds this operator's claims, and watches those of other operators.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, future::join_all};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Claim, Claims};
use crate::{
    leader::{Candidate, Election, Observed, record},
    readiness::Readiness,
    scope::Scope,
};

/// Label of a lease with the class of operators.
const CLASS_LABEL: &str = "serving.springtide.dev/operator-class";

/// Label of a lease with the scope of the claim: [`ALL_NAMESPACES`] or [`ONE_NAMESPACE`].
const SCOPE_LABEL: &str = "serving.springtide.dev/claim";
const ALL_NAMESPACES: &str = "AllNamespaces";
const ONE_NAMESPACE: &str = "Namespace";

/// Validity of a claim after its latest renewal.
const CLAIM_DURATION: Duration = Duration::from_secs(60);

/// Interval of renewals.
const RENEWAL_PERIOD: Duration = Duration::from_secs(15);

/// Holds the claims of an operator with this scope and the namespace `home`, while it is polled.
pub async fn hold(client: Client, claims: Claims, scope: Scope, home: String) {
    match scope {
        Scope::Cluster => {
            claims.change(|known| known.outstanding = 2);
            tokio::join!(
                hold_claim(&client, &claims, &home, true),
                watch_claims(&client, &claims),
            );
        }
        Scope::Namespaces(namespaces) => {
            claims.change(|known| known.outstanding = namespaces.len());
            let holding = namespaces.into_iter().map(async |namespace| {
                hold_claim(&client, &claims, &namespace.to_string(), false).await;
            });
            join_all(holding).await;
        }
    }
}

/// Holds a lease in `namespace`, as a claim on all namespaces or only on this one.
async fn hold_claim(client: &Client, claims: &Claims, namespace: &str, is_cluster_wide: bool) {
    let class = claims.class().to_string();
    let scope = if is_cluster_wide {
        ALL_NAMESPACES
    } else {
        ONE_NAMESPACE
    };
    let name = if is_cluster_wide {
        format!("springtide-all-{class}")
    } else {
        format!("springtide-{class}")
    };
    let election = Election {
        namespace: namespace.to_owned(),
        name: name.clone(),
        identity: claims.identity().to_owned(),
        labels: BTreeMap::from([
            (CLASS_LABEL.to_owned(), class),
            (SCOPE_LABEL.to_owned(), scope.to_owned()),
        ]),
        lease_duration: CLAIM_DURATION,
        renew_deadline: CLAIM_DURATION / 2,
        retry_period: RENEWAL_PERIOD,
    };
    let mut candidate = Candidate::new(client.clone(), election, Readiness::default());
    let key = (namespace.to_owned(), name);
    let mut is_first = true;
    let mut previous_holder = None;
    candidate
        .hold_when_free(|observed| {
            claims.change(|known| {
                known.outstanding -= usize::from(std::mem::take(&mut is_first));
                let Some((lease, created)) = observed else {
                    return;
                };
                if previous_holder.as_ref() != Some(&lease.record.holder) {
                    info!(
                        namespace,
                        holder = lease.record.holder,
                        "a claim has a new holder"
                    );
                    previous_holder = Some(lease.record.holder.clone());
                }
                known.claims.insert(
                    key.clone(),
                    Claim {
                        is_cluster_wide,
                        created,
                        lease,
                    },
                );
            });
        })
        .await;
}

/// Watches the claims of operators of this class in all namespaces.
async fn watch_claims(client: &Client, claims: &Claims) {
    let config = watcher::Config::default().labels(&format!("{CLASS_LABEL}={}", claims.class()));
    let leases = Api::<Lease>::all(client.clone());
    let mut events = Box::pin(watcher(leases, config).default_backoff());
    let mut is_first = true;
    while let Some(event) = events.next().await {
        let ends_list = matches!(event, Ok(Event::InitDone) | Err(_));
        match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => update_claim(claims, &lease),
            Ok(Event::Delete(lease)) => {
                let key = lease_key(&lease);
                claims.change(|known| known.claims.remove(&key));
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) if is_first => {
                warn!(%error, "the claims of other operators can't be watched: two operators with the same namespaces would revert each other's writes");
            }
            Err(error) => debug!(%error, "the claims of other operators can't be watched"),
        }
        if ends_list && is_first {
            is_first = false;
            claims.change(|known| known.outstanding -= 1);
        }
    }
}

/// Namespace and name of a lease.
fn lease_key(lease: &Lease) -> (String, String) {
    (lease.namespace().unwrap_or_default(), lease.name_any())
}

/// Records the claim of a lease that the watch reported.
fn update_claim(claims: &Claims, lease: &Lease) {
    let is_cluster_wide = lease
        .labels()
        .get(SCOPE_LABEL)
        .is_some_and(|scope| scope == ALL_NAMESPACES);
    claims.change(|known| {
        let key = lease_key(lease);
        let previous = known.claims.remove(&key).map(|claim| claim.lease);
        let claim = Claim {
            is_cluster_wide,
            created: lease.creation_timestamp().map(|time| time.0),
            lease: Observed::update(previous, record(lease), Instant::now()),
        };
        known.claims.insert(key, claim);
    });
}
