//! Labels and annotations of pods, and the reserved ones.

use schemars::{Schema, SchemaGenerator};
use springtide_contract::metrics::annotation;

use crate::schema::{QUALIFIED_NAME, cel_list, map, matching, schema, text, with_rules};

/// Prefix of the annotations that the operator sets on pods.
const OWN_PREFIX: &str = "serving.springtide.dev/";

/// Labels that select and identify objects, and labels of the controllers of a Deployment.
const RESERVED_LABELS: [&str; 8] = [
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "controller-revision-hash",
    "pod-template-generation",
    "pod-template-hash",
];

/// Prefix of the labels by which KEDA identifies its objects.
const RESERVED_LABEL_PREFIXES: [&str; 2] = [OWN_PREFIX, "scaledobject.keda.sh/"];

/// Annotations that configure scraping, and annotations of kubectl: an operator that sets them would revert
/// `kubectl rollout restart`.
const RESERVED_ANNOTATIONS: [&str; 5] = [
    annotation::SCRAPE,
    annotation::PORT,
    annotation::PATH,
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubectl.kubernetes.io/restartedAt",
];

/// Annotations of the Deployment controller, and the former annotations for security profiles of containers.
const RESERVED_ANNOTATION_PREFIXES: [&str; 5] = [
    OWN_PREFIX,
    "deployment.kubernetes.io/",
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
];

/// Whether a label is reserved, so that no ModelService may set it.
#[must_use]
pub fn is_reserved_label(key: &str) -> bool {
    is_reserved(key, &RESERVED_LABELS, &RESERVED_LABEL_PREFIXES)
}

/// Whether an annotation is reserved, so that no ModelService may set it.
#[must_use]
pub fn is_reserved_annotation(key: &str) -> bool {
    is_reserved(key, &RESERVED_ANNOTATIONS, &RESERVED_ANNOTATION_PREFIXES)
}

fn is_reserved(key: &str, names: &[&str], prefixes: &[&str]) -> bool {
    names.contains(&key) || prefixes.iter().any(|prefix| key.starts_with(prefix))
}

pub(super) fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    let value = matching("^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", 63);
    let mut value = map(32, value);
    // An empty value is valid.
    value["additionalProperties"]["minLength"] = 0.into();
    schema(with_rules(
        value,
        [
            is_qualified("spec.pod.labels"),
            is_free(
                "spec.pod.labels",
                &RESERVED_LABELS,
                &RESERVED_LABEL_PREFIXES,
                "objects are selected by",
            ),
        ],
    ))
}

pub(super) fn annotations_schema(_: &mut SchemaGenerator) -> Schema {
    schema(with_rules(
        map(32, text(4096)),
        [
            is_qualified("spec.pod.annotations"),
            is_free(
                "spec.pod.annotations",
                &RESERVED_ANNOTATIONS,
                &RESERVED_ANNOTATION_PREFIXES,
                "pods are scraped, rolled and restricted by",
            ),
        ],
    ))
}

fn is_qualified(field: &str) -> (String, String) {
    (
        format!("self.all(key, key.size() <= 317 && key.matches('{QUALIFIED_NAME}'))"),
        format!(
            "{field} must have keys of letters, digits and any of -_., each with or without a DNS name and a slash before it"
        ),
    )
}

fn is_free(field: &str, names: &[&str], prefixes: &[&str], what_for: &str) -> (String, String) {
    let names_list = cel_list(names.iter().copied());
    let begins = prefixes
        .iter()
        .map(|prefix| format!("!key.startsWith('{prefix}')"))
        .collect::<Vec<_>>()
        .join(" && ");
    let prefixes: String = prefixes
        .iter()
        .map(|prefix| format!(", {prefix}…"))
        .collect();
    (
        format!("self.all(key, !(key in {names_list}) && {begins})"),
        format!(
            "{field} must not have what {what_for}: {}{prefixes}",
            names.join(", ")
        ),
    )
}
