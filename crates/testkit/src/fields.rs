//! Fields of an object, as in `fieldsV1`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::schema::{ListType, is_atomic_map, item_part, list_type};

/// Path of a field: the keys in `fieldsV1`.
pub(crate) type Path = Vec<String>;

/// Adds a path to `fieldsV1`. A field that is owned and has owned fields below it has the key `.`.
pub(crate) fn mark(tree: &mut Value, path: &[String], owned: &BTreeSet<Path>) {
    let mut node = tree;
    for (depth, part) in path.iter().enumerate() {
        let Some(parts) = node.as_object_mut() else {
            return;
        };
        if depth > 0 && owned.contains(&path[..depth]) {
            parts.entry(".").or_insert(json!({}));
        }
        node = parts.entry(part.as_str()).or_insert(json!({}));
    }
}

/// The fields of an object that can be owned, with their values. An item of a list is a field, and so are the fields in
/// it.
pub(crate) fn fields(object: &Value) -> BTreeMap<Path, Value> {
    const UNOWNED: [&str; 8] = [
        "f:name",
        "f:namespace",
        "f:uid",
        "f:resourceVersion",
        "f:generation",
        "f:creationTimestamp",
        "f:deletionTimestamp",
        "f:managedFields",
    ];
    let mut found = BTreeMap::new();
    collect(object, &mut Vec::new(), &mut found);
    found.retain(|path, _| match path.as_slice() {
        [top] => top != "f:apiVersion" && top != "f:kind",
        [top, name, ..] => top != "f:metadata" || !UNOWNED.contains(&name.as_str()),
        [] => false,
    });
    found
}

fn collect(value: &Value, path: &mut Path, found: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.is_empty() && !is_atomic_map(path) => {
            if path.last().is_some_and(|part| part.starts_with("k:")) {
                found.insert(path.clone(), json!({}));
            }
            for (name, value) in fields {
                path.push(format!("f:{name}"));
                collect(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) if list_type(path) != ListType::Atomic => {
            let list = list_type(path);
            for item in items {
                if let Some(part) = item_part(list, item) {
                    path.push(part);
                    collect(item, path, found);
                    path.pop();
                }
            }
        }
        leaf => {
            found.insert(path.clone(), leaf.clone());
        }
    }
}

/// Index of the item of a list that a key of `fieldsV1` names.
fn item_index(list: ListType, items: &[Value], part: &str) -> Option<usize> {
    items
        .iter()
        .position(|item| item_part(list, item).as_deref() == Some(part))
}

/// Sets a field, and creates the maps, lists and items above it.
pub(crate) fn set(object: &mut Value, path: &[String], value: Value) {
    let mut node = object;
    for (depth, part) in path.iter().enumerate() {
        node = match part.strip_prefix("f:") {
            Some(name) => {
                if !node.is_object() {
                    *node = json!({});
                }
                match node.as_object_mut() {
                    Some(fields) => fields.entry(name).or_insert(Value::Null),
                    None => return,
                }
            }
            None => {
                if !node.is_array() {
                    *node = json!([]);
                }
                let list = list_type(&path[..depth]);
                match node.as_array_mut() {
                    Some(items) => {
                        let index = item_index(list, items, part).unwrap_or_else(|| {
                            items.push(new_item(part));
                            items.len() - 1
                        });
                        &mut items[index]
                    }
                    None => return,
                }
            }
        };
    }
    // The value of an empty map means that the map exists, unless the map is atomic.
    if !(node.is_object() && value == json!({})) || is_atomic_map(path) {
        *node = value;
    }
}

/// An item that has only the key of a key in `fieldsV1`.
fn new_item(part: &str) -> Value {
    part.split_once(':')
        .and_then(|(_, text)| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Removes a field, and the maps and lists that are then empty.
pub(crate) fn remove(object: &mut Value, path: &[String]) {
    remove_below(object, &[], path);
}

fn remove_below(node: &mut Value, above: &[String], path: &[String]) {
    let Some((part, rest)) = path.split_first() else {
        return;
    };
    let here: Path = above.iter().chain([part]).cloned().collect();
    let is_empty = |value: &Value| {
        value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
    };
    match (node, part.strip_prefix("f:")) {
        (Value::Object(fields), Some(name)) => {
            if let Some(inner) = fields.get_mut(name) {
                remove_below(inner, &here, rest);
                if rest.is_empty() || is_empty(inner) {
                    fields.remove(name);
                }
            }
        }
        (Value::Array(items), None) => {
            if let Some(index) = item_index(list_type(above), items, part) {
                remove_below(&mut items[index], &here, rest);
                if rest.is_empty() {
                    items.remove(index);
                }
            }
        }
        _ => {}
    }
}

/// Reorders the items of merged lists as in `config`. Items that `config` lacks keep their positions.
pub(crate) fn reorder(live: &mut Value, config: &Value) {
    reorder_at(live, config, &mut Vec::new());
}

fn reorder_at(live: &mut Value, config: &Value, path: &mut Path) {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) => {
            for (name, config) in config {
                if let Some(live) = live.get_mut(name) {
                    path.push(format!("f:{name}"));
                    reorder_at(live, config, path);
                    path.pop();
                }
            }
        }
        (Value::Array(live), Value::Array(config)) => {
            let list = list_type(path);
            let mut ordered = Vec::new();
            for item in config {
                let Some(part) = item_part(list, item) else {
                    return;
                };
                if let Some(index) = item_index(list, live, &part) {
                    path.push(part);
                    reorder_at(&mut live[index], item, path);
                    path.pop();
                    ordered.push((index, live[index].clone()));
                }
            }
            let mut indices: Vec<usize> = ordered.iter().map(|(index, _)| *index).collect();
            indices.sort_unstable();
            for (index, (_, item)) in indices.into_iter().zip(ordered) {
                live[index] = item;
            }
        }
        _ => {}
    }
}
