//! Executes requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use kube::core::Status;
use serde_json::{Value, json};

use crate::{
    aggregated::{self, Registered},
    errors::failure,
    faults::Ledger,
    managed_fields::Manager,
    request::{ResourcePath, Target, query},
    resource::{Key, ResourceType},
    reviews::Reviews,
    store::{Preconditions, Store},
};

/// Body of the response for a path that isn't served.
pub(crate) const NO_SUCH_PATH: &str = "404 page not found";

/// The state of the server.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) types: Vec<ResourceType>,
    pub(crate) registered: Registered,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) reviews: Reviews,
    /// The last version that paused watches of a type report.
    pub(crate) held_back: BTreeMap<ResourceType, u64>,
}

impl State {
    pub(crate) fn resolve(&self, path: &ResourcePath) -> Result<ResourceType, Box<Status>> {
        self.types
            .iter()
            .find(|known| {
                known.group == path.group
                    && known.version == path.version
                    && known.plural == path.plural
            })
            .cloned()
            .ok_or_else(no_such_path)
    }

    /// Executes a request. The response is an object as JSON.
    pub(crate) fn execute(
        &mut self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Bytes, Box<Status>> {
        let target = Target::parse(uri.path()).ok_or_else(no_such_path)?;
        if let Target::Object {
            resource,
            namespace,
            name,
            subresource: None,
        } = &target
            && method == Method::GET
        {
            let key = key(&self.resolve(resource)?, namespace, name);
            return self.store.text(&key);
        }
        self.carry_out(target, method, uri, headers, body)
            .map(|value| Bytes::from(value.to_string()))
    }

    fn carry_out(
        &mut self,
        target: Target,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Value, Box<Status>> {
        let parameters = query(uri);
        match target {
            Target::Discovery { group, version } => self.discover(&group, &version),
            Target::Collection {
                resource,
                namespace,
            } => {
                if (method, &namespace) == (&Method::POST, &None)
                    && let Some(review) = self.reviews.answer(&resource.plural, parse(body)?)
                {
                    return Ok(review);
                }
                let resource = self.resolve(&resource)?;
                match (method, namespace) {
                    (&Method::GET, namespace) => {
                        let selector = parameters.get("labelSelector").map_or("", String::as_str);
                        let mut items = self.store.list(&resource, namespace.as_deref(), selector);
                        let next = page(&mut items, &parameters);
                        Ok(json!({
                            "apiVersion": resource.api_version(),
                            "kind": format!("{}List", resource.kind),
                            "metadata": {
                                "resourceVersion": self.store.version().to_string(),
                                "continue": next,
                            },
                            "items": items,
                        }))
                    }
                    (&Method::POST, Some(namespace)) => {
                        let value = parse(body)?;
                        let name = value["metadata"]["name"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned();
                        let manager = manager(&parameters, false, None);
                        self.store
                            .create(&key(&resource, &namespace, &name), value, &manager)
                    }
                    _ => Err(not_allowed()),
                }
            }
            Target::Object {
                resource,
                namespace,
                name,
                subresource,
            } => {
                let key = key(&self.resolve(&resource)?, &namespace, &name);
                match subresource.as_deref() {
                    None | Some("status") => {}
                    Some("scale") if key.resource.kind == "Deployment" => {
                        let manager = manager(&parameters, false, subresource);
                        return self.scale(method, &key, body, &manager);
                    }
                    Some(_) => return Err(no_such_path()),
                }
                match *method {
                    Method::GET => self.store.get(&key),
                    Method::PUT => self.store.replace(
                        &key,
                        parse(body)?,
                        &manager(&parameters, false, subresource),
                    ),
                    Method::PATCH => {
                        let content_type = headers
                            .get(header::CONTENT_TYPE)
                            .map_or(&b""[..], |value| value.as_bytes());
                        let force = parameters.get("force").is_some_and(|force| force == "true");
                        match content_type {
                            b"application/apply-patch+yaml" => self.store.apply(
                                &key,
                                parse(body)?,
                                &manager(&parameters, true, subresource),
                                force,
                            ),
                            b"application/merge-patch+json" => self.store.merge(
                                &key,
                                &parse(body)?,
                                &manager(&parameters, false, subresource),
                            ),
                            _ => Err(failure(
                                415,
                                "UnsupportedMediaType",
                                "this kind of patch is not supported",
                            )),
                        }
                    }
                    Method::DELETE => {
                        let options = if body.is_empty() {
                            Value::Null
                        } else {
                            parse(body)?
                        };
                        let text =
                            |name: &str| options["preconditions"][name].as_str().map(str::to_owned);
                        let preconditions = Preconditions {
                            uid: text("uid"),
                            resource_version: text("resourceVersion"),
                        };
                        self.store.delete(&key, &preconditions)?;
                        // The response for an object with finalizers is the object.
                        self.store.get(&key).or_else(|_| {
                            Ok(json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
                        })
                    }
                    _ => Err(not_allowed()),
                }
            }
        }
    }

    fn scale(
        &mut self,
        method: &Method,
        key: &Key,
        body: &[u8],
        manager: &Manager,
    ) -> Result<Value, Box<Status>> {
        match *method {
            Method::GET => self.store.scale(key),
            Method::PUT => self.store.rescale(key, &parse(body)?, manager),
            _ => Err(not_allowed()),
        }
    }

    fn discover(&self, group: &str, version: &str) -> Result<Value, Box<Status>> {
        if let Some(answer) = aggregated::discover(&self.registered, &format!("{group}/{version}"))
        {
            return answer;
        }
        let resources: Vec<Value> = self
            .types
            .iter()
            .filter(|known| known.group == group && known.version == version)
            .map(|known| {
                json!({
                    "name": known.plural,
                    "singularName": known.kind.to_lowercase(),
                    "kind": known.kind,
                    "namespaced": true,
                    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
                })
            })
            .collect();
        if resources.is_empty() {
            return Err(no_such_path());
        }
        let group_version = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        Ok(json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": resources,
        }))
    }
}

/// Reduces `items` to the requested page, and returns the token of the next one: the number of preceding items. Each
/// page has the state at its own request.
fn page(items: &mut Vec<Value>, parameters: &BTreeMap<String, String>) -> Option<String> {
    let number = |name: &str| parameters.get(name)?.parse::<usize>().ok();
    let begin = number("continue").unwrap_or_default().min(items.len());
    items.drain(..begin);
    let limit = number("limit").filter(|limit| *limit > 0 && *limit < items.len())?;
    items.truncate(limit);
    Some((begin + limit).to_string())
}

pub(crate) fn key(resource: &ResourceType, namespace: &str, name: &str) -> Key {
    Key {
        resource: resource.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn manager(
    parameters: &BTreeMap<String, String>,
    applies: bool,
    subresource: Option<String>,
) -> Manager {
    let name = parameters
        .get("fieldManager")
        .cloned()
        .unwrap_or_else(|| "unknown".to_owned());
    Manager {
        name,
        applies,
        subresource,
    }
}

fn parse(body: &[u8]) -> Result<Value, Box<Status>> {
    serde_json::from_slice(body).map_err(|error| failure(400, "BadRequest", &error.to_string()))
}

/// The response for a path that isn't served. It is plain text, not a `Status`.
pub(crate) fn no_such_path() -> Box<Status> {
    failure(404, "", NO_SUCH_PATH)
}

fn not_allowed() -> Box<Status> {
    failure(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    )
}
