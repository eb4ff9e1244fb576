//! Field ownership, as in `metadata.managedFields`, with the rules of
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::fields::{Path, fields, mark, remove, reorder, set};

/// A field manager, and the operation by which it writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) applies: bool,
    pub(crate) subresource: Option<String>,
}

/// The field managers of an object, and their fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Managers(BTreeMap<Manager, BTreeSet<Path>>);

/// A field that another manager owns with another value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldConflict {
    pub(crate) manager: String,
    pub(crate) path: Path,
}

impl Managers {
    /// Applies `config` to `live` as `manager`. Sets the fields in `config`, and drops the fields that the manager applied
    /// before and no other manager owns.
    pub(crate) fn apply(
        &mut self,
        live: &mut Value,
        config: &Value,
        manager: &Manager,
        force: bool,
    ) -> Result<(), FieldConflict> {
        let wanted = fields(config);
        let there = fields(live);
        for (path, value) in &wanted {
            for (other, owned) in &mut self.0 {
                if other == manager || !owned.contains(path) || there.get(path) == Some(value) {
                    continue;
                }
                if !force {
                    return Err(FieldConflict {
                        manager: other.name.clone(),
                        path: path.clone(),
                    });
                }
                owned.remove(path);
            }
        }
        let names: BTreeSet<Path> = wanted.keys().cloned().collect();
        let before = self.0.remove(manager).unwrap_or_default();
        for dropped in before.difference(&names) {
            let is_needed = |path: &Path| path.starts_with(dropped);
            let is_kept = names.iter().any(is_needed)
                || self.0.values().any(|owned| owned.iter().any(is_needed));
            if !is_kept {
                remove(live, dropped);
            }
        }
        for (path, value) in wanted {
            set(live, &path, value);
        }
        reorder(live, config);
        self.0.insert(manager.clone(), names);
        self.0.retain(|_, owned| !owned.is_empty());
        Ok(())
    }

    /// Any other write by `manager`: it becomes the owner of the changed fields.
    pub(crate) fn update(&mut self, before: &Value, after: &Value, manager: &Manager) {
        let (before, after) = (fields(before), fields(after));
        let changed: BTreeSet<&Path> = before
            .keys()
            .chain(after.keys())
            .filter(|path| before.get(*path) != after.get(*path))
            .collect();
        for owned in self.0.values_mut() {
            owned.retain(|path| !changed.contains(path));
        }
        let taken = changed
            .into_iter()
            .filter(|path| after.contains_key(*path))
            .cloned();
        self.0.entry(manager.clone()).or_default().extend(taken);
        self.0.retain(|_, owned| !owned.is_empty());
    }

    /// Whether a field has an owner.
    pub(crate) fn is_owned(&self, path: &[&str]) -> bool {
        let mut all = self.0.values().flatten();
        all.any(|owned| owned == path)
    }

    /// The value of `metadata.managedFields` of an object of an API version.
    pub(crate) fn render(&self, api_version: &Value) -> Value {
        self.0
            .iter()
            .map(|(manager, owned)| {
                let mut tree = Value::Object(Map::new());
                for path in owned {
                    mark(&mut tree, path, owned);
                }
                let mut entry = json!({
                    "manager": manager.name,
                    "operation": if manager.applies { "Apply" } else { "Update" },
                    "apiVersion": api_version,
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
    fn a_field_that_its_only_owner_no_longer_applies_is_dropped() {
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
        assert_eq!(
            live["spec"]["replicas"], 4,
            "the first manager no longer owns it"
        );
    }

    #[test]
    fn an_update_owns_the_changed_fields() {
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
        let rendered = managers.render(&json!("apps/v1"));
        assert_eq!(rendered[0]["manager"], "autoscaler");
        assert_eq!(rendered[0]["operation"], "Update");
        assert_eq!(
            rendered[0]["fieldsV1"],
            json!({"f:spec": {"f:replicas": {}}})
        );
    }
}
