//! The plan: the objects to delete and to apply, and their order.

use crate::{
    apply::{applied_template, field_manager::OPERATOR},
    autoscaling::ActiveAutoscaler,
    child::{Child, ChildKind},
    desired::{
        ownership::{Ownership, holder_of_keda_hpa, ownership, scales},
        replicas::{ReplicasApply, replicas, set_initial_replicas},
    },
    observed::Observed,
    resources,
    settings::OperatorSettings,
    spec::ValidatedModelService,
    upgrades::{TEMPLATE_ANNOTATION, WaitReason},
};

/// The plan for a ModelService, in the order of the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Objects to delete.
    pub delete: Vec<Deletion>,
    /// Objects to apply, in this order.
    pub apply: Vec<Child>,
    /// `spec.replicas`, to apply after the Deployment. A Deployment that is to be created sets it itself. `None` if the
    /// Deployment isn't applied.
    pub replicas: Option<ReplicasApply>,
    /// Kinds that aren't applied because an object of another owner has their name.
    pub name_conflicts: Vec<ChildKind>,
    /// The previous autoscaler, if it must be removed before the new one, or fixed replicas, are applied. There are
    /// never two autoscalers at a time. Its deletion triggers the next reconcile.
    pub blocked_on: Option<ChildKind>,
    /// The previous autoscaler, if it is kept because the one in the spec can't be created.
    pub retained: Option<ChildKind>,
    /// The operator doesn't allow the Prometheus address in the spec, so KEDA queries the operator's own Prometheus.
    pub prometheus_refused: bool,
    /// The spec requires KEDA, which isn't installed.
    pub keda_missing: bool,
    /// What the upgrade of the pods waits for. Until then the pods stay unchanged.
    pub upgrade_wait: Option<WaitReason<String>>,
}

impl Desired {
    /// Leaves the pods of the existing Deployment unchanged, because their upgrade waits. All its other fields are
    /// still applied. If the applied pod template can't be determined, the Deployment isn't applied.
    pub fn hold_upgrade(&mut self, wait: WaitReason<String>, observed: &Observed) {
        self.upgrade_wait = Some(wait);
        let live = observed.deployment.as_ref();
        let present = live.and_then(|live| applied_template(live, OPERATOR));
        let made = live
            .and_then(|live| live.metadata.annotations.as_ref()?.get(TEMPLATE_ANNOTATION))
            .cloned();
        self.apply.retain_mut(|child| {
            let Child::Deployment(deployment) = child else {
                return true;
            };
            let (Some(spec), Some(present)) = (&mut deployment.spec, &present) else {
                return false;
            };
            spec.template = present.clone();
            let annotations = deployment.metadata.annotations.get_or_insert_default();
            match &made {
                Some(made) => annotations.insert(TEMPLATE_ANNOTATION.to_owned(), made.clone()),
                None => annotations.remove(TEMPLATE_ANNOTATION),
            };
            true
        });
        if !self
            .apply
            .iter()
            .any(|child| child.kind() == ChildKind::Deployment)
        {
            self.replicas = None;
        }
    }
}

/// An object to delete. The UID as a precondition protects a newer object of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// Its UID, as a precondition.
    pub uid: Option<String>,
}

/// Objects that the plan assumes to be absent. Before the plan is applied, their absence is checked with the API
/// server, because a watch may lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// For a new ScaledObject: the HorizontalPodAutoscaler with the ModelService's name.
    Hpa,
    /// For a new HorizontalPodAutoscaler in a cluster with KEDA: the one that KEDA creates for a ScaledObject.
    KedaHpa,
    /// For fixed replicas that differ from the Deployment's: every autoscaler.
    Any,
}

impl Desired {
    /// The absent objects to check before this plan, computed from `observed`, is applied.
    #[must_use]
    pub fn recheck(&self, observed: &Observed) -> Option<Recheck> {
        let makes = |kind| {
            let is_applied = self.apply.iter().any(|child| child.kind() == kind);
            is_applied && observed.metadata(kind).is_none()
        };
        let is_overridden = || {
            let replicas = self.replicas.filter(ReplicasApply::overrides)?;
            replicas.body_for(observed.deployment.as_ref()?)
        };
        if makes(ChildKind::HorizontalPodAutoscaler) && observed.capabilities.keda {
            Some(Recheck::KedaHpa)
        } else if makes(ChildKind::ScaledObject) {
            Some(Recheck::Hpa)
        } else {
            is_overridden().map(|_| Recheck::Any)
        }
    }
}

