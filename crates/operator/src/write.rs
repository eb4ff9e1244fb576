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
    field_manager::OPERATOR,
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

/// Deletes and applies, and puts what the API server answers in the place of what was observed.
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
            let result = apply_replicas(client, namespace, name, replicas)
                .await
                .map(|live| {
                    if let Some(live) = live {
                        observed.deployment = Some(live);
                    }
                });
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
    match child {
        Child::Service(object) => {
            observed.service = Some(apply_one(client, namespace, name, object.as_ref()).await?);
        }
        Child::PodDisruptionBudget(object) => {
            observed.pod_disruption_budget =
                Some(apply_one(client, namespace, name, object.as_ref()).await?);
        }
        Child::Deployment(object) => {
            observed.deployment = Some(apply_one(client, namespace, name, object.as_ref()).await?);
        }
        Child::HorizontalPodAutoscaler(object) => {
            observed.horizontal_pod_autoscaler =
                Some(apply_one(client, namespace, name, object.as_ref()).await?);
        }
        Child::ScaledObject(object) => {
            observed.scaled_object =
                Some(apply_one(client, namespace, name, object.as_ref()).await?);
        }
    }
    Ok(())
}

async fn apply_one<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    object: &K,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let parameters = PatchParams::apply(OPERATOR).force();
    Api::<K>::namespaced(client.clone(), namespace)
        .patch(name, &parameters, &Patch::Apply(object))
        .await
}

/// `None`: somebody has decided already, and is left to.
async fn apply_replicas(
    client: &Client,
    namespace: &str,
    name: &str,
    replicas: &ReplicasApply,
) -> Result<Option<Deployment>, kube::Error> {
    let api = Api::<Deployment>::namespaced(client.clone(), namespace);
    let parameters = PatchParams {
        force: replicas.force,
        ..PatchParams::apply(replicas.field_manager)
    };
    match api
        .patch(name, &parameters, &Patch::Apply(replicas.body(name)))
        .await
    {
        Ok(live) => Ok(Some(live)),
        Err(kube::Error::Api(status)) if status.is_conflict() && !replicas.force => Ok(None),
        Err(error) => Err(error),
    }
}
