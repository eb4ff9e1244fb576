//! `springtide-server serve`: the start of the server, its models, and its shutdown.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use futures::future::Either;
use rustix::process::{nice, set_parent_process_death_signal};
use springtide_batching::WorkerDied;
use springtide_contract::task::Task;
use springtide_contract::termination::{ModelFailure, TerminationMessage};
use springtide_inference::onnx::{HazardPolicy, Runtime};
use springtide_process::signals::TerminationSignals;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::app::App;
use crate::cli::{ProbeArgs, ServeArgs, count};
use crate::cpu::measure_load;
use crate::cpu::threads::RuntimeThreads;
use crate::grpc;
use crate::http::{health_router, reject, router};
use crate::lifecycle::{Lifecycle, Phase};
use crate::memory;
use crate::memory_budget::{BaseMemory, MemoryBudget};
use crate::metrics::Metrics;
use crate::models::Repository;
use crate::models::directory::ScanError;
use crate::models::isolation::failure_record::FailureRecord;
use crate::models::loader::{ModelLoadError, ModelLoader as _, OnnxLoader, select_provider};
use crate::models::manager::{ManagerConfig, ModelManager};
use crate::net::{self, Connections, ShutdownPhase};
use crate::preparation::Preparation;
use crate::request_memory::RequestMemory;

/// Time without predictions after which a draining server assumes that no client sends to it any more.
const QUIET: Duration = Duration::from_millis(250);

/// Maximum time that readiness waits for models that are loaded in their own process.
const MAX_READY_DELAY: Duration = Duration::from_secs(30);

/// Part of the drain that is reserved for the responses to the last requests.
const LAST_RESPONSES: Duration = Duration::from_millis(500);

/// Maximum bytes of a request's head: of clients, and of probes and scrapes.
const HEAD_BYTES: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();
const HEALTH_HEAD_BYTES: NonZeroUsize = NonZeroUsize::new(8 << 10).unwrap();

/// Maximum connections for probes and metrics, and the memory of their requests. Clients can't use them up.
const HEALTH_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(64).unwrap();
const HEALTH_BYTES: NonZeroUsize = NonZeroUsize::new(8 << 20).unwrap();

/// The error that ended the server.
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
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// The labels of the metrics are invalid.
    #[error("the metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A thread, a signal handler or the runtime could not be created.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// A worker panicked. The process ends so that it is restarted.
    #[error(transparent)]
    WorkerDied(#[from] WorkerDied),
    /// The server was shut down when no model could run requests any more.
    #[error("{0}")]
    Stuck(String),
    /// A task panicked.
    #[error("a task of the server panicked")]
    Panicked,
}

impl ServeError {
    /// The message for the operator. None if the error doesn't concern the model.
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

/// Serves until a termination signal.
///
/// # Errors
/// When the server can't start or one of its threads fails. A termination signal is no error.
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
    // The load of a model can't be interrupted, and isn't waited for.
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
    let budget = args.memory_budget(limit);
    tracing::info!(
        limit,
        requests_bytes = budget.requests_bytes,
        request_bytes = budget.request_bytes,
        connections = budget.connections,
        "divided the memory"
    );
    let app = Arc::new(App {
        lifecycle: Lifecycle::default(),
        metrics: Arc::new(metrics),
        request_memory: RequestMemory::new(count(budget.requests_bytes)),
        models: Arc::new(Repository::new(args.model_name.clone())),
        at_rest_bytes: OnceLock::new(),
        max_request_bytes: count(budget.request_bytes).get(),
        request_timeout: args.request_timeout(),
        cors: args.cors(),
        page: args.page,
        preparation: Preparation::start(springtide_inference::threads::available_processors())
            .map_err(std::io::Error::other)?,
    });
    let (shutdown, shutdown_receiver) = watch::channel(ShutdownPhase::Running);
    let max_connections = net::raise_open_files_limit(count(budget.connections));
    let limits = net::ConnectionLimits {
        connections: max_connections,
        per_peer: args.connections_per_peer(max_connections),
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
    // The signal may be due to the failed liveness probe.
    let stuck = app.models.stuck();
    let ends = Instant::now() + args.drain_timeout();
    drain(args, &app, &shutdown, connections, ends).await;
    for model in app.models.serving() {
        model.close();
    }
    match timeout_at(ends, deaths.recv()).await {
        Ok(Some(died)) => return Err(died.into()),
        Ok(None) => {}
        Err(_late) => tracing::error!("a batch was still running at the end of the drain"),
    }
    tracing::info!("ended");
    stuck.map_or(Ok(()), |reason| Err(ServeError::Stuck(reason)))
}

/// Serves probes and metrics on a thread of their own, so that requests of clients don't delay them. The result
/// completes when their connections have ended.
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
                    Err(error) => tracing::error!(%error, "can't answer probes"),
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

/// Loads the models, makes the server ready, and then applies changes of the source. Returns if the source can't
/// change.
///
/// The server is ready when the load of each model has succeeded or failed, and at least one serves. For models that
/// are loaded in their own process it waits at most [`MAX_READY_DELAY`]. If none serves, that is fatal if the source
/// can't change. Otherwise the log, the metrics and the index of the repository report the errors, and the server
/// waits for a change.
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
    let mut base_memory = None;
    loop {
        let becomes_ready = serves() && app.lifecycle.phase() == Phase::Loading;
        if becomes_ready {
            let of = |resident| BaseMemory::of(resident, models_bytes(&app));
            base_memory = memory::resident().map(of);
        }
        resize_request_memory(&args, &app, base_memory);
        if becomes_ready {
            let at_rest_bytes = memory::in_use();
            if let Some(bytes) = at_rest_bytes {
                app.at_rest_bytes.get_or_init(|| bytes);
            }
            app.lifecycle.ready();
            tracing::info!(at_rest_bytes, "ready");
        }
        let poll = match args.poll() {
            Some(every) => Either::Left(sleep(every)),
            None if manager.has_pending_loads() => Either::Right(pending()),
            None if serves() => return Ok(()),
            None => {
                let nothing = || ModelLoadError::Missing(args.source().describe());
                return Err(failure.unwrap_or_else(nothing).into());
            }
        };
        tokio::select! {
            () = poll => {
                if let Err(error) = manager.sync().await {
                    tracing::warn!(%error, "can't read the models: those that serve remain");
                }
            }
            () = manager.isolated_load_ended() => {
                let failed = manager.finish_isolated_load().await.into_iter().next();
                failure = failure.or(failed);
            }
        }
    }
}

