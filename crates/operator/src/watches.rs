//! What starts a reconcile: changes of a ModelService, of what was made for it and of its pods.
//!
//! All watches carry metadata alone; a reconcile reads what it needs itself. So an object that can't
//! be parsed stops no watch, and nothing is decided on what a cache remembers. Each kind is watched in each
//! namespace by itself, where not in all of them, and each watch backs off for itself: one that fails, as
//! KEDA's does once KEDA is removed, holds up no other.

use std::{convert::Infallible, fmt::Debug, hash::Hash, time::Duration};

use backon::ExponentialBuilder;
use futures::{
    FutureExt, Stream, StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        controller::ReconcileRequest,
        reflector::{ObjectRef, store::Store},
        scheduler,
        scheduler::ScheduleRequest,
        watcher::{self, Event, ExponentialBackoff, watcher},
    },
};
use springtide_api::ModelService;
use springtide_plan::{
    Capabilities,
    keda::{HPA_NAME_PREFIX, ScaledObject},
    labels,
};
use tokio::{sync::watch, time::Instant};
use tracing::warn;

use crate::{
    error::brief,
    model_services::{ModelServices, Watched, everything},
    scope::{Part, Scope},
};

/// Requests to reconcile; never an error, since every watch goes on by itself.
pub(crate) type Requests = BoxStream<'static, Result<ReconcileRequest<Watched>, Infallible>>;

/// First and longest wait before a failed watch is tried again. The longest one is shorter than the
/// 10 seconds within which a deleted child is to come back.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What happens to a ModelService within this time of a first event is looked at together: a
/// Deployment, its pods and its HPA change many times in a row.
const TOGETHER: Duration = Duration::from_millis(300);

/// What the watches give.
pub(crate) struct Watches {
    /// What to reconcile.
    pub(crate) requests: Requests,
    /// The ModelServices that are known.
    pub(crate) store: Store<Watched>,
    /// True once all ModelServices are.
    pub(crate) complete: watch::Receiver<bool>,
}

/// All watches.
pub(crate) fn watches(
    client: &Client,
    scope: &Scope,
    capabilities: watch::Receiver<Capabilities>,
) -> Watches {
    let parts = scope.parts();
    let known = ModelServices::new(parts.len());
    let (store, complete) = (known.store(), known.complete());
    let own = parts
        .iter()
        .map(|part| resilient::<ModelService>(client, part, watcher::Config::default()).boxed());
    let own = known.changes(own.collect());
    let pods =
        watcher::Config::default().labels(&format!("{}={}", labels::NAME, labels::NAME_VALUE));
    let scaled_objects = {
        let (client, parts, store) = (client.clone(), parts.clone(), store.clone());
        while_keda(capabilities.clone(), move || {
            children::<ScaledObject>(&client, &parts, &store)
        })
    };
    let all = stream::select_all([
        own.boxed(),
        children::<Deployment>(client, &parts, &store),
        children::<Service>(client, &parts, &store),
        children::<PodDisruptionBudget>(client, &parts, &store),
        related::<HorizontalPodAutoscaler>(
            client,
            &parts,
            &watcher::Config::default(),
            &store,
            |hpa| {
                // KEDA makes one for a ScaledObject, which has the name of its ModelService.
                let name = hpa.metadata.name.clone();
                let by_keda = name
                    .as_ref()
                    .and_then(|name| name.strip_prefix(HPA_NAME_PREFIX))
                    .map(str::to_owned);
                name.into_iter().chain(by_keda).collect()
            },
        ),
        scaled_objects.boxed(),
        related::<Pod>(client, &parts, &pods, &store, |pod| {
            let labels = pod.metadata.labels.as_ref();
            labels
                .and_then(|found| found.get(labels::INSTANCE))
                .cloned()
                .into_iter()
                .collect()
        }),
        changes(capabilities)
            .flat_map({
                let store = store.clone();
                move |()| {
                    stream::iter(
                        parts
                            .iter()
                            .flat_map(|part| everything(&store, part))
                            .collect::<Vec<_>>(),
                    )
                }
            })
            .boxed(),
    ]);
    Watches {
        requests: together(all).map(ReconcileRequest::from).map(Ok).boxed(),
        store,
        complete,
    }
}

