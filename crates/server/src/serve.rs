//! `springtide-server serve`: from the first socket to the last answer.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use futures::future::Either;
use rustix::process::{nice, set_parent_process_death_signal};
use springtide_batching::WorkerDied;
use springtide_contract::termination::{ModelFailure, TerminationMessage};
use springtide_inference::onnx::{HazardPolicy, Runtime};
use springtide_process::signals::TerminationSignals;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::app::App;
use crate::cli::{ProbeArgs, ServeArgs};
use crate::cpu::measure_load;
use crate::cpu::threads::RuntimeThreads;
use crate::grpc;
use crate::http::{health_router, reject, router};
use crate::lifecycle::{Lifecycle, Phase};
use crate::memory;
use crate::memory_budget::{BaseMemory, MemoryBudget, count};
use crate::metrics::Metrics;
use crate::models::Repository;
use crate::models::directory::ScanError;
use crate::models::isolation::failure_record::FailureRecord;
use crate::models::loader::{ModelLoadError, ModelLoader as _, OnnxLoader, select_provider};
use crate::models::manager::{ManagerConfig, ModelManager};
use crate::net::{self, Connections, ShutdownPhase};
use crate::request_memory::RequestMemory;

/// Quiet after which a draining server takes it that no client sends to it any more.
const QUIET: Duration = Duration::from_millis(250);

/// How long the server isn't ready for models that are tried in a process of their own: others serve.
const MAX_READY_DELAY: Duration = Duration::from_secs(30);

/// Part of the drain that is kept for the answers to the last requests.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Most bytes of a request's head: of clients, and of probes and scrapes.
const HEAD_BYTES: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();
const HEALTH_HEAD_BYTES: NonZeroUsize = NonZeroUsize::new(8 << 10).unwrap();

