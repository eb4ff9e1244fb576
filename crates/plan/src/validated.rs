//! A ModelService whose spec makes sense.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;
use springtide_api::{
    InvalidModelSource, InvalidSha256, MAX_NAME_LENGTH, ModelService, ModelServiceSpec, ModelUri,
    Sha256,
    server::Server,
    status::{LastValid, ModelStatus},
};

use springtide_contract::batching::BatchingMode;

use crate::{
    keda::HPA_NAME_PREFIX,
    labels,
    memory::{self, Memory},
    pod::{InvalidPod, ServingPod},
    pod_resources::{InvalidResources, PodResources},
    rollout::RolloutRules,
    scaling::Scaling,
    schedule::InvalidSchedule,
};

/// A ModelService whose spec makes sense, parsed.
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

/// What is wrong with a spec. The API server refuses such a spec with the present CRD; an older CRD
/// may have let it through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Metadata that the API server always sets isn't there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The name can't be used for everything that is made for the ModelService.
    #[error("metadata.name must be a DNS-1035 label of at most {MAX_NAME_LENGTH} characters")]
    Name,
    /// Where the model comes from.
    #[error(transparent)]
    ModelSource(#[from] InvalidModelSource),
    /// The SHA-256 of the model.
    #[error("spec.model.sha256 {0}")]
    Sha256(#[from] InvalidSha256),
    /// A model from the web without a SHA-256.
    #[error(
        "spec.model.sha256 is required for https:// and http:// models, and with spec.model.uriFrom"
    )]
    Sha256Missing,
    /// A fixed number of pods under an autoscaler.
    #[error("spec.replicas is only allowed with spec.autoscaling.engine None")]
    ReplicasWithEngine,
    /// Neither an autoscaler nor a fixed number of pods.
    #[error("spec.replicas is required with spec.autoscaling.engine None")]
    ReplicasMissing,
    /// A value that is out of its bounds.
    #[error("{field} must be between {min} and {max}")]
    OutOfBounds {
        /// The field.
        field: String,
        /// Least value.
        min: i32,
        /// Greatest value.
        max: i32,
    },
    /// A tolerance that isn't one.
    #[error("{field} must be from 0 to 1 with at most three decimals")]
    Tolerance {
        /// The field.
        field: String,
    },
    /// A schedule that makes no sense.
    #[error(transparent)]
    Schedule(#[from] InvalidSchedule),
    /// A number of pods, or a percentage, that is none.
    #[error("{field} must be a number of pods from 0 to 1000, or a percentage from 0% to 100%")]
    PodAmount {
        /// The field.
        field: &'static str,
    },
    /// A rollout that could replace no pod.
    #[error("spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0")]
    RolloutOfNothing,
    /// What pods have besides the server.
    #[error(transparent)]
    Pod(#[from] InvalidPod),
    /// Requests and limits of the pods.
    #[error(transparent)]
    Resources(#[from] InvalidResources),
    /// It can't be parsed.
    #[error("the spec can't be read, its definition may be newer than the operator: {0}")]
    Unreadable(String),
    /// Fewer pods at most than at least.
    #[error("spec.autoscaling.minReplicas must be at most spec.autoscaling.maxReplicas")]
    MinAboveMax,
}

/// Reason of a spec that makes no sense.
pub(crate) const INVALID_SPEC: &str = "InvalidSpec";

/// Reason of a spec that can't be parsed.
pub(crate) const UNREADABLE_SPEC: &str = "UnreadableSpec";

impl Invalid {
    /// The stable name of this class of errors, for conditions, events and metric labels.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => UNREADABLE_SPEC,
            _ => INVALID_SPEC,
        }
    }
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
        let model_uri = ModelUri::try_from(&spec.model)?;
        let model_sha256 = spec
            .model
            .sha256
            .as_deref()
            .map(str::parse::<Sha256>)
            .transpose()?;
        let from_the_web = matches!(model_uri, ModelUri::Http { .. } | ModelUri::Secret { .. });
        if from_the_web && model_sha256.is_none() {
            return Err(Invalid::Sha256Missing);
        }
        within(
            "spec.model.maxSizeMebibytes",
            spec.model.max_size_mebibytes,
            1,
            1_048_576,
        )?;
        let status = model_service.status.as_ref();
        let known = status
            .and_then(|status| status.model.as_ref())
            .filter(|known| is_about(known, &model_uri, model_sha256.as_ref()));
        let pod_resources = PodResources::parse(&spec.server.resources)?;
        let memory = Memory::of(
            known,
            status.and_then(memory::loaded_since),
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
            server: server(&spec.server)?,
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
            spec: serde_json::to_value(spec).unwrap_or_default(),
        })
    }
}

/// Whether what is known is about this model.
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

