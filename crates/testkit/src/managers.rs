//! Field ownership: who set which field, as `metadata.managedFields` tells.
//!
//! The rules are those of
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>, with a list taken as one field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// A field, by the names that lead to it.
pub(crate) type Path = Vec<String>;

/// Who sets fields, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) applies: bool,
    pub(crate) subresource: Option<String>,
}

/// The managers of one object and the fields of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Managers(BTreeMap<Manager, BTreeSet<Path>>);

/// A field that somebody else owns with another value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldConflict {
    pub(crate) manager: String,
    pub(crate) path: Path,
}

impl Managers {
    /// Server-side apply of `config` by `manager` onto `live`: sets what it names, drops what the
    /// manager named before and nobody else owns.
    pub(crate) fn apply(
        &mut self,
        live: &mut Value,
        config: &Value,
        manager: &Manager,
        force: bool,
    ) -> Result<(), FieldConflict> {
        let wanted = leaves(config);
        for (path, value) in &wanted {
            for (other, fields) in &mut self.0 {
                if other == manager || !fields.contains(path) || get(live, path) == Some(value) {
                    continue;
                }
                if !force {
                    return Err(FieldConflict {
                        manager: other.name.clone(),
                        path: path.clone(),
                    });
                }
                fields.remove(path);
            }
        }
        let names: BTreeSet<Path> = wanted.keys().cloned().collect();
        let before = self.0.remove(manager).unwrap_or_default();
        for dropped in before.difference(&names) {
            if !self.0.values().any(|fields| fields.contains(dropped)) {
                remove(live, dropped);
            }
        }
        for (path, value) in wanted {
            set(live, &path, value);
        }
        self.0.insert(manager.clone(), names);
        self.0.retain(|_, fields| !fields.is_empty());
        Ok(())
    }

    /// Any other write by `manager`: it takes over the fields that changed.
    pub(crate) fn update(&mut self, before: &Value, after: &Value, manager: &Manager) {
        let (before, after) = (leaves(before), leaves(after));
        let changed: BTreeSet<&Path> = before
            .keys()
            .chain(after.keys())
            .filter(|path| before.get(*path) != after.get(*path))
            .collect();
        for fields in self.0.values_mut() {
            fields.retain(|path| !changed.contains(path));
        }
        let taken = changed
            .into_iter()
            .filter(|path| after.contains_key(*path))
            .cloned();
        self.0.entry(manager.clone()).or_default().extend(taken);
        self.0.retain(|_, fields| !fields.is_empty());
    }

    /// `metadata.managedFields`.
    pub(crate) fn render(&self) -> Value {
        self.0
            .iter()
            .map(|(manager, fields)| {
                let mut tree = Value::Object(Map::new());
                for path in fields {
                    let path: Path = path.iter().map(|name| format!("f:{name}")).collect();
                    set(&mut tree, &path, json!({}));
                }
                let mut entry = json!({
                    "manager": manager.name,
                    "operation": if manager.applies { "Apply" } else { "Update" },
                    "fieldsType": "FieldsV1",
                    "fieldsV1": tree,
                });
                if let Some(subresource) = &manager.subresource {
                    entry["subresource"] = json!(subresource);
                }
                entry
            })
            .collect()
    }
}

/// The fields of an object that can be owned, with their values.
fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    const UNOWNED: [&str; 8] = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "managedFields",
    ];
    fn walk(value: &Value, path: &mut Path, found: &mut BTreeMap<Path, Value>) {
        match value {
            Value::Null => {}
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    path.push(name.clone());
                    walk(value, path, found);
                    path.pop();
                }
            }
            leaf => {
                found.insert(path.clone(), leaf.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(object, &mut Vec::new(), &mut found);
    found.retain(|path, _| match path.as_slice() {
        [top] => top != "apiVersion" && top != "kind",
        [top, name, ..] => top != "metadata" || !UNOWNED.contains(&name.as_str()),
        [] => false,
    });
    found
}

fn get<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, name| value.get(name))
}

