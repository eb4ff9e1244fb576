//! Which field manager sets `spec.replicas` of the Deployment, and when. The request that creates the Deployment sets
//! it. Later, field managers that apply nothing else do.
//!
//! See `docs/adr/0003-replicas-belong-to-the-autoscaler.md`.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::{
    apply::{
        field_manager::{FIXED_REPLICAS, INITIAL_REPLICAS, OPERATOR},
        is_applied,
    },
    autoscaling::ActiveAutoscaler,
    child::{Child, ChildKind},
    keda::ScaledObject,
    observed::{
        Observed,
        foreign_status::{owns_replicas, spec_replicas},
    },
};

/// A server-side apply of only `spec.replicas` of the Deployment, after the Deployment itself was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicasApply {
    /// The field manager.
    pub field_manager: &'static str,
    /// Number of replicas.
    pub replicas: i32,
    /// Whether to take the field over from another owner.
    pub force: bool,
}

impl ReplicasApply {
    /// The body of the apply to the Deployment `name`.
    #[must_use]
    pub fn body(&self, name: &str) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": self.replicas},
        })
    }

    /// The body of the apply to a Deployment that was just read or applied. `None` if no apply is needed: for example,
    /// the Deployment was created with this number and is unchanged.
    ///
    /// Initial replicas only raise the number. Ownership isn't sufficient for that: a write to the scale subresource
    /// records an owner only if the field had one. So the apply is bound to the resource version with fewer replicas.
    #[must_use]
    pub fn body_for(&self, live: &Deployment) -> Option<Value> {
        let mut body = self.body(live.metadata.name.as_deref()?);
        let was_created_so =
            spec_replicas(live) == Some(self.replicas) && has_creation_replicas(live);
        if was_created_so || is_applied(&body, live, self.field_manager) {
            return None;
        }
        if self.only_raises() {
            spec_replicas(live).filter(|replicas| *replicas < self.replicas)?;
            body["metadata"]["resourceVersion"] = json!(live.metadata.resource_version);
        }
        Some(body)
    }

    /// Whether it takes the field over from any owner, in any resource version. Fixed replicas do.
    #[must_use]
    pub fn overrides(&self) -> bool {
        self.force && !self.only_raises()
    }

    /// Whether a conflict (409) is a success, because another client has set the replicas in the meantime.
    #[must_use]
    pub fn only_raises(&self) -> bool {
        self.field_manager == INITIAL_REPLICAS
    }
}

/// Whether applying the Deployment `desired`, which doesn't set `spec.replicas`, would leave `live` unchanged.
#[must_use]
pub fn is_deployment_applied(desired: &Deployment, live: &Deployment) -> bool {
    if !has_creation_replicas(live) {
        return is_applied(desired, live, OPERATOR);
    }
    let mut desired = desired.clone();
    if let Some(spec) = &mut desired.spec {
        spec.replicas = spec_replicas(live);
    }
    is_applied(&desired, live, OPERATOR)
}

/// The apply that precedes the next one of [`OPERATOR`], so that the initial replicas of a new Deployment get another
/// owner and are kept. It doesn't force: a conflict (409) means that another field manager owns the field.
#[must_use]
pub fn handover(live: &Deployment) -> Option<ReplicasApply> {
    let replicas = spec_replicas(live).filter(|_| has_creation_replicas(live))?;
    Some(ReplicasApply {
        field_manager: INITIAL_REPLICAS,
        replicas,
        force: false,
    })
}

/// Sets `spec.replicas` of the Deployment in `apply`, which is to be created.
pub(crate) fn set_initial_replicas(apply: &mut [Child], replicas: ReplicasApply) {
    for child in apply {
        if let Child::Deployment(deployment) = child
            && let Some(spec) = &mut deployment.spec
        {
            spec.replicas = Some(replicas.replicas);
        }
    }
}

/// Whether the Deployment still has the replicas that it was created with.
fn has_creation_replicas(live: &Deployment) -> bool {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    entries.any(|entry| entry.manager.as_deref() == Some(OPERATOR) && owns_replicas(entry))
}

/// The apply of `spec.replicas`, if one is needed. `previous_kind` is the autoscaler that must be removed first.
pub(crate) fn replicas(
    active: &ActiveAutoscaler<'_>,
    observed: &Observed,
    previous_kind: Option<ChildKind>,
) -> Option<ReplicasApply> {
    let min_replicas = active.min_replicas(observed.at);
    match active {
        // Beside an autoscaler, the previous or a foreign one, both would write endlessly.
        ActiveAutoscaler::Fixed { replicas } => {
            let is_alone = previous_kind.is_none()
                && (observed.other_autoscalers.is_empty() || is_empty(observed));
            is_alone.then_some(ReplicasApply {
                field_manager: FIXED_REPLICAS,
                replicas: *replicas,
                force: true,
            })
        }
        ActiveAutoscaler::Hpa(_) => initial(observed, min_replicas),
        ActiveAutoscaler::Keda(_) => {
            let is_paused = observed
                .scaled_object
                .as_ref()
                .is_some_and(ScaledObject::is_paused);
            initial(observed, min_replicas).filter(|_| !(is_paused && is_empty(observed)))
        }
    }
}

/// The initial replicas for an autoscaler. A new Deployment has one pod until its autoscaler's first sync, 15 s later.
/// An HPA never changes a Deployment with 0 replicas.
fn initial(observed: &Observed, min_replicas: i32) -> Option<ReplicasApply> {
    let is_empty = is_empty(observed);
    let deployment = observed.deployment.as_ref();
    let is_undecided = deployment.is_none_or(|deployment| is_undecided(deployment, min_replicas));
    (is_empty || is_undecided).then_some(ReplicasApply {
        field_manager: INITIAL_REPLICAS,
        replicas: min_replicas,
        force: is_empty || deployment.is_some_and(has_creation_replicas),
    })
}

/// Whether the Deployment has 0 replicas. Every HPA ignores it then.
fn is_empty(observed: &Observed) -> bool {
    observed.deployment.as_ref().and_then(spec_replicas) == Some(0)
}

/// Whether `spec.replicas` is the API server's default or an outdated initial value, and no other client has set it.
fn is_undecided(deployment: &Deployment, min_replicas: i32) -> bool {
    let entries = deployment.metadata.managed_fields.iter().flatten();
    spec_replicas(deployment).is_none_or(|replicas| replicas < min_replicas)
        && entries
            .filter(|entry| owns_replicas(entry))
            .filter_map(|entry| entry.manager.as_deref())
            .all(|manager| [INITIAL_REPLICAS, OPERATOR].contains(&manager))
}
