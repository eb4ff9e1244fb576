//! The caches of all kinds, and reads: from a cache where it is certain, otherwise from the API server.

use std::fmt::Debug;

use futures::join;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    core::{DynamicObject, ObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_plan::{keda::ScaledObject, labels};

use crate::{
    error::Error,
    object_cache::{Lookup, ObjectCache},
};

/// The caches of all kinds. Clones share them.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) model_services: ObjectCache<ModelService>,
    pub(crate) services: ObjectCache<Service>,
    pub(crate) pod_disruption_budgets: ObjectCache<PodDisruptionBudget>,
    pub(crate) deployments: ObjectCache<Deployment>,
    /// Grouped by the Deployment that they scale.
    pub(crate) horizontal_pod_autoscalers: ObjectCache<HorizontalPodAutoscaler>,
    pub(crate) scaled_objects: ObjectCache<ScaledObject>,
    /// Grouped by the ModelService that their label names.
    pub(crate) pods: ObjectCache<Pod>,
}

/// A kind that has a cache.
pub(crate) trait Cached:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Send
    + Sync
    + Serialize
    + DeserializeOwned
    + 'static
{
    /// Its cache.
    fn cache(caches: &Caches) -> &ObjectCache<Self>;
}

impl Caches {
    /// Caches without a watch: every read goes to the API server.
    pub(crate) fn new() -> Self {
        Self {
            model_services: ObjectCache::new(drop_managed_fields, no_group),
            services: ObjectCache::new(keep_foreign_metadata, no_group),
            pod_disruption_budgets: ObjectCache::new(keep_foreign_metadata, no_group),
            deployments: ObjectCache::new(keep_foreign_replicas, no_group),
            horizontal_pod_autoscalers: ObjectCache::new(
                drop_foreign_annotations,
                deployment_scaled,
            ),
            scaled_objects: ObjectCache::new(|_| {}, no_group),
            pods: ObjectCache::new(keep_pod_status, instance),
        }
    }

    /// Waits until each first list is complete, or has failed once.
    pub(crate) async fn listed(&self) {
        join!(
            self.model_services.listed(),
            self.services.listed(),
            self.pod_disruption_budgets.listed(),
            self.deployments.listed(),
            self.horizontal_pod_autoscalers.listed(),
            self.scaled_objects.listed(),
            self.pods.listed(),
        );
    }

    /// The object of a name, whatever its owner.
    ///
    /// # Errors
    ///
    /// If the API server must be read, and the call fails.
    pub(crate) async fn get<K: Cached>(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, Error> {
        match K::cache(self).get(namespace, name) {
            Lookup::Known(object) => Ok(object),
            Lookup::Unknown => self
                .get_live(client, namespace, name)
                .await
                .map_err(Error::api(format!("reading the {}", K::kind(&())))),
        }
    }

    /// The object of a name, read from the API server.
    ///
    /// # Errors
    ///
    /// If the call fails.
    pub(crate) async fn get_live<K: Cached>(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, kube::Error> {
        let found = Api::<K>::namespaced(client.clone(), namespace)
            .get_opt(name)
            .await?;
        match &found {
            Some(object) => K::cache(self).record(object),
            None => K::cache(self).record_absence(namespace, name),
        }
        Ok(found)
    }
}

impl Cached for ModelService {
    fn cache(caches: &Caches) -> &ObjectCache<Self> {
        &caches.model_services
    }
}

impl Cached for Service {
    fn cache(caches: &Caches) -> &ObjectCache<Self> {
        &caches.services
    }
}

impl Cached for PodDisruptionBudget {
    fn cache(caches: &Caches) -> &ObjectCache<Self> {
        &caches.pod_disruption_budgets
    }
}

impl Cached for Deployment {
    fn cache(caches: &Caches) -> &ObjectCache<Self> {
        &caches.deployments
    }
}

impl Cached for HorizontalPodAutoscaler {
    fn cache(caches: &Caches) -> &ObjectCache<Self> {
        &caches.horizontal_pod_autoscalers
    }
}

impl Cached for ScaledObject {
    fn cache(caches: &Caches) -> &ObjectCache<Self> {
        &caches.scaled_objects
    }
}

impl Cached for Pod {
    fn cache(caches: &Caches) -> &ObjectCache<Self> {
        &caches.pods
    }
}

fn no_group(_object: &DynamicObject) -> Option<String> {
    None
}

/// The ModelService that a pod's label names.
pub(crate) fn instance(pod: &DynamicObject) -> Option<String> {
    pod.metadata.labels.as_ref()?.get(labels::INSTANCE).cloned()
}

/// The Deployment that an HPA scales.
pub(crate) fn deployment_scaled(hpa: &DynamicObject) -> Option<String> {
    let target = &hpa.data["spec"]["scaleTargetRef"];
    let name = target["name"].as_str().map(str::to_owned);
    name.filter(|_| target["kind"] == *Deployment::kind(&()))
}

fn drop_managed_fields(object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
}

/// Whether it may have been created for a ModelService. Plans need little of other objects.
fn may_be_ours(object: &DynamicObject) -> bool {
    let metadata = &object.metadata;
    let is_labelled = metadata.labels.as_ref().is_some_and(|found| {
        found
            .get(labels::MANAGED_BY)
            .is_some_and(|manager| manager == labels::SPRINGTIDE)
    });
    let mut owners = metadata.owner_references.iter().flatten();
    is_labelled || owners.any(|owner| owner.kind == ModelService::kind(&()))
}

/// Keeps only the metadata of objects of other owners: they occupy a name.
fn keep_foreign_metadata(object: &mut DynamicObject) {
    if !may_be_ours(object) {
        drop_foreign_annotations(object);
        object.data = json!({});
    }
}

/// Drops the annotations of objects of other owners: they are large and unused.
fn drop_foreign_annotations(object: &mut DynamicObject) {
    if !may_be_ours(object) {
        object.metadata.annotations = None;
    }
}

/// Keeps the replica counts of Deployments of other owners, too.
fn keep_foreign_replicas(deployment: &mut DynamicObject) {
    if !may_be_ours(deployment) {
        drop_foreign_annotations(deployment);
        let status = deployment.data["status"].take();
        let replicas = deployment.data["spec"]["replicas"].take();
        deployment.data = json!({"spec": {"replicas": replicas}, "status": status});
    }
}

/// Keeps the annotations about the model of a pod, and drops the managed fields.
pub(crate) fn prune_pod_metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations
            .retain(|key, _| [labels::MODEL_URI, labels::MODEL_SHA256].contains(&key.as_str()));
    }
}

/// Keeps the status of a pod and the annotations about its model.
fn keep_pod_status(pod: &mut DynamicObject) {
    prune_pod_metadata(&mut pod.metadata);
    let status = match &mut pod.data {
        Value::Object(fields) => fields.remove("status"),
        _ => None,
    };
    pod.data = json!({"status": status});
}
