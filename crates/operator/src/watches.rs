//! Watches that start reconciles: of ModelServices, their objects and their pods.
//!
//! Each watch carries objects of any form, so an object that can't be parsed stops no watch. A watch updates its
//! [cache](crate::caches) before it asks for a reconcile. Each kind is watched separately, in each namespace unless
//! all are watched, and each watch has its own backoff. A failed watch, such as KEDA's after its removal, delays no
//! other.

use std::{collections::BTreeSet, time::Duration};

use backon::ExponentialBuilder;
use futures::{
    FutureExt, Stream, StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, PartialObjectMetaExt},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, store::Store},
        watcher::{self, Event, ExponentialBackoff, watcher},
    },
};
use springtide_api::ModelService;
use springtide_plan::{
    Capabilities,
    keda::{HPA_NAME_PREFIX, ScaledObject},
    labels,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::warn;

use crate::{
    caches::{Cached, Caches, deployment_scaled, instance},
    error::brief,
    model_services::{ModelServices, Watched, all_in},
    object_cache::{Change, ObjectCache},
    scope::{Part, Scope},
};

/// ModelServices with a change, and its kind. Never an error: each watch recovers by itself.
pub(crate) type Changes = BoxStream<'static, (ObjectRef<Watched>, Change)>;

/// Minimum and maximum backoff of a failed watch. The maximum is less than the 10 seconds within which a deleted child
/// is restored.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Objects per page of a list. The objects of a page are in memory as trees, about 80 KB for a pod or a Deployment,
/// before they are cached as pruned text. All kinds are listed at the same time.
const PAGE: u32 = 25;

/// Maximum time for which reconciles wait for the first lists. Then they read missing kinds from the API server.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The watches.
pub(crate) struct Watches {
    /// Changes, once the first lists are complete.
    pub(crate) changes: Changes,
    /// The ModelServices in the cache.
    pub(crate) store: Store<Watched>,
    /// True once the ModelServices are complete.
    pub(crate) complete: watch::Receiver<bool>,
    /// The task of the watches, until it is aborted.
    pub(crate) watching: JoinHandle<()>,
}

/// Starts all watches in their own task.
pub(crate) fn watches(
    client: &Client,
    caches: &Caches,
    scope: &Scope,
    capabilities: watch::Receiver<Capabilities>,
) -> Watches {
    let parts = scope.parts();
    let known = ModelServices::new(parts.len());
    let (store, complete) = (known.store(), known.complete());
    let (sender, receiver) = mpsc::unbounded_channel();
    let all = watch_all(client, caches, &parts, known, capabilities);
    let watching = tokio::spawn(all.for_each(move |change| {
        // The receiver is gone if the task is about to be aborted.
        let _ = sender.send(change);
        ready(())
    }));
    let caches = caches.clone();
    let ready = async move {
        if timeout(MAX_WAIT, caches.listed()).await.is_err() {
            warn!("reconciles begin before the first lists of all watches are complete");
        }
    };
    let received = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|change| (change, receiver))
    });
    let changes = async move {
        ready.await;
        received
    };
    Watches {
        changes: changes.flatten_stream().boxed(),
        store,
        complete,
        watching,
    }
}

