//! The queue of upgrades that all reconciles share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;
use springtide_plan::{Stage, UpgradePermission, UpgradePolicy, Upgrades, WaitReason};
use tokio::sync::Notify;

use crate::model_services::Watched;

/// Namespace and name of a ModelService.
type Key = (String, String);

/// The queue of upgrades, and the ModelServices to reconcile for it.
#[derive(Clone)]
pub struct UpgradeQueue {
    queue: Arc<Mutex<Upgrades<Key>>>,
    changed: Arc<Notify>,
}

impl UpgradeQueue {
    /// A queue that grants no upgrade before [`begin`](Self::begin).
    #[must_use]
    pub fn new(policy: UpgradePolicy) -> Self {
        Self {
            queue: Arc::new(Mutex::new(Upgrades::new(policy))),
            changed: Arc::default(),
        }
    }

    /// Adds the existing ModelServices.
    pub fn begin<'a>(&self, all: impl IntoIterator<Item = &'a ObjectRef<Watched>>) {
        self.with(|queue| queue.begin(all.into_iter().map(key)));
    }

    /// Reports the upgrade stage of a ModelService. Returns why its upgrade waits, if it does.
    pub(crate) fn report(
        &self,
        namespace: &str,
        name: &str,
        stage: Stage,
    ) -> Option<WaitReason<String>> {
        let key = (namespace.to_owned(), name.to_owned());
        match self.with(|queue| queue.report(&key, stage)) {
            UpgradePermission::Granted => None,
            UpgradePermission::Wait(wait) => Some(match wait {
                WaitReason::Turn => WaitReason::Turn,
                WaitReason::Unavailable => WaitReason::Unavailable,
                WaitReason::Paused => WaitReason::Paused,
                WaitReason::Failure((namespace, name)) => {
                    WaitReason::Failure(format!("{namespace}/{name}"))
                }
            }),
        }
    }

    /// Reports that the API server rejected the upgrade of a ModelService.
    pub(crate) fn reject(&self, namespace: &str, name: &str) {
        self.with(|queue| queue.record_rejection(&(namespace.to_owned(), name.to_owned())));
    }

    /// Reports a ModelService that can't be read until it changes.
    pub(crate) fn skip(&self, object: &ObjectRef<Watched>) {
        self.with(|queue| queue.skip(&key(object)));
    }

    /// Reports that a ModelService is gone, or is managed by another operator.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        self.with(|queue| queue.forget(&(namespace.to_owned(), name.to_owned())));
    }

    /// The ModelServices to reconcile again, because their upgrade may begin.
    pub(crate) fn requeued(&self) -> impl Stream<Item = ObjectRef<Watched>> + Send + use<> {
        stream::unfold(self.clone(), |queue| async move {
            queue.changed.notified().await;
            let keys = queue.lock().take_requeued();
            let objects = keys
                .into_iter()
                .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace));
            Some((stream::iter(objects.collect::<Vec<_>>()), queue))
        })
        .flatten()
    }

    fn with<T>(&self, change: impl FnOnce(&mut Upgrades<Key>) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_one();
        result
    }

    /// The queue is consistent between two of its methods, so a panic elsewhere doesn't corrupt it.
    fn lock(&self) -> MutexGuard<'_, Upgrades<Key>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(object: &ObjectRef<Watched>) -> Key {
    let namespace = object.namespace.clone().unwrap_or_default();
    (namespace, object.name.clone())
}
