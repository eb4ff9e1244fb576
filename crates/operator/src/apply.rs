//! Applies a plan.

use std::fmt::Debug;

use futures::{future::join_all, join};
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde::Serialize;
use serde_json::{Value, json};
use springtide_plan::{
    Applied, Child, ChildKind, Deletion, Desired, Failure, Observed, ReplicasApply,
    field_manager::OPERATOR, handover, is_applied, is_deployment_applied, keda::ScaledObject,
};
use tokio::time::Instant;

use crate::{
    caches::Cached,
    error::{Error, api_reason, brief, fails_alone},
    observe::ClusterReader,
    undone::{digest, explained},
};

/// The result of applying a plan.
#[derive(Debug)]
pub(crate) struct ApplyReport {
    /// The objects after it, and what failed.
    pub(crate) applied: Applied,
    /// The first call that failed.
    pub(crate) error: Option<Error>,
    /// Whether an object is left as other field managers changed it.
    pub(crate) is_undone: bool,
}

/// Deletes and applies as the plan says. An apply that would change nothing isn't sent. Independent objects are applied
/// concurrently. A call that fails alone is reported, and the others are sent all the same.
///
/// # Errors
///
/// If the API server is unreachable or overloaded, or if the namespace is being deleted: the other calls would fail,
/// too.
pub(crate) async fn apply_plan(
    reader: ClusterReader<'_>,
    namespace: &str,
    name: &str,
    plan: &Desired,
    observed: Observed,
) -> Result<ApplyReport, Error> {
    let mut report = ApplyReport {
        applied: Applied::new(observed),
        error: None,
        is_undone: false,
    };
    for deletion in &plan.delete {
        let result = delete(reader, namespace, deletion).await;
        report.add(deletion.kind, "deleting", result)?;
    }
    let target = Target {
        reader,
        namespace,
        name,
    };
    let (scaled, others): (Vec<_>, Vec<_>) = plan.apply.iter().partition(|child| {
        let kind = child.kind();
        kind == ChildKind::Deployment || kind.is_autoscaler()
    });
    let before = report.applied.observed();
    let (others, scaled) = join!(
        join_all(others.into_iter().map(|child| target.apply(child, before))),
        target.apply_in_order(&scaled, plan.replicas.as_ref(), before),
    );
    for call in others.into_iter().chain(scaled) {
        let patched = report.add(call.kind, call.doing, call.result)?;
        match patched {
            Some(Patched::Live(live)) => report.applied.record(live),
            Some(Patched::Undone(failure)) => {
                report.is_undone = true;
                report.applied.record_failure(call.kind, failure);
            }
            Some(Patched::Unsent) | None => {}
        }
    }
    Ok(report)
}

/// A call to the API server, and its result.
struct Call {
    kind: ChildKind,
    doing: &'static str,
    result: Result<Patched<Child>, kube::Error>,
}

/// The result of a call for one object.
enum Patched<T> {
    /// Nothing was sent: the object is as desired.
    Unsent,
    /// Nothing was sent: others undo this write each time.
    Undone(Failure),
    /// The object that the API server returned.
    Live(T),
}

impl<T> Patched<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Patched<U> {
        match self {
            Self::Unsent => Patched::Unsent,
            Self::Undone(failure) => Patched::Undone(failure),
            Self::Live(live) => Patched::Live(change(live)),
        }
    }
}

impl ApplyReport {
    /// The result of a call. None if it failed alone, which is recorded; an error if the other calls would fail, too.
    fn add<T>(
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
        self.applied.record_failure(kind, failure);
        self.error.get_or_insert(error);
        Ok(None)
    }
}

/// Deletes an object, and updates the cache before the watch does.
async fn delete(
    reader: ClusterReader<'_>,
    namespace: &str,
    deletion: &Deletion,
) -> Result<(), kube::Error> {
    let object = (deletion.kind, namespace.to_owned(), deletion.name.clone());
    reader.undone.forget(&object);
    match deletion.kind {
        ChildKind::Service => delete_as::<Service>(reader, namespace, deletion).await,
        ChildKind::PodDisruptionBudget => {
            delete_as::<PodDisruptionBudget>(reader, namespace, deletion).await
        }
        ChildKind::Deployment => delete_as::<Deployment>(reader, namespace, deletion).await,
        ChildKind::HorizontalPodAutoscaler => {
            delete_as::<HorizontalPodAutoscaler>(reader, namespace, deletion).await
        }
        ChildKind::ScaledObject => delete_as::<ScaledObject>(reader, namespace, deletion).await,
    }
}