fn server(server: &Server) -> Result<Server, Invalid> {
    let batching = &server.batching;
    within(
        "spec.server.batching.maxBatchRows",
        batching.max_batch_rows,
        1,
        4096,
    )?;
    within(
        "spec.server.batching.maxWaitMilliseconds",
        batching.max_wait_milliseconds,
        0,
        60_000,
    )?;
    within(
        "spec.server.startupTimeoutSeconds",
        server.startup_timeout_seconds,
        10,
        86_400,
    )?;
    within(
        "spec.server.maxQueueRows",
        server.max_queue_rows,
        1,
        1_000_000,
    )?;
    within(
        "spec.server.requestTimeoutMilliseconds",
        server.request_timeout_milliseconds,
        1,
        600_000,
    )?;
    if let Some(objective) = server.latency_objective_milliseconds {
        within(
            "spec.server.latencyObjectiveMilliseconds",
            objective,
            0,
            600_000,
        )?;
    }
    if let Some(workers) = server.workers {
        within("spec.server.workers", workers, 1, 256)?;
    }
    Ok(server.clone())
}

/// How long a request may take, in milliseconds.
fn request_timeout_milliseconds(server: &Server) -> u32 {
    server
        .request_timeout_milliseconds
        .try_into()
        .unwrap_or_default()
}

pub(crate) fn within(field: &str, value: i32, min: i32, max: i32) -> Result<(), Invalid> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(Invalid::OutOfBounds {
            field: field.to_owned(),
            min,
            max,
        })
    }
}

impl ValidatedModelService {
    /// The ModelService with the last spec that made sense, as its status has it.
    #[must_use]
    pub fn in_force(model_service: &ModelService) -> Option<Self> {
        let last_valid = model_service.status.as_ref()?.last_valid.as_ref()?;
        let mut former = ModelService {
            metadata: model_service.metadata.clone(),
            spec: ModelServiceSpec::deserialize(&last_valid.spec).ok()?,
            status: model_service.status.clone(),
        };
        former.metadata.generation = Some(last_valid.generation);
        Self::try_from(&former).ok()
    }

    /// Its spec, as a status keeps it.
    pub(crate) fn last_valid(&self) -> LastValid {
        LastValid {
            generation: self.generation,
            spec: self.spec.clone(),
        }
    }

    /// Its name, which is also the name of everything that is made for it.
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

    /// Where the model comes from.
    #[must_use]
    pub const fn model_uri(&self) -> &ModelUri {
        &self.model_uri
    }

    /// What the SHA-256 of the model must be.
    #[must_use]
    pub const fn model_sha256(&self) -> Option<&Sha256> {
        self.model_sha256.as_ref()
    }

    /// The model's name in answers.
    #[must_use]
    pub fn model_name(&self) -> &str {
        &self.model_name
    }

    /// Most mebibytes that the model's file may have.
    pub(crate) const fn max_size_mebibytes(&self) -> i32 {
        self.max_size_mebibytes
    }

    /// How each pod serves the model.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// How long a request may take, in milliseconds.
    pub(crate) fn request_timeout_milliseconds(&self) -> u32 {
        request_timeout_milliseconds(&self.server)
    }

    /// What pods have besides the server.
    pub(crate) const fn pod(&self) -> &ServingPod {
        &self.pod
    }

    /// Requests and limits of the pods.
    pub(crate) const fn pod_resources(&self) -> &PodResources {
        &self.pod_resources
    }

    /// Labels of everything that is made for it.
    pub(crate) fn child_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.pod.labels().clone();
        labels.extend(labels::of(&self.name));
        labels
    }

    /// What a pod said of rows of this model whose outputs in a batch were not those of the row alone, as
    /// the status has it from an earlier pass.
    pub(crate) fn sentinel_mismatch(&self) -> Option<&str> {
        self.sentinel_mismatch.as_deref()
    }

    /// The file that has replaced the one that pods of the ConfigMap served, as the status has it from an earlier pass:
    /// all pods are made anew for it.
    pub(crate) const fn replacement(&self) -> Option<&Sha256> {
        self.replacement.as_ref()
    }

    /// What pods of this model have said that they take in memory at rest, in MiB, as the status has it from an
    /// earlier pass.
    pub(crate) const fn memory_at_rest_mebibytes(&self) -> Option<i32> {
        self.memory_at_rest_mebibytes
    }

    /// The same as its spec alone has it, without what was found out about the model since.
    pub(crate) fn without_findings(&self) -> Self {
        Self {
            sentinel_mismatch: None,
            replacement: None,
            memory_at_rest_mebibytes: None,
            ..self.clone()
        }
    }

    /// What pods are told about batches. A pod that starts knows nothing of what others have found, so
    /// that a known mismatch is for `Auto` what `Never` is; `Always` is the owner's word.
    pub(crate) fn batching_mode(&self) -> BatchingMode {
        match BatchingMode::from(self.server.batching.mode) {
            BatchingMode::Auto if self.sentinel_mismatch.is_some() => BatchingMode::Never,
            mode => mode,
        }
    }

    /// What sets the number of pods.
    #[must_use]
    pub const fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// How pods of a new spec take the place of former ones.
    pub(crate) const fn rollout(&self) -> &RolloutRules {
        &self.rollout
    }

    /// Address of the model inside the cluster.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}.{}.svc", self.name, self.namespace)
    }

    /// Name of the HorizontalPodAutoscaler that KEDA makes with `engine: KEDA`.
    #[must_use]
    pub fn keda_hpa_name(&self) -> String {
        format!("{HPA_NAME_PREFIX}{}", self.name)
    }

    /// Metadata of everything that is made for it.
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
