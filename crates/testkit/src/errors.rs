//! Error responses.

use kube::core::{
    Status,
    response::{StatusCause, StatusDetails},
};

use crate::resource::Key;

/// A resource and a name, as in error messages.
pub(crate) fn describe(key: &Key) -> String {
    format!("{} \"{}\"", key.resource.plural, key.name)
}

/// The object doesn't exist.
pub(crate) fn not_found(key: &Key) -> Box<Status> {
    failure(404, "NotFound", &format!("{} not found", describe(key)))
}

/// The response of the API server's admission plugin `NamespaceLifecycle`.
pub(crate) fn terminating(key: &Key) -> Box<Status> {
    let Key {
        resource,
        namespace,
        name,
    } = key;
    let message = format!(
        "{} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
        describe(key)
    );
    let mut status = failure(403, "Forbidden", &message);
    status.details = Some(StatusDetails {
        name: name.clone(),
        group: resource.group.clone(),
        kind: resource.plural.clone(),
        uid: String::new(),
        causes: vec![StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        }],
        retry_after_seconds: 0,
    });
    status
}

/// A `Status` that reports a failure.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> Box<Status> {
    Status::failure(message, reason).with_code(code).boxed()
}
