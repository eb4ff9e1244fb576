//! What starts a reconcile: changes of a ModelService, of what was made for it and of its pods.
//!
//! All watches carry metadata alone; a reconcile reads what it needs itself. So an object that can't
//! be parsed stops no watch, and nothing is decided on what a cache remembers. Each watch backs off
//! for itself: one that fails, as KEDA's does once KEDA is removed, holds up no other.

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
        reflector::{
            ObjectRef,
            store::{Store, Writer},
        },
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
    model_services::{Watched, changed, everything},
};

/// Requests to reconcile; never an error, since every watch goes on by itself.
pub(crate) type Requests = BoxStream<'static, Result<ReconcileRequest<Watched>, Infallible>>;

/// First and longest wait before a failed watch is tried again. The longest one is shorter than the
/// 10 seconds within which a deleted child is to come back.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What happens to a ModelService within this time of a first event is looked at together: a
/// Deployment, its pods and its HPA change many times in a row.
const TOGETHER: Duration = Duration::from_millis(300);

/// All watches, and the ModelServices that they know.
pub(crate) fn requests(
    client: &Client,
    namespace: Option<&str>,
    capabilities: watch::Receiver<Capabilities>,
) -> (Requests, Store<Watched>) {
    let writer = Writer::<Watched>::new(());
    let store = writer.as_reader();
    let own = resilient(
        "ModelService",
        watcher(
            scoped::<ModelService>(client, namespace),
            watcher::Config::default(),
        ),
    )
    .map(Ok::<_, watcher::Error>)
    .reflect(writer)
    .filter_map(|event| ready(event.ok()));
    let pods =
        watcher::Config::default().labels(&format!("{}={}", labels::NAME, labels::NAME_VALUE));
    let scaled_objects = {
        let (client, store) = (client.clone(), store.clone());
        let namespace = namespace.map(str::to_owned);
        while_keda(capabilities.clone(), move || {
            children::<ScaledObject>(&client, namespace.as_deref(), &store)
        })
    };
    let all = stream::select_all([
        changed(own, store.clone()).boxed(),
        children::<Deployment>(client, namespace, &store),
        children::<Service>(client, namespace, &store),
        children::<PodDisruptionBudget>(client, namespace, &store),
        related::<HorizontalPodAutoscaler>(
            client,
            namespace,
            watcher::Config::default(),
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
        related::<Pod>(client, namespace, pods, &store, |pod| {
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
                move |()| stream::iter(everything(&store))
            })
            .boxed(),
    ]);
    (
        together(all).map(ReconcileRequest::from).map(Ok).boxed(),
        store,
    )
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
fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Objects of a kind that have a ModelService's name, whoever made them: a name that somebody else
/// gives free counts as well.
fn children<K>(
    client: &Client,
    namespace: Option<&str>,
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
    related::<K>(
        client,
        namespace,
        watcher::Config::default(),
        store,
        |child| child.metadata.name.clone().into_iter().collect(),
    )
}

/// Objects of a kind that say which ModelService they may be about.
///
/// Deletions count as much as other changes. After a watch had to start over, deletions may have
/// been missed, so everything is looked at.
fn related<K>(
    client: &Client,
    namespace: Option<&str>,
    config: watcher::Config,
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
    let store = store.clone();
    let mut complete_before = false;
    resilient(
        &K::kind(&()),
        watcher(scoped::<K>(client, namespace), config),
    )
    .flat_map(move |event| match event {
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
            stream::iter(everything(&store))
        }
        Event::Init | Event::InitDone => stream::iter(Vec::new()),
    })
    .boxed()
}

/// The events of a watch that is tried again when it fails.
fn resilient<K>(
    kind: &str,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = Event<K>> + Send + 'static
where
    K: Send + 'static,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(BACKOFF.0)
        .with_max_delay(BACKOFF.1)
        .without_max_times()
        .with_jitter();
    let kind = kind.to_owned();
    events
        .backoff(ExponentialBackoff::from(backoff))
        .filter_map(move |event| {
            ready(match event {
                Ok(event) => Some(event),
                Err(error) => {
                    warn!(kind, error = fault(&error), "watch");
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