/// Each item once, [`TOGETHER`] after it first came: however many of the same come meanwhile, they
/// neither add to it nor put it off.
fn together<T>(items: impl Stream<Item = T> + Send) -> impl Stream<Item = T> + Send
where
    T: Clone + Eq + Hash + Send,
{
    scheduler(items.map(|message| ScheduleRequest {
        message,
        run_at: Instant::now() + TOGETHER,
    }))
}

/// Metadata of a kind, in one namespace or in all.
fn scoped<K>(client: &Client, part: &Part) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match part.namespace() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Objects of a kind that have a ModelService's name, whoever made them: a name that somebody else
/// gives free counts as well.
fn children<K>(
    client: &Client,
    parts: &[Part],
    store: &Store<Watched>,
) -> BoxStream<'static, ObjectRef<Watched>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Send
        + Sync
        + 'static,
{
    related::<K>(client, parts, &watcher::Config::default(), store, |child| {
        child.metadata.name.clone().into_iter().collect()
    })
}

/// Objects of a kind that say which ModelService they may be about.
///
/// Deletions count as much as other changes. After a watch had to start over, deletions may have
/// been missed, so everything of its namespace is looked at.
fn related<K>(
    client: &Client,
    parts: &[Part],
    config: &watcher::Config,
    store: &Store<Watched>,
    about: fn(&PartialObjectMeta<K>) -> Vec<String>,
) -> BoxStream<'static, ObjectRef<Watched>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Send
        + Sync
        + 'static,
{
    let of_each = parts.iter().map(|part| {
        let (store, part) = (store.clone(), part.clone());
        let mut complete_before = false;
        resilient::<K>(client, &part, config.clone()).flat_map(move |event| match event {
            Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
                let mut about: Vec<_> = about(&object)
                    .iter()
                    .map(|name| ObjectRef::new(name).within(namespace))
                    .collect();
                about.retain(|about| store.get(about).is_some());
                stream::iter(about)
            }
            Event::InitDone if std::mem::replace(&mut complete_before, true) => {
                stream::iter(everything(&store, &part))
            }
            Event::Init | Event::InitDone => stream::iter(Vec::new()),
        })
    });
    stream::select_all(of_each.map(StreamExt::boxed)).boxed()
}

/// The events of a watch over a part of the scope, which is tried again when it fails.
fn resilient<K>(
    client: &Client,
    part: &Part,
    config: watcher::Config,
) -> impl Stream<Item = Event<PartialObjectMeta<K>>> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Send
        + Sync
        + 'static,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(BACKOFF.0)
        .with_max_delay(BACKOFF.1)
        .without_max_times()
        .with_jitter();
    let namespace = part.namespace().map(str::to_owned);
    watcher(scoped::<K>(client, part), config)
        .backoff(ExponentialBackoff::from(backoff))
        .filter_map(move |event| {
            ready(match event {
                Ok(event) => Some(event),
                Err(error) => {
                    let kind = K::kind(&());
                    warn!(kind = &*kind, namespace, error = fault(&error), "watch");
                    None
                }
            })
        })
}

/// What went wrong with a watch, on one line.
fn fault(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => brief(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// Runs a stream while KEDA is there, and anew when it comes again.
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

/// An item whenever the capabilities change.
fn changes(capabilities: watch::Receiver<Capabilities>) -> impl Stream<Item = ()> + Send {
    stream::unfold(capabilities, |mut capabilities| async move {
        capabilities.changed().await.ok()?;
        Some(((), capabilities))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_together_is_one_and_is_not_put_off() {
        let begun = Instant::now();
        let every_20_ms = stream::unfold(0, |count| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((if count == 3 { "b" } else { "a" }, count + 1))
        });
        let mut items = together(every_20_ms).boxed();
        let mut next = async || (items.next().await.unwrap(), begun.elapsed().as_millis());
        assert_eq!(next().await, ("a", 320));
        assert_eq!(next().await, ("b", 380));
        assert_eq!(next().await, ("a", 640));
    }

    fn with_keda(keda: bool) -> Capabilities {
        Capabilities {
            keda,
            ..Capabilities::default()
        }
    }

    #[tokio::test]
    async fn a_stream_runs_while_keda_is_there() {
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
