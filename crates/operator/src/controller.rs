//! Runs reconciles: order, time, concurrency and timeouts.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::{
    Config,
    controller::{self, Action, ReconcileRequest, applier},
    reflector::ObjectRef,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use crate::{
    backoff::Backoffs,
    capabilities,
    error::Error,
    model_services::Watched,
    object_cache::Change,
    queue::prioritized,
    readiness::{Readiness, Stage},
    reconcile::{Context, ReconcileOutcome, Reconciled, reconcile},
    settings::Settings,
    shutdown::begun,
    watches::{Watches, watches},
};

/// Interval of reconciles without a change.
const RESYNC: Duration = Duration::from_secs(600);

/// Interval of reconciles while a deletion must complete first, in case its event is missed.
const DELETION_RECHECK: Duration = Duration::from_secs(5);

/// Interval of reconciles while a component is missing, in case it appears and disappears between two refreshes of the
/// capabilities, or while another owner's autoscaler must go.
const RECHECK: Duration = Duration::from_secs(30);

/// Timeout of one reconcile.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum time of reconciles after the shutdown begins: less than the termination grace period of a pod, 30 seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// State that the reconciles of one run share.
struct Shared {
    context: Context,
    backoffs: Backoffs<ObjectRef<Watched>>,
}

/// Reconciles until the shutdown begins and active reconciles are over. Updates `readiness` when it begins and when
/// all ModelServices are known.
pub async fn run(
    context: Context,
    settings: &Settings,
    readiness: &Readiness,
    shutdown: watch::Receiver<bool>,
) {
    readiness.reach(Stage::Syncing);
    let client = context.client();
    if let Some(claims) = context.claims() {
        claims.wait_until_known().await;
    }
    let discovered = context.capabilities().clone();
    // Without it, plans might have to be changed after the first refresh.
    discovered.refresh(client).await;
    let capabilities = discovered.subscribe();
    let monitor = tokio::spawn(capabilities::monitor(client.clone(), discovered));
    let Watches {
        changes,
        store,
        mut complete,
        watching,
    } = watches(client, context.caches(), &settings.scope(), capabilities);
    let model_services = store.clone();
    let flushed = context.clone();
    let upgrades = context.upgrades().clone();
    let upgradable = upgrades.requeued().map(|object| (object, Change::Spec));
    let concurrency = settings.concurrency.get();
    let requests = prioritized(
        stream::select(changes, upgradable),
        context.active_reconciles().clone(),
        concurrency.into(),
    );
    let requests = requests.map(|object| Ok::<_, Infallible>(ReconcileRequest::from(object)));
    let shared = Arc::new(Shared {
        context,
        backoffs: Backoffs::default(),
    });
    let reporting = Arc::clone(&shared);
    let reconciles = applier(
        |object: Arc<Watched>, shared| {
            Box::pin(reconcile_active(
                ObjectRef::from_obj(object.as_ref()),
                shared,
            ))
        },
        |object, error, shared: Arc<Shared>| {
            retry(&ObjectRef::from_obj(object.as_ref()), error, &shared)
        },
        shared,
        store,
        requests.take_until(begun(shutdown.clone())),
        Config::default().concurrency(concurrency),
    )
    .for_each(async |result| report(result, &reporting));
    let syncing = async {
        if complete.wait_for(|complete| *complete).await.is_ok() {
            info!(
                model_services = model_services.len(),
                "watching: all ModelServices are known"
            );
            let all: Vec<_> = model_services
                .state()
                .iter()
                .map(|object| ObjectRef::from_obj(object.as_ref()))
                .collect();
            upgrades.begin(&all);
            readiness.reach(Stage::Acting);
        }
        std::future::pending::<()>().await;
    };
    let overdue = async {
        begun(shutdown).await;
        sleep(DRAIN_TIMEOUT).await;
    };
    let draining = async {
        reconciles.await;
        flushed.flush_events().await;
    };
    tokio::select! {
        () = draining => {}
        () = syncing => {}
        () = overdue => warn!(DRAIN = ?DRAIN_TIMEOUT, "active reconciles were aborted"),
    }
    monitor.abort();
    watching.abort();
}

/// Reconciles a ModelService, which is active meanwhile.
async fn reconcile_active(
    object: ObjectRef<Watched>,
    shared: Arc<Shared>,
) -> Result<Action, Error> {
    let active = shared.context.active_reconciles();
    // A requeued object has not passed through the queue.
    active.begin(object.clone());
    let result = reconcile_counted(&object, &shared).await;
    active.end(&object);
    result
}

