//! The custom resource `ModelService`.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use springtide_contract::defaults;

use crate::{
    autoscaling::Autoscaling, model::Model, pod::Pod, rollout::Rollout, server::Server,
    status::ModelServiceStatus,
};

/// Desired state of the ModelService: the model, the server, the pods, their replicas and their rollout.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "serving.springtide.dev",
    version = "v1alpha1",
    kind = "ModelService",
    plural = "modelservices",
    singular = "modelservice",
    shortname = "msvc",
    category = "springtide",
    namespaced,
    doc = "ModelService serves one ONNX model with a Deployment of serving pods, a Service for them and an autoscaler that follows their load.",
    status = "ModelServiceStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the model is served and scaled as the spec says",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Reason of the Ready condition",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Min",
        type_ = "integer",
        description = "Current minimum replicas, including schedules",
        json_path = ".status.autoscaling.minReplicas"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        description = "Current replicas",
        json_path = ".status.replicas"
    ),
    printcolumn(
        name = "Max",
        type_ = "integer",
        description = "Current maximum replicas",
        json_path = ".status.autoscaling.maxReplicas"
    ),
    printcolumn(
        name = "Engine",
        type_ = "string",
        description = "Autoscaler that sets the replicas",
        json_path = ".status.autoscaling.engine"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        description = "URL of the model inside the cluster",
        json_path = ".status.url"
    ),
    printcolumn(
        name = "Model",
        type_ = "string",
        description = "Source of the model file",
        json_path = ".status.model.uri",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        description = "Image reference of the server",
        json_path = ".status.image",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 54")
        .message("metadata.name must have at most 54 characters, so that the names of everything made for it stay within 63"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS-1035 label: lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit")
)]
#[x_kube(
    validation = Rule::new(
        "!has(self.replicas) || (has(self.autoscaling) && self.autoscaling.engine == 'None')"
    )
    .message("spec.replicas is only allowed with spec.autoscaling.engine None: an autoscaler sets the number of pods itself"),
    validation = Rule::new(
        "has(self.replicas) || !has(self.autoscaling) || self.autoscaling.engine != 'None'"
    )
    .message("spec.replicas is required with spec.autoscaling.engine None: nothing else sets the number of pods"),
    validation = Rule::new(lets_drain())
    .message(&*format!("spec.pod.terminationGracePeriodSeconds must be at least {} and spec.server.requestTimeoutMilliseconds, so that accepted requests are answered", defaults::termination_seconds(0)))
)]
pub struct ModelServiceSpec {
    /// Model file to serve: its source, checksum, maximum size and name.
    pub model: Model,

    /// Settings of the server in each pod.
    #[serde(default)]
    pub server: Server,

    /// Further fields of the pods, by their names in a pod spec. `env`, `envFrom` and `volumeMounts` apply to the
    /// container that fetches the model file and to the server container. Host paths, host namespaces, privileges,
    /// capabilities and other users are not available.
    #[serde(default)]
    pub pod: Pod,

    /// Fixed number of replicas. Required with `autoscaling.engine: None`, and only allowed with it. The scale
    /// subresource reads and writes this field, so `kubectl scale` works only with that engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// Autoscaling of the Deployment.
    #[serde(default)]
    pub autoscaling: Autoscaling,

    /// Rolling update of the pods. By default, new pods are added to the old pods, which serve until the new pods are
    /// ready. If new pods cannot be placed beside the old ones, one old pod is removed for each new pod. Reasons are a
    /// quota, a lack of node capacity, or a single-writer volume. If no pod has ever served, all old pods are removed
    /// at once. Both exceptions require that `maxUnavailable` is not set.
    #[serde(default)]
    pub rollout: Rollout,

    /// Class of the operators that manage this ModelService, if several watch its namespace. Default: `springtide`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub operator_class: Option<String>,
}

/// The rule that a pod isn't killed before the response to its last request.
fn lets_drain() -> String {
    let besides = defaults::termination_seconds(0);
    let default = defaults::REQUEST_TIMEOUT_MILLISECONDS;
    format!(
        "!has(self.pod) || !has(self.pod.terminationGracePeriodSeconds) || \
         (self.pod.terminationGracePeriodSeconds - {besides}) * 1000 >= \
         (has(self.server) ? self.server.requestTimeoutMilliseconds : {default})"
    )
}
