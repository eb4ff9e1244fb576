//! Resource requests and limits of a pod.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::schema::{map, schema, with_rules};

/// Resource name of CPU.
pub const CPU: &str = "cpu";

/// Resource name of memory.
pub const MEMORY: &str = "memory";

/// The value for no limit.
pub const UNLIMITED: &str = "Unlimited";

/// CPU and memory with their default requests and limits.
pub const DEFAULTS: [(&str, &str, &str); 2] = [(CPU, "500m", "2"), (MEMORY, "512Mi", "2Gi")];

/// Pattern of the name of an extended resource: a DNS name and a name
/// (<https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources>).
const EXTENDED: &str =
    "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// DNS names of the resources of Kubernetes.
const OWN_DOMAIN: &str = "kubernetes.io/";

/// Whether a resource besides CPU and memory may be set. Ephemeral storage is derived from the size of the model.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(domain, name)| !domain.is_empty() && !name.is_empty() && !name.contains('/'))
        && !is_of_kubernetes(name)
}

fn is_of_kubernetes(name: &str) -> bool {
    name.starts_with(OWN_DOMAIN) || name.contains(&format!(".{OWN_DOMAIN}"))
}

/// Requests and limits of each pod: CPU, memory and extended resources. Unset values are derived from those that are
/// set: a request is at most the limit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(at_most("cpu")).message("spec.server.resources.requests.cpu must be at most spec.server.resources.limits.cpu"),
    validation = Rule::new(at_most("memory")).message("spec.server.resources.requests.memory must be at most spec.server.resources.limits.memory"),
    validation = Rule::new("!has(self.requests) || !has(self.limits) || self.requests.all(name, name in ['cpu', 'memory'] || !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) == 0)")
        .message("spec.server.resources.requests must be equal to spec.server.resources.limits but for cpu and memory")
)]
pub struct Resources {
    /// Resource requests of each pod: `cpu` in cores (`500m` is half a core), `memory` in bytes (`512Mi`), and extended
    /// resources by name. Utilization targets are percentages of the request. Default: 500m and 512Mi, or the limit if
    /// that is lower.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "requests_schema")]
    pub requests: BTreeMap<String, Quantity>,

    /// Resource limits of each pod: `cpu`, `memory` and extended resources by name, such as `nvidia.com/gpu` or
    /// `nvidia.com/mig-1g.10gb`. `cpu: Unlimited` sets no limit. A null for `cpu` has the same effect, but kubectl
    /// sends it only in a server-side apply. Default: 2 and 2Gi, or the request if that is higher.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "limits_schema")]
    pub limits: BTreeMap<String, Limit>,
}

/// Limit of a resource.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(from = "Option<Quantity>", into = "Option<Quantity>")]
pub enum Limit {
    /// A quantity.
    Amount(Quantity),
    /// No limit.
    Unlimited,
}

impl From<Option<Quantity>> for Limit {
    fn from(quantity: Option<Quantity>) -> Self {
        match quantity {
            Some(quantity) if quantity.0 != UNLIMITED => Self::Amount(quantity),
            Some(_) | None => Self::Unlimited,
        }
    }
}

impl From<Limit> for Option<Quantity> {
    fn from(limit: Limit) -> Self {
        Some(match limit {
            Limit::Amount(quantity) => quantity,
            Limit::Unlimited => Quantity(UNLIMITED.to_owned()),
        })
    }
}

/// The rule that a request is at most the limit.
fn at_most(name: &str) -> String {
    format!(
        "!has(self.requests) || !has(self.limits) || !('{name}' in self.requests) || !('{name}' in self.limits) || \
         {} || quantity(string(self.requests['{name}'])).compareTo(quantity(string(self.limits['{name}']))) <= 0",
        is_unlimited(&format!("self.limits['{name}']")),
    )
}

fn is_unlimited(limit: &str) -> String {
    format!("{limit} == null || string({limit}) == '{UNLIMITED}'")
}

/// A positive number with a unit.
const AMOUNT: &str =
    "([0-9]*[1-9][0-9]*([.][0-9]*)?|[0-9]*[.][0-9]*[1-9][0-9]*)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?";

/// A positive quantity of Kubernetes without signs and exponents. These are unusual, and the pattern stays readable
/// without them.
pub(crate) fn quantity() -> Value {
    json!({
        "maxLength": 32,
        "minimum": 1,
        "pattern": format!("^{AMOUNT}$"),
        "x-kubernetes-int-or-string": true,
    })
}

fn requests_schema(_: &mut SchemaGenerator) -> Schema {
    let field = "spec.server.resources.requests";
    schema(with_rules(
        map(16, quantity()),
        [is_resource(field), is_whole(field)],
    ))
}

fn limits_schema(_: &mut SchemaGenerator) -> Schema {
    let field = "spec.server.resources.limits";
    let mut limit = quantity();
    limit["pattern"] = json!(format!("^({AMOUNT}|{UNLIMITED})$"));
    limit["nullable"] = json!(true);
    let only_cpu = (
        format!(
            "self.all(name, name == 'cpu' || !({}))",
            is_unlimited("self[name]")
        ),
        format!("{field} may be {UNLIMITED} for cpu only"),
    );
    schema(with_rules(
        map(16, limit),
        [is_resource(field), only_cpu, is_whole(field)],
    ))
}

fn is_resource(field: &str) -> (String, String) {
    (
        format!(
            "self.all(name, name in ['cpu', 'memory'] || (name.matches('{EXTENDED}') && !name.startsWith('{OWN_DOMAIN}') && !name.contains('.{OWN_DOMAIN}')))"
        ),
        format!(
            "{field} may have cpu, memory and extended resources such as nvidia.com/gpu; ephemeral-storage follows spec.model.maxSizeMebibytes"
        ),
    )
}

fn is_whole(field: &str) -> (String, String) {
    (
        format!(
            "self.all(name, name in ['cpu', 'memory'] || {} || quantity(string(self[name])).isInteger())",
            is_unlimited("self[name]")
        ),
        format!("{field} must be whole numbers but for cpu and memory"),
    )
}
