//! Runs reconciles: which, when, how many at once and how long.

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
    queue::{ActiveReconciles, prioritized},
    readiness::{Readiness, Stage},
    reconcile::{Context, ReconcileOutcome, Reconciled, reconcile},
    settings::Settings,
    shutdown::begun,
    watches::{Watches, watches},
};

/// A ModelService is looked at this often although nothing has changed.
const RESYNC: Duration = Duration::from_secs(600);

/// A deletion that has to be over before the plan can go on is looked at this often, should its
/// event be missed.
const WAIT: Duration = Duration::from_secs(5);

/// What isn't installed is looked for this often, should it come and go faster than the watch over the
/// cluster's capabilities notices, and so is somebody else's autoscaler that is to go.
const RECHECK: Duration = Duration::from_secs(30);

/// Longest time that one reconcile may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Longest time that reconciles go on after the shutdown began: less than the 30 seconds that a pod
/// has to end.
const DRAIN: Duration = Duration::from_secs(20);

/// What the reconciles of one run share.
struct Shared {
    context: Context,
    backoffs: Backoffs<ObjectRef<Watched>>,
    passes: ActiveReconciles<ObjectRef<Watched>>,
}

/// Reconciles until the shutdown begins and what was begun is done. Tells `readiness` when it begins
/// and once all ModelServices are known.
pub async fn run(
    context: Context,
    settings: &Settings,
    readiness: &Readiness,
    shutdown: watch::Receiver<bool>,
) {
    readiness.reach(Stage::Syncing);
    let client = context.client();
    if let Some(claims) = context.claims() {
        claims.known().await;
    }
    let known = context.capabilities().clone();
    // What is planned before the first look may have to be planned again after it.
    known.refresh(client).await;
    let capabilities = known.subscribe();
    let monitor = tokio::spawn(capabilities::monitor(client.clone(), known));
    let Watches {
        changes,
        store,
        mut complete,
        watching,
    } = watches(client, context.caches(), &settings.scope(), capabilities);
    let known = store.clone();
    let told = context.clone();
    let upgrades = context.upgrades().clone();
    let woken = upgrades.woken().map(|object| (object, Change::Spec));
    let passes = ActiveReconciles::new(settings.concurrency.get().into());
    let requests = prioritized(stream::select(changes, woken), passes.clone());
    let requests = requests.map(|object| Ok::<_, Infallible>(ReconcileRequest::from(object)));
    let shared = Arc::new(Shared {
        context,
        backoffs: Backoffs::default(),
        passes,
    });
    let reported = Arc::clone(&shared);
    let reconciles = applier(
        |object: Arc<Watched>, shared| Box::pin(one(ObjectRef::from_obj(object.as_ref()), shared)),
        |object, error, shared: Arc<Shared>| {
            retry(&ObjectRef::from_obj(object.as_ref()), error, &shared)
        },
        shared,
        store,
        requests.take_until(begun(shutdown.clone())),
        Config::default().concurrency(settings.concurrency.get()),
    )
    .for_each(async |result| report(result, &reported));
    let syncing = async {
        if complete.wait_for(|complete| *complete).await.is_ok() {
            info!(model_services = known.len(), "watching");
            let all: Vec<_> = known
                .state()
                .iter()
                .map(|it| ObjectRef::from_obj(it.as_ref()))
                .collect();
            upgrades.begin(&all);
            readiness.reach(Stage::Acting);
        }
        std::future::pending::<()>().await;
    };
    let overdue = async {
        begun(shutdown).await;
        sleep(DRAIN).await;
    };
    let passes = async {
        reconciles.await;
        told.flush_events().await;
    };
    tokio::select! {
        () = passes => {}
        () = syncing => {}
        () = overdue => warn!(?DRAIN, "reconciles were given up"),
    }
    monitor.abort();
    watching.abort();
}

async fn one(object: ObjectRef<Watched>, shared: Arc<Shared>) -> Result<Action, Error> {
    let result = pass(&object, &shared).await;
    shared.passes.end(&object);
    result
}

async fn pass(object: &ObjectRef<Watched>, shared: &Shared) -> Result<Action, Error> {
    let started = Instant::now();
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let _going_on = shared.context.begin_reconcile();
    let reconcile = Box::pin(reconcile(&shared.context, namespace, &object.name));
    let result = timeout(LIMIT, reconcile)
        .await
        .unwrap_or(Err(Error::Timeout(LIMIT)));
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
            if !error.passes() {
                shared.context.upgrades().skip(object);
            }
            Err(error)
        }
    }
}

/// A pass comes again when the time asks for it, and at the latest after a while: should the clock be set
/// meanwhile, that pass sees it.
fn after(reconciled: Reconciled, now: Timestamp) -> Action {
    let latest = match reconciled.outcome {
        ReconcileOutcome::Settled => RESYNC,
        ReconcileOutcome::Waiting => WAIT,
        ReconcileOutcome::Incomplete => RECHECK,
        ReconcileOutcome::Gone => return Action::await_change(),
    };
    let requeue = reconciled
        .requeue_at
        .map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    Action::requeue(requeue.map_or(latest, |requeue| requeue.min(latest)))
}

/// A bad spec waits for a change; everything else is tried again, later each time.
fn retry(object: &ObjectRef<Watched>, error: &Error, shared: &Shared) -> Action {
    if error.passes() {
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
        Ok((object, _)) => debug!(%object, "reconciled"),
        // Deleted since: its children go by garbage collection.
        Err(controller::Error::ObjectNotFound(object)) => {
            debug!(%object, "gone");
            let object = object.into_kind_unchecked(());
            shared.passes.end(&object);
            forget(&object, shared);
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            warn!(%object, reason = error.reason(), %error, "reconcile failed");
        }
        Err(error) => warn!(%error, "controller"),
    }
}

/// What was kept about a ModelService that is gone.
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
    fn the_next_pass_comes_when_the_time_asks_for_it() {
        let in_seconds = |seconds| Action::requeue(Duration::from_secs(seconds));
        assert_eq!(action(ReconcileOutcome::Settled, Some(90)), in_seconds(90));
        assert_eq!(action(ReconcileOutcome::Waiting, Some(2)), in_seconds(2));
        // What has come while the pass went on isn't missed.
        assert_eq!(action(ReconcileOutcome::Settled, Some(-3)), in_seconds(0));
    }

    #[test]
    fn and_at_the_latest_after_a_while() {
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
            Action::requeue(WAIT)
        );
        assert_eq!(
            action(ReconcileOutcome::Incomplete, None),
            Action::requeue(RECHECK)
        );
        assert_eq!(action(ReconcileOutcome::Gone, None), Action::await_change());
    }
}
