//! Why the API server rejects pods, in terms of the ModelService.
//!
//! Quotas, a `LimitRange`, policies and webhooks report about pods, with generated names and fields.

use crate::resources::EPHEMERAL_STORAGE;

/// Characters of generated names (<https://github.com/kubernetes/apimachinery/blob/v0.36.3/pkg/util/rand/rand.go>).
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Maximum lengths of the generated suffixes of a ReplicaSet and of a pod.
const REPLICA_SET_SUFFIX: usize = 10;
const POD_SUFFIX: usize = 5;

/// Texts of rejections, and the field that sets their subject. The first match counts.
const FIELDS: [(&str, &str); 18] = [
    ("serviceaccount \"", "spec.pod.serviceAccountName"),
    ("service account", "spec.pod.serviceAccountName"),
    ("RuntimeClass", "spec.pod.runtimeClassName"),
    ("runtimeClass", "spec.pod.runtimeClassName"),
    ("toleration", "spec.pod.tolerations"),
    ("nodeSelector", "spec.pod.nodeSelector"),
    ("node selector", "spec.pod.nodeSelector"),
    ("PriorityClass", "spec.pod.priorityClassName"),
    ("volumeMounts", "spec.pod.volumeMounts"),
    ("label", "spec.pod.labels"),
    ("].image:", "spec.server.image"),
    ("nvidia.com/gpu", "spec.server.resources.limits"),
    ("limits.", "spec.server.resources.limits"),
    ("requests.", "spec.server.resources.requests"),
    ("cpu usage per ", "spec.server.resources"),
    ("memory usage per ", "spec.server.resources"),
    ("cpu max limit to request ratio", "spec.server.resources"),
    ("memory max limit to request ratio", "spec.server.resources"),
];

/// The API server's message about the pods of the ModelService `name`, without generated names, and with the field of
/// the ModelService if it is known.
pub(super) fn explain(message: &str, name: &str) -> String {
    let cause = without_generated_names(message, name);
    let cause = cause.trim_end_matches('.');
    // A LimitRange or a quota may allow less than the default, which no field sets directly.
    if cause.contains(EPHEMERAL_STORAGE) {
        return format!(
            "{cause}. The limit of each container is twice spec.model.maxSizeMebibytes plus 1 GiB. Set spec.model.maxSizeMebibytes to the size of the model, or raise the bound."
        );
    }
    let field = FIELDS.iter().find(|(text, _)| cause.contains(text));
    field.map_or_else(
        || cause.to_owned(),
        |(_, field)| format!("{cause}. Check {field} of the ModelService."),
    )
}

/// The message without generated names, which differ each time. The API server has the pod's name before the cause,
/// others have it anywhere.
fn without_generated_names(message: &str, name: &str) -> String {
    let cause = [" is forbidden: ", " is invalid: "]
        .into_iter()
        .find_map(|verdict| message.split_once(verdict))
        .map_or(message, |(_, cause)| cause);
    let is_between = |character: char| !character.is_ascii_alphanumeric() && character != '-';
    cause
        .split_inclusive(is_between)
        .map(|piece| {
            let word = piece.trim_end_matches(is_between);
            match piece.strip_prefix(word) {
                Some(after) if is_generated_name(word, name) => format!("{name}{after}"),
                _ => piece.to_owned(),
            }
        })
        .collect()
}

/// Whether a word is the name of a ReplicaSet or a pod of the Deployment `name`, or its prefix.
fn is_generated_name(word: &str, name: &str) -> bool {
    let is_suffix = |text: &str, most: usize| {
        text.len() <= most && text.chars().all(|character| GENERATED.contains(character))
    };
    let Some(suffix) = word
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
    else {
        return false;
    };
    match suffix.split_once('-') {
        Some((replica_set, pod)) => {
            !replica_set.is_empty()
                && is_suffix(replica_set, REPLICA_SET_SUFFIX)
                && is_suffix(pod, POD_SUFFIX)
        }
        // A shorter suffix may belong to a name that a user chose.
        None => suffix.len() > POD_SUFFIX && is_suffix(suffix, REPLICA_SET_SUFFIX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_recognized() {
        for word in [
            "iris-6d9c7d8f6c-x7kzb",
            "iris-6d9c7d8f6c-",
            "iris-6d9c7d8f6c",
        ] {
            assert!(is_generated_name(word, "iris"), "{word}");
        }
        for word in [
            "iris",
            "iris-",
            "iris--x",
            "iris-model",
            "iris-v2",
            "iris-6d9c7d8f6c-x7kzbb",
            "my-iris-6d9c7d8f6c-x7kzb",
            "iris-6d9c7d8f6c-x7kzb-y",
        ] {
            assert!(!is_generated_name(word, "iris"), "{word}");
        }
    }

    #[test]
    fn a_rejection_names_the_field() {
        for (message, expected) in [
            (
                "pods \"iris-6d9c7d8f6c-x7kzb\" is forbidden: exceeded quota: q, requested: limits.cpu=2, used: limits.cpu=0, limited: limits.cpu=1",
                "exceeded quota: q, requested: limits.cpu=2, used: limits.cpu=0, limited: limits.cpu=1. Check spec.server.resources.limits of the ModelService.",
            ),
            (
                "pods \"iris-6d9c7d8f6c-\" is forbidden: error looking up service account models/reader: serviceaccount \"reader\" not found",
                "error looking up service account models/reader: serviceaccount \"reader\" not found. Check spec.pod.serviceAccountName of the ModelService.",
            ),
            (
                "Pod \"iris-6d9c7d8f6c-x7kzb\" is invalid: spec.containers[0].image: Required value",
                "spec.containers[0].image: Required value. Check spec.server.image of the ModelService.",
            ),
            (
                "admission webhook \"policy\" denied the request: Pod/models/iris-6d9c7d8f6c-x7kzb (of iris-6d9c7d8f6c) lacks the label team.",
                "admission webhook \"policy\" denied the request: Pod/models/iris (of iris) lacks the label team. Check spec.pod.labels of the ModelService.",
            ),
            (
                "pods \"iris-6d9c7d8f6c-x7kzb\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi",
                "maximum memory usage per Container is 1Gi, but limit is 2Gi. Check spec.server.resources of the ModelService.",
            ),
            ("", ""),
        ] {
            assert_eq!(explain(message, "iris"), expected);
        }
    }
}