/// Connections for probes and metrics alone, and the memory of their requests: a few of each, and none that
/// clients could use up.
const HEALTH_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(64).unwrap();
const HEALTH_BYTES: NonZeroUsize = NonZeroUsize::new(8 << 20).unwrap();

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The model could not be loaded.
    #[error(transparent)]
    Model(#[from] ModelLoadError),
    /// The model directory could not be read.
    #[error(transparent)]
    Directory(#[from] ScanError),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The labels of the metrics can't be labels.
    #[error("the metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A thread, a signal handler or the runtime could not be had.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// A worker panicked; the process ends so that it is started anew.
    #[error(transparent)]
    WorkerDied(#[from] WorkerDied),
    /// It was told to end when no model could run anything any more.
    #[error("{0}")]
    Stuck(String),
    /// A task panicked.
    #[error("a task of the server panicked")]
    Panicked,
}

impl ServeError {
    /// What the operator is to be told, where it is about the model.
    #[must_use]
    pub fn termination_message(&self) -> Option<TerminationMessage> {
        match self {
            Self::Model(error) => Some(error.termination_message()),
            Self::Directory(error) => Some(TerminationMessage {
                reason: ModelFailure::ModelNotFound,
                message: error.to_string(),
            }),
            Self::Stuck(message) => Some(TerminationMessage {
                reason: ModelFailure::ModelInvalid,
                message: message.clone(),
            }),
            Self::Listen { .. }
            | Self::Metrics(_)
            | Self::System(_)
            | Self::WorkerDied(_)
            | Self::Panicked => None,
        }
    }
}

/// Serves until a signal says to end.
///
/// # Errors
/// When the server can't start or one of its threads fails. Ending by a signal is no error.
pub fn run(args: &ServeArgs) -> Result<(), ServeError> {
    let threads = Arc::new(RuntimeThreads::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start({
            let threads = Arc::clone(&threads);
            move || threads.begin()
        })
        .on_thread_stop({
            let threads = Arc::clone(&threads);
            move || threads.end()
        })
        .build()?;
    let result = runtime.block_on(serve(args, threads));
    // A model that is still being loaded can't be interrupted, and nobody waits for it any more.
    runtime.shutdown_background();
    result
}

async fn serve(args: &ServeArgs, threads: Arc<RuntimeThreads>) -> Result<(), ServeError> {
    let mut signals = TerminationSignals::new()?;
    let http = listen("http", args.host, args.port)?;
    let grpc = listen("grpc", args.host, args.grpc_port)?;
    let health = listen("health", args.host, args.health_port)?;
    let metrics = Metrics::new(
        args.model_service.as_deref(),
        args.model_service_namespace.as_deref(),
    )?;
    let _measuring = tokio::spawn(measure_load(threads, Arc::clone(metrics.load())));
    let limit = memory::limit();
    let room = args.room(limit);
    tracing::info!(
        limit,
        requests_bytes = room.requests_bytes,
        request_bytes = room.request_bytes,
        connections = room.connections,
        "memory is shared out"
    );
    let app = Arc::new(App {
        lifecycle: Lifecycle::default(),
        metrics: Arc::new(metrics),
        request_memory: RequestMemory::new(count(room.requests_bytes)),
        models: Arc::new(Repository::new(args.model_name.clone())),
        at_rest_bytes: OnceLock::new(),
        max_request_bytes: count(room.request_bytes).get(),
        request_timeout: args.request_timeout(),
        cors: args.cors(),
    });
    let (shutdown, shutdown_receiver) = watch::channel(ShutdownPhase::Running);
    let places = net::raise_open_files_limit(count(room.connections));
    let limits = net::ConnectionLimits {
        connections: places,
        per_peer: args.connections_per_peer(places),
        age: args.connection_age(),
        idle_timeout: args.idle_timeout(),
    };
    let health_limits = net::ConnectionLimits {
        connections: HEALTH_CONNECTIONS,
        per_peer: None,
        age: None,
        idle_timeout: args.idle_timeout(),
    };
    let memory_limits = |memory: RequestMemory, head_bytes| net::MemoryLimits {
        memory,
        head_bytes,
        reject: Arc::new({
            let app = Arc::clone(&app);
            move |asked| reject(&app, asked)
        }),
    };
    let health_memory = memory_limits(RequestMemory::new(HEALTH_BYTES), HEALTH_HEAD_BYTES);
    let health_connections =
        Connections::new(health_limits, health_memory, shutdown_receiver.clone());
    let connections = Connections::new(
        limits,
        memory_limits(app.request_memory.clone(), HEAD_BYTES),
        shutdown_receiver,
    );
    let health_ended = serve_health(health, health_connections, health_router(Arc::clone(&app)))?;
    let connections = tokio::spawn({
        let http = connections.clone().serve(http, router(Arc::clone(&app)));
        let grpc = connections.serve(grpc, grpc::router(Arc::clone(&app)));
        async {
            tokio::join!(http, grpc, health_ended);
        }
    });

    let (died, mut deaths) = mpsc::channel(1);
    let mut keeping = tokio::spawn(keep_models(args.clone(), Arc::clone(&app), died));
    let ended = tokio::select! {
        () = signals.received() => Ok(()),
        Some(died) = deaths.recv() => Err(died.into()),
        error = until_failure(&mut keeping) => Err(error),
    };
    keeping.abort();
    ended?;
    // Whoever started it may have been waiting for that, by its liveness.
    let stuck = app.models.stuck();
    let ends = Instant::now() + args.drain_timeout();
    drain(args, &app, &shutdown, connections, ends).await;
    for model in app.models.serving() {
        model.close();
    }
    match timeout_at(ends, deaths.recv()).await {
        Ok(Some(died)) => return Err(died.into()),
        Ok(None) => {}
        Err(_late) => tracing::error!("a batch was still running when the drain ended"),
    }
    tracing::info!("ended");
    stuck.map_or(Ok(()), |why| Err(ServeError::Stuck(why)))
}

/// Serves probes and metrics on a thread of their own, so that they don't wait until the others have dealt
/// with what clients send. Returns when that ends.
fn serve_health(
    listener: TcpListener,
    connections: Connections,
    router: Router,
) -> Result<impl Future<Output = ()>, ServeError> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ended, receiver) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("health".to_owned())
        .spawn(move || {
            let _ended = ended;
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => connections.serve(listener, router).await,
                    Err(error) => tracing::error!(%error, "probes can't be answered"),
                }
            });
        })?;
    Ok(async {
        let _sender_gone = receiver.await;
    })
}

