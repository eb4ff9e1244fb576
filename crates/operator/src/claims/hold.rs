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

/// Labels of the leases: the class of operators, and whether the claim is on all namespaces.
const CLASS: &str = "serving.springtide.dev/operator-class";
const REACH: &str = "serving.springtide.dev/claim";
const ON_ALL: &str = "AllNamespaces";
const ON_ONE: &str = "Namespace";

/// Validity of a claim after its latest renewal, and the interval of renewals.
const DURATION: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_secs(15);

/// Holds the claims of an operator with this scope and the namespace `home`, while it is polled.
pub async fn hold(client: Client, claims: Claims, scope: Scope, home: String) {
    match scope {
        Scope::Cluster => {
            claims.change(|known| known.outstanding = 2);
            tokio::join!(
                claim(&client, &claims, &home, true),
                watch(&client, &claims),
            );
        }
        Scope::Namespaces(namespaces) => {
            claims.change(|known| known.outstanding = namespaces.len());
            let claiming = namespaces.into_iter().map(async |namespace| {
                claim(&client, &claims, &namespace.to_string(), false).await;
            });
            join_all(claiming).await;
        }
    }
}

/// Claims all namespaces by a lease in this one, or only this one.
async fn claim(client: &Client, claims: &Claims, namespace: &str, is_on_all: bool) {
    let class = claims.class().to_string();
    let reach = if is_on_all { ON_ALL } else { ON_ONE };
    let name = if is_on_all {
        format!("springtide-all-{class}")
    } else {
        format!("springtide-{class}")
    };
    let election = Election {
        namespace: namespace.to_owned(),
        name: name.clone(),
        identity: claims.me().to_owned(),
        labels: BTreeMap::from([
            (CLASS.to_owned(), class),
            (REACH.to_owned(), reach.to_owned()),
        ]),
        lease_duration: DURATION,
        renew_deadline: DURATION / 2,
        retry_period: PERIOD,
    };
    let mut candidate = Candidate::new(client.clone(), election, Readiness::default());
    let place = (namespace.to_owned(), name);
    let mut is_first = true;
    let mut former = None;
    candidate
        .claim(|seen| {
            claims.change(|known| {
                known.outstanding -= usize::from(std::mem::take(&mut is_first));
                let Some((lease, created)) = seen else { return };
                if former.as_ref() != Some(&lease.record.holder) {
                    info!(namespace, holder = lease.record.holder, "claim");
                    former = Some(lease.record.holder.clone());
                }
                known.claims.insert(
                    place.clone(),
                    Claim {
                        is_on_all,
                        created,
                        lease,
                    },
                );
            });
        })
        .await;
}

/// Watches the claims of operators of this class in all namespaces.
async fn watch(client: &Client, claims: &Claims) {
    let selected = watcher::Config::default().labels(&format!("{CLASS}={}", claims.class()));
    let leases = Api::<Lease>::all(client.clone());
    let mut events = Box::pin(watcher(leases, selected).default_backoff());
    let mut is_first = true;
    while let Some(event) = events.next().await {
        let lists = matches!(event, Ok(Event::InitDone) | Err(_));
        match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => take(claims, &lease),
            Ok(Event::Delete(lease)) => {
                let place = place(&lease);
                claims.change(|known| known.claims.remove(&place));
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) if is_first => {
                warn!(%error, "the claims of other operators can't be watched: two operators with the same namespaces would revert each other's writes");
            }
            Err(error) => debug!(%error, "claims"),
        }
        if lists && is_first {
            is_first = false;
            claims.change(|known| known.outstanding -= 1);
        }
    }
}

fn place(lease: &Lease) -> (String, String) {
    (lease.namespace().unwrap_or_default(), lease.name_any())
}

fn take(claims: &Claims, lease: &Lease) {
    let is_on_all = lease
        .labels()
        .get(REACH)
        .is_some_and(|reach| reach == ON_ALL);
    claims.change(|known| {
        let place = place(lease);
        let before = known.claims.remove(&place).map(|claim| claim.lease);
        let claim = Claim {
            is_on_all,
            created: lease.creation_timestamp().map(|time| time.0),
            lease: Observed::update(before, record(lease), Instant::now()),
        };
        known.claims.insert(place, claim);
    });
}
