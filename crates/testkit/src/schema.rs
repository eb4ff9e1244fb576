//! Merge behavior of lists and maps in the objects of operators: `x-kubernetes-list-type`, `x-kubernetes-list-map-keys`
//! and `x-kubernetes-map-type` of the API server's OpenAPI document.

use serde_json::{Map, Value};

/// How a list is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListType {
    /// The list is one field.
    Atomic,
    /// The items are fields, identified by their values.
    Set,
    /// The items are fields, identified by these keys. Each key has a default.
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
        // The ports of a container in a pod template, and those of a Service.
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

/// The key in `fieldsV1` for an item of a merged list. `None` if the item has no key.
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
    fn items_are_identified_by_their_keys_with_defaults() {
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
    fn some_maps_are_atomic() {
        assert!(is_atomic_map(&path("spec/selector")));
        assert!(!is_atomic_map(&path("spec/scaleTargetRef")));
        assert!(!is_atomic_map(&path("metadata/labels")));
        let mut owner = path("metadata/ownerReferences");
        owner.push(r#"k:{"uid":"1"}"#.to_owned());
        assert!(is_atomic_map(&owner));
    }
}
