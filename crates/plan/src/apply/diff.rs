//! Whether a server-side apply would change anything. Applies that wouldn't are not sent.
//!
//! An apply sets the fields that it names, and removes fields that its field manager no longer names. So it changes
//! nothing if each named field has its value, and if the manager owns exactly these fields. `metadata.managedFields`
//! lists the owned fields. Its form also tells which lists and maps are merged and which are replaced as a whole
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>). Defaults of the API server and fields of
//! other managers don't matter.
//!
//! In doubt the answer is no: a redundant apply changes nothing, a missing one leaves a fault in place.

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::Resource;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::quantity::is_same_quantity;

/// Applied metadata that has no owner (`stripMetaManager` of
/// <https://pkg.go.dev/k8s.io/apimachinery/pkg/util/managedfields>).
const UNOWNED_METADATA: [&str; 4] = ["name", "namespace", "uid", "resourceVersion"];

/// Maps of quantities. The API server normalizes their values.
const QUANTITY_MAPS: [&str; 2] = ["limits", "requests"];

/// Whether applying `desired` as `field_manager`, with or without force, would leave `live` unchanged.
#[must_use]
pub fn is_applied(
    desired: &impl Serialize,
    live: &(impl Resource + Serialize),
    field_manager: &str,
) -> bool {
    let mut entries = live.meta().managed_fields.iter().flatten();
    let Some(entry) = entries.find(|entry| is_apply(entry, field_manager)) else {
        return false;
    };
    let (Ok(mut desired), Ok(live)) = (serde_json::to_value(desired), serde_json::to_value(live))
    else {
        return false;
    };
    let is_of_this_version = entry.api_version.as_deref() == desired["apiVersion"].as_str();
    retain_owned(&mut desired);
    is_of_this_version
        && entry
            .fields_v1
            .as_ref()
            .is_some_and(|owned| is_field_applied(&desired, &owned.0, &live, ["", ""]))
}

/// Whether applying the pod template of `desired` as `field_manager`, with or without force, would leave that of `live`
/// unchanged, and with it the pods.
#[must_use]
pub(crate) fn is_template_applied(
    desired: &Deployment,
    live: &Deployment,
    field_manager: &str,
) -> bool {
    match (
        template(desired),
        owned_template(live, field_manager),
        template(live),
    ) {
        (Some(desired), Some(owned), Some(live)) => {
            is_field_applied(&desired, owned, &live, ["spec", "template"])
        }
        _ => false,
    }
}

/// The part of the pod template of `live` that `field_manager` has applied and still owns. Applying it again leaves the
/// pods unchanged.
#[must_use]
pub(crate) fn applied_template(live: &Deployment, field_manager: &str) -> Option<PodTemplateSpec> {
    let applied = owned_part(owned_template(live, field_manager)?, &template(live)?)?;
    serde_json::from_value(applied).ok()
}

fn template(deployment: &Deployment) -> Option<Value> {
    serde_json::to_value(&deployment.spec.as_ref()?.template).ok()
}

fn owned_template<'a>(live: &'a Deployment, field_manager: &str) -> Option<&'a Value> {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    let entry = entries.find(|entry| is_apply(entry, field_manager))?;
    let owned = &entry.fields_v1.as_ref()?.0;
    owned.pointer("/f:spec/f:template")
}

/// The part of the stored field `live` that `owned`, its part of `fieldsV1`, names.
fn owned_part(owned: &Value, live: &Value) -> Option<Value> {
    let owned = named(owned.as_object()?);
    match live {
        _ if owned.is_empty() => Some(live.clone()),
        Value::Object(live) => owned
            .into_iter()
            .map(|(part, owned)| {
                let name = part.strip_prefix("f:")?;
                Some((name.to_owned(), owned_part(owned, live.get(name)?)?))
            })
            .collect::<Option<Map<_, _>>>()
            .map(Value::Object),
        Value::Array(live) => {
            let mut items = owned
                .into_iter()
                .map(|(part, owned)| {
                    let key = ItemKey::parse(part)?;
                    let place = only_position(live, |item| key.selects(item))?;
                    Some((place, owned_part(owned, live.get(place)?)?))
                })
                .collect::<Option<Vec<_>>>()?;
            items.sort_unstable_by_key(|(place, _)| *place);
            Some(items.into_iter().map(|(_, item)| item).collect())
        }
        _ => None,
    }
}

