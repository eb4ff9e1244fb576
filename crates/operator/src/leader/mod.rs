//! Leader election: one of several replicas acts.
//!
//! The lease is created or replaced with its resource version as a precondition: of two candidates that want it at the
//! same time, one gets a conflict. A leader that can't renew in time stops before its lease expires for the others:
//! the process exits.

mod evaluate;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::{
    error::brief,
    readiness::{Readiness, Stage},
};

pub use self::evaluate::{Decision, LeaseRecord, Observed, evaluate};

/// Settings of the election. The defaults are client-go's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub name: String,
    /// Identity of this candidate, unique among the replicas.
    pub identity: String,
    /// Labels of the lease.
    pub labels: BTreeMap<String, String>,
    /// Validity of a lease after its latest renewal.
    pub lease_duration: Duration,
    /// Time for which a leader tries to renew before it stops. It is shorter than `lease_duration` by more than the
    /// last call of a reconcile may take. One attempt may take half of it.
    pub renew_deadline: Duration,
    /// Interval of reads of the lease.
    pub retry_period: Duration,
}

/// Why a candidate is no longer the leader.
#[derive(Debug, thiserror::Error)]
pub enum LostLease {
    /// Another candidate holds the lease.
    #[error("the lease is held by {holder:?} now")]
    Taken {
        /// The other candidate.
        holder: String,
    },
    /// The lease could not be renewed in time.
    #[error("the lease could not be renewed within {0:?}")]
    Deadline(Duration),
}

/// A failed attempt. The next one may succeed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("the lease could not be read or written: {}", brief(.0))]
    Api(#[from] kube::Error),
    #[error("no response in time")]
    Timeout,
    #[error("another candidate wrote the lease at the same time")]
    Raced,
}

/// A candidate for the lease.
pub struct Candidate {
    api: Api<Lease>,
    election: Election,
    observed: Option<Observed>,
    /// Creation time of the lease.
    created: Option<Timestamp>,
    readiness: Readiness,
}

impl Candidate {
    /// Creates a candidate that hasn't read the lease yet. It updates `readiness` after the first read.
    #[must_use]
    pub fn new(client: Client, election: Election, readiness: Readiness) -> Self {
        let api = Api::namespaced(client, &election.namespace);
        Self {
            api,
            election,
            observed: None,
            created: None,
            readiness,
        }
    }

    /// Waits until this candidate holds the lease.
    pub async fn acquire(&mut self) {
        let mut leader = None;
        loop {
            match self.attempt().await {
                Ok(true) => {
                    info!(lease = self.election.name, "this replica is the leader");
                    return;
                }
                Ok(false) => {
                    let holder = self.holder().map(str::to_owned);
                    if leader != holder {
                        info!(
                            lease = self.election.name,
                            holder, "another replica is the leader"
                        );
                        leader = holder;
                    }
                }
                Err(error) => warn!(%error, "an attempt to become the leader failed"),
            }
            sleep(self.election.retry_period).await;
        }
    }

    /// Renews the lease until it is lost.
    pub async fn hold(&mut self) -> LostLease {
        let mut renewed = self.written();
        loop {
            let deadline = renewed + self.election.renew_deadline;
            let next = async {
                sleep(self.election.retry_period).await;
                self.attempt().await
            };
            match timeout_at(deadline, next).await {
                Ok(Ok(true)) => renewed = self.written(),
                Ok(Ok(false)) => {
                    return LostLease::Taken {
                        holder: self.holder().unwrap_or_default().to_owned(),
                    };
                }
                Ok(Err(error)) => warn!(%error, "a renewal of the lease failed"),
                Err(_) => return LostLease::Deadline(self.election.renew_deadline),
            }
        }
    }

    /// Holds the lease whenever it is free, while it is polled. Reports the state after each read, with the creation
    /// time of the lease; nothing if the read failed.
    pub(crate) async fn hold_when_free(
        &mut self,
        mut report: impl FnMut(Option<(Observed, Option<Timestamp>)>),
    ) {
        let mut has_failed = false;
        loop {
            let attempt = self.attempt().await;
            match &attempt {
                Ok(_) => has_failed = false,
                // The write of another candidate is seen at the next read.
                Err(AttemptError::Raced) => {}
                Err(error) if has_failed => debug!(%error, "a claim could not be renewed"),
                Err(error) => {
                    has_failed = true;
                    let namespace = &self.election.namespace;
                    warn!(%error, namespace, "a claim could not be renewed");
                }
            }
            let seen = attempt.ok().and_then(|_| self.observed.clone());
            report(seen.map(|seen| (seen, self.created)));
            sleep(self.election.retry_period).await;
        }
    }

