//! CPU, memory and GPUs of a pod.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Resource name of an NVIDIA GPU, as its device plugin registers it
/// (<https://github.com/NVIDIA/k8s-device-plugin>).
pub const NVIDIA_GPU: &str = "nvidia.com/gpu";

/// CPU and memory of each pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(string(self.requests.cpu)).compareTo(quantity(string(self.limits.cpu))) <= 0")
        .message("spec.server.resources.requests.cpu must be at most spec.server.resources.limits.cpu"),
    validation = Rule::new("quantity(string(self.requests.memory)).compareTo(quantity(string(self.limits.memory))) <= 0")
        .message("spec.server.resources.requests.memory must be at most spec.server.resources.limits.memory")
)]
pub struct Resources {
    /// What a pod is sure to get. Utilization targets are percentages of it.
    #[serde(default)]
    pub requests: Requests,

    /// What a pod gets at most.
    #[serde(default)]
    pub limits: Limits,
}

/// What a pod is sure to get.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// CPU, in cores (`500m` is half a core).
    #[serde(default = "request_cpu")]
    #[schemars(schema_with = "quantity_schema")]
    pub cpu: Quantity,

    /// Memory, in bytes (`512Mi`).
    #[serde(default = "request_memory")]
    #[schemars(schema_with = "quantity_schema")]
    pub memory: Quantity,
}

/// What a pod gets at most.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// CPU, in cores.
    #[serde(default = "limit_cpu")]
    #[schemars(schema_with = "quantity_schema")]
    pub cpu: Quantity,

    /// Memory, in bytes.
    #[serde(default = "limit_memory")]
    #[schemars(schema_with = "quantity_schema")]
    pub memory: Quantity,

    /// NVIDIA GPUs, for `executionProvider: CUDA`, `TensorRT` or `Auto`.
    #[serde(
        default,
        rename = "nvidia.com/gpu",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 16))]
    pub nvidia_gpu: Option<i32>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            cpu: request_cpu(),
            memory: request_memory(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: limit_cpu(),
            memory: limit_memory(),
            nvidia_gpu: None,
        }
    }
}

fn request_cpu() -> Quantity {
    Quantity("500m".to_owned())
}

fn request_memory() -> Quantity {
    Quantity("512Mi".to_owned())
}

fn limit_cpu() -> Quantity {
    Quantity("2".to_owned())
}

fn limit_memory() -> Quantity {
    Quantity("2Gi".to_owned())
}

/// A positive quantity as Kubernetes' own resources accept it, without signs and exponents: nobody
/// writes them, and without them the pattern stays readable.
fn quantity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "maxLength": 32,
        "pattern": "^([0-9]*[1-9][0-9]*([.][0-9]*)?|[0-9]*[.][0-9]*[1-9][0-9]*)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        "x-kubernetes-int-or-string": true,
    })
}
