//! Who writes `spec.replicas` of the Deployment, and when: the request that creates it names the number, and after that
//! field managers that apply nothing else.
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

/// A server-side apply of the Deployment's `spec.replicas` alone, to be done after the Deployment
/// has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicasApply {
    /// Who applies.
    pub field_manager: &'static str,
    /// Pods.
    pub replicas: i32,
    /// Whether the field is taken from whoever owns it.
    pub force: bool,
}

impl ReplicasApply {
    /// What is applied to the Deployment `name`.
    #[must_use]
    pub fn body(&self, name: &str) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": self.replicas},
        })
    }

    /// What is applied to a Deployment that was read or applied just now, if that still needs it. It doesn't where
    /// the Deployment was created with this number, and nobody has changed it.
    ///
    /// A first number of pods only ever raises. Ownership alone doesn't see to that: a write of the scale
    /// subresource leaves an owner only where the field had one. So the apply is bound to the version in
    /// which there were fewer pods.
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

    /// Whether it takes the number from whoever decided it, in whatever version: a fixed number does.
    #[must_use]
    pub fn overrides(&self) -> bool {
        self.force && !self.only_raises()
    }

    /// Whether a conflict (409) means that somebody has decided meanwhile: that is success.
    #[must_use]
    pub fn only_raises(&self) -> bool {
        self.field_manager == INITIAL_REPLICAS
    }
}

/// Whether applying the Deployment `desired`, which names no number of pods, would leave `live` as it is.
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

/// What must be applied to a Deployment before [`OPERATOR`] applies it again, so that the number of pods that it was
/// created with has another owner, and stays. Not by force: a conflict (409) means that another field manager has
/// decided, and owns it.
#[must_use]
pub fn handover(live: &Deployment) -> Option<ReplicasApply> {
    let replicas = spec_replicas(live).filter(|_| has_creation_replicas(live))?;
    Some(ReplicasApply {
        field_manager: INITIAL_REPLICAS,
        replicas,
        force: false,
    })
}

/// Names the number of pods in the Deployment among `apply`, which is to be created.
pub(crate) fn set_initial_replicas(apply: &mut [Child], replicas: ReplicasApply) {
    for child in apply {
        if let Child::Deployment(deployment) = child
            && let Some(spec) = &mut deployment.spec
        {
            spec.replicas = Some(replicas.replicas);
        }
    }
}

/// Whether the number of pods is the one that the Deployment was created with.
fn has_creation_replicas(live: &Deployment) -> bool {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    entries.any(|entry| entry.manager.as_deref() == Some(OPERATOR) && owns_replicas(entry))
}

/// `previous_kind` is the autoscaler that the present one, or a fixed number, waits for.
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

/// What an autoscaler needs to begin: a new Deployment has one pod until its autoscaler's first look,
/// a quarter of a minute later, and a Deployment with 0 pods is one that an HPA leaves alone for ever.
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

/// Whether the Deployment has 0 pods: every HPA leaves it alone then.
fn is_empty(observed: &Observed) -> bool {
    observed.deployment.as_ref().and_then(spec_replicas) == Some(0)
}

/// Whether `spec.replicas` is still the API server's default, or an earlier first value that the
/// spec has left behind, with no decision of anybody's.
fn is_undecided(deployment: &Deployment, min_replicas: i32) -> bool {
    let entries = deployment.metadata.managed_fields.iter().flatten();
    spec_replicas(deployment).is_none_or(|replicas| replicas < min_replicas)
        && entries
            .filter(|entry| owns_replicas(entry))
            .filter_map(|entry| entry.manager.as_deref())
            .all(|manager| [INITIAL_REPLICAS, OPERATOR].contains(&manager))
}
