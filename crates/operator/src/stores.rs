//! What is known of the objects of all kinds, and how they are read: from what watches told where that is
//! certain, and from the API server where it isn't.

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
use kube::{Api, Client, Resource, core::DynamicObject};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_plan::{keda::ScaledObject, labels};

use crate::{
    error::Error,
    objects::{Lookup, Objects},
};

/// The stores of all kinds. Clones share them.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) model_services: Objects<ModelService>,
    pub(crate) services: Objects<Service>,
    pub(crate) pod_disruption_budgets: Objects<PodDisruptionBudget>,
    pub(crate) deployments: Objects<Deployment>,
    /// Grouped by the Deployment that they scale.
    pub(crate) horizontal_pod_autoscalers: Objects<HorizontalPodAutoscaler>,
    pub(crate) scaled_objects: Objects<ScaledObject>,
    /// Grouped by the ModelService whose label they have.
    pub(crate) pods: Objects<Pod>,
}

/// A kind that has a store.
pub(crate) trait Stored:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Send
    + Sync
    + Serialize
    + DeserializeOwned
    + 'static
{
    /// Its store.
    fn objects(stores: &Stores) -> &Objects<Self>;
}

impl Stores {
    /// Stores that no watch has filled: each look is one at the API server.
    pub(crate) fn new() -> Self {
        Self {
            model_services: Objects::new(without_managers, no_group),
            services: Objects::new(name_of_others, no_group),
            pod_disruption_budgets: Objects::new(name_of_others, no_group),
            deployments: Objects::new(numbers_of_others, no_group),
            horizontal_pod_autoscalers: Objects::new(no_notes_of_others, deployment_scaled),
            scaled_objects: Objects::new(|_| {}, no_group),
            pods: Objects::new(words_of_pod, instance),
        }
    }

    /// Waits until each first list is complete, or failed once.
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

    /// The object with a name, whoever its owner is.
    ///
    /// # Errors
    ///
    /// Where only the API server knows, and doesn't say.
    pub(crate) async fn get<K: Stored>(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, Error> {
        match K::objects(self).get(namespace, name) {
            Lookup::Known(object) => Ok(object),
            Lookup::Unknown => self
                .get_live(client, namespace, name)
                .await
                .map_err(Error::api(format!("reading the {}", K::kind(&())))),
        }
    }

    /// What has a name now, as the API server says.
    ///
    /// # Errors
    ///
    /// Where it doesn't say.
    pub(crate) async fn get_live<K: Stored>(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, kube::Error> {
        let found = Api::<K>::namespaced(client.clone(), namespace)
            .get_opt(name)
            .await?;
        match &found {
            Some(object) => K::objects(self).answered(object),
            None => K::objects(self).gone(namespace, name),
        }
        Ok(found)
    }
}

impl Stored for ModelService {
    fn objects(stores: &Stores) -> &Objects<Self> {
        &stores.model_services
    }
}

impl Stored for Service {
    fn objects(stores: &Stores) -> &Objects<Self> {
        &stores.services
    }
}

impl Stored for PodDisruptionBudget {
    fn objects(stores: &Stores) -> &Objects<Self> {
        &stores.pod_disruption_budgets
    }
}

impl Stored for Deployment {
    fn objects(stores: &Stores) -> &Objects<Self> {
        &stores.deployments
    }
}

impl Stored for HorizontalPodAutoscaler {
    fn objects(stores: &Stores) -> &Objects<Self> {
        &stores.horizontal_pod_autoscalers
    }
}

impl Stored for ScaledObject {
    fn objects(stores: &Stores) -> &Objects<Self> {
        &stores.scaled_objects
    }
}

impl Stored for Pod {
    fn objects(stores: &Stores) -> &Objects<Self> {
        &stores.pods
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

fn without_managers(object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
}

/// Whether it may have been made for a ModelService. Of all others, plans read little.
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

/// Leaves of what others made its metadata: it takes a name.
fn name_of_others(object: &mut DynamicObject) {
    if !may_be_ours(object) {
        no_notes_of_others(object);
        object.data = json!({});
    }
}

/// Annotations are large, and those of others say nothing here.
fn no_notes_of_others(object: &mut DynamicObject) {
    if !may_be_ours(object) {
        object.metadata.annotations = None;
    }
}

/// Leaves of a Deployment of others its numbers of pods, too.
fn numbers_of_others(deployment: &mut DynamicObject) {
    if !may_be_ours(deployment) {
        no_notes_of_others(deployment);
        let status = deployment.data["status"].take();
        let replicas = deployment.data["spec"]["replicas"].take();
        deployment.data = json!({"spec": {"replicas": replicas}, "status": status});
    }
}

/// Leaves of a pod what it says of its model, and its status.
fn words_of_pod(pod: &mut DynamicObject) {
    without_managers(pod);
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations
            .retain(|key, _| [labels::MODEL_URI, labels::MODEL_SHA256].contains(&key.as_str()));
    }
    let status = match &mut pod.data {
        Value::Object(fields) => fields.remove("status"),
        _ => None,
    };
    pod.data = json!({"status": status});
}
