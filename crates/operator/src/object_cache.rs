//! A cache of the objects of one kind, as its watch has reported them and as this operator has written them since.
//!
//! A watch lags. The API server's response to a write therefore counts until the watch has caught up. Between a write
//! and its response the object is uncertain, and is read from the API server. See
//! `docs/adr/0025-plans-rest-on-what-watches-tell.md`.

mod reported;
mod state;

use std::{
    collections::HashSet,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{core::DynamicObject, runtime::watcher::Event};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

pub(crate) use self::reported::Change;
use self::{
    reported::{Group, Prune, Reported},
    state::{Content, List, Progress, State},
};
use crate::scope::Part;

/// A cache of the objects of a kind. Clones share it.
pub(crate) struct ObjectCache<K> {
    state: Arc<Mutex<State>>,
    /// Whether the first list of each part is complete, or has failed once.
    listed: watch::Sender<bool>,
    prune: Prune,
    group: Group,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for ObjectCache<K> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            listed: self.listed.clone(),
            ..*self
        }
    }
}

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup<T> {
    /// The cached state.
    Known(T),
    /// The cache doesn't know: the API server must be read.
    Unknown,
}

impl<K> ObjectCache<K> {
    pub(crate) fn new(prune: Prune, group: Group) -> Self {
        Self {
            state: Arc::default(),
            listed: watch::Sender::new(true),
            prune,
            group,
            kind: PhantomData,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears the cache, which is then incomplete until the first list of each part.
    pub(crate) fn reset(&self, parts: &[Part]) {
        let mut state = self.lock();
        *state = State {
            lists: parts
                .iter()
                .map(|part| List {
                    part: part.clone(),
                    number: 0,
                    incoming: HashSet::new(),
                    progress: Progress::Unanswered,
                    is_over: false,
                })
                .collect(),
            ..State::default()
        };
        self.update_listed(&state);
    }

    /// Waits until the first list of each part is complete, or has failed once.
    pub(crate) async fn listed(&self) {
        // The sender is `self`.
        let _ = self.listed.subscribe().wait_for(|is_so| *is_so).await;
    }

    fn update_listed(&self, state: &State) {
        let answered = |list: &List| list.progress != Progress::Unanswered;
        self.listed.send_replace(state.lists.iter().all(answered));
    }

    /// Records that the watch over a part failed.
    pub(crate) fn record_failure(&self, part: usize) {
        let mut state = self.lock();
        if let Some(list) = state.lists.get_mut(part)
            && list.progress == Progress::Unanswered
        {
            list.progress = Progress::Failed;
        }
        self.update_listed(&state);
    }

    /// Applies an event of the watch over a part. Returns the change, if any: an object that this operator wrote or
    /// knew already has none. Events during a write are attributed to that write.
    pub(crate) fn apply_event(&self, part: usize, event: Event<DynamicObject>) -> Option<Change> {
        match event {
            Event::Init => {
                self.lock().begin_list(part);
                None
            }
            Event::InitApply(object) => {
                let reported = Reported::parse(object, self.prune, self.group);
                self.lock().add_listed(part, reported)
            }
            Event::InitDone => {
                let mut state = self.lock();
                state.end_list(part);
                self.update_listed(&state);
                None
            }
            Event::Apply(object) => {
                let reported = Reported::parse(object, self.prune, self.group);
                self.lock().upsert(reported, None)
            }
            Event::Delete(object) => {
                let reported = Reported::parse(object, self.prune, self.group);
                self.lock().delete(&reported);
                Some(Change::Spec)
            }
        }
    }

    /// Marks an object as uncertain: a write begins.
    pub(crate) fn invalidate(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().uncertain.insert(key);
    }

    /// Ends the uncertainty: the write has provably changed nothing.
    pub(crate) fn revalidate(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().uncertain.remove(&key);
    }

    /// Records that the API server has no such object, also because this operator deleted it.
    pub(crate) fn record_absence(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut state = self.lock();
        state.uncertain.remove(&key);
        if let Some(entry) = state.entries.get_mut(&key) {
            entry.content = Content::Deleted;
        }
    }

    /// The object of a name.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Lookup<Option<K>>
    where
        K: DeserializeOwned,
    {
        let state = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        if !state.is_complete_for(namespace) || state.uncertain.contains(&key) {
            return Lookup::Unknown;
        }
        match state.entries.get(&key).map(|entry| &entry.content) {
            None | Some(Content::Deleted) => Lookup::Known(None),
            Some(Content::Present(text)) => match serde_json::from_slice(text) {
                Ok(object) => Lookup::Known(Some(object)),
                // Its fault is reported where the object is read.
                Err(_) => Lookup::Unknown,
            },
        }
    }

    /// The objects of a group, up to `max`.
    pub(crate) fn group(&self, namespace: &str, group: &str, max: usize) -> Lookup<Vec<K>>
    where
        K: DeserializeOwned,
    {
        let state = self.lock();
        if !state.is_complete_for(namespace) {
            return Lookup::Unknown;
        }
        let first = (namespace.to_owned(), group.to_owned(), String::new());
        let mut objects = Vec::new();
        for (namespace_, group_, name) in state.groups.range(first..).take(max) {
            if (namespace_.as_str(), group_.as_str()) != (namespace, group) {
                break;
            }
            let key = (namespace_.clone(), name.clone());
            if state.uncertain.contains(&key) {
                return Lookup::Unknown;
            }
            let content = state.entries.get(&key).map(|entry| &entry.content);
            if let Some(Content::Present(text)) = content {
                match serde_json::from_slice(text) {
                    Ok(object) => objects.push(object),
                    Err(_) => return Lookup::Unknown,
                }
            }
        }
        Lookup::Known(objects)
    }

    /// Records an object that the API server returned for a write or a read.
    pub(crate) fn record(&self, object: &impl Serialize) {
        let object = serde_json::to_value(object).and_then(serde_json::from_value);
        // An object that can't be recorded stays uncertain.
        if let Ok(object) = object {
            let reported = Reported::parse(object, self.prune, self.group);
            let mut state = self.lock();
            let namespace = reported.key.0.as_str();
            let number = state
                .lists
                .iter()
                .find(|list| list.part.has(namespace))
                .map(|list| list.number);
            if reported.version.is_some() {
                state.uncertain.remove(&reported.key);
            }
            let _known = state.upsert(reported, Some(number.unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests;
