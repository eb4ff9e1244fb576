//! Objects, their versions, and the log of changes that watches read.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use bytes::Bytes;
use kube::core::Status;
use serde_json::{Value, json};

use crate::{
    document::{check_uid, check_version, default_replicas, has_finalizers, merge, overlay},
    errors::{describe, failure, not_found, terminating},
    managed_fields::{Manager, Managers},
    request::selects,
    resource::{Key, ResourceType},
};

/// Preconditions of a deletion.
#[derive(Debug, Default)]
pub(crate) struct Preconditions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

#[derive(Debug, Clone)]
struct Stored {
    value: Value,
    managers: Managers,
    /// The object with its managed fields as JSON, cached because most requests are reads.
    rendered: Value,
    text: Bytes,
}

impl Stored {
    fn new(value: Value) -> Self {
        Self {
            value,
            managers: Managers::default(),
            rendered: Value::Null,
            text: Bytes::new(),
        }
    }

    fn render(&self) -> Value {
        let mut value = self.value.clone();
        value["metadata"]["managedFields"] = self.managers.render(&value["apiVersion"]);
        value
    }
}

/// A write that changed an object.
#[derive(Debug, Clone)]
pub struct Change {
    pub(crate) version: u64,
    pub(crate) event: &'static str,
    pub(crate) key: Key,
    /// The object after the write. After a deletion, the last state.
    pub object: Value,
}

impl Change {
    /// The type of the object.
    #[must_use]
    pub const fn resource(&self) -> &ResourceType {
        &self.key.resource
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Whether the write deleted the object.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.event == "DELETED"
    }
}

/// All objects and changes.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Stored>,
    log: Vec<Change>,
    version: u64,
    uids: u64,
    terminating: BTreeSet<String>,
    minutes: u64,
}

impl Store {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Value, Box<Status>> {
        self.objects
            .get(key)
            .map(|stored| stored.rendered.clone())
            .ok_or_else(|| not_found(key))
    }

    pub(crate) fn text(&self, key: &Key) -> Result<Bytes, Box<Status>> {
        self.objects
            .get(key)
            .map(|stored| stored.text.clone())
            .ok_or_else(|| not_found(key))
    }

    pub(crate) fn list(
        &self,
        resource: &ResourceType,
        namespace: Option<&str>,
        selector: &str,
    ) -> Vec<Value> {
        self.objects
            .iter()
            .filter(|(key, stored)| {
                key.resource == *resource
                    && namespace.is_none_or(|namespace| key.namespace == namespace)
                    && selects(selector, &stored.value)
            })
            .map(|(_, stored)| stored.rendered.clone())
            .collect()
    }

    pub(crate) fn create(
        &mut self,
        key: &Key,
        value: Value,
        manager: &Manager,
    ) -> Result<Value, Box<Status>> {
        if self.objects.contains_key(key) {
            return Err(failure(
                409,
                "AlreadyExists",
                &format!("{} already exists", describe(key)),
            ));
        }
        let mut stored = Stored::new(self.new_metadata(key)?);
        let before = stored.value.clone();
        overlay(&mut stored.value, value, None);
        stored.managers.update(&before, &stored.value, manager);
        self.commit(key, stored)
    }

    /// The current object, if it has the expected version.
    fn current(&self, key: &Key, version: &Value) -> Result<Stored, Box<Status>> {
        let stored = self.objects.get(key).cloned();
        let stored = stored.ok_or_else(|| not_found(key))?;
        check_version(key, &stored.value, version)?;
        Ok(stored)
    }

    /// Replaces everything but the status, or only the status if `manager` writes that subresource.
    pub(crate) fn replace(
        &mut self,
        key: &Key,
        value: Value,
        manager: &Manager,
    ) -> Result<Value, Box<Status>> {
        let mut stored = self.current(key, &value["metadata"]["resourceVersion"])?;
        let before = stored.value.clone();
        overlay(&mut stored.value, value, manager.subresource.as_deref());
        stored.managers.update(&before, &stored.value, manager);
        self.commit(key, stored)
    }

