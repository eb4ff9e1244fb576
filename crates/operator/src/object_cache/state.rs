//! The state of a cache: its entries, its groups, and the lists of its watches.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::reported::{Change, Key, Reported};
use crate::scope::Part;

/// Maximum number of cached objects of a kind that has no other limit, such as pods. Beyond it the cache is unused,
/// and every read goes to the API server.
pub(super) const MAX_OBJECTS: usize = 20_000;

#[derive(Default)]
pub(super) struct State {
    pub(super) lists: Vec<List>,
    pub(super) entries: BTreeMap<Key, Entry>,
    /// Namespace, group and name of the objects that have a group.
    pub(super) groups: BTreeSet<(String, String, String)>,
    /// Objects of writes in progress, or without a response.
    pub(super) uncertain: HashSet<Key>,
}

/// The state of the watch over a part of the scope.
pub(super) struct List {
    pub(super) part: Part,
    /// Number of the latest list.
    pub(super) number: u64,
    /// Keys of the objects in the list in progress.
    pub(super) incoming: HashSet<Key>,
    pub(super) progress: Progress,
    /// The number of objects has exceeded [`MAX_OBJECTS`] since the latest list began.
    pub(super) is_over: bool,
}

/// Progress of the first list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Unanswered,
    /// It failed and is retried.
    Failed,
    Complete,
}

pub(super) struct Entry {
    pub(super) uid: String,
    pub(super) version: u64,
    pub(super) group: Option<String>,
    /// Fingerprint of everything but the status, as in [`Reported`].
    pub(super) spec: u64,
    /// Number of the list of its part during which this operator wrote or read it, if it did.
    pub(super) written_during: Option<u64>,
    pub(super) content: Content,
}

pub(super) enum Content {
    /// As JSON: the parsed tree takes ten times the memory.
    Present(Box<[u8]>),
    /// Deleted by this operator before its watch has reported it, or deleted by anyone while an older response may
    /// still arrive.
    Deleted,
}

impl State {
    pub(super) fn is_complete_for(&self, namespace: &str) -> bool {
        let list = self.lists.iter().find(|list| list.part.has(namespace));
        list.is_some_and(|list| list.progress == Progress::Complete && !list.is_over)
    }

    pub(super) fn begin_list(&mut self, part: usize) {
        if let Some(list) = self.lists.get_mut(part) {
            list.number += 1;
            list.incoming = HashSet::new();
            list.is_over = false;
        }
    }

    pub(super) fn add_listed(&mut self, part: usize, reported: Reported) -> Option<Change> {
        if let Some(list) = self.lists.get_mut(part) {
            list.incoming.insert(reported.key.clone());
        }
        self.upsert(reported, None)
    }

    /// Removes the objects that a complete list lacks. An object that was written during the list becomes uncertain:
    /// the list may be older.
    pub(super) fn end_list(&mut self, part: usize) {
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
    pub(super) fn upsert(
        &mut self,
        reported: Reported,
        written_during: Option<u64>,
    ) -> Option<Change> {
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
    pub(super) fn delete(&mut self, reported: &Reported) {
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