async fn delete_as<K: Cached>(
    reader: ClusterReader<'_>,
    namespace: &str,
    deletion: &Deletion,
) -> Result<(), kube::Error> {
    let preconditions = Preconditions {
        uid: deletion.uid.clone(),
        // Its own controller changes the version with each status.
        resource_version: None,
    };
    let parameters = DeleteParams::background().preconditions(preconditions);
    let objects = K::cache(reader.caches);
    objects.invalidate(namespace, &deletion.name);
    let response = Api::<K>::namespaced(reader.client.clone(), namespace)
        .delete(&deletion.name, &parameters)
        .await;
    match response {
        Ok(response) => match response.left() {
            // A finalizer delays the deletion.
            Some(terminating) => objects.record(&terminating),
            None => objects.record_absence(namespace, &deletion.name),
        },
        Err(kube::Error::Api(status)) if status.code == 404 => {
            objects.record_absence(namespace, &deletion.name);
        }
        Err(error) => {
            if is_refused(&error) {
                objects.revalidate(namespace, &deletion.name);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Whether a write has certainly changed nothing. After a conflict (409) the cached object is outdated.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400..=404 | 422 | 429))
}

/// Parameters of an unforced apply as a field manager. Duplicate and unknown fields aren't checked: the API server
/// would parse each object again for that.
pub(crate) fn apply_as(field_manager: &str) -> PatchParams {
    PatchParams::apply(field_manager).validation_ignore()
}

/// The object of the applies.
struct Target<'a> {
    reader: ClusterReader<'a>,
    namespace: &'a str,
    name: &'a str,
}

