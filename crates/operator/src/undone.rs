//! Writes of this operator that other field managers undo.
//!
//! A field manager that changes a field back as often as the operator sets it, such as a controller of Git repositories or a
//! webhook, would roll the pods endlessly. After a few writes the operator leaves the object alone for a while.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::Serialize;
use springtide_plan::{
    ChildKind, Failure, WRITES_UNDONE,
    field_manager::{FIXED_REPLICAS, INITIAL_REPLICAS, OPERATOR},
};
use tokio::time::Instant;

/// Number of equal writes within the window that count as a conflict.
const WRITES: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// Time for which the object is then left alone, before one more write.
const REST: Duration = Duration::from_secs(300);

/// An object: its kind, its namespace and its name.
type Object = (ChildKind, String, String);

/// The latest writes by object. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Undone(Arc<Mutex<HashMap<Object, Writes>>>);

/// The latest writes with the same body.
#[derive(Debug, Default)]
struct Writes {
    body: u64,
    times: Vec<Instant>,
    rests_until: Option<Instant>,
}

impl Writes {
    /// The writes with this body. Writes with another body no longer count.
    fn of(&mut self, body: u64) -> &mut Self {
        if self.body != body {
            *self = Self {
                body,
                ..Self::default()
            };
        }
        self
    }

    /// Whether one more write may be sent.
    fn may_send(&mut self, now: Instant) -> bool {
        if let Some(end) = self.rests_until {
            if now < end {
                return false;
            }
            // A single attempt: if it is undone, too, the object is left alone again.
            self.rests_until = None;
            self.times = vec![now; WRITES - 1];
        }
        self.times.retain(|time| now.duration_since(*time) < WINDOW);
        if self.times.len() < WRITES {
            return true;
        }
        self.rests_until = now.checked_add(REST);
        false
    }
}

impl Undone {
    /// Whether one more write with this body may be sent.
    pub(crate) fn may_send(&self, object: &Object, body: u64, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get_mut(object)
            .is_none_or(|writes| writes.of(body).may_send(now))
    }

    /// Forgets an object that the operator deletes.
    pub(crate) fn forget(&self, object: &Object) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(object);
    }

    /// Records a write.
    pub(crate) fn sent(&self, object: Object, body: u64, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgets old writes, also those of deleted objects.
        known.retain(|_, writes| {
            let is_recent = |time: &Instant| now.duration_since(*time) < WINDOW;
            writes.rests_until.is_some() || writes.times.last().is_some_and(is_recent)
        });
        let writes = known.entry(object).or_default();
        writes.of(body).times.push(now);
    }
}

/// A hash of a body.
pub(crate) fn digest(body: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(body)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

/// The failure in the status for an object that is left alone.
pub(crate) fn explained(live: &ObjectMeta) -> Failure {
    let entries = live.managed_fields.iter().flatten();
    // Kubernetes' own controllers write annotations on many objects.
    let known = [
        OPERATOR,
        FIXED_REPLICAS,
        INITIAL_REPLICAS,
        "kube-controller-manager",
    ];
    let others = entries.filter(|entry| {
        let is_known = entry
            .manager
            .as_deref()
            .is_some_and(|manager| known.contains(&manager));
        !is_known && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    let latest = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    let by = latest
        .and_then(|ManagedFieldsEntry { manager, .. }| manager.as_deref())
        .map_or_else(
            || "an admission webhook, a policy or a controller of Kubernetes' own".to_owned(),
            |manager| format!("field manager {manager}"),
        );
    Failure {
        reason: WRITES_UNDONE.to_owned(),
        message: format!(
            "another client reverts what the operator applies, last by {by}. The operator leaves the object unchanged and tries again every 5 minutes. Prevent the other client's change, or set the same value in the ModelService."
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Object {
        (
            ChildKind::Deployment,
            "models".to_owned(),
            "iris".to_owned(),
        )
    }

    #[test]
    fn repeated_writes_are_suspended_and_retried_periodically() {
        let undone = Undone::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sent = Vec::new();
        for second in 0..1200 {
            if undone.may_send(&object(), 1, at(second)) {
                undone.sent(object(), 1, at(second));
                sent.push(second);
            }
        }
        assert_eq!(sent, [0, 1, 2, 3, 4, 305, 606, 907]);
        assert!(undone.may_send(&object(), 2, at(1200)), "another body");
    }

    #[test]
    fn occasional_reverts_are_always_corrected() {
        let undone = Undone::default();
        let start = Instant::now();
        for second in (0..10_000).step_by(13) {
            let now = start + Duration::from_secs(second);
            assert!(undone.may_send(&object(), 1, now), "{second}");
            undone.sent(object(), 1, now);
        }
    }

    #[test]
    fn the_latest_other_field_manager_is_named() {
        let named = |entries| {
            let metadata = serde_json::from_value(json!({"managedFields": entries})).unwrap();
            explained(&metadata).message
        };
        let entry = |manager: &str, second: u32, subresource: &str| {
            json!({
                "manager": manager, "operation": "Update", "subresource": subresource,
                "time": format!("2026-01-01T00:00:{second:02}Z"),
            })
        };
        let both = named(json!([
            entry(OPERATOR, 9, ""),
            entry("kubectl", 1, ""),
            entry("argocd-controller", 5, ""),
            entry("kube-controller-manager", 8, "status"),
        ]));
        assert!(both.contains("field manager argocd-controller"), "{both}");
        let none = named(json!([entry(OPERATOR, 9, "")]));
        assert!(none.contains("webhook"), "{none}");
    }
}
