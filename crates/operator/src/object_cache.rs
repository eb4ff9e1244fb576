//! A cache of the objects of one kind: what its watch has reported, and what this operator has written since.
//!
//! A watch lags. The API server's response to a write therefore counts until the watch has caught up. Between a write
//! and its response the object is uncertain, and is read from the API server. See
//! `docs/adr/0025-plans-rest-on-what-watches-tell.md`.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{core::DynamicObject, runtime::watcher::Event};
use serde::{Serialize, de::DeserializeOwned};
use springtide_plan::prune_managed_fields;
use tokio::sync::watch;

use crate::scope::Part;

/// Maximum number of cached objects of a kind that has no other limit, such as pods. Beyond it the cache is unused,
/// and every read goes to the API server.
const MAX_OBJECTS: usize = 20_000;

/// Removes what the cache doesn't keep of an object.
pub(crate) type Prune = fn(&mut DynamicObject);

/// The group of an object: objects are looked up by it, besides their names.
pub(crate) type Group = fn(&DynamicObject) -> Option<String>;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// An object was created or deleted, or its spec, labels or owners changed: it may differ from what was applied.
    Spec,
    /// Only its status or annotations changed, or this operator changed it.
    Status,
}

/// Namespace and name.
type Key = (String, String);

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

#[derive(Default)]
struct State {
    lists: Vec<List>,
    entries: BTreeMap<Key, Entry>,
    /// Namespace, group and name of the objects that have a group.
    groups: BTreeSet<(String, String, String)>,
    /// Objects of writes in progress, or without a response.
    uncertain: HashSet<Key>,
}

/// The state of the watch over a part of the scope.
struct List {
    part: Part,
    /// Number of the latest list.
    number: u64,
    /// Keys of the objects in the list in progress.
    incoming: HashSet<Key>,
    progress: Progress,
    /// The number of objects has exceeded [`MAX_OBJECTS`] since the latest list began.
    is_over: bool,
}

/// Progress of the first list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Unanswered,
    /// It failed and is retried.
    Failed,
    Complete,
}

struct Entry {
    uid: String,
    version: u64,
    group: Option<String>,
    /// [Fingerprint](fingerprint) of everything but the status.
    spec: u64,
    /// Number of the list of its part during which this operator wrote or read it, if it did.
    written_during: Option<u64>,
    content: Content,
}

enum Content {
    /// As JSON: the parsed tree takes ten times the memory.
    Present(Box<[u8]>),
    /// Deleted by this operator before its watch has reported it, or deleted by anyone while an older response may
    /// still arrive.
    Deleted,
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