    /// Releases the lease, so that other candidates need not wait until it expires.
    pub async fn release(&mut self) {
        let Some(observed) = self
            .observed
            .take()
            .filter(|seen| seen.record.holder == self.election.identity)
        else {
            return;
        };
        let mut lease = self.lease(&observed.record, observed.record.transitions);
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let parameters = PostParams::default();
        let replaced = self.api.replace(&self.election.name, &parameters, &lease);
        match timeout(self.election.retry_period, replaced).await {
            Ok(Ok(_)) => info!(lease = self.election.name, "the lease was released"),
            Ok(Err(error)) => warn!(
                error = brief(&error),
                "the lease was not released and will expire"
            ),
            Err(_) => warn!("the lease was not released and will expire: timeout"),
        }
    }

    /// Start of the write of the last successful attempt: other candidates may have seen it since.
    fn written(&self) -> Instant {
        self.observed
            .as_ref()
            .map_or_else(Instant::now, |seen| seen.since)
    }

    fn holder(&self) -> Option<&str> {
        self.observed
            .as_ref()
            .map(|seen| seen.record.holder.as_str())
    }

    /// Reads the lease and takes the next step. `true` if this candidate holds it.
    async fn attempt(&mut self) -> Result<bool, AttemptError> {
        // Leaves time for another attempt if this one hangs, as client-go's users set it.
        let limit = self.election.renew_deadline / 2;
        timeout(limit, self.attempt_unbounded())
            .await
            .map_err(|_| AttemptError::Timeout)?
    }

    async fn attempt_unbounded(&mut self) -> Result<bool, AttemptError> {
        let live = self.api.get_opt(&self.election.name).await?;
        self.readiness.reach(Stage::Candidate);
        let now = Instant::now();
        self.created = live.as_ref().and_then(created);
        self.observed = live
            .as_ref()
            .map(|lease| Observed::update(self.observed.take(), record(lease), now));
        let empty = LeaseRecord {
            holder: String::new(),
            duration: Duration::ZERO,
            version: String::new(),
            transitions: 0,
        };
        let seen = self
            .observed
            .as_ref()
            .map_or(empty, |seen| seen.record.clone());
        let written = match evaluate(self.observed.as_ref(), &self.election.identity, now) {
            Decision::Follow => return Ok(false),
            Decision::Create => {
                self.api
                    .create(&PostParams::default(), &self.lease(&seen, 0))
                    .await
            }
            Decision::Renew => {
                let mut lease = self.lease(&seen, seen.transitions);
                let acquired = live
                    .and_then(|lease| lease.spec)
                    .and_then(|spec| spec.acquire_time);
                if let Some(spec) = lease.spec.as_mut().filter(|_| acquired.is_some()) {
                    spec.acquire_time = acquired;
                }
                self.api
                    .replace(&self.election.name, &PostParams::default(), &lease)
                    .await
            }
            Decision::TakeOver => {
                let lease = self.lease(&seen, seen.transitions.saturating_add(1));
                self.api
                    .replace(&self.election.name, &PostParams::default(), &lease)
                    .await
            }
        };
        match written {
            Ok(lease) => {
                self.created = created(&lease);
                self.observed = Some(Observed {
                    record: record(&lease),
                    since: now,
                });
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Err(AttemptError::Raced)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The lease with this candidate as its holder, to replace `seen`.
    fn lease(&self, seen: &LeaseRecord, transitions: i32) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.election.name.clone()),
                namespace: Some(self.election.namespace.clone()),
                labels: Some(self.election.labels.clone()).filter(|labels| !labels.is_empty()),
                resource_version: Some(seen.version.clone()).filter(|version| !version.is_empty()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.election.identity.clone()),
                lease_duration_seconds: Some(
                    i32::try_from(self.election.lease_duration.as_secs()).unwrap_or(i32::MAX),
                ),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn created(lease: &Lease) -> Option<Timestamp> {
    let created = lease.metadata.creation_timestamp.as_ref();
    created.map(|time| time.0)
}

pub(crate) fn record(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.clone().unwrap_or_default();
    LeaseRecord {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(
            spec.lease_duration_seconds
                .unwrap_or_default()
                .max(0)
                .unsigned_abs()
                .into(),
        ),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