/// Reconciles a ModelService within the timeout, and counts the result in the metrics.
async fn reconcile_counted(object: &ObjectRef<Watched>, shared: &Shared) -> Result<Action, Error> {
    let started = Instant::now();
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let reconcile = Box::pin(reconcile(&shared.context, namespace, &object.name));
    let result = timeout(RECONCILE_TIMEOUT, reconcile)
        .await
        .unwrap_or(Err(Error::Timeout(RECONCILE_TIMEOUT)));
    let metrics = shared.context.metrics();
    match result {
        Ok(reconciled) => {
            metrics.succeeded(started.elapsed());
            shared.backoffs.forget(object);
            if reconciled.outcome == ReconcileOutcome::Gone {
                forget(object, shared);
            }
            Ok(after(reconciled, Timestamp::now()))
        }
        Err(error) => {
            metrics.failed(error.reason(), started.elapsed());
            if !error.is_transient() {
                shared.context.upgrades().skip(object);
            }
            Err(error)
        }
    }
}

/// Schedules the next reconcile: at its due time, and at the latest after an interval, also because the clock may be
/// changed meanwhile.
fn after(reconciled: Reconciled, now: Timestamp) -> Action {
    let latest = match reconciled.outcome {
        ReconcileOutcome::Settled => RESYNC,
        ReconcileOutcome::Waiting => DELETION_RECHECK,
        ReconcileOutcome::Incomplete => RECHECK,
        ReconcileOutcome::Gone => return Action::await_change(),
    };
    let requeue = reconciled
        .requeue_at
        .map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    Action::requeue(requeue.map_or(latest, |requeue| requeue.min(latest)))
}

/// An invalid spec waits for a change. Every other error is retried with backoff.
fn retry(object: &ObjectRef<Watched>, error: &Error, shared: &Shared) -> Action {
    if error.is_transient() {
        Action::requeue(shared.backoffs.failed(object.clone()))
    } else {
        shared.backoffs.forget(object);
        Action::await_change()
    }
}

fn report(
    result: Result<(ObjectRef<Watched>, Action), controller::Error<Error, Infallible>>,
    shared: &Shared,
) {
    match result {
        Ok((object, _)) => debug!(%object, "a ModelService was reconciled"),
        // The object was deleted meanwhile: its children are removed by garbage collection.
        Err(controller::Error::ObjectNotFound(object)) => {
            debug!(%object, "a ModelService is gone");
            let object = object.into_kind_unchecked(());
            shared.context.active_reconciles().end(&object);
            forget(&object, shared);
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            warn!(%object, reason = error.reason(), %error, "a reconcile failed");
        }
        Err(error) => warn!(%error, "the controller could not schedule a reconcile"),
    }
}

/// Removes the state of a ModelService that is gone.
fn forget(object: &ObjectRef<Watched>, shared: &Shared) {
    shared.backoffs.forget(object);
    let namespace = object.namespace.as_deref().unwrap_or_default();
    shared.context.upgrades().forget(namespace, &object.name);
    shared.context.metrics().forget(namespace, &object.name);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn action(outcome: ReconcileOutcome, at: Option<i64>) -> Action {
        let requeue_at = at.map(seconds);
        after(
            Reconciled {
                outcome,
                requeue_at,
            },
            seconds(0),
        )
    }

    #[test]
    fn the_next_reconcile_is_at_its_due_time() {
        let in_seconds = |seconds| Action::requeue(Duration::from_secs(seconds));
        assert_eq!(action(ReconcileOutcome::Settled, Some(90)), in_seconds(90));
        assert_eq!(action(ReconcileOutcome::Waiting, Some(2)), in_seconds(2));
        // A time during the reconcile isn't missed.
        assert_eq!(action(ReconcileOutcome::Settled, Some(-3)), in_seconds(0));
    }

    #[test]
    fn the_next_reconcile_is_at_the_latest_after_the_interval() {
        assert_eq!(
            action(ReconcileOutcome::Settled, Some(3600)),
            Action::requeue(RESYNC)
        );
        assert_eq!(
            action(ReconcileOutcome::Settled, None),
            Action::requeue(RESYNC)
        );
        assert_eq!(
            action(ReconcileOutcome::Waiting, Some(90)),
            Action::requeue(DELETION_RECHECK)
        );
        assert_eq!(
            action(ReconcileOutcome::Incomplete, None),
            Action::requeue(RECHECK)
        );
        assert_eq!(action(ReconcileOutcome::Gone, None), Action::await_change());
    }
}