fn listen(protocol: &str, host: Option<IpAddr>, port: u16) -> Result<TcpListener, ServeError> {
    let (listener, address) = net::listen(host, port)
        .map_err(|(address, error)| ServeError::Listen { address, error })?;
    tracing::info!(protocol, %address, "listening");
    Ok(listener)
}

/// Loads what there is, lets requests in, and goes on looking for what changes. Ends where nothing
/// will.
///
/// The server is ready when every model was loaded or could not be, and at least one serves; for models that
/// are tried in a process of their own it waits [`MAX_READY_DELAY`]. Where none does, that is
/// fatal if nothing will change; else the log, the metrics and the repository's index say what is
/// wrong, and the server waits for it to be mended.
async fn keep_models(
    args: ServeArgs,
    app: Arc<App>,
    died: mpsc::Sender<WorkerDied>,
) -> Result<(), ServeError> {
    let loader = tokio::task::spawn_blocking({
        let args = args.clone();
        move || loader(&args)
    })
    .await
    .map_err(|_panic| ServeError::Panicked)??;
    let config = ManagerConfig {
        versions: args.versions(),
        batching: args.batching(),
    };
    let mut manager = ModelManager::new(
        args.source(),
        config,
        Arc::new(loader),
        Arc::clone(&app.models),
        Arc::clone(&app.metrics),
        died,
    );
    let serves = || !app.models.serving().is_empty();
    let mut failure = manager.sync().await?.into_iter().next();
    let ready_delay_ends = Instant::now() + MAX_READY_DELAY;
    while manager.has_pending_loads()
        && timeout_at(ready_delay_ends, manager.isolated_load_ended())
            .await
            .is_ok()
    {
        let failed = manager.finish_isolated_load().await.into_iter().next();
        failure = failure.or(failed);
    }
    let mut beside_models = None;
    loop {
        let becomes_ready = serves() && app.lifecycle.phase() == Phase::Loading;
        if becomes_ready {
            let of = |resident| BaseMemory::of(resident, models_bytes(&app));
            beside_models = memory::resident().map(of);
        }
        share_what_is_left(&args, &app, beside_models);
        if becomes_ready {
            let at_rest_bytes = memory::in_use();
            if let Some(bytes) = at_rest_bytes {
                app.at_rest_bytes.get_or_init(|| bytes);
            }
            app.lifecycle.ready();
            tracing::info!(at_rest_bytes, "ready");
        }
        let sync = match args.poll() {
            Some(every) => Either::Left(sleep(every)),
            None if manager.has_pending_loads() => Either::Right(pending()),
            None if serves() => return Ok(()),
            None => {
                let nothing = || ModelLoadError::Missing(args.source().describe());
                return Err(failure.unwrap_or_else(nothing).into());
            }
        };
        tokio::select! {
            () = sync => {
                if let Err(error) = manager.sync().await {
                    tracing::warn!(%error, "what serves stays as it is");
                }
            }
            () = manager.isolated_load_ended() => {
                let failed = manager.finish_isolated_load().await.into_iter().next();
                failure = failure.or(failed);
            }
        }
    }
}

