//! A ModelService with a valid spec.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;
use springtide_api::{
    MAX_NAME_LENGTH, ModelService, ModelServiceSpec, ModelUri, Sha256,
    server::Server,
    status::{LastValid, ModelStatus},
};

use springtide_contract::batching::BatchingMode;

use crate::{
    keda::HPA_NAME_PREFIX,
    labels,
    spec::{
        Invalid, Scaling, bounds,
        memory_at_rest::{MemoryAtRest, loaded_since},
        pod::ServingPod,
        pod_resources::PodResources,
        rollout_rules::RolloutRules,
    },
};

/// A ModelService with a valid, parsed spec.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedModelService {
    name: String,
    namespace: String,
    uid: String,
    generation: i64,
    model_uri: ModelUri,
    model_sha256: Option<Sha256>,
    model_name: String,
    max_size_mebibytes: i32,
    server: Server,
    pod: ServingPod,
    pod_resources: PodResources,
    scaling: Scaling,
    rollout: RolloutRules,
    sentinel_mismatch: Option<String>,
    replacement: Option<Sha256>,
    memory_at_rest_mebibytes: Option<i32>,
    spec: Value,
}

impl TryFrom<&ModelService> for ValidatedModelService {
    type Error = Invalid;

    fn try_from(model_service: &ModelService) -> Result<Self, Self::Error> {
        let ModelService { metadata, spec, .. } = model_service;
        let name = metadata
            .name
            .clone()
            .ok_or(Invalid::Missing("metadata.name"))?;
        if !is_name(&name) {
            return Err(Invalid::Name);
        }
        let value = serde_json::to_value(spec).unwrap_or_default();
        bounds::check(&value)?;
        let model_uri = ModelUri::try_from(&spec.model)?;
        let model_sha256 = spec
            .model
            .sha256
            .as_deref()
            .map(str::parse::<Sha256>)
            .transpose()?;
        if model_uri.requires_sha256() && model_sha256.is_none() {
            return Err(Invalid::Sha256Missing);
        }
        let status = model_service.status.as_ref();
        let known = status
            .and_then(|status| status.model.as_ref())
            .filter(|known| is_about(known, &model_uri, model_sha256.as_ref()));
        let pod_resources = PodResources::parse(&spec.server.resources)?;
        let memory = MemoryAtRest::of(
            known,
            status.and_then(loaded_since),
            pod_resources.requests.get("memory"),
            pod_resources.limits.get("memory"),
        );
        Ok(Self {
            namespace: metadata
                .namespace
                .clone()
                .ok_or(Invalid::Missing("metadata.namespace"))?,
            uid: metadata
                .uid
                .clone()
                .ok_or(Invalid::Missing("metadata.uid"))?,
            generation: metadata.generation.unwrap_or_default(),
            model_uri,
            model_sha256,
            model_name: spec.model.name.clone().unwrap_or_else(|| name.clone()),
            max_size_mebibytes: spec.model.max_size_mebibytes,
            server: spec.server.clone(),
            memory_at_rest_mebibytes: memory.at_rest_mebibytes,
            pod: ServingPod::parse(
                &spec.pod,
                metadata.labels.as_ref(),
                request_timeout_milliseconds(&spec.server),
            )?,
            pod_resources,
            scaling: Scaling::parse(&spec.autoscaling, spec.replicas, memory)?,
            rollout: RolloutRules::parse(&spec.rollout)?,
            name,
            sentinel_mismatch: known.and_then(|known| known.sentinel_mismatch.clone()),
            replacement: known.and_then(|known| known.replacement_sha256.as_ref()?.parse().ok()),
            spec: value,
        })
    }
}

