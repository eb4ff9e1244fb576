//! The state of a ModelService's objects after its plan was applied.

use std::collections::BTreeMap;

use crate::{
    child::{Child, ChildKind},
    observed::{Observed, StatusReply},
};

/// The state of a ModelService's objects after its plan was applied. The status is computed from this state, never from
/// the observed state before. So it always describes the applied generation.
#[derive(Debug, Clone)]
pub struct Applied {
    observed: Observed,
    failures: BTreeMap<ChildKind, Failure>,
    replies: Vec<StatusReply>,
}

/// Why an object could not be applied or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason, as a stable name in camel case.
    pub reason: String,
    /// The cause and the remedy. The same fault always has the same message.
    pub message: String,
}

impl Applied {
    /// The state if nothing had to be applied: the observed state.
    #[must_use]
    pub const fn new(observed: Observed) -> Self {
        Self {
            observed,
            failures: BTreeMap::new(),
            replies: Vec::new(),
        }
    }

    /// Records the object that the API server returned for an apply.
    pub fn record(&mut self, live: Child) {
        let observed = &mut self.observed;
        match live {
            Child::Service(live) => observed.service = Some(*live),
            Child::PodDisruptionBudget(live) => observed.pod_disruption_budget = Some(*live),
            Child::Deployment(live) => observed.deployment = Some(*live),
            Child::HorizontalPodAutoscaler(live) => {
                observed.horizontal_pod_autoscaler = Some(*live);
            }
            Child::ScaledObject(live) => observed.scaled_object = Some(*live),
        }
    }

    /// Records that an object could not be applied or deleted. The first failure of a kind counts. A failure of
    /// `spec.replicas` is a failure of the Deployment.
    pub fn record_failure(&mut self, kind: ChildKind, failure: Failure) {
        self.failures.entry(kind).or_insert(failure);
    }

    /// Records the replies of the pods of [`pods_to_query`](crate::pods_to_query).
    pub fn record_replies(&mut self, replies: Vec<StatusReply>) {
        self.replies = replies;
    }

    /// The objects, as last known.
    #[must_use]
    pub const fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Why an object of a kind could not be applied or deleted.
    #[must_use]
    pub fn failure(&self, kind: ChildKind) -> Option<&Failure> {
        self.failures.get(&kind)
    }

    /// The replies of the pods that were queried.
    pub(crate) fn replies(&self) -> &[StatusReply] {
        &self.replies
    }
}
