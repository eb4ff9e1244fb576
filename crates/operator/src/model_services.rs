//! The known ModelServices, and which of them are new or changed.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    core::PartialObjectMeta,
    runtime::{
        reflector::{
            ObjectRef,
            store::{Store, Writer},
        },
        watcher::Event,
    },
};
use springtide_api::ModelService;
use tokio::sync::watch;

use crate::scope::Part;

/// A ModelService as the watches store it.
pub(crate) type Watched = PartialObjectMeta<ModelService>;

/// The ModelServices of all watched namespaces in one store. Each namespace has its own list and watch: a restart or a
/// failure of one doesn't affect the others.
pub(crate) struct ModelServices {
    writer: Writer<Watched>,
    store: Store<Watched>,
    lists: Vec<List>,
    complete: watch::Sender<bool>,
}

/// The state of one part of the scope.
#[derive(Default)]
struct List {
    /// The ModelServices, each with the [`fingerprint`] of its latest state.
    seen: HashMap<ObjectRef<Watched>, u64>,
    /// The objects of a list in progress. They count once it is complete.
    incoming: Vec<Watched>,
    /// Whether a list has ever been complete.
    complete: bool,
}

impl ModelServices {
    /// Creates an empty store for this number of parts.
    pub(crate) fn new(parts: usize) -> Self {
        let mut writer = Writer::<Watched>::new(());
        // Only objects in the store are reconciled, so reconciles can begin before all lists are complete.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self {
            store: writer.as_reader(),
            writer,
            lists: std::iter::repeat_with(List::default).take(parts).collect(),
            complete: watch::Sender::new(false),
        }
    }

    /// The store of ModelServices.
    pub(crate) fn store(&self) -> Store<Watched> {
        self.store.clone()
    }

    /// True once all parts were listed.
    pub(crate) fn complete(&self) -> watch::Receiver<bool> {
        self.complete.subscribe()
    }

    /// The ModelServices with a change beyond their status, from the events of each part. The status is mostly written
    /// by this operator. The store is updated first.
    pub(crate) fn changes(
        mut self,
        parts: Vec<BoxStream<'static, Event<Watched>>>,
    ) -> impl Stream<Item = ObjectRef<Watched>> + Send + 'static {
        let numbered = parts
            .into_iter()
            .enumerate()
            .map(|(part, events)| events.map(move |event| (part, event)));
        stream::select_all(numbered)
            .flat_map(move |(part, event)| stream::iter(self.apply_event(part, event)))
    }

    /// Applies an event, and returns the ModelServices to reconcile. The objects of a deleted ModelService are removed
    /// by garbage collection.
    fn apply_event(&mut self, part: usize, event: Event<Watched>) -> Vec<ObjectRef<Watched>> {
        let Some(list) = self.lists.get_mut(part) else {
            return Vec::new();
        };
        match event {
            Event::Init => {
                list.incoming = Vec::new();
                Vec::new()
            }
            Event::InitApply(object) => {
                list.incoming.push(object);
                Vec::new()
            }
            Event::InitDone => {
                let incoming = std::mem::take(&mut list.incoming);
                let now = incoming
                    .iter()
                    .map(|object| (ObjectRef::from_obj(object), fingerprint(object)))
                    .collect();
                let before = std::mem::replace(&mut list.seen, now);
                // Their deletion was missed.
                let gone = before.into_keys().filter(|it| !list.seen.contains_key(it));
                for object in gone.filter_map(|it| self.store.get(&it)) {
                    self.writer
                        .apply_watcher_event(&Event::Delete(object.as_ref().clone()));
                }
                for object in incoming {
                    self.writer.apply_watcher_event(&Event::Apply(object));
                }
                list.complete = true;
                let listed = list.seen.keys().cloned().collect();
                let all = self.lists.iter().all(|list| list.complete);
                self.complete.send_replace(all);
                listed
            }
            Event::Apply(object) => {
                let now = fingerprint(&object);
                let it = ObjectRef::from_obj(&object);
                let before = list.seen.insert(it.clone(), now);
                self.writer.apply_watcher_event(&Event::Apply(object));
                (before != Some(now)).then_some(it).into_iter().collect()
            }
            Event::Delete(object) => {
                list.seen.remove(&ObjectRef::from_obj(&object));
                self.writer.apply_watcher_event(&Event::Delete(object));
                Vec::new()
            }
        }
    }
}

/// All known ModelServices of a part.
pub(crate) fn all_in(store: &Store<Watched>, part: &Part) -> Vec<ObjectRef<Watched>> {
    store
        .state()
        .iter()
        .map(|object| ObjectRef::from_obj(object.as_ref()))
        .filter(|object| part.has(object.namespace.as_deref().unwrap_or_default()))
        .collect()
}

