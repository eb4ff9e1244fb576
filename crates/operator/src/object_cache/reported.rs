//! An object as a watch or a response reported it.

use std::hash::{DefaultHasher, Hash, Hasher};

use kube::core::DynamicObject;
use springtide_plan::prune_managed_fields;

/// Namespace and name.
pub(super) type Key = (String, String);

/// Removes the parts of an object that the cache doesn't keep.
pub(crate) type Prune = fn(&mut DynamicObject);

/// The group of an object: objects are looked up by it, besides their names.
pub(crate) type Group = fn(&DynamicObject) -> Option<String>;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// An object was created or deleted, or its spec, labels or owners changed: it may differ from the applied one.
    Spec,
    /// Only its status or annotations changed, or this operator changed it.
    Status,
}

/// An object as a watch or a response reported it.
pub(super) struct Reported {
    pub(super) key: Key,
    pub(super) uid: String,
    /// `resourceVersion`; `None` if it is no number: the versions of one kind are increasing numbers
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).
    pub(super) version: Option<u64>,
    pub(super) group: Option<String>,
    /// [Fingerprint](fingerprint) of everything but the status.
    pub(super) spec: u64,
    /// The pruned object as JSON.
    pub(super) text: Option<Box<[u8]>>,
}

impl Reported {
    /// Prunes an object and determines its group.
    pub(super) fn parse(mut object: DynamicObject, prune: Prune, group: Group) -> Self {
        let group = group(&object);
        let spec = fingerprint(&object);
        prune_managed_fields(&mut object.metadata);
        if let Some(annotations) = &mut object.metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        prune(&mut object);
        let metadata = &object.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            key: (text(&metadata.namespace), text(&metadata.name)),
            uid: text(&metadata.uid),
            version: metadata
                .resource_version
                .as_deref()
                .and_then(|version| version.parse().ok()),
            group,
            spec,
            text: serde_json::to_vec(&object).ok().map(Vec::into_boxed_slice),
        }
    }
}

/// A hash of everything but the status and the annotations, which controllers update with their progress.
fn fingerprint(object: &DynamicObject) -> u64 {
    let metadata = &object.metadata;
    let mut hasher = DefaultHasher::new();
    (
        &metadata.uid,
        &metadata.labels,
        &metadata.finalizers,
        metadata.deletion_timestamp.is_some(),
    )
        .hash(&mut hasher);
    for owner in metadata.owner_references.iter().flatten() {
        (&owner.uid, owner.controller).hash(&mut hasher);
    }
    for (field, value) in object.data.as_object().into_iter().flatten() {
        if field != "status" {
            (field, value).hash(&mut hasher);
        }
    }
    hasher.finish()
}