impl Target<'_> {
    /// Applies the Deployment, then its replicas, then its autoscaler: KEDA rejects a ScaledObject without its
    /// Deployment. Stops if the other calls would fail, too.
    async fn apply_in_order(
        &self,
        children: &[&Child],
        replicas: Option<&ReplicasApply>,
        observed: &Observed,
    ) -> Vec<Call> {
        let mut calls = Vec::new();
        for child in children {
            let call = self.apply(child, observed).await;
            let live = match (&call.result, replicas) {
                (Ok(Patched::Live(Child::Deployment(live))), Some(_)) => {
                    Some(live.as_ref().clone())
                }
                (Ok(Patched::Unsent), Some(_)) if call.kind == ChildKind::Deployment => {
                    observed.deployment.clone()
                }
                _ => None,
            };
            let mut continues = call.allows_next();
            calls.push(call);
            if let Some(replicas) = replicas
                && let Some(body) = live.and_then(|live| replicas.body_for(&live))
            {
                let call = Call {
                    kind: ChildKind::Deployment,
                    doing: "setting the replicas of",
                    result: self.apply_replicas(replicas, body).await,
                };
                continues = call.allows_next();
                calls.push(call);
            }
            if !continues {
                break;
            }
        }
        calls
    }

    async fn apply(&self, child: &Child, observed: &Observed) -> Call {
        let kind = child.kind();
        let result = match child {
            Child::Service(object) => self
                .patch(kind, object.as_ref(), observed.service.as_ref())
                .await
                .map(|live| live.map(Child::Service)),
            Child::PodDisruptionBudget(object) => self
                .patch(
                    kind,
                    object.as_ref(),
                    observed.pod_disruption_budget.as_ref(),
                )
                .await
                .map(|live| live.map(Child::PodDisruptionBudget)),
            Child::Deployment(object) => self
                .patch_deployment(object, observed.deployment.as_ref())
                .await
                .map(|live| live.map(Child::Deployment)),
            Child::HorizontalPodAutoscaler(object) => {
                let live = observed.horizontal_pod_autoscaler.as_ref();
                let live = self.patch(kind, object.as_ref(), live).await;
                live.map(|live| live.map(Child::HorizontalPodAutoscaler))
            }
            Child::ScaledObject(object) => self
                .patch(kind, object.as_ref(), observed.scaled_object.as_ref())
                .await
                .map(|live| live.map(Child::ScaledObject)),
        };
        Call {
            kind,
            doing: "applying",
            result,
        }
    }

    async fn patch<K: Cached>(
        &self,
        kind: ChildKind,
        object: &K,
        live: Option<&K>,
    ) -> Result<Patched<Box<K>>, kube::Error> {
        if live.is_some_and(|live| is_applied(object, live, OPERATOR)) {
            return Ok(Patched::Unsent);
        }
        self.patch_changed(kind, object, live).await
    }

    /// Patches the Deployment. Before that, another field manager takes over the replicas.
    async fn patch_deployment(
        &self,
        object: &Deployment,
        live: Option<&Deployment>,
    ) -> Result<Patched<Box<Deployment>>, kube::Error> {
        if let Some(live) = live {
            if is_deployment_applied(object, live) {
                return Ok(Patched::Unsent);
            }
            if let Some(replicas) = handover(live) {
                self.hand_over(&replicas, live).await?;
            }
        }
        self.patch_changed(ChildKind::Deployment, object, live)
            .await
    }

    /// Gives the replicas that a Deployment was created with another owner. A conflict (409) means that another field
    /// manager has set and owns them, or that several writes coincided: the API server is read to tell.
    async fn hand_over(
        &self,
        replicas: &ReplicasApply,
        live: &Deployment,
    ) -> Result<(), kube::Error> {
        let mut body = replicas.body(self.name);
        body["metadata"]["uid"] = json!(live.metadata.uid);
        let parameters = apply_as(replicas.field_manager);
        let patch = Patch::Apply(body);
        let Err(error) = self.send::<Deployment, _>(&parameters, &patch).await else {
            return Ok(());
        };
        let is_conflict = matches!(&error, kube::Error::Api(status) if status.is_conflict());
        if is_conflict {
            let caches = self.reader.caches;
            let now: Option<Deployment> = caches
                .get_live(self.reader.client, self.namespace, self.name)
                .await?;
            if now.is_some_and(|now| handover(&now).is_none()) {
                return Ok(());
            }
        }
        Err(error)
    }

    async fn patch_changed<K: Cached>(
        &self,
        kind: ChildKind,
        object: &K,
        live: Option<&K>,
    ) -> Result<Patched<Box<K>>, kube::Error> {
        let key = (kind, self.namespace.to_owned(), self.name.to_owned());
        let body = digest(object);
        if !self.reader.undone.may_send(&key, body, Instant::now()) {
            let api = Api::<K>::namespaced(self.reader.client.clone(), self.namespace);
            let live = api.get_metadata_opt(self.name).await?;
            let metadata = live.map(|live| live.metadata).unwrap_or_default();
            return Ok(Patched::Undone(explained(&metadata)));
        }
        let mut object = object.clone();
        let mut parameters = apply_as(OPERATOR);
        // A known object is overwritten if it is still the same. An unknown one is only created: if another client has
        // taken the name, that is a conflict.
        if let Some(live) = live {
            object.meta_mut().uid.clone_from(&live.meta().uid);
            parameters = parameters.force();
        }
        let applied = self
            .send::<K, _>(&parameters, &Patch::Apply(&object))
            .await?;
        self.reader.undone.sent(key, body, Instant::now());
        Ok(Patched::Live(Box::new(applied)))
    }

    /// Sends an apply and updates the cache.
    async fn send<K, P>(&self, parameters: &PatchParams, patch: &Patch<P>) -> Result<K, kube::Error>
    where
        K: Cached,
        P: Serialize + Debug + Send + Sync,
    {
        let objects = K::cache(self.reader.caches);
        objects.invalidate(self.namespace, self.name);
        let applied = Api::<K>::namespaced(self.reader.client.clone(), self.namespace)
            .patch(self.name, parameters, patch)
            .await;
        match &applied {
            Ok(applied) => objects.record(applied),
            Err(error) if is_refused(error) => objects.revalidate(self.namespace, self.name),
            Err(_) => {}
        }
        applied
    }

    /// Applies the replicas. A decision of another field manager is kept.
    async fn apply_replicas(
        &self,
        replicas: &ReplicasApply,
        body: Value,
    ) -> Result<Patched<Child>, kube::Error> {
        let parameters = PatchParams {
            force: replicas.force,
            ..apply_as(replicas.field_manager)
        };
        match self.send(&parameters, &Patch::Apply(body)).await {
            Ok(applied) => Ok(Patched::Live(Child::Deployment(Box::new(applied)))),
            Err(kube::Error::Api(status)) if status.is_conflict() && replicas.only_raises() => {
                // The watch reports the current number.
                let deployments = &self.reader.caches.deployments;
                deployments.revalidate(self.namespace, self.name);
                Ok(Patched::Unsent)
            }
            Err(error) => Err(error),
        }
    }
}

impl Call {
    /// Whether the next calls may still succeed.
    fn allows_next(&self) -> bool {
        self.result.as_ref().err().is_none_or(fails_alone)
    }
}
