//! The plan: what to delete, what to apply and in which order.

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

/// What to do for a ModelService, in the order of the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Objects to delete.
    pub delete: Vec<Deletion>,
    /// Objects to apply, in this order.
    pub apply: Vec<Child>,
    /// `spec.replicas`, to apply after the Deployment, which names it itself where it is to be created. Nothing where the
    /// Deployment isn't applied.
    pub replicas: Option<ReplicasApply>,
    /// Objects that aren't applied because somebody else's object has their name.
    pub name_conflicts: Vec<ChildKind>,
    /// The former autoscaler, where it must be gone before the new one, or a fixed number of pods, is
    /// applied: never do two set it. Its deletion brings the next pass about.
    pub blocked_on: Option<ChildKind>,
    /// The former autoscaler, where it goes on since the one that the spec asks for can't be made.
    pub retained: Option<ChildKind>,
    /// KEDA would follow serving signals of a Prometheus that it mustn't be told to ask, so it asks the
    /// operator's own.
    pub prometheus_refused: bool,
    /// The spec asks for KEDA, which isn't installed.
    pub keda_missing: bool,
    /// What an upgrade of the pods waits for, where they are left as they are until then.
    pub upgrade_wait: Option<WaitReason<String>>,
}

impl Desired {
    /// Leaves the pods of the Deployment that is there as they are: their upgrade waits. Everything else of it is kept
    /// up. Where it can't be told what its template was made of, it is left alone.
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

/// An object to delete, with a precondition that keeps a newer one of the same name alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// Its UID, as a precondition.
    pub uid: Option<String>,
}

/// What a plan takes for absent and must not be carried out beside. It is looked at in the API server itself
/// first: a watch may not have told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// A new ScaledObject: the HorizontalPodAutoscaler with the ModelService's name.
    Hpa,
    /// A new HorizontalPodAutoscaler on a cluster with KEDA: the one that KEDA makes for a ScaledObject.
    KedaHpa,
    /// A fixed number of pods, of a Deployment that has another one: every autoscaler.
    Any,
}

impl Desired {
    /// What has to be looked at before the plan, made of what was `observed`, is carried out.
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

/// Plans. The same arguments always give the same plan.
#[must_use]
pub fn desired(
    model_service: &ValidatedModelService,
    observed: &Observed,
    settings: &OperatorSettings,
) -> Desired {
    let owner = |kind| ownership(model_service, observed, kind);
    // An autoscaler would scale what has the Deployment's name, whoever made it.
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
    // KEDA would go on taking the HPA of another ModelService.
    let conflicting = [ChildKind::ScaledObject].into_iter().filter(|kind| {
        is_keda_hpa_held && wanted == Some(*kind) && owner(*kind) == Ownership::Ours
    });
    // The HPA that KEDA made goes some time after the ScaledObject that it was made for.
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

/// Whether an HPA that KEDA made still scales the Deployment.
fn has_keda_hpa(model_service: &ValidatedModelService, observed: &Observed) -> bool {
    observed
        .keda_horizontal_pod_autoscaler
        .as_ref()
        .is_some_and(|hpa| scales(hpa, model_service))
}

/// The autoscaler that the spec asks for.
const fn autoscaler(active: &ActiveAutoscaler<'_>) -> Option<ChildKind> {
    match active {
        ActiveAutoscaler::Fixed { .. } => None,
        ActiveAutoscaler::Hpa(_) => Some(ChildKind::HorizontalPodAutoscaler),
        ActiveAutoscaler::Keda(_) => Some(ChildKind::ScaledObject),
    }
}

/// The deletion of an observed object, unless it is being deleted already.
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