/// ModelServices that changed, or whose objects changed, and the kind of the change.
fn watch_all(
    client: &Client,
    caches: &Caches,
    parts: &[Part],
    known: ModelServices,
    capabilities: watch::Receiver<Capabilities>,
) -> impl Stream<Item = (ObjectRef<Watched>, Change)> + Send + use<> {
    let store = known.store();
    let any = watcher::Config::default();
    let own = {
        let objects = &caches.model_services;
        objects.reset(parts);
        let events = parts.iter().enumerate().map(|(number, part)| {
            let objects = objects.clone();
            watch_with_backoff::<ModelService>(client, part, any.clone())
                .filter_map(move |event| {
                    let metadata = event.as_ref().map(metadata);
                    update_cache(&objects, number, event);
                    ready(metadata)
                })
                .boxed()
        });
        known.changes(events.collect())
    };
    let pods =
        watcher::Config::default().labels(&format!("{}={}", labels::NAME, labels::NAME_VALUE));
    // Reconciles wait for its first list, too.
    if capabilities.borrow().keda {
        caches.scaled_objects.reset(parts);
    }
    let scaled_objects = {
        let watched = (
            client.clone(),
            caches.clone(),
            parts.to_vec(),
            store.clone(),
        );
        while_keda(capabilities.clone(), move || {
            let (client, caches, parts, store) = &watched;
            let any = watcher::Config::default();
            watch_objects::<ScaledObject>(client, caches, parts, &any, store, name)
        })
    };
    let all_model_services = {
        let (store, parts) = (store.clone(), parts.to_vec());
        capability_changes(capabilities).flat_map(move |()| {
            let of_part = |part| all_in(&store, part);
            stream::iter(parts.iter().flat_map(of_part).collect::<Vec<_>>())
        })
    };
    stream::select_all([
        own.map(as_spec_change).boxed(),
        watch_objects::<Deployment>(client, caches, parts, &any, &store, name),
        watch_objects::<Service>(client, caches, parts, &any, &store, name),
        watch_objects::<PodDisruptionBudget>(client, caches, parts, &any, &store, name),
        watch_objects::<HorizontalPodAutoscaler>(client, caches, parts, &any, &store, |hpa| {
            // KEDA creates one for a ScaledObject, which has the name of its ModelService.
            let by_keda = name(hpa)
                .iter()
                .filter_map(|name| name.strip_prefix(HPA_NAME_PREFIX))
                .map(str::to_owned)
                .collect::<Vec<_>>();
            let names = name(hpa).into_iter().chain(by_keda);
            let names: BTreeSet<_> = names.chain(deployment_scaled(hpa)).collect();
            names.into_iter().collect()
        }),
        scaled_objects.boxed(),
        watch_objects::<Pod>(client, caches, parts, &pods, &store, |pod| {
            instance(pod).into_iter().collect()
        })
        .map(|(model_service, _)| (model_service, Change::Status))
        .boxed(),
        all_model_services.map(as_spec_change).boxed(),
    ])
}

fn as_spec_change(model_service: ObjectRef<Watched>) -> (ObjectRef<Watched>, Change) {
    (model_service, Change::Spec)
}

/// The ModelService of an object's name: children have the name of their ModelService. An object of another owner may
/// have it, too; its deletion frees the name.
fn name(object: &DynamicObject) -> Vec<String> {
    object.metadata.name.clone().into_iter().collect()
}

/// Updates the cache with an event, or with a failure of the watch.
fn update_cache<K>(
    objects: &ObjectCache<K>,
    part: usize,
    event: Option<Event<DynamicObject>>,
) -> Option<Change> {
    let Some(event) = event else {
        objects.record_failure(part);
        return None;
    };
    objects.apply_event(part, event)
}