fn set(object: &mut Value, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        // An empty map says that the map is there, not that it is empty.
        if !(object.is_object() && value == json!({})) {
            *object = value;
        }
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    if let Some(fields) = object.as_object_mut() {
        set(fields.entry(name).or_insert(Value::Null), rest, value);
    }
}

/// Removes a field, and the maps that hold nothing without it.
fn remove(object: &mut Value, path: &[String]) {
    let (Some((name, rest)), Some(fields)) = (path.split_first(), object.as_object_mut()) else {
        return;
    };
    if let Some(inner) = fields.get_mut(name) {
        remove(inner, rest);
        if rest.is_empty() || inner.as_object().is_some_and(Map::is_empty) {
            fields.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applier(name: &str) -> Manager {
        Manager {
            name: name.to_owned(),
            applies: true,
            subresource: None,
        }
    }

    fn updater(name: &str) -> Manager {
        Manager {
            name: name.to_owned(),
            applies: false,
            subresource: None,
        }
    }

    #[test]
    fn a_field_that_its_only_owner_no_longer_names_is_dropped() {
        let (mut live, mut managers) = (json!({}), Managers::default());
        let me = applier("me");
        managers
            .apply(
                &mut live,
                &json!({"spec": {"replicas": 3, "paused": true}}),
                &me,
                true,
            )
            .unwrap();
        managers
            .apply(&mut live, &json!({"spec": {"paused": true}}), &me, true)
            .unwrap();
        assert_eq!(live, json!({"spec": {"paused": true}}));
    }

    #[test]
    fn a_shared_field_stays_when_one_owner_drops_it() {
        let (mut live, mut managers) = (json!({}), Managers::default());
        managers
            .apply(
                &mut live,
                &json!({"spec": {"replicas": 3}}),
                &applier("me"),
                true,
            )
            .unwrap();
        managers
            .apply(
                &mut live,
                &json!({"spec": {"replicas": 3}}),
                &applier("other"),
                false,
            )
            .unwrap();
        managers
            .apply(
                &mut live,
                &json!({"spec": {"paused": true}}),
                &applier("me"),
                true,
            )
            .unwrap();
        assert_eq!(live["spec"]["replicas"], 3);
    }

    #[test]
    fn another_value_is_a_conflict_unless_forced() {
        let (mut live, mut managers) = (json!({}), Managers::default());
        managers
            .apply(
                &mut live,
                &json!({"spec": {"replicas": 3}}),
                &applier("me"),
                true,
            )
            .unwrap();
        let conflict = managers
            .apply(
                &mut live,
                &json!({"spec": {"replicas": 4}}),
                &applier("other"),
                false,
            )
            .unwrap_err();
        assert_eq!(conflict.manager, "me");
        managers
            .apply(
                &mut live,
                &json!({"spec": {"replicas": 4}}),
                &applier("other"),
                true,
            )
            .unwrap();
        assert_eq!(live["spec"]["replicas"], 4);
        managers
            .apply(&mut live, &json!({"spec": {}}), &applier("me"), true)
            .unwrap();
        assert_eq!(live["spec"]["replicas"], 4, "me owns it no more");
    }

    #[test]
    fn an_update_takes_over_what_it_changes() {
        let (mut live, mut managers) = (json!({}), Managers::default());
        managers
            .apply(
                &mut live,
                &json!({"spec": {"replicas": 3}}),
                &applier("me"),
                true,
            )
            .unwrap();
        let before = live.clone();
        live["spec"]["replicas"] = json!(5);
        managers.update(&before, &live, &updater("autoscaler"));
        managers
            .apply(
                &mut live,
                &json!({"spec": {"paused": true}}),
                &applier("me"),
                true,
            )
            .unwrap();
        assert_eq!(live["spec"]["replicas"], 5);
        let rendered = managers.render();
        assert_eq!(rendered[0]["manager"], "autoscaler");
        assert_eq!(rendered[0]["operation"], "Update");
        assert_eq!(
            rendered[0]["fieldsV1"],
            json!({"f:spec": {"f:replicas": {}}})
        );
    }
}
