//! Which ModelServices are new or have changed.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use futures::{Stream, StreamExt, stream};
use kube::{
    core::PartialObjectMeta,
    runtime::{
        reflector::{ObjectRef, store::Store},
        watcher::Event,
    },
};
use springtide_api::ModelService;

/// A ModelService as watches know it.
pub(crate) type Watched = PartialObjectMeta<ModelService>;

/// The ModelServices whose change is more than one of their status, which is mostly this operator's
/// own. `store` must have taken an event in before it comes here.
///
/// What a list holds counts once the list is complete: the store doesn't know it before, and what the
/// store doesn't know isn't reconciled. What was made for a ModelService that is deleted goes with it.
pub(crate) fn changed(
    events: impl Stream<Item = Event<Watched>> + Send + 'static,
    store: Store<Watched>,
) -> impl Stream<Item = ObjectRef<Watched>> + Send + 'static {
    let mut seen = HashMap::new();
    events.flat_map(move |event| {
        let changed = match event {
            Event::Init => {
                seen.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                seen.insert(ObjectRef::from_obj(&object), fingerprint(&object));
                Vec::new()
            }
            Event::InitDone => everything(&store),
            Event::Apply(object) => {
                let now = fingerprint(&object);
                let object = ObjectRef::from_obj(&object);
                let before = seen.insert(object.clone(), now);
                (before != Some(now))
                    .then_some(object)
                    .into_iter()
                    .collect()
            }
            Event::Delete(object) => {
                seen.remove(&ObjectRef::from_obj(&object));
                Vec::new()
            }
        };
        stream::iter(changed)
    })
}

/// Every ModelService that is known.
pub(crate) fn everything(store: &Store<Watched>) -> Vec<ObjectRef<Watched>> {
    store
        .state()
        .iter()
        .map(|object| ObjectRef::from_obj(object.as_ref()))
        .collect()
}

/// Another one after every change but one of the status.
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
    use futures::{FutureExt, channel::mpsc, future::ready, stream::BoxStream};
    use kube::runtime::{WatchStreamExt, reflector::store::Writer, watcher};
    use serde_json::{Value, json};

    use super::*;

    struct Watch {
        events: mpsc::UnboundedSender<Event<Watched>>,
        requests: BoxStream<'static, ObjectRef<Watched>>,
        store: Store<Watched>,
    }

    impl Watch {
        fn new() -> Self {
            let writer = Writer::<Watched>::new(());
            let store = writer.as_reader();
            let (events, received) = mpsc::unbounded();
            let reflected = received
                .map(Ok::<_, watcher::Error>)
                .reflect(writer)
                .filter_map(|event| ready(event.ok()));
            Self {
                events,
                requests: changed(reflected, store.clone()).boxed(),
                store,
            }
        }

        /// Names that are asked for after these events, all of which the store knows.
        fn after(&mut self, events: impl IntoIterator<Item = Event<Watched>>) -> Vec<String> {
            for event in events {
                self.events.unbounded_send(event).unwrap();
            }
            let mut names = Vec::new();
            while let Some(Some(request)) = self.requests.next().now_or_never() {
                assert!(self.store.get(&request).is_some(), "{request}");
                names.push(request.name);
            }
            names.sort();
            names
        }
    }

    fn object(name: &str, metadata: &Value) -> Watched {
        let mut object = json!({
            "apiVersion": "serving.springtide.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"namespace": "models", "uid": "1", "generation": 1},
        });
        let fields = object["metadata"].as_object_mut().unwrap();
        fields.extend(metadata.as_object().unwrap().clone());
        fields.insert("name".to_owned(), json!(name));
        serde_json::from_value(object).unwrap()
    }

    fn listed(names: &[&str]) -> Vec<Event<Watched>> {
        let objects = names.iter().map(|name| object(name, &json!({})));
        [Event::Init]
            .into_iter()
            .chain(objects.map(Event::InitApply))
            .chain([Event::InitDone])
            .collect()
    }

    #[test]
    fn what_a_list_holds_counts_once_it_is_complete() {
        let mut watch = Watch::new();
        assert_eq!(watch.after(listed(&["a"])), ["a"]);
        // A second list, of several pages: what is new on the first one isn't lost.
        assert!(watch.after([Event::Init]).is_empty());
        let page = ["a", "new"].map(|name| Event::InitApply(object(name, &json!({}))));
        assert!(watch.after(page).is_empty());
        let rest = [Event::InitApply(object("b", &json!({}))), Event::InitDone];
        assert_eq!(watch.after(rest), ["a", "b", "new"]);
    }

    #[test]
    fn only_a_change_of_more_than_the_status_counts() {
        let mut watch = Watch::new();
        watch.after(listed(&["a"]));
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
            let requests = watch.after([Event::Apply(object("a", &metadata))]);
            assert_eq!(requests.len(), usize::from(counts), "{metadata}");
        }
    }

    #[test]
    fn first_sight_counts_even_of_what_comes_again_as_it_was() {
        let mut watch = Watch::new();
        watch.after(listed(&[]));
        let it = || object("a", &json!({}));
        assert_eq!(watch.after([Event::Apply(it())]), ["a"]);
        assert!(watch.after([Event::Delete(it())]).is_empty());
        assert_eq!(watch.after([Event::Apply(it())]), ["a"]);
        // Its deletion was missed.
        assert!(watch.after(listed(&[])).is_empty());
        assert_eq!(watch.after([Event::Apply(it())]), ["a"]);
    }
}
