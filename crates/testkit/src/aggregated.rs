//! APIs that another server serves, as an `APIService` registers them.

use std::collections::BTreeMap;

use kube::core::Status;
use serde_json::{Value, json};

use crate::errors::failure;

/// Body of the response while the other server is unavailable.
pub(crate) const UNAVAILABLE: &str = "service unavailable";

/// The response of the other server to discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregated {
    /// It is registered, but unavailable.
    Unavailable,
    /// A list of resources with these names.
    Resources(Vec<String>),
}

/// All registered APIs, by group and version.
pub(crate) type Registered = BTreeMap<String, Aggregated>;

/// The response to a discovery of `group_version`. `None` if it isn't registered.
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