/// Computes the plan. It depends only on the arguments.
#[must_use]
pub fn desired(
    model_service: &ValidatedModelService,
    observed: &Observed,
    settings: &OperatorSettings,
) -> Desired {
    let owner = |kind| ownership(model_service, observed, kind);
    // An autoscaler would scale any Deployment of that name, also a foreign one.
    let has_target = owner(ChildKind::Deployment) != Ownership::Foreign;
    let active = model_service.scaling().resolve(observed);
    let wanted = autoscaler(&active).filter(|_| has_target);
    let is_keda_hpa_held = holder_of_keda_hpa(model_service, observed).is_some();
    let can_be_made = wanted.is_none_or(|kind| {
        owner(kind) != Ownership::Foreign
            && (kind != ChildKind::ScaledObject
                || (observed.capabilities.keda && !is_keda_hpa_held))
    });
    let previous = ChildKind::ALL
        .into_iter()
        .filter(|kind| kind.is_autoscaler() && Some(*kind) != wanted)
        .filter(|kind| owner(*kind) == Ownership::Ours)
        .collect::<Vec<_>>();
    let (retained, unwanted) = if can_be_made {
        (None, previous)
    } else {
        (previous.first().copied(), Vec::new())
    };
    // KEDA would keep taking over the HPA of the other ModelService.
    let conflicting = [ChildKind::ScaledObject].into_iter().filter(|kind| {
        is_keda_hpa_held && wanted == Some(*kind) && owner(*kind) == Ownership::Ours
    });
    // The HPA that KEDA created is deleted some time after its ScaledObject.
    let keda_is_leaving = wanted != Some(ChildKind::ScaledObject)
        && can_be_made
        && has_keda_hpa(model_service, observed);
    let blocked_on = unwanted
        .first()
        .copied()
        .or(keda_is_leaving.then_some(ChildKind::ScaledObject))
        .filter(|_| has_target);

    let (mut apply, refused): (Vec<_>, Vec<_>) =
        resources::build(model_service, &active, observed, settings)
            .into_iter()
            .filter(|child| {
                let may_scale = has_target && blocked_on.is_none();
                let is_held = is_keda_hpa_held && child.kind() == ChildKind::ScaledObject;
                (may_scale && !is_held) || !child.kind().is_autoscaler()
            })
            .partition(|child| owner(child.kind()) != Ownership::Foreign);

    let replicas = apply
        .iter()
        .any(|child| child.kind() == ChildKind::Deployment)
        .then(|| replicas(&active, observed, blocked_on))
        .flatten();
    if let Some(replicas) = replicas
        && observed.deployment.is_none()
    {
        set_initial_replicas(&mut apply, replicas);
    }

    Desired {
        delete: unwanted
            .into_iter()
            .chain(conflicting)
            .filter_map(|kind| deletion(observed, kind))
            .collect(),
        replicas,
        apply,
        name_conflicts: refused.iter().map(Child::kind).collect(),
        blocked_on,
        retained,
        prometheus_refused: match &active {
            ActiveAutoscaler::Keda(effective) => {
                let named = effective.pods.keda.prometheus_address.as_deref();
                named.is_some_and(|named| !settings.allows_prometheus(named))
            }
            ActiveAutoscaler::Hpa(_) | ActiveAutoscaler::Fixed { .. } => false,
        },
        keda_missing: matches!(active, ActiveAutoscaler::Keda(_)) && !observed.capabilities.keda,
        upgrade_wait: None,
    }
}

/// Whether an HPA of KEDA still scales the Deployment.
fn has_keda_hpa(model_service: &ValidatedModelService, observed: &Observed) -> bool {
    observed
        .keda_horizontal_pod_autoscaler
        .as_ref()
        .is_some_and(|hpa| scales(hpa, model_service))
}

/// The autoscaler that the spec requests.
const fn autoscaler(active: &ActiveAutoscaler<'_>) -> Option<ChildKind> {
    match active {
        ActiveAutoscaler::Fixed { .. } => None,
        ActiveAutoscaler::Hpa(_) => Some(ChildKind::HorizontalPodAutoscaler),
        ActiveAutoscaler::Keda(_) => Some(ChildKind::ScaledObject),
    }
}

/// The deletion of an observed object. `None` if it is already being deleted.
fn deletion(observed: &Observed, kind: ChildKind) -> Option<Deletion> {
    let metadata = observed.metadata(kind)?;
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(Deletion {
        kind,
        name: metadata.name.clone()?,
        uid: metadata.uid.clone(),
    })
}