/// Whether a status is about this model.
fn is_about(known: &ModelStatus, uri: &ModelUri, sha256: Option<&Sha256>) -> bool {
    known.uri == uri.to_string() && known.sha256.as_deref() == sha256.map(Sha256::as_str)
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= MAX_NAME_LENGTH
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The request timeout in milliseconds.
fn request_timeout_milliseconds(server: &Server) -> u32 {
    server
        .request_timeout_milliseconds
        .try_into()
        .unwrap_or_default()
}

impl ValidatedModelService {
    /// The ModelService with its last valid spec, from its status.
    #[must_use]
    pub fn from_last_valid(model_service: &ModelService) -> Option<Self> {
        let last_valid = model_service.status.as_ref()?.last_valid.as_ref()?;
        let mut previous = ModelService {
            metadata: model_service.metadata.clone(),
            spec: ModelServiceSpec::deserialize(&last_valid.spec).ok()?,
            status: model_service.status.clone(),
        };
        previous.metadata.generation = Some(last_valid.generation);
        Self::try_from(&previous).ok()
    }

    /// Its spec in the form of the status.
    pub(crate) fn last_valid(&self) -> LastValid {
        LastValid {
            generation: self.generation,
            spec: self.spec.clone(),
        }
    }

    /// Its name, which is also the name of all its objects.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The generation of its spec.
    #[must_use]
    pub const fn generation(&self) -> i64 {
        self.generation
    }

    /// The source of the model.
    #[must_use]
    pub const fn model_uri(&self) -> &ModelUri {
        &self.model_uri
    }

    /// The required SHA-256 of the model.
    #[must_use]
    pub const fn model_sha256(&self) -> Option<&Sha256> {
        self.model_sha256.as_ref()
    }

    /// The model's name in responses.
    #[must_use]
    pub fn model_name(&self) -> &str {
        &self.model_name
    }

    /// Maximum size of the model's file in MiB.
    pub(crate) const fn max_size_mebibytes(&self) -> i32 {
        self.max_size_mebibytes
    }

    /// The server settings.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// The request timeout in milliseconds.
    pub(crate) fn request_timeout_milliseconds(&self) -> u32 {
        request_timeout_milliseconds(&self.server)
    }

    /// The pod settings besides the server.
    pub(crate) const fn pod(&self) -> &ServingPod {
        &self.pod
    }

    /// Requests and limits of the pods.
    pub(crate) const fn pod_resources(&self) -> &PodResources {
        &self.pod_resources
    }

    /// Labels of all its objects.
    pub(crate) fn child_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.pod.labels().clone();
        labels.extend(labels::of(&self.name));
        labels
    }

    /// A pod's report that the outputs of rows of this model in a batch differed from those of the rows alone. It is
    /// kept in the status.
    pub(crate) fn sentinel_mismatch(&self) -> Option<&str> {
        self.sentinel_mismatch.as_deref()
    }

    /// The file that replaced the one that pods of the ConfigMap served, from the status. All pods are replaced for it.
    pub(crate) const fn replacement(&self) -> Option<&Sha256> {
        self.replacement.as_ref()
    }

    /// Memory of this model's pods at rest in MiB, from the status.
    pub(crate) const fn memory_at_rest_mebibytes(&self) -> Option<i32> {
        self.memory_at_rest_mebibytes
    }

    /// The same ModelService without the facts that were learned about its model.
    pub(crate) fn without_learned_facts(&self) -> Self {
        Self {
            sentinel_mismatch: None,
            replacement: None,
            memory_at_rest_mebibytes: None,
            ..self.clone()
        }
    }

    /// The batching mode for the pods. A new pod doesn't know what others have found. So with a known mismatch, `Auto`
    /// becomes `Never`. `Always` is the owner's decision.
    pub(crate) fn batching_mode(&self) -> BatchingMode {
        match self.server.batching.mode {
            BatchingMode::Auto if self.sentinel_mismatch.is_some() => BatchingMode::Never,
            mode => mode,
        }
    }

    /// What sets the replicas.
    #[must_use]
    pub const fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// How new pods replace the previous ones.
    pub(crate) const fn rollout(&self) -> &RolloutRules {
        &self.rollout
    }

    /// URL of the model inside the cluster.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}.{}.svc", self.name, self.namespace)
    }

    /// Name of the HorizontalPodAutoscaler that KEDA creates with `engine: KEDA`.
    #[must_use]
    pub fn keda_hpa_name(&self) -> String {
        format!("{HPA_NAME_PREFIX}{}", self.name)
    }

    /// Metadata of all its objects.
    pub(crate) fn child_metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.child_labels()),
            owner_references: Some(vec![OwnerReference {
                api_version: ModelService::api_version(&()).into_owned(),
                kind: ModelService::kind(&()).into_owned(),
                name: self.name.clone(),
                uid: self.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }
}