    /// Applies a JSON merge patch.
    pub(crate) fn merge(
        &mut self,
        key: &Key,
        patch: &Value,
        manager: &Manager,
    ) -> Result<Value, Box<Status>> {
        let live = self.objects.get(key).ok_or_else(|| not_found(key))?;
        let mut value = live.value.clone();
        merge(&mut value, patch);
        self.replace(key, value, manager)
    }

    /// Server-side apply. Creates an object that doesn't exist.
    pub(crate) fn apply(
        &mut self,
        key: &Key,
        mut config: Value,
        manager: &Manager,
        force: bool,
    ) -> Result<Value, Box<Status>> {
        let mut stored = match (self.objects.get(key), &manager.subresource) {
            (Some(stored), _) => stored.clone(),
            (None, None) => Stored::new(self.new_metadata(key)?),
            (None, Some(_)) => return Err(not_found(key)),
        };
        check_uid(key, &stored.value, &config["metadata"]["uid"])?;
        check_version(key, &stored.value, &config["metadata"]["resourceVersion"])?;
        if let Some(fields) = config.as_object_mut() {
            match &manager.subresource {
                Some(part) => fields.retain(|name, _| name == part),
                None => drop(fields.remove("status")),
            }
        }
        stored
            .managers
            .apply(&mut stored.value, &config, manager, force)
            .map_err(|conflict| {
                let message = format!(
                    "Apply failed with 1 conflict: conflict with \"{}\": {}",
                    conflict.manager,
                    conflict.path.join(".")
                );
                failure(409, "Conflict", &message)
            })?;
        self.commit(key, stored)
    }

