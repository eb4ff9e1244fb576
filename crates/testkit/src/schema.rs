//! Which lists and maps are merged part by part, and which are one field: `x-kubernetes-list-type`,
//! `x-kubernetes-list-map-keys` and `x-kubernetes-map-type` of the API server's OpenAPI document, as far
//! as an operator's objects have them.

use serde_json::{Map, Value};

/// How a list is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListType {
    /// It is one field.
    Atomic,
    /// Its items are fields by their values.
    Set,
    /// Its items are fields by some of theirs, each with what it is where it is left out.
    Map(&'static [(&'static str, Option<&'static str>)]),
}

/// How the list at a path is merged.
pub(crate) fn list_type(path: &[String]) -> ListType {
    let name = field_name(path.last());
    match name {
        "finalizers" => ListType::Set,
        "ownerReferences" => ListType::Map(&[("uid", None)]),
        "containers" | "env" | "imagePullSecrets" | "initContainers" | "volumes" => {
            ListType::Map(&[("name", None)])
        }
        "volumeMounts" => ListType::Map(&[("mountPath", None)]),
        "topologySpreadConstraints" => {
            ListType::Map(&[("topologyKey", None), ("whenUnsatisfiable", None)])
        }
        "conditions" => ListType::Map(&[("type", None)]),
        // Those of a container, in its pod's template, and those of a Service.
        "ports" if is_below(path, "template") => {
            ListType::Map(&[("containerPort", None), ("protocol", Some("TCP"))])
        }
        "ports" => ListType::Map(&[("port", None), ("protocol", Some("TCP"))]),
        _ => ListType::Atomic,
    }
}

/// Whether the map at a path is one field.
pub(crate) fn is_atomic_map(path: &[String]) -> bool {
    match path.last() {
        // References are replaced as a whole.
        Some(item) if item.starts_with("k:") => {
            let list = path.len().checked_sub(2).and_then(|place| path.get(place));
            matches!(field_name(list), "ownerReferences" | "imagePullSecrets")
        }
        last => match field_name(last) {
            "selector" | "labelSelector" | "fieldRef" => true,
            "nodeSelector" => is_below(path, "template"),
            _ => false,
        },
    }
}

/// How `fieldsV1` names an item of a list that is merged. `None` where the item has no key.
pub(crate) fn item_part(list: ListType, item: &Value) -> Option<String> {
    match list {
        ListType::Atomic => None,
        ListType::Set => Some(format!("v:{item}")),
        ListType::Map(keys) => {
            let mut fields = Map::new();
            for (name, default) in keys {
                let value = match (item.get(name), default) {
                    (Some(value), _) => value.clone(),
                    (None, Some(default)) => Value::from(*default),
                    (None, None) => return None,
                };
                fields.insert((*name).to_owned(), value);
            }
            Some(format!("k:{}", Value::Object(fields)))
        }
    }
}

fn field_name(part: Option<&String>) -> &str {
    part.and_then(|part| part.strip_prefix("f:"))
        .unwrap_or_default()
}

fn is_below(path: &[String], name: &str) -> bool {
    path.iter().any(|part| field_name(Some(part)) == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(|name| format!("f:{name}")).collect()
    }

    #[test]
    fn items_are_named_by_their_keys_and_defaults_count() {
        let of_service = list_type(&path("spec/ports"));
        let item = json!({"name": "http", "port": 80});
        assert_eq!(
            item_part(of_service, &item).unwrap(),
            r#"k:{"port":80,"protocol":"TCP"}"#
        );
        let of_container = list_type(&path("spec/template/spec/containers/ports"));
        let item = json!({"containerPort": 53, "protocol": "UDP"});
        assert_eq!(
            item_part(of_container, &item).unwrap(),
            r#"k:{"containerPort":53,"protocol":"UDP"}"#
        );
        assert_eq!(item_part(of_container, &json!({"name": "x"})), None);
        assert_eq!(
            item_part(list_type(&path("metadata/finalizers")), &json!("a/b")).unwrap(),
            r#"v:"a/b""#
        );
        assert_eq!(list_type(&path("spec/metrics")), ListType::Atomic);
    }

    #[test]
    fn some_maps_are_one_field() {
        assert!(is_atomic_map(&path("spec/selector")));
        assert!(!is_atomic_map(&path("spec/scaleTargetRef")));
        assert!(!is_atomic_map(&path("metadata/labels")));
        let mut owner = path("metadata/ownerReferences");
        owner.push(r#"k:{"uid":"1"}"#.to_owned());
        assert!(is_atomic_map(&owner));
    }
}
