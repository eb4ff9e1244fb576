//! Carries a plan out.

use std::fmt::Debug;

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

use crate::error::{Error, api_reason, brief};

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
/// A call that fails alone is noted, and the rest is done all the same.
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
    for child in &plan.apply {
        let result = apply(client, namespace, name, child, observed).await;
        let applied = carried.note(child.kind(), "applying", result)?;
        if let (Some(replicas), true, ChildKind::Deployment) =
            (&plan.replicas, applied, child.kind())
        {
            let result =
                apply_replicas(client, namespace, name, replicas, &mut observed.deployment).await;
            carried.note(ChildKind::Deployment, "setting the replicas of", result)?;
        }
    }
    Ok(carried)
}

impl Carried {
    /// Whether it was done. `Err` where nothing more can be done now.
    fn note(
        &mut self,
        kind: ChildKind,
        doing: &str,
        result: Result<(), kube::Error>,
    ) -> Result<bool, Error> {
        let Err(error) = result else { return Ok(true) };
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
        Ok(false)
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

async fn apply(
    client: &Client,
    namespace: &str,
    name: &str,
    child: &Child,
    observed: &mut Observed,
) -> Result<(), kube::Error> {
    let target = Target {
        client,
        namespace,
        name,
    };
    match child {
        Child::Service(object) => target.apply(object.as_ref(), &mut observed.service).await,
        Child::PodDisruptionBudget(object) => {
            let live = &mut observed.pod_disruption_budget;
            target.apply(object.as_ref(), live).await
        }
        Child::Deployment(object) => {
            target
                .apply(object.as_ref(), &mut observed.deployment)
                .await
        }
        Child::HorizontalPodAutoscaler(object) => {
            let live = &mut observed.horizontal_pod_autoscaler;
            target.apply(object.as_ref(), live).await
        }
        Child::ScaledObject(object) => {
            let live = &mut observed.scaled_object;
            target.apply(object.as_ref(), live).await
        }
    }
}

/// What is applied to.
struct Target<'a> {
    client: &'a Client,
    namespace: &'a str,
    name: &'a str,
}

impl Target<'_> {
    async fn apply<K>(&self, object: &K, live: &mut Option<K>) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        if live
            .as_ref()
            .is_some_and(|live| is_applied(object, live, OPERATOR))
        {
            return Ok(());
        }
        let parameters = PatchParams::apply(OPERATOR).force();
        let applied = Api::<K>::namespaced(self.client.clone(), self.namespace)
            .patch(self.name, &parameters, &Patch::Apply(object))
            .await?;
        *live = Some(applied);
        Ok(())
    }
}

/// Where somebody has decided already, that is left.
async fn apply_replicas(
    client: &Client,
    namespace: &str,
    name: &str,
    replicas: &ReplicasApply,
    live: &mut Option<Deployment>,
) -> Result<(), kube::Error> {
    let Some(body) = live.as_ref().and_then(|live| replicas.onto(live)) else {
        return Ok(());
    };
    let api = Api::<Deployment>::namespaced(client.clone(), namespace);
    let parameters = PatchParams {
        force: replicas.force,
        ..PatchParams::apply(replicas.field_manager)
    };
    match api.patch(name, &parameters, &Patch::Apply(body)).await {
        Ok(applied) => *live = Some(applied),
        Err(kube::Error::Api(status)) if status.is_conflict() && replicas.only_raises() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
