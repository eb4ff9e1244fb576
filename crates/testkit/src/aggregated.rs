//! APIs that another server answers for this one, as an `APIService` registers them.

use std::collections::BTreeMap;

use kube::core::Status;
use serde_json::{Value, json};

use crate::errors::failure;

/// Body of the answer while the other server is down.
pub(crate) const UNAVAILABLE: &str = "service unavailable";

/// What the other server answers to discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregated {
    /// Nothing: it is registered, and down.
    Unavailable,
    /// The names of its resources.
    Resources(Vec<String>),
}

/// All that are registered, by group and version.
pub(crate) type Registered = BTreeMap<String, Aggregated>;

/// The answer to a discovery of `group_version`. `None` where it isn't registered.
pub(crate) fn discover(
    registered: &Registered,
    group_version: &str,
) -> Option<Result<Value, Box<Status>>> {
    Some(match registered.get(group_version)? {
        Aggregated::Unavailable => Err(failure(503, "", UNAVAILABLE)),
        Aggregated::Resources(names) => {
            let resources: Vec<Value> = names
                .iter()
                .map(|name| {
                    json!({
                        "name": name,
                        "singularName": "",
                        "kind": "MetricValueList",
                        "namespaced": true,
                        "verbs": ["get"],
                    })
                })
                .collect();
            Ok(json!({
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": group_version,
                "resources": resources,
            }))
        }
    })
}
