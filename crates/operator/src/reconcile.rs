//! One reconcile of one ModelService: read → validate → observe → plan → delete → apply → status. The pods are queried
//! concurrently with the applies.
//!
//! A reconcile keeps no state for the next one: after an interruption, the next one starts from the cluster's state.

use std::sync::Arc;

use futures::join;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, Patch},
    runtime::reflector::ObjectRef,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use springtide_api::{ModelService, ModelServiceSpec, ModelServiceStatus};
use springtide_contract::text::plain;
use springtide_plan::{
    ChildKind, Desired, Failure, Invalid, Observed, OperatorSettings, Stage, UpgradePolicy,
    ValidatedModelService, desired, events,
    field_manager::{STATUS, YIELDING},
    invalid_spec_status, last_valid_status, observation_failed_status, own_status,
    pending_config_map, pods_to_query, pods_to_replace, requeue_at, served_image,
    stage as stage_of, status, stuck_pod_uid, yielding,
};
use tokio::time::Instant;

use crate::{
    active_reconciles::ActiveReconciles,
    apply::{ApplyReport, apply_as, apply_plan},
    awaited,
    caches::Caches,
    capabilities::ClusterCapabilities,
    claims::{Claims, ManagingOperator},
    error::Error,
    events::EventPublisher,
    metrics::Metrics,
    model_services::Watched,
    object_cache::Lookup,
    observe::{ClusterReader, observe, recheck},
    pod_events::pod_events,
    pod_status::{PodStatusClient, query_all},
    undone::Undone,
    upgrades::UpgradeQueue,
};

/// Maximum bytes of the fault of a spec that can't be read.
const MAX_FAULT_BYTES: usize = 512;

/// Dependencies of all reconciles.
#[derive(Clone)]
pub struct Context {
    client: Client,
    settings: OperatorSettings,
    metrics: Metrics,
    active_reconciles: ActiveReconciles<ObjectRef<Watched>>,
    events: EventPublisher,
    capabilities: ClusterCapabilities,
    caches: Caches,
    pod_status: Arc<dyn PodStatusClient>,
    claims: Option<Claims>,
    undone: Undone,
    upgrades: UpgradeQueue,
}

impl Context {
    /// Creates the context and starts the task that records events. `identity` is this replica's name in events,
    /// `pod_status` queries pods.
    #[must_use]
    pub fn new(
        client: Client,
        settings: OperatorSettings,
        metrics: Metrics,
        identity: String,
        pod_status: Arc<dyn PodStatusClient>,
        upgrades: UpgradePolicy,
    ) -> Self {
        let active_reconciles = ActiveReconciles::default();
        let events = EventPublisher::new(
            client.clone(),
            identity,
            metrics.clone(),
            active_reconciles.clone(),
        );
        Self {
            client,
            settings,
            metrics,
            active_reconciles,
            events,
            capabilities: ClusterCapabilities::default(),
            caches: Caches::new(),
            pod_status,
            claims: None,
            undone: Undone::default(),
            upgrades: UpgradeQueue::new(upgrades),
        }
    }

    /// Shares ModelServices with other operators. Without claims this operator manages every ModelService.
    #[must_use]
    pub fn claiming(self, claims: Claims) -> Self {
        Self {
            claims: Some(claims),
            ..self
        }
    }

    pub(crate) const fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) const fn caches(&self) -> &Caches {
        &self.caches
    }

    pub(crate) const fn reader(&self) -> ClusterReader<'_> {
        ClusterReader {
            client: &self.client,
            caches: &self.caches,
            undone: &self.undone,
        }
    }

    /// The capabilities of the cluster. They are unknown before the first [refresh](ClusterCapabilities::refresh).
    #[must_use]
    pub const fn capabilities(&self) -> &ClusterCapabilities {
        &self.capabilities
    }

    /// Waits until the events of former reconciles are recorded.
    pub async fn flush_events(&self) {
        self.events.flush().await;
    }

    /// The active reconciles. They take precedence over events.
    pub(crate) const fn active_reconciles(&self) -> &ActiveReconciles<ObjectRef<Watched>> {
        &self.active_reconciles
    }

    /// The queue of upgrades.
    #[must_use]
    pub const fn upgrades(&self) -> &UpgradeQueue {
        &self.upgrades
    }

    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// The state in which a reconcile leaves a ModelService.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// The cluster is as the spec wants it, as far as possible now.
    Settled,
    /// A deletion has to be over first. Its event starts the next reconcile.
    Waiting,
    /// The spec asks for a component that isn't installed, or another autoscaler is in the way. No event reports
    /// when that changes.
    Incomplete,
    /// The ModelService is gone, is being deleted, or belongs to another operator.
    Gone,
}