/// Makes the memory for requests what the models leave, where it isn't given and there is a limit.
fn share_what_is_left(args: &ServeArgs, app: &App, beside_models: Option<BaseMemory>) {
    let limit = memory::limit();
    let (None, Some(_), Some(beside_models)) =
        (args.max_body_bytes_in_flight, limit, beside_models)
    else {
        return;
    };
    let in_use = beside_models.with(models_bytes(app));
    let bytes = MemoryBudget::after_models(limit, in_use, args.room(limit).connections);
    if app.request_memory.total() == count(bytes).get() {
        return;
    }
    app.request_memory.resize(count(bytes));
    tracing::info!(
        limit,
        in_use,
        requests_bytes = bytes,
        "memory for requests is what the models leave"
    );
}

/// What the models that serve took when they were loaded, as far as that is known.
fn models_bytes(app: &App) -> u64 {
    let serving = app.models.serving();
    let known = serving.iter().filter_map(|model| model.info().memory);
    known.fold(0, u64::saturating_add)
}

/// Loads ONNX Runtime and finds out what models can run on. Blocks for as long as that takes.
fn loader(args: &ServeArgs) -> Result<OnnxLoader, ModelLoadError> {
    let runtime = Runtime::load(&args.onnxruntime)?;
    let selection = select_provider(&runtime, args.execution_provider)?;
    if let Some(reason) = &selection.fallback {
        tracing::warn!(%reason, "falling back to the processor");
    }
    Ok(OnnxLoader {
        runtime,
        selection,
        links: args.source().links(),
        workers: args.worker_count(),
        preference: args.batching_preference(),
        isolated_loader: args.isolated_loader(),
        failures: args.state_dir.clone().map(FailureRecord::new),
    })
}

/// Loads a model and tries it, once, for whoever waits to see whether that ends the process.
///
/// # Errors
/// When the model can't be loaded.
pub fn probe(args: &ProbeArgs) -> Result<(), ModelLoadError> {
    // It must not outlive the server, nor take its processors. Where neither can be had, the server still
    // ends it in time.
    let _unbound = set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _as_urgent = nice(10);
    let runtime = Runtime::load(&args.onnxruntime)?;
    let selection = select_provider(&runtime, args.execution_provider)?;
    let loader = OnnxLoader {
        runtime,
        selection,
        links: args.links(),
        workers: Some(NonZeroUsize::MIN),
        preference: args.batching_preference(),
        isolated_loader: None,
        failures: None,
    };
    loader.load(&args.model, HazardPolicy::Allow).map(drop)
}

/// Waits for a task to fail; for ever where it doesn't.
async fn until_failure(task: &mut JoinHandle<Result<(), ServeError>>) -> ServeError {
    match task.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(_panic) => ServeError::Panicked,
    }
}

/// Ends the connections without losing a request: first everything is served as before, with
/// clients asked to reconnect elsewhere, for a while and until none sends any more; then no connection is taken;
/// then those that are idle are closed.
async fn drain(
    args: &ServeArgs,
    app: &App,
    shutdown: &watch::Sender<ShutdownPhase>,
    connections: JoinHandle<()>,
    ends: Instant,
) {
    app.lifecycle.drain();
    shutdown.send_replace(ShutdownPhase::AskReconnect);
    tracing::info!("draining");
    for model in app.models.serving() {
        model.flush();
    }
    let now = Instant::now();
    // A request that comes now still needs its whole time.
    let last_request = ends
        .checked_sub(args.request_timeout() + LAST_ANSWERS)
        .unwrap_or(now);
    sleep_until(last_request.min(now + args.drain_delay())).await;
    app.lifecycle.until_quiet(QUIET, last_request).await;
    shutdown.send_replace(ShutdownPhase::NoNewConnections);
    app.lifecycle.until_quiet(QUIET, ends).await;
    app.lifecycle.end_streams();
    shutdown.send_replace(ShutdownPhase::FinishRequests);
    if timeout_at(ends, connections).await.is_err() {
        tracing::warn!("connections were still open when the drain ended");
    }
}
