//! Carries a plan out.

use std::fmt::Debug;

use futures::{future::join_all, join};
use k8s_openapi::{NamespaceResourceScope, api::apps::v1::Deployment};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use springtide_plan::{
    Child, ChildKind, Deletion, Desired, Failure, Observed, Outcome, ReplicasApply,
    field_manager::OPERATOR, is_applied,
};

use crate::error::{Error, api_reason, brief, fails_alone};

/// How carrying out a plan went.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// What the status says about it.
    pub(crate) outcome: Outcome,
    /// The first call that failed.
    pub(crate) failed: Option<Error>,
}

/// Deletes and applies, and puts what the API server answers in the place of what was observed. An apply
/// that would change nothing isn't sent.
///
/// What doesn't depend on each other is applied at the same time. A call that fails alone is noted, and the rest is done all the same.
///
/// # Errors
///
/// Where the API server can't be reached or is overloaded, or where the namespace is being deleted:
/// the rest would fail too.
pub(crate) async fn carry_out(
    client: &Client,
    namespace: &str,
    name: &str,
    plan: &Desired,
    observed: &mut Observed,
) -> Result<Carried, Error> {
    let mut carried = Carried::default();
    for deletion in &plan.delete {
        let result = delete(client, namespace, deletion).await;
        carried.note(deletion.kind, "deleting", result)?;
    }
    let target = Target {
        client,
        namespace,
        name,
    };
    let (scaled, beside): (Vec<_>, Vec<_>) = plan.apply.iter().partition(|child| {
        let kind = child.kind();
        kind == ChildKind::Deployment || kind.is_autoscaler()
    });
    let before = &*observed;
    let (beside, scaled) = join!(
        join_all(beside.into_iter().map(|child| target.apply(child, before))),
        target.apply_in_order(&scaled, plan.replicas.as_ref(), before),
    );
    for step in beside.into_iter().chain(scaled) {
        let applied = carried.note(step.kind, step.doing, step.result)?;
        if let Some(Some(live)) = applied {
            put(live, observed);
        }
    }
    Ok(carried)
}

/// What an apply came to.
struct Step {
    kind: ChildKind,
    doing: &'static str,
    /// The object as it is now, unless nothing had to be sent.
    result: Result<Option<Child>, kube::Error>,
}

/// Puts what the API server answered in the place of what was observed.
fn put(live: Child, observed: &mut Observed) {
    match live {
        Child::Service(live) => observed.service = Some(*live),
        Child::PodDisruptionBudget(live) => observed.pod_disruption_budget = Some(*live),
        Child::Deployment(live) => observed.deployment = Some(*live),
        Child::HorizontalPodAutoscaler(live) => observed.horizontal_pod_autoscaler = Some(*live),
        Child::ScaledObject(live) => observed.scaled_object = Some(*live),
    }
}