/// The result of a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    /// The state of the ModelService.
    pub outcome: ReconcileOutcome,
    /// The time at which another reconcile is due although nothing has changed.
    pub requeue_at: Option<Timestamp>,
}

impl From<ReconcileOutcome> for Reconciled {
    fn from(outcome: ReconcileOutcome) -> Self {
        Self {
            outcome,
            requeue_at: None,
        }
    }
}

/// Brings the cluster into the state that the ModelService describes, and its status into the state of the cluster.
///
/// # Errors
///
/// If the spec is invalid, or if a call failed. The status has the error too, unless the API server is unreachable or
/// overloaded.
pub async fn reconcile(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Reconciled, Error> {
    let Some((model_service, unreadable)) = read(context, namespace, name).await? else {
        return Ok(ReconcileOutcome::Gone.into());
    };
    if model_service.metadata.deletion_timestamp.is_some() {
        return Ok(ReconcileOutcome::Gone.into());
    }
    match managed_by(context, &model_service, namespace).await? {
        ManagedBy::ThisOperator => {}
        ManagedBy::OtherClass => return Ok(ReconcileOutcome::Gone.into()),
        ManagedBy::OtherOperator => {
            context.upgrades.forget(namespace, name);
            context.metrics.forget(namespace, name);
            return Ok(ReconcileOutcome::Incomplete.into());
        }
    }
    let read = match unreadable {
        None => ValidatedModelService::try_from(&model_service),
        Some(unreadable) => Err(unreadable),
    };
    let validated = match read {
        Ok(validated) => validated,
        Err(invalid) => {
            if let Some(last_valid) = ValidatedModelService::from_last_valid(&model_service) {
                let keeping = keep(context, &model_service, &last_valid, Some(&invalid));
                return Box::pin(keeping).await;
            }
            let previous = model_service.status.as_ref();
            let now = invalid_spec_status(&model_service, &invalid, previous, Timestamp::now());
            return match Box::pin(write_status(context, &model_service, now)).await? {
                Written::Gone => Ok(ReconcileOutcome::Gone.into()),
                Written::Done => Err(invalid.into()),
            };
        }
    };
    Box::pin(keep(context, &model_service, &validated, None)).await
}

/// Applies a valid ModelService and writes its status, which also has the fault `invalid` of a newer spec.
async fn keep(
    context: &Context,
    model_service: &ModelService,
    validated: &ValidatedModelService,
    invalid: Option<&Invalid>,
) -> Result<Reconciled, Error> {
    let (namespace, name) = (validated.namespace(), validated.name());
    let (observed, mut plan) = match Box::pin(plan(context, validated)).await {
        Ok(planned) => planned,
        Err(error) => return unobserved(context, model_service, error).await,
    };
    let previous = model_service.status.as_ref();
    let settings = &context.settings;
    let mut stage = stage_of(validated, &observed, settings, previous, &mut plan);
    if let Some(wait) = context.upgrades.report(namespace, name, stage) {
        plan.hold_upgrade(wait, &observed);
    }
    let pods = pods_to_query(validated, &observed);
    let awaited = pending_config_map(validated, &observed);
    let (report, replies, config_map) = join!(
        apply_plan(context.reader(), namespace, name, &plan, observed),
        query_all(context.pod_status.as_ref(), &pods),
        awaited::config_map(&context.client, namespace, awaited),
    );
    let ApplyReport {
        mut applied,
        error,
        is_undone,
    } = match report {
        // The ModelService is deleted with its namespace.
        Err(error) if error.is_terminating() => return Ok(ReconcileOutcome::Gone.into()),
        result => result?,
    };
    applied.record_replies(replies);
    let observed = applied.observed();
    if matches!(stage, Stage::Waiting(_)) && plan.upgrade_wait.is_none() {
        if applied.failure(ChildKind::Deployment).is_some() {
            context.upgrades.reject(namespace, name);
        } else {
            stage = stage_of(validated, observed, settings, previous, &mut plan);
            context.upgrades.report(namespace, name, stage);
        }
    }
    let image = observed.deployment.as_ref().and_then(served_image);
    let metrics = &context.metrics;
    metrics.set_image(namespace, name, image.unwrap_or_default(), stage);
    if let Some(config_map) = config_map {
        let pods = pods_to_replace(validated, observed, &config_map);
        awaited::replace(&context.client, namespace, &pods).await;
    }
    let at = Timestamp::now();
    let mut now = status(validated, &applied, &plan, previous, at);
    if let Some(invalid) = invalid {
        now = last_valid_status(now, model_service, invalid, previous, at);
    }
    let requeue_at = requeue_at(validated, &applied, &now, observed.at);
    if write_status(context, model_service, now).await? == Written::Gone {
        return Ok(ReconcileOutcome::Gone.into());
    }
    if let Some(error) = error {
        return Err(error);
    }
    let is_incomplete = plan.keda_missing || is_undone || !observed.other_autoscalers.is_empty();
    let outcome = match plan.blocked_on {
        Some(_) => ReconcileOutcome::Waiting,
        None if is_incomplete => ReconcileOutcome::Incomplete,
        None => ReconcileOutcome::Settled,
    };
    Ok(Reconciled {
        outcome,
        requeue_at,
    })
}

/// Plans from the observation. Reads again what must not be outdated when the plan is applied.
async fn plan(
    context: &Context,
    validated: &ValidatedModelService,
) -> Result<(Observed, Desired), Error> {
    let (reader, namespace) = (context.reader(), validated.namespace());
    let capabilities = context.capabilities.current(&context.client).await?;
    let mut observed = Box::pin(observe(reader, namespace, validated, capabilities)).await?;
    let stuck = stuck_pod_uid(&observed, observed.at);
    observed.events = pod_events(&context.client, namespace, stuck.as_deref()).await;
    let plan = desired(validated, &observed, &context.settings);
    let Some(recheck_of) = plan.recheck(&observed) else {
        return Ok((observed, plan));
    };
    Box::pin(recheck(
        reader,
        namespace,
        validated,
        recheck_of,
        &mut observed,
    ))
    .await?;
    let plan = desired(validated, &observed, &context.settings);
    Ok((observed, plan))
}

/// Writes to the status why nothing could be observed.
async fn unobserved(
    context: &Context,
    model_service: &ModelService,
    error: Error,
) -> Result<Reconciled, Error> {
    if error.fails_alone() {
        let failure = Failure {
            reason: error.reason().to_owned(),
            message: error.to_string(),
        };
        let previous = model_service.status.as_ref();
        let now = observation_failed_status(model_service, &failure, previous, Timestamp::now());
        if write_status(context, model_service, now).await? == Written::Gone {
            return Ok(ReconcileOutcome::Gone.into());
        }
    }
    Err(error)
}

/// The ModelService, and the fault of a spec that can't be read: its last valid spec takes its place.
async fn read(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<(ModelService, Option<Invalid>)>, Error> {
    if let Lookup::Known(found) = context.caches.model_services.get(namespace, name) {
        return Ok(found.map(|found| (found, None)));
    }
    let found = context
        .caches
        .get_live(&context.client, namespace, name)
        .await;
    let error = match found {
        Ok(found) => return Ok(found.map(|found| (found, None))),
        Err(kube::Error::SerdeError(error)) => error,
        Err(error) => return Err(Error::api("reading the ModelService")(error)),
    };
    let kind = ApiResource::erase::<ModelService>(&());
    let found = Api::<DynamicObject>::namespaced_with(context.client.clone(), namespace, &kind)
        .get_opt(name)
        .await
        .map_err(Error::api("reading the ModelService"))?;
    let unreadable = Invalid::Unreadable(plain(&error.to_string(), MAX_FAULT_BYTES).into_owned());
    Ok(found
        .and_then(|object| with_last_valid_spec(&object))
        .map(|object| (object, Some(unreadable))))
}

/// The object with the last valid spec from its status, or else with an empty spec.
fn with_last_valid_spec(object: &DynamicObject) -> Option<ModelService> {
    let status = ModelServiceStatus::deserialize(&object.data["status"]).ok();
    let last_valid = status
        .as_ref()
        .and_then(|status| status.last_valid.as_ref())
        .and_then(|last_valid| ModelServiceSpec::deserialize(&last_valid.spec).ok());
    let spec = last_valid.or_else(|| ModelServiceSpec::deserialize(&json!({"model": {}})).ok())?;
    Some(ModelService {
        metadata: object.metadata.clone(),
        spec,
        status,
    })
}

/// The operator that manages a ModelService.
enum ManagedBy {
    /// This operator.
    ThisOperator,
    /// An operator of another class.
    OtherClass,
    /// Another operator of this class that watches the same namespace.
    OtherOperator,
}

/// Determines which operator manages the ModelService. Writes or removes the condition about another operator of this
/// class: an operator without the claim writes nothing else.
async fn managed_by(
    context: &Context,
    model_service: &ModelService,
    namespace: &str,
) -> Result<ManagedBy, Error> {
    let Some(claims) = &context.claims else {
        return Ok(ManagedBy::ThisOperator);
    };
    if !claims.is_own_class(model_service.spec.operator_class.as_deref()) {
        return Ok(ManagedBy::OtherClass);
    }
    let yielded_to = match claims.managing_operator(namespace, Instant::now()) {
        ManagingOperator::This => None,
        ManagingOperator::Other(holder) => Some(holder),
    };
    let now = Timestamp::now();
    if let Some(conditions) = yielding(model_service, claims.identity(), yielded_to.as_deref(), now)
    {
        let status = json!({"conditions": conditions});
        apply_status(context, model_service, YIELDING, &status).await?;
    }
    Ok(match yielded_to {
        None => ManagedBy::ThisOperator,
        Some(_) => ManagedBy::OtherOperator,
    })
}

/// The result of writing a status.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// The status was written.
    Done,
    /// The ModelService was deleted after it was read.
    Gone,
}

/// Writes a status that differs from the current one, and publishes its events.
async fn write_status(
    context: &Context,
    model_service: &ModelService,
    status: ModelServiceStatus,
) -> Result<Written, Error> {
    let previous = model_service.status.as_ref();
    if previous.is_some_and(|previous| own_status(previous) == status) {
        return Ok(Written::Done);
    }
    let written = apply_status(context, model_service, STATUS, &status).await?;
    if written == Written::Gone {
        return Ok(written);
    }
    context
        .events
        .publish(&model_service.object_ref(&()), events(previous, &status));
    Ok(Written::Done)
}

/// Applies a status, or a part of one, as a field manager.
async fn apply_status(
    context: &Context,
    model_service: &ModelService,
    field_manager: &str,
    status: &impl Serialize,
) -> Result<Written, Error> {
    let metadata = &model_service.metadata;
    let (Some(name), Some(namespace)) = (&metadata.name, &metadata.namespace) else {
        return Ok(Written::Done);
    };
    let patch = json!({
        "apiVersion": ModelService::api_version(&()),
        "kind": ModelService::kind(&()),
        // The UID protects a newer ModelService of the same name.
        "metadata": {"name": name, "uid": metadata.uid},
        "status": status,
    });
    let parameters = apply_as(field_manager).force();
    let known = &context.caches.model_services;
    known.invalidate(namespace, name);
    let kind = ApiResource::erase::<ModelService>(&());
    // The spec may be one that can't be parsed.
    let written = Api::<DynamicObject>::namespaced_with(context.client.clone(), namespace, &kind)
        .patch_status(name, &parameters, &Patch::Apply(&patch))
        .await;
    match written {
        Ok(written) => known.record(&written),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            known.record_absence(namespace, name);
            return Ok(Written::Gone);
        }
        Err(error) => return Err(Error::api("writing the status")(error)),
    }
    Ok(Written::Done)
}