    /// Clears the cache, and waits for the first list of each part.
    pub(crate) fn follow(&self, parts: &[Part]) {
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
    pub(crate) fn failed(&self, part: usize) {
        let mut state = self.lock();
        if let Some(list) = state.lists.get_mut(part)
            && list.progress == Progress::Unanswered
        {
            list.progress = Progress::Failed;
        }
        self.update_listed(&state);
    }

    /// Applies an event of the watch over a part. Returns what it changed: nothing if this operator wrote it or knew
    /// it already. Events during a write are taken for that write.
    pub(crate) fn take(&self, part: usize, event: Event<DynamicObject>) -> Option<Change> {
        match event {
            Event::Init => {
                self.lock().begin_list(part);
                None
            }
            Event::InitApply(object) => {
                let reported = self.parse(object);
                self.lock().add_listed(part, reported)
            }
            Event::InitDone => {
                let mut state = self.lock();
                state.end_list(part);
                self.update_listed(&state);
                None
            }
            Event::Apply(object) => {
                let reported = self.parse(object);
                self.lock().upsert(reported, None)
            }
            Event::Delete(object) => {
                let reported = self.parse(object);
                self.lock().delete(&reported);
                Some(Change::Spec)
            }
        }
    }

    fn parse(&self, mut object: DynamicObject) -> Reported {
        let group = (self.group)(&object);
        let spec = fingerprint(&object);
        prune_managed_fields(&mut object.metadata);
        if let Some(annotations) = &mut object.metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        (self.prune)(&mut object);
        let metadata = &object.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Reported {
            key: (text(&metadata.namespace), text(&metadata.name)),
            uid: text(&metadata.uid),
            version: metadata
                .resource_version
                .as_deref()
                .and_then(|version| version.parse().ok()),
            group,
            spec,
            text: serde_json::to_vec(&object).ok().map(Vec::into_boxed_slice),
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

    /// The objects of a group, up to `most`.
    pub(crate) fn group(&self, namespace: &str, group: &str, most: usize) -> Lookup<Vec<K>>
    where
        K: DeserializeOwned,
    {
        let state = self.lock();
        if !state.is_complete_for(namespace) {
            return Lookup::Unknown;
        }
        let first = (namespace.to_owned(), group.to_owned(), String::new());
        let mut objects = Vec::new();
        for (namespace_, group_, name) in state.groups.range(first..).take(most) {
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
            let reported = self.parse(object);
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

/// An object as a watch or a response reported it.
struct Reported {
    key: Key,
    uid: String,
    /// `resourceVersion`: the versions of one kind are increasing numbers
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).
    version: Option<u64>,
    group: Option<String>,
    spec: u64,
    text: Option<Box<[u8]>>,
}

/// A hash of everything but the status and the annotations, which controllers update with their progress.
fn fingerprint(object: &DynamicObject) -> u64 {
    let metadata = &object.metadata;
    let mut hasher = DefaultHasher::new();
    (
        &metadata.uid,
        &metadata.labels,
        &metadata.finalizers,
        metadata.deletion_timestamp.is_some(),
    )
        .hash(&mut hasher);
    for owner in metadata.owner_references.iter().flatten() {
        (&owner.uid, owner.controller).hash(&mut hasher);
    }
    for (field, value) in object.data.as_object().into_iter().flatten() {
        if field != "status" {
            (field, value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

impl State {
    fn is_complete_for(&self, namespace: &str) -> bool {
        let list = self.lists.iter().find(|list| list.part.has(namespace));
        list.is_some_and(|list| list.progress == Progress::Complete && !list.is_over)
    }

    fn begin_list(&mut self, part: usize) {
        if let Some(list) = self.lists.get_mut(part) {
            list.number += 1;
            list.incoming = HashSet::new();
            list.is_over = false;
        }
    }

    fn add_listed(&mut self, part: usize, reported: Reported) -> Option<Change> {
        if let Some(list) = self.lists.get_mut(part) {
            list.incoming.insert(reported.key.clone());
        }
        self.upsert(reported, None)
    }

    /// Removes the objects that a complete list lacks. An object that was written during the list becomes uncertain:
    /// the list may be older.
    fn end_list(&mut self, part: usize) {
        let Some(list) = self.lists.get_mut(part) else {
            return;
        };
        list.progress = Progress::Complete;
        let incoming = std::mem::take(&mut list.incoming);
        let (number, part) = (list.number, list.part.clone());
        let missing: Vec<(Key, bool)> = self
            .entries
            .iter()
            .filter(|(key, _)| part.has(&key.0) && !incoming.contains(key))
            .map(|(key, entry)| {
                let is_there = matches!(entry.content, Content::Present(_));
                (
                    key.clone(),
                    is_there && entry.written_during == Some(number),
                )
            })
            .collect();
        for (key, is_unproven) in missing {
            if is_unproven {
                self.uncertain.insert(key.clone());
                self.remove(&key);
            } else {
                self.forget(&key);
            }
        }
    }

    /// Stores an object unless the cache has a newer one of its name. Returns the change.
    fn upsert(&mut self, reported: Reported, written_during: Option<u64>) -> Option<Change> {
        let (Some(version), Some(text)) = (reported.version, reported.text) else {
            self.uncertain.insert(reported.key);
            return Some(Change::Spec);
        };
        let is_written = self.uncertain.contains(&reported.key);
        let mut change = Some(if is_written {
            Change::Status
        } else {
            Change::Spec
        });
        if let Some(known) = self.entries.get(&reported.key) {
            let is_deleted = matches!(known.content, Content::Deleted) && known.uid == reported.uid;
            if is_deleted || version < known.version {
                return None;
            }
            if matches!(known.content, Content::Present(_)) {
                if version == known.version {
                    change = None;
                } else if reported.spec == known.spec {
                    change = Some(Change::Status);
                }
            }
        }
        self.remove(&reported.key);
        if self.entries.len() >= MAX_OBJECTS {
            self.entries.clear();
            self.groups.clear();
            self.lists.iter_mut().for_each(|list| list.is_over = true);
        }
        if let Some(group) = &reported.group {
            let (namespace, name) = reported.key.clone();
            self.groups.insert((namespace, group.clone(), name));
        }
        self.entries.insert(
            reported.key,
            Entry {
                uid: reported.uid,
                version,
                group: reported.group,
                spec: reported.spec,
                written_during,
                content: Content::Present(text),
            },
        );
        change
    }

    /// Applies a deletion unless the cache has a newer object of the name.
    fn delete(&mut self, reported: &Reported) {
        let is_older = |known: &Entry| {
            known.uid == reported.uid
                || reported
                    .version
                    .is_none_or(|version| known.version < version)
        };
        match self.entries.get(&reported.key) {
            Some(known) if !is_older(known) => {}
            Some(_) => self.forget(&reported.key),
            None if self.uncertain.contains(&reported.key) => {
                self.keep_tombstone(reported.key.clone(), reported.uid.clone(), reported.version);
            }
            None => {}
        }
    }

    /// Removes an object. During a write, a tombstone stays: an older response must not restore the object.
    fn forget(&mut self, key: &Key) {
        if self.uncertain.contains(key)
            && let Some(entry) = self.entries.get(key)
        {
            let (uid, version) = (entry.uid.clone(), entry.version);
            self.keep_tombstone(key.clone(), uid, Some(version));
        } else {
            self.remove(key);
        }
    }

    fn keep_tombstone(&mut self, key: Key, uid: String, version: Option<u64>) {
        self.remove(&key);
        let gone = Entry {
            uid,
            version: version.unwrap_or_default(),
            group: None,
            written_during: None,
            spec: 0,
            content: Content::Deleted,
        };
        self.entries.insert(key, gone);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key)
            && let Some(group) = entry.group
        {
            let (namespace, name) = key.clone();
            self.groups.remove(&(namespace, group, name));
        }
    }
}

#[cfg(test)]
mod tests;