impl Carried {
    /// What was done, or nothing where it alone failed. `Err` where nothing more can be done now.
    fn note<T>(
        &mut self,
        kind: ChildKind,
        doing: &str,
        result: Result<T, kube::Error>,
    ) -> Result<Option<T>, Error> {
        let error = match result {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let failure = Failure {
            reason: api_reason(&error).to_owned(),
            message: brief(&error),
        };
        let error = Error::api(format!("{doing} the {kind}"))(error);
        if !error.fails_alone() || error.is_terminating() {
            return Err(error);
        }
        self.outcome.failures.entry(kind).or_insert(failure);
        self.failed.get_or_insert(error);
        Ok(None)
    }
}

async fn delete(client: &Client, namespace: &str, deletion: &Deletion) -> Result<(), kube::Error> {
    let api = Api::<DynamicObject>::namespaced_with(
        client.clone(),
        namespace,
        &deletion.kind.api_resource(),
    );
    let still_the_same = Preconditions {
        uid: deletion.uid.clone(),
        // Its own controller changes it with each status.
        resource_version: None,
    };
    match api
        .delete(
            &deletion.name,
            &DeleteParams::background().preconditions(still_the_same),
        )
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is applied to.
struct Target<'a> {
    client: &'a Client,
    namespace: &'a str,
    name: &'a str,
}

impl Target<'_> {
    /// Applies the Deployment, then its replicas, then its autoscaler: KEDA refuses one of a Deployment that
    /// isn't there. Goes no further where the rest would fail, too.
    async fn apply_in_order(
        &self,
        children: &[&Child],
        replicas: Option<&ReplicasApply>,
        observed: &Observed,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        for child in children {
            let step = self.apply(child, observed).await;
            let live = match (&step.result, replicas) {
                (Ok(Some(Child::Deployment(live))), Some(_)) => Some(live.as_ref().clone()),
                (Ok(None), Some(_)) if step.kind == ChildKind::Deployment => {
                    observed.deployment.clone()
                }
                _ => None,
            };
            let mut goes_on = step.goes_on();
            steps.push(step);
            if let (Some(replicas), Some(live)) = (replicas, live) {
                let step = Step {
                    kind: ChildKind::Deployment,
                    doing: "setting the replicas of",
                    result: self.apply_replicas(replicas, &live).await,
                };
                goes_on = step.goes_on();
                steps.push(step);
            }
            if !goes_on {
                break;
            }
        }
        steps
    }

    async fn apply(&self, child: &Child, observed: &Observed) -> Step {
        let result = match child {
            Child::Service(object) => self
                .patch(object.as_ref(), observed.service.as_ref())
                .await
                .map(|live| live.map(Child::Service)),
            Child::PodDisruptionBudget(object) => self
                .patch(object.as_ref(), observed.pod_disruption_budget.as_ref())
                .await
                .map(|live| live.map(Child::PodDisruptionBudget)),
            Child::Deployment(object) => self
                .patch(object.as_ref(), observed.deployment.as_ref())
                .await
                .map(|live| live.map(Child::Deployment)),
            Child::HorizontalPodAutoscaler(object) => {
                let live = observed.horizontal_pod_autoscaler.as_ref();
                let live = self.patch(object.as_ref(), live).await;
                live.map(|live| live.map(Child::HorizontalPodAutoscaler))
            }
            Child::ScaledObject(object) => self
                .patch(object.as_ref(), observed.scaled_object.as_ref())
                .await
                .map(|live| live.map(Child::ScaledObject)),
        };
        Step {
            kind: child.kind(),
            doing: "applying",
            result,
        }
    }

    async fn patch<K>(&self, object: &K, live: Option<&K>) -> Result<Option<Box<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        if live.is_some_and(|live| is_applied(object, live, OPERATOR)) {
            return Ok(None);
        }
        let parameters = PatchParams::apply(OPERATOR).force();
        let applied = Api::<K>::namespaced(self.client.clone(), self.namespace)
            .patch(self.name, &parameters, &Patch::Apply(object))
            .await?;
        Ok(Some(Box::new(applied)))
    }

    /// Where somebody has decided already, that is left.
    async fn apply_replicas(
        &self,
        replicas: &ReplicasApply,
        live: &Deployment,
    ) -> Result<Option<Child>, kube::Error> {
        let Some(body) = replicas.onto(live) else {
            return Ok(None);
        };
        let api = Api::<Deployment>::namespaced(self.client.clone(), self.namespace);
        let parameters = PatchParams {
            force: replicas.force,
            ..PatchParams::apply(replicas.field_manager)
        };
        match api.patch(self.name, &parameters, &Patch::Apply(body)).await {
            Ok(applied) => Ok(Some(Child::Deployment(Box::new(applied)))),
            Err(kube::Error::Api(status)) if status.is_conflict() && replicas.only_raises() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Step {
    /// Whether what comes after it may still succeed.
    fn goes_on(&self) -> bool {
        self.result.as_ref().err().is_none_or(fails_alone)
    }
}