/// Resizes the memory for requests to the part of the limit that the models leave, unless it is given by a flag or
/// there is no limit.
fn resize_request_memory(args: &ServeArgs, app: &App, base_memory: Option<BaseMemory>) {
    let limit = memory::limit();
    let (None, Some(_), Some(base_memory)) = (args.max_body_bytes_in_flight, limit, base_memory)
    else {
        return;
    };
    let in_use = base_memory.with(models_bytes(app));
    let bytes = MemoryBudget::after_models(limit, in_use, args.memory_budget(limit).connections);
    if app.request_memory.total() == count(bytes).get() {
        return;
    }
    app.request_memory.resize(count(bytes));
    tracing::info!(
        limit,
        in_use,
        requests_bytes = bytes,
        "resized the memory for requests"
    );
}

/// Bytes by which the memory grew when the serving models were loaded, as far as known.
fn models_bytes(app: &App) -> u64 {
    let serving = app.models.serving();
    let known = serving.iter().filter_map(|model| model.info().memory);
    known.fold(0, u64::saturating_add)
}

/// Loads ONNX Runtime and selects the execution provider. Blocks.
fn loader(args: &ServeArgs) -> Result<OnnxLoader, ModelLoadError> {
    let runtime = Runtime::load(&args.onnxruntime)?;
    let selection = select_provider(&runtime, args.execution_provider)?;
    if let Some(reason) = &selection.fallback {
        tracing::warn!(%reason, "falling back to the CPU");
    }
    Ok(OnnxLoader {
        runtime,
        selection,
        links: args.source().links(),
        workers: args.worker_count(),
        preference: args.batching_preference(),
        task: args.task,
        isolated_loader: args.isolated_loader(),
        failures: args.state_dir.clone().map(FailureRecord::new),
    })
}

/// Loads and tries a model once. The server that started this process sees whether it crashes.
///
/// # Errors
/// When the model can't be loaded.
pub fn probe(args: &ProbeArgs) -> Result<(), ModelLoadError> {
    // It must not outlive the server, nor compete for its CPUs. If neither is possible, the server still ends it at
    // its timeout.
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
        // Requests need it, trials don't.
        task: Some(Task::Tensor),
        isolated_loader: None,
        failures: None,
    };
    loader.load(&args.model, HazardPolicy::Allow).map(drop)
}

/// Waits for a task to fail. Never returns if it doesn't.
async fn until_failure(task: &mut JoinHandle<Result<(), ServeError>>) -> ServeError {
    match task.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(_panic) => ServeError::Panicked,
    }
}

/// Ends the connections without losing a request. At first all requests are answered and clients are asked to
/// reconnect, for the drain delay and until no client sends any more. Then no connections are accepted, and finally
/// idle ones are closed.
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
    // A request that arrives now still has its whole timeout.
    let last_request = ends
        .checked_sub(args.request_timeout() + LAST_RESPONSES)
        .unwrap_or(now);
    sleep_until(last_request.min(now + args.drain_delay())).await;
    app.lifecycle.until_quiet(QUIET, last_request).await;
    shutdown.send_replace(ShutdownPhase::NoNewConnections);
    app.lifecycle.until_quiet(QUIET, ends).await;
    app.lifecycle.end_streams();
    shutdown.send_replace(ShutdownPhase::FinishRequests);
    if timeout_at(ends, connections).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain");
    }
}