    /// The scale subresource of an object.
    pub(crate) fn scale(&self, key: &Key) -> Result<Value, Box<Status>> {
        let stored = self.objects.get(key).ok_or_else(|| not_found(key))?;
        let metadata = &stored.value["metadata"];
        Ok(json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "spec": {"replicas": stored.value["spec"]["replicas"]},
            "status": {"replicas": stored.value["status"]["replicas"].as_i64().unwrap_or_default()},
        }))
    }

    /// Sets `spec.replicas` alone, as a write of the scale subresource does. The writer becomes the owner of the field only
    /// if it had an owner (`ScaleHandler` of <https://pkg.go.dev/k8s.io/apimachinery/pkg/util/managedfields>).
    pub(crate) fn rescale(
        &mut self,
        key: &Key,
        scale: &Value,
        manager: &Manager,
    ) -> Result<Value, Box<Status>> {
        let mut stored = self.current(key, &scale["metadata"]["resourceVersion"])?;
        let before = stored.value.clone();
        stored.value["spec"]["replicas"] = scale["spec"]["replicas"].clone();
        if stored.managers.is_owned(&["f:spec", "f:replicas"]) {
            stored.managers.update(&before, &stored.value, manager);
        }
        self.commit(key, stored)?;
        self.scale(key)
    }

    /// All changes after a version.
    pub(crate) fn changes(&self, after: u64) -> Vec<Change> {
        let first = self.log.partition_point(|change| change.version <= after);
        self.log[first..].to_vec()
    }

    /// Deletes an object, or sets its deletion timestamp if it has finalizers.
    pub(crate) fn delete(
        &mut self,
        key: &Key,
        preconditions: &Preconditions,
    ) -> Result<(), Box<Status>> {
        let stored = self.objects.get(key).ok_or_else(|| not_found(key))?;
        check_uid(key, &stored.value, &json!(preconditions.uid))?;
        check_version(key, &stored.value, &json!(preconditions.resource_version))?;
        if !has_finalizers(&stored.value) {
            return self.collect(key);
        }
        if stored.value["metadata"]["deletionTimestamp"].is_null() {
            let mut stored = stored.clone();
            stored.value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            self.commit(key, stored)?;
        }
        Ok(())
    }

    /// Removes an object and the objects that it controls, as garbage collection does.
    fn collect(&mut self, key: &Key) -> Result<(), Box<Status>> {
        let stored = self.objects.get(key).ok_or_else(|| not_found(key))?;
        let uid = stored.value["metadata"]["uid"].clone();
        self.remove(key);
        let orphans: Vec<Key> = self
            .objects
            .iter()
            .filter(|(_, stored)| {
                stored.value["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for orphan in orphans {
            // It may have been removed with another object.
            if self.objects.contains_key(&orphan) {
                self.delete(&orphan, &Preconditions::default())?;
            }
        }
        Ok(())
    }

    /// Removes all objects of a type, as the deletion of its definition does.
    pub(crate) fn forget(&mut self, resource: &ResourceType) {
        let keys: Vec<Key> = self
            .objects
            .keys()
            .filter(|key| key.resource == *resource)
            .cloned()
            .collect();
        for key in keys {
            self.remove(&key);
        }
    }

    /// The watch events of a type between two versions, each as a line, and the version that they reach.
    pub(crate) fn events(
        &self,
        resource: &ResourceType,
        namespace: Option<&str>,
        selector: &str,
        told: &RangeInclusive<u64>,
    ) -> (String, u64) {
        let (after, until) = (*told.start(), *told.end());
        let first = self.log.partition_point(|change| change.version <= after);
        let lines = self.log[first..]
            .iter()
            .take_while(|change| change.version <= until)
            .filter(|change| {
                change.key.resource == *resource
                    && namespace.is_none_or(|namespace| change.key.namespace == namespace)
                    && selects(selector, &change.object)
            })
            .map(|change| {
                format!(
                    "{}\n",
                    json!({"type": change.event, "object": change.object})
                )
            })
            .collect();
        (lines, self.version.min(until).max(after))
    }

    /// Rejects the creation of objects in a namespace.
    pub(crate) fn terminate_namespace(&mut self, namespace: &str) {
        self.terminating.insert(namespace.to_owned());
    }

    /// Advances the creation time of later objects.
    pub(crate) fn advance_creation_time(&mut self, minutes: u64) {
        self.minutes += minutes;
    }

    fn new_metadata(&mut self, key: &Key) -> Result<Value, Box<Status>> {
        if self.terminating.contains(&key.namespace) {
            return Err(terminating(key));
        }
        self.uids += 1;
        Ok(json!({
            "apiVersion": key.resource.api_version(),
            "kind": key.resource.kind,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "uid": format!("00000000-0000-4000-8000-{:012}", self.uids),
                "creationTimestamp": format!("2026-01-01T{:02}:{:02}:00Z", self.minutes / 60, self.minutes % 60),
            },
        }))
    }

    /// Stores an object under the next version, unless nothing changed. An object with a deletion timestamp is removed with
    /// its last finalizer.
    fn commit(&mut self, key: &Key, mut stored: Stored) -> Result<Value, Box<Status>> {
        default_replicas(key, &mut stored.value);
        let before = self.objects.get(key);
        if let Some(before) = before
            && before.value == stored.value
            && before.managers == stored.managers
        {
            return Ok(before.rendered.clone());
        }
        let generation = before.map_or(1, |before| {
            let generation = before.value["metadata"]["generation"]
                .as_u64()
                .unwrap_or_default();
            generation + u64::from(before.value["spec"] != stored.value["spec"])
        });
        let event = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.version += 1;
        stored.value["metadata"]["generation"] = json!(generation);
        stored.value["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let rendered = stored.render();
        stored.text = Bytes::from(rendered.to_string());
        stored.rendered = rendered.clone();
        self.log.push(Change {
            version: self.version,
            event,
            key: key.clone(),
            object: rendered.clone(),
        });
        let is_over = !stored.value["metadata"]["deletionTimestamp"].is_null()
            && !has_finalizers(&stored.value);
        self.objects.insert(key.clone(), stored);
        if is_over {
            self.collect(key)?;
        }
        Ok(rendered)
    }

    fn remove(&mut self, key: &Key) {
        if let Some(stored) = self.objects.remove(key) {
            self.version += 1;
            let mut object = stored.rendered;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.log.push(Change {
                version: self.version,
                event: "DELETED",
                key: key.clone(),
                object,
            });
        }
    }
}
