//! Labels and annotations of the objects of a ModelService
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Label with the name of the application.
pub const NAME: &str = "app.kubernetes.io/name";
/// Label with the ModelService of an object.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Label with the tool that manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label with the role of an object in its application.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Label with the product of an object.
pub const PART_OF: &str = "app.kubernetes.io/part-of";

/// Value of [`NAME`].
pub const NAME_VALUE: &str = "modelservice";
/// Value of [`MANAGED_BY`] and [`PART_OF`].
pub const SPRINGTIDE: &str = "springtide";
/// Value of [`COMPONENT`].
pub const COMPONENT_VALUE: &str = "server";

/// Annotation of pods with the URI of the model that they serve.
pub const MODEL_URI: &str = "serving.springtide.dev/model-uri";
/// Annotation of pods with the SHA-256 of the model that they serve.
pub const MODEL_SHA256: &str = "serving.springtide.dev/model-sha256";
/// Annotation of pods that were replaced for the file with this SHA-256, because it replaced another file in their
/// ConfigMap.
pub const REPLACEMENT_SHA256: &str = "serving.springtide.dev/replacement-sha256";

/// Labels of every object of the ModelService `instance`.
#[must_use]
pub fn of(instance: &str) -> BTreeMap<String, String> {
    let mut labels = selector_labels(instance);
    labels.insert(COMPONENT.to_owned(), COMPONENT_VALUE.to_owned());
    labels.insert(MANAGED_BY.to_owned(), SPRINGTIDE.to_owned());
    labels.insert(PART_OF.to_owned(), SPRINGTIDE.to_owned());
    labels
}

/// The labels that select the pods of the ModelService `instance`. They can never change, because the selector of a
/// Deployment is immutable.
#[must_use]
pub fn selector_labels(instance: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (INSTANCE.to_owned(), instance.to_owned()),
        (NAME.to_owned(), NAME_VALUE.to_owned()),
    ])
}

/// [`selector_labels`] in the form of the scale subresource and of list requests.
#[must_use]
pub fn selector_text(instance: &str) -> String {
    selector_labels(instance)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// [`selector_labels`] as a label selector.
pub(crate) fn selector(instance: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector_labels(instance)),
        match_expressions: None,
    }
}
