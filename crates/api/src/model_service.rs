//! The resource itself.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use springtide_contract::defaults;

use crate::{
    autoscaling::Autoscaling, model::Model, pod::Pod, rollout::Rollout, server::Server,
    status::ModelServiceStatus,
};

/// A model that is served: which one, by what kind of pods, and how many of them.
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
    doc = "ModelService serves one ONNX model: a Deployment of serving pods, a Service before them and an autoscaler that follows their load.",
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
        description = "Why it is ready, or isn't",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Min",
        type_ = "integer",
        description = "Minimum replicas now, schedules included",
        json_path = ".status.autoscaling.minReplicas"
    ),
    printcolumn(
        name = "Now",
        type_ = "integer",
        description = "Pods that exist",
        json_path = ".status.replicas"
    ),
    printcolumn(
        name = "Max",
        type_ = "integer",
        description = "Maximum replicas now",
        json_path = ".status.autoscaling.maxReplicas"
    ),
    printcolumn(
        name = "Engine",
        type_ = "string",
        description = "What sets the number of pods",
        json_path = ".status.autoscaling.engine"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        description = "Address inside the cluster",
        json_path = ".status.url"
    ),
    printcolumn(
        name = "Model",
        type_ = "string",
        description = "Where the model comes from",
        json_path = ".status.model.uri",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        description = "What the pods run",
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
    /// Which model is served.
    pub model: Model,

    /// How each pod serves it.
    #[serde(default)]
    pub server: Server,

    /// What the pods have besides.
    #[serde(default)]
    pub pod: Pod,

    /// Fixed number of pods. Required with `autoscaling.engine: None`, and only allowed there. The scale
    /// subresource reads and writes it, so `kubectl scale` works with that engine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// How the number of pods follows the load.
    #[serde(default)]
    pub autoscaling: Autoscaling,

    /// How pods of a new spec take the place of former ones.
    #[serde(default)]
    pub rollout: Rollout,

    /// Class of the operators that answer for this ModelService, where several watch its namespace. Default:
    /// `springtide`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub operator_class: Option<String>,
}

/// The rule that a pod isn't killed before its last request has been answered.
fn lets_drain() -> String {
    let besides = defaults::termination_seconds(0);
    let default = defaults::REQUEST_TIMEOUT_MILLISECONDS;
    format!(
        "!has(self.pod) || !has(self.pod.terminationGracePeriodSeconds) || \
         (self.pod.terminationGracePeriodSeconds - {besides}) * 1000 >= \
         (has(self.server) ? self.server.requestTimeoutMilliseconds : {default})"
    )
}