fn is_apply(entry: &ManagedFieldsEntry, field_manager: &str) -> bool {
    entry.manager.as_deref() == Some(field_manager)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Removes applied fields that have no owner.
fn retain_owned(desired: &mut Value) {
    let Some(fields) = desired.as_object_mut() else {
        return;
    };
    fields.retain(|name, _| name != "apiVersion" && name != "kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !UNOWNED_METADATA.contains(&name.as_str()));
        if metadata.is_empty() {
            fields.remove("metadata");
        }
    }
}

/// Whether a field and its content have the desired values, and `owned`, its part of `fieldsV1`, names exactly that
/// content. `names` are the names of the parent field and of the field.
fn is_field_applied(desired: &Value, owned: &Value, live: &Value, names: [&str; 2]) -> bool {
    let [around, itself] = names;
    let owned = owned.as_object().map(named).unwrap_or_default();
    match (desired, live) {
        // A scalar, a list or a map that is one field, or an empty map.
        _ if owned.is_empty() => {
            desired == live
                || QUANTITY_MAPS.contains(&around) && are_equal_quantities(desired, live)
        }
        (Value::Object(desired), Value::Object(live)) => {
            owned.len() == desired.len()
                && owned.into_iter().all(|(part, owned)| {
                    part.strip_prefix("f:").is_some_and(|name| {
                        let both = desired.get(name).zip(live.get(name));
                        both.is_some_and(|(desired, live)| {
                            is_field_applied(desired, owned, live, [itself, name])
                        })
                    })
                })
        }
        (Value::Array(desired), Value::Array(live)) => {
            owned.len() == desired.len() && are_items_applied(desired, &owned, live)
        }
        _ => false,
    }
}

/// The same for the items of a list that is merged by key or as a set. The order of the items counts, because an apply
/// reorders the items that it names.
fn are_items_applied(desired: &[Value], owned: &[(&str, &Value)], live: &[Value]) -> bool {
    let mut places = Vec::with_capacity(owned.len());
    for (part, owned) in owned {
        let Some(key) = ItemKey::parse(part) else {
            return false;
        };
        let (Some(wanted), Some(there)) = (
            only_position(desired, |item| key.may_select(item)),
            only_position(live, |item| key.selects(item)),
        ) else {
            return false;
        };
        if !is_field_applied(&desired[wanted], owned, &live[there], ["", ""]) {
            return false;
        }
        places.push((wanted, there));
    }
    places.sort_unstable();
    places
        .iter()
        .zip(places.iter().skip(1))
        .all(|(one, next)| one.0 < next.0 && one.1 < next.1)
}

/// The entries of a part of `fieldsV1`, without the mark `.`, which says that the part itself is owned.
fn named(owned: &Map<String, Value>) -> Vec<(&str, &Value)> {
    owned
        .iter()
        .map(|(part, owned)| (part.as_str(), owned))
        .filter(|(part, _)| *part != ".")
        .collect()
}

/// The key that selects an item of a list.
enum ItemKey {
    /// `k:`: the item's fields with these values.
    Fields(Map<String, Value>),
    /// `v:`: the item's value.
    Value(Value),
}

impl ItemKey {
    fn parse(part: &str) -> Option<Self> {
        let (form, text) = part.split_once(':')?;
        match form {
            "k" => serde_json::from_str(text).ok().map(Self::Fields),
            "v" => serde_json::from_str(text).ok().map(Self::Value),
            _ => None,
        }
    }

    /// Whether the key selects a stored item.
    fn selects(&self, item: &Value) -> bool {
        match self {
            Self::Fields(fields) => fields
                .iter()
                .all(|(name, value)| item.get(name) == Some(value)),
            Self::Value(value) => item == value,
        }
    }

    /// Whether the key may select a desired item. It can leave fields of the key to their defaults.
    fn may_select(&self, item: &Value) -> bool {
        match self {
            Self::Fields(fields) => fields
                .iter()
                .all(|(name, value)| item.get(name).is_none_or(|found| found == value)),
            Self::Value(value) => item == value,
        }
    }
}

/// The index of the only matching item.
fn only_position(items: &[Value], is_it: impl Fn(&Value) -> bool) -> Option<usize> {
    let mut found = items.iter().enumerate().filter(|(_, item)| is_it(item));
    let (place, _) = found.next()?;
    found.next().is_none().then_some(place)
}

fn are_equal_quantities(desired: &Value, live: &Value) -> bool {
    let both = desired.as_str().zip(live.as_str());
    both.is_some_and(|(desired, live)| is_same_quantity(desired, live))
}
