//! The fake API server: its methods for tests, and its HTTP service.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body, core::Status};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::{
    aggregated::{Aggregated, UNAVAILABLE},
    api::{NO_SUCH_PATH, State, key, no_such_path},
    errors::failure,
    faults::{Call, Fault},
    managed_fields::Manager,
    request::{Target, query},
    resource::{ResourceType, built_in},
    store::{Change, Preconditions},
};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The connection of a request failed.
#[derive(Debug, thiserror::Error)]
#[error("connection reset by peer")]
struct ConnectionReset;

/// A fake API server. Clones share their state.
#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    /// Notifies watches of new changes. A new epoch ends them.
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    version: u64,
    looks: u64,
    epoch: u64,
}

impl Default for FakeApi {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeApi {
    /// Creates a server with the built-in resource types and no objects.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            types: built_in(),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            progress: watch::Sender::default(),
        }
    }

    /// A client of this server.
    #[must_use]
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let server = server.clone();
            async move { server.handle(request).await }
        });
        Client::new(service, "default")
    }

    /// Adds a resource type, as the creation of a CustomResourceDefinition does.
    pub fn install(&self, resource: ResourceType) {
        self.lock().types.push(resource);
    }

    /// Removes a resource type and its objects, as the deletion of a CustomResourceDefinition does.
    pub fn uninstall(&self, resource: &ResourceType) {
        let mut state = self.lock();
        state.types.retain(|known| known != resource);
        state.store.forget(resource);
        drop(state);
        self.drop_watches();
    }

    /// Registers an API of another server, such as `custom.metrics.k8s.io/v1beta2`, or replaces its response.
    pub fn register(&self, group_version: &str, api: Aggregated) {
        self.lock().registered.insert(group_version.to_owned(), api);
    }

    /// Removes an API of another server.
    pub fn unregister(&self, group_version: &str) {
        self.lock().registered.remove(group_version);
    }

    /// Adds a user with a token.
    pub fn add_token(&self, token: &str, user: &str) {
        let (token, user) = (token.to_owned(), user.to_owned());
        self.lock().reviews.users.insert(token, user);
    }

    /// Removes a token.
    pub fn remove_token(&self, token: &str) {
        self.lock().reviews.users.remove(token);
    }

    /// Allows a user a verb, such as `get`, on a non-resource path.
    pub fn allow(&self, user: &str, verb: &str, path: &str) {
        let access = [user, verb, path].map(str::to_owned);
        self.lock().reviews.allowed.insert(access);
    }

    /// The version of the latest write. It is unchanged if nothing was written.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.lock().store.version()
    }

    /// All changes after a version, oldest first.
    #[must_use]
    pub fn changes(&self, after: u64) -> Vec<Change> {
        self.lock().store.changes(after)
    }

    /// An object, as in a response.
    #[must_use]
    pub fn get(&self, resource: &ResourceType, namespace: &str, name: &str) -> Option<Value> {
        self.lock().store.get(&key(resource, namespace, name)).ok()
    }

    /// All objects of a type, in all namespaces.
    #[must_use]
    pub fn list(&self, resource: &ResourceType) -> Vec<Value> {
        self.lock().store.list(resource, None, "")
    }

    /// Changes an object by a merge patch of `manager`, or creates it. A `status` in the patch is written through the
    /// status subresource.
    ///
    /// # Panics
    ///
    /// If the server rejects the change.
    #[expect(
        clippy::expect_used,
        reason = "a test that sets up what can't be should stop there"
    )]
    pub fn edit(
        &self,
        resource: &ResourceType,
        namespace: &str,
        name: &str,
        manager: &str,
        patch: &Value,
    ) {
        let key = key(resource, namespace, name);
        let mut manager = Manager {
            name: manager.to_owned(),
            applies: false,
            subresource: None,
        };
        let mut state = self.lock();
        if state.store.get(&key).is_ok() {
            state
                .store
                .merge(&key, patch, &manager)
                .expect("the patch is accepted");
        } else {
            state
                .store
                .create(&key, patch.clone(), &manager)
                .expect("the object is accepted");
        }
        if patch.get("status").is_some() {
            manager.subresource = Some("status".to_owned());
            state
                .store
                .merge(&key, patch, &manager)
                .expect("the status is accepted");
        }
        drop(state);
        self.announce();
    }

    /// Applies an object as `manager`, with force.
    ///
    /// # Panics
    ///
    /// If the server rejects it.
    #[expect(
        clippy::expect_used,
        reason = "a test that sets up what can't be should stop there"
    )]
    pub fn apply(
        &self,
        resource: &ResourceType,
        namespace: &str,
        name: &str,
        manager: &str,
        config: &Value,
    ) {
        let manager = Manager {
            name: manager.to_owned(),
            applies: true,
            subresource: None,
        };
        let key = key(resource, namespace, name);
        self.lock()
            .store
            .apply(&key, config.clone(), &manager, true)
            .expect("the object is accepted");
        self.announce();
    }

    /// Sets `spec.replicas` of an object through its scale subresource, as the controller of HorizontalPodAutoscalers and
    /// `kubectl scale` do.
    ///
    /// # Panics
    ///
    /// If the object doesn't exist.
    #[expect(
        clippy::expect_used,
        reason = "a test that sets up what can't be should stop there"
    )]
    pub fn scale(
        &self,
        resource: &ResourceType,
        namespace: &str,
        name: &str,
        manager: &str,
        replicas: i32,
    ) {
        let manager = Manager {
            name: manager.to_owned(),
            applies: false,
            subresource: Some("scale".to_owned()),
        };
        let scale = json!({"spec": {"replicas": replicas}});
        self.lock()
            .store
            .rescale(&key(resource, namespace, name), &scale, &manager)
            .expect("the object is there");
        self.announce();
    }

    /// Deletes an object, if it exists, and the objects that it owns. An object with finalizers is deleted with the last
    /// of them.
    pub fn delete(&self, resource: &ResourceType, namespace: &str, name: &str) {
        // The object may be absent already.
        let _ = self
            .lock()
            .store
            .delete(&key(resource, namespace, name), &Preconditions::default());
        self.announce();
    }

    /// Rejects the creation of objects in a namespace, as during its deletion.
    pub fn terminate_namespace(&self, namespace: &str) {
        self.lock().store.terminate_namespace(namespace);
    }

    /// Advances the creation time of later objects by a number of minutes, within a day. It begins at midnight.
    pub fn advance_creation_time(&self, minutes: u64) {
        self.lock().store.advance_creation_time(minutes);
    }

    /// Injects a fault into the `nth` call from now. The next call is 1. Watches don't count.
    pub fn inject(&self, nth: usize, fault: Fault) {
        self.lock().ledger.plan(nth, fault);
    }

    /// Removes the faults of later calls.
    pub fn clear_faults(&self) {
        self.lock().ledger.clear_plan();
    }

    /// The calls since the last call of this method, oldest first.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        self.lock().ledger.take()
    }

    /// Pauses the watches of a type until they are [resumed](Self::resume_watches). Reads and lists are not affected.
    pub fn pause_watches(&self, resource: &ResourceType) {
        let mut state = self.lock();
        let version = state.store.version();
        state.held_back.entry(resource.clone()).or_insert(version);
    }

    /// Lets the watches of a type report a number of further changes, of any type. With `None` they report all changes, and
    /// are no longer paused.
    pub fn resume_watches(&self, resource: &ResourceType, changes: Option<u64>) {
        let mut state = self.lock();
        match (state.held_back.get_mut(resource), changes) {
            (Some(version), Some(changes)) => *version += changes,
            _ => drop(state.held_back.remove(resource)),
        }
        drop(state);
        // Watches continue although nothing was written.
        self.progress.send_modify(|progress| progress.looks += 1);
    }

    /// Ends every running watch. The clients must resume them.
    pub fn drop_watches(&self) {
        self.progress.send_modify(|progress| progress.epoch += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        let version = self.version();
        self.progress
            .send_modify(|progress| progress.version = version);
    }

    async fn handle(&self, request: Request<Body>) -> Result<Answer, ConnectionReset> {
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|_| ConnectionReset)?
            .to_bytes();
        let parameters = query(&parts.uri);
        if parameters.get("watch").is_some_and(|watch| watch == "true") {
            return Ok(self.watch(&parts.uri));
        }
        let fault = self.lock().ledger.note(Call {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
        });
        match fault {
            Some(Fault::Refused) => return Err(ConnectionReset),
            Some(Fault::Status(code)) => return Ok(refusal(&injected(code))),
            Some(Fault::LostAnswer | Fault::Delay(_) | Fault::Stall) | None => {}
        }
        let result = self
            .lock()
            .execute(&parts.method, &parts.uri, &parts.headers, &body);
        self.announce();
        match fault {
            Some(Fault::LostAnswer) => return Err(ConnectionReset),
            Some(Fault::Delay(time)) => sleep(time).await,
            Some(Fault::Stall) => pending().await,
            _ => {}
        }
        Ok(match result {
            Ok(text) => answer(StatusCode::OK, text),
            Err(status) => refusal(&status),
        })
    }

    fn watch(&self, uri: &Uri) -> Answer {
        let parameters = query(uri);
        let found = match Target::parse(uri.path()) {
            Some(Target::Collection {
                resource,
                namespace,
            }) => self
                .lock()
                .resolve(&resource)
                .map(|resource| (resource, namespace)),
            _ => Err(no_such_path()),
        };
        let (resource, namespace) = match found {
            Ok(found) => found,
            Err(status) => return refusal(&status),
        };
        let selector = parameters.get("labelSelector").cloned().unwrap_or_default();
        let after: u64 = parameters
            .get("resourceVersion")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let (server, mut progress) = (self.clone(), self.progress.subscribe());
        let epoch = progress.borrow_and_update().epoch;
        let lines = stream::unfold((after, progress), move |(after, mut progress)| {
            let (server, resource) = (server.clone(), resource.clone());
            let (namespace, selector) = (namespace.clone(), selector.clone());
            async move {
                let mut after = after;
                loop {
                    let (lines, reached) = {
                        let state = server.lock();
                        let until = state.held_back.get(&resource).copied();
                        let told = after..=until.unwrap_or(u64::MAX);
                        let namespace = namespace.as_deref();
                        state.store.events(&resource, namespace, &selector, &told)
                    };
                    after = reached;
                    if !lines.is_empty() {
                        let frame = Frame::data(Bytes::from(lines));
                        return Some((Ok::<_, Infallible>(frame), (after, progress)));
                    }
                    // The sender belongs to a clone, so it outlives this stream only if the server does.
                    if progress.borrow().epoch != epoch || progress.changed().await.is_err() {
                        return None;
                    }
                }
            }
        });
        let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        response
    }
}

fn injected(code: u16) -> Box<Status> {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        504 => "Timeout",
        _ => "InternalError",
    };
    failure(code, reason, "injected fault")
}

fn refusal(status: &Status) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if [NO_SUCH_PATH, UNAVAILABLE].contains(&status.message.as_str()) {
        let text = Bytes::from(status.message.clone());
        let mut response = Response::new(Full::new(text).boxed_unsync());
        *response.status_mut() = code;
        return response;
    }
    let mut value = json!({"apiVersion": "v1", "kind": "Status"});
    if let (Some(fields), Ok(Value::Object(status))) =
        (value.as_object_mut(), serde_json::to_value(status))
    {
        fields.extend(status);
    }
    answer(code, Bytes::from(value.to_string()))
}

fn answer(code: StatusCode, text: Bytes) -> Answer {
    let body = Full::new(text).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}