/// A hash that changes with everything but the status.
fn fingerprint(object: &Watched) -> u64 {
    let metadata = &object.metadata;
    let mut hasher = DefaultHasher::new();
    (
        &metadata.uid,
        metadata.generation,
        metadata.deletion_timestamp.is_some(),
        &metadata.labels,
        &metadata.annotations,
    )
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// In which namespace a part of the tests' scope has its objects.
    const NAMESPACES: [&str; 2] = ["models", "others"];

    fn known() -> ModelServices {
        ModelServices::new(NAMESPACES.len())
    }

    /// Names that are asked for after these events of a part, all of which the store knows.
    fn after(
        known: &mut ModelServices,
        part: usize,
        events: impl IntoIterator<Item = Event<Watched>>,
    ) -> Vec<String> {
        let mut names = Vec::new();
        for event in events {
            for it in known.apply_event(part, event) {
                assert!(known.store.get(&it).is_some(), "{it}");
                assert_eq!(it.namespace.as_deref(), Some(NAMESPACES[part]));
                names.push(it.name);
            }
        }
        names.sort();
        names
    }

    /// What the store has, as `NAMESPACE/NAME`.
    fn stored(known: &ModelServices) -> Vec<String> {
        let mut names: Vec<_> = known
            .store
            .state()
            .iter()
            .map(|object| {
                let it = ObjectRef::from_obj(object.as_ref());
                format!("{}/{}", it.namespace.unwrap(), it.name)
            })
            .collect();
        names.sort();
        names
    }

    fn object_in(part: usize, name: &str, metadata: &Value) -> Watched {
        let mut object = json!({
            "apiVersion": "serving.springtide.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"namespace": NAMESPACES[part], "uid": "1", "generation": 1},
        });
        let fields = object["metadata"].as_object_mut().unwrap();
        fields.extend(metadata.as_object().unwrap().clone());
        fields.insert("name".to_owned(), json!(name));
        serde_json::from_value(object).unwrap()
    }

    fn object(name: &str, metadata: &Value) -> Watched {
        object_in(0, name, metadata)
    }

    fn listed(part: usize, names: &[&str]) -> Vec<Event<Watched>> {
        let objects = names.iter().map(|name| object_in(part, name, &json!({})));
        [Event::Init]
            .into_iter()
            .chain(objects.map(Event::InitApply))
            .chain([Event::InitDone])
            .collect()
    }

    #[test]
    fn a_list_is_applied_once_it_is_complete() {
        let mut known = known();
        assert_eq!(after(&mut known, 0, listed(0, &["a"])), ["a"]);
        // A second list, of several pages: what is new on the first one isn't lost.
        assert!(after(&mut known, 0, [Event::Init]).is_empty());
        let page = ["a", "new"].map(|name| Event::InitApply(object(name, &json!({}))));
        assert!(after(&mut known, 0, page).is_empty());
        assert_eq!(stored(&known), ["models/a"]);
        let rest = [Event::InitApply(object("b", &json!({}))), Event::InitDone];
        assert_eq!(after(&mut known, 0, rest), ["a", "b", "new"]);
    }

    #[test]
    fn an_interrupted_and_repeated_list_is_applied_once() {
        let mut known = known();
        after(&mut known, 0, [Event::Init]);
        after(
            &mut known,
            0,
            [Event::InitApply(object("gone", &json!({})))],
        );
        assert_eq!(after(&mut known, 0, listed(0, &["a"])), ["a"]);
        assert_eq!(stored(&known), ["models/a"]);
    }

    #[test]
    fn a_list_of_one_namespace_does_not_affect_others() {
        let mut known = known();
        after(&mut known, 0, listed(0, &["a", "b"]));
        after(&mut known, 1, listed(1, &["a", "c"]));
        assert_eq!(
            stored(&known),
            ["models/a", "models/b", "others/a", "others/c"]
        );
        // A repeated list doesn't affect events of the other namespace.
        after(&mut known, 0, [Event::Init]);
        let changed = object_in(1, "a", &json!({"generation": 2}));
        assert_eq!(after(&mut known, 1, [Event::Apply(changed)]), ["a"]);
        assert_eq!(
            stored(&known),
            ["models/a", "models/b", "others/a", "others/c"]
        );
        let rest = [Event::InitApply(object("b", &json!({}))), Event::InitDone];
        assert_eq!(after(&mut known, 0, rest), ["b"]);
        assert_eq!(stored(&known), ["models/b", "others/a", "others/c"]);
        assert!(after(&mut known, 1, listed(1, &[])).is_empty());
        assert_eq!(stored(&known), ["models/b"]);
    }

    #[test]
    fn all_model_services_are_known_once_every_namespace_is_listed() {
        let mut known = known();
        let complete = known.complete();
        for _ in 0..2 {
            after(&mut known, 0, listed(0, &["a"]));
            assert!(!*complete.borrow());
        }
        // What is known is worked on meanwhile.
        assert_eq!(stored(&known), ["models/a"]);
        after(&mut known, 1, listed(1, &[]));
        assert!(*complete.borrow());
        after(&mut known, 0, [Event::Init]);
        assert!(*complete.borrow());
    }

    #[test]
    fn only_a_change_of_more_than_the_status_counts() {
        let mut known = known();
        after(&mut known, 0, listed(0, &["a"]));
        for (metadata, counts) in [
            (json!({"resourceVersion": "2"}), false),
            (json!({"managedFields": [{"manager": "x"}]}), false),
            (json!({"generation": 2}), true),
            (json!({"generation": 2, "resourceVersion": "3"}), false),
            (json!({"generation": 2, "labels": {"x": "y"}}), true),
            (json!({"generation": 2, "annotations": {"x": "y"}}), true),
            (json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), true),
            (json!({"uid": "2"}), true),
        ] {
            let requests = after(&mut known, 0, [Event::Apply(object("a", &metadata))]);
            assert_eq!(requests.len(), usize::from(counts), "{metadata}");
        }
    }

    #[test]
    fn a_recreated_model_service_is_a_change() {
        let mut known = known();
        after(&mut known, 0, listed(0, &[]));
        let it = || object("a", &json!({}));
        assert_eq!(after(&mut known, 0, [Event::Apply(it())]), ["a"]);
        assert!(after(&mut known, 0, [Event::Delete(it())]).is_empty());
        assert_eq!(after(&mut known, 0, [Event::Apply(it())]), ["a"]);
        // Its deletion was missed.
        assert!(after(&mut known, 0, listed(0, &[])).is_empty());
        assert!(stored(&known).is_empty());
        assert_eq!(after(&mut known, 0, [Event::Apply(it())]), ["a"]);
    }
}