/// The event with the metadata whose change starts a reconcile.
fn metadata(event: &Event<DynamicObject>) -> Event<Watched> {
    let of = |object: &DynamicObject| {
        let mut metadata = object.metadata.clone();
        metadata.managed_fields = None;
        metadata.into_response_partial()
    };
    match event {
        Event::Apply(object) => Event::Apply(of(object)),
        Event::Delete(object) => Event::Delete(of(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(of(object)),
        Event::InitDone => Event::InitDone,
    }
}

/// Watches the objects of a kind, and maps each to its ModelServices, whose names are `names_of`.
///
/// A deletion is a change. After a watch was restarted, deletions may be missing, so all ModelServices of its part are
/// reconciled.
fn watch_objects<K: Cached>(
    client: &Client,
    caches: &Caches,
    parts: &[Part],
    config: &watcher::Config,
    store: &Store<Watched>,
    names_of: fn(&DynamicObject) -> Vec<String>,
) -> BoxStream<'static, (ObjectRef<Watched>, Change)> {
    let objects = K::cache(caches);
    objects.reset(parts);
    let of_each = parts.iter().enumerate().map(|(number, part)| {
        let (objects, store, part) = (objects.clone(), store.clone(), part.clone());
        let mut was_listed = false;
        watch_with_backoff::<K>(client, &part, config.clone()).flat_map(move |event| {
            let model_services = match &event {
                Some(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => {
                    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
                    names_of(object)
                        .iter()
                        .map(|name| ObjectRef::new(name).within(namespace))
                        .filter(|model_service| store.get(model_service).is_some())
                        .collect()
                }
                Some(Event::InitDone) if std::mem::replace(&mut was_listed, true) => {
                    all_in(&store, &part)
                }
                Some(Event::Init | Event::InitDone) | None => Vec::new(),
            };
            let is_list = matches!(event, Some(Event::InitDone));
            let change = update_cache(&objects, number, event).or(is_list.then_some(Change::Spec));
            let model_services = model_services.into_iter();
            stream::iter(model_services.filter_map(move |name| Some((name, change?))))
        })
    });
    stream::select_all(of_each.map(StreamExt::boxed)).boxed()
}

/// The events of a watch over a part of the scope. It is restarted after a failure, which is `None`.
fn watch_with_backoff<K: Cached>(
    client: &Client,
    part: &Part,
    config: watcher::Config,
) -> impl Stream<Item = Option<Event<DynamicObject>>> + Send + use<K> {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(BACKOFF.0)
        .with_max_delay(BACKOFF.1)
        .without_max_times()
        .with_jitter();
    let namespace = part.namespace().map(str::to_owned);
    let kind = ApiResource::erase::<K>(&());
    let api = match part.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    watcher(api, config.page_size(PAGE))
        .backoff(ExponentialBackoff::from(backoff))
        .map(move |event| match event {
            Ok(event) => Some(event),
            Err(error) => {
                let kind = K::kind(&());
                warn!(
                    kind = &*kind,
                    namespace,
                    error = fault(&error),
                    "a watch failed and is restarted"
                );
                None
            }
        })
}

/// The fault of a watch, on one line.
fn fault(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => brief(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// Runs a stream while KEDA is installed, and restarts it when KEDA appears again.
fn while_keda<S>(
    capabilities: watch::Receiver<Capabilities>,
    watch: impl Fn() -> S + Send + 'static,
) -> impl Stream<Item = S::Item> + Send
where
    S: Stream + Send + 'static,
{
    stream::unfold(
        (capabilities, watch),
        |(mut capabilities, watch)| async move {
            capabilities.wait_for(|now| now.keda).await.ok()?;
            let mut until = capabilities.clone();
            let gone = async move { until.wait_for(|now| !now.keda).await.map(drop) };
            Some((watch().take_until(gone.boxed()), (capabilities, watch)))
        },
    )
    .flatten()
}

/// An item for each change of the capabilities.
fn capability_changes(
    capabilities: watch::Receiver<Capabilities>,
) -> impl Stream<Item = ()> + Send {
    stream::unfold(capabilities, |mut capabilities| async move {
        capabilities.changed().await.ok()?;
        Some(((), capabilities))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_keda(keda: bool) -> Capabilities {
        Capabilities {
            keda,
            ..Capabilities::default()
        }
    }

    #[tokio::test]
    async fn a_stream_runs_while_keda_is_installed() {
        let (sender, receiver) = watch::channel(with_keda(false));
        let mut items = while_keda(receiver, || stream::iter([1]).chain(stream::pending())).boxed();
        assert!(items.next().now_or_never().is_none());
        for _ in 0..3 {
            sender.send_replace(with_keda(true));
            assert_eq!(items.next().now_or_never(), Some(Some(1)));
            sender.send_replace(with_keda(false));
            assert!(items.next().now_or_never().is_none());
        }
    }
}
