//! `springtide-server serve`: from the first socket to the last answer.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use springtide_batching::{Config, Driver, WorkerDied};
use springtide_contract::termination::TerminationMessage;
use springtide_inference::onnx::OnnxBackend;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::body::BodyBudget;
use crate::cli::ServeArgs;
use crate::http::{App, Model, RowLength, router};
use crate::lifecycle::Lifecycle;
use crate::load::{Loaded, ModelError, load};
use crate::metrics::Metrics;
use crate::net::{self, Closing, Connections};
use crate::predictor::Predictor;
use crate::request::Limits;

/// Quiet after which a draining server takes it that no client sends to it any more.
const QUIET: Duration = Duration::from_millis(250);

/// Part of the drain that is kept for the answers to the last requests.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The model could not be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(args));
    // A model that is still being loaded can't be interrupted, and nobody waits for it any more.
    runtime.shutdown_background();
    result
}

type Worker = Predictor<OnnxBackend>;
type Batching = JoinHandle<Result<(), WorkerDied>>;

async fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    let mut signals = Signals::new()?;
    let address = SocketAddr::new(args.host, args.port);
    let listen = |error| ServeError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    tracing::info!(address = %listener.local_addr().map_err(listen)?, "listening");
    let metrics = Metrics::new(
        args.model_service.as_deref(),
        args.model_service_namespace.as_deref(),
    )?;
    let app = Arc::new(App {
        lifecycle: Lifecycle::default(),
        metrics: Arc::new(metrics),
        bodies: BodyBudget::new(args.body_bytes_in_flight()),
        model: OnceLock::new(),
        request_timeout: args.request_timeout(),
    });
    let (closing, closing_receiver) = watch::channel(Closing::Open);
    let limits = net::Limits {
        connections: net::raise_limit(args.connections()),
        age: args.connection_age(),
    };
    let connections = Connections::new(limits, closing_receiver);
    let connections = tokio::spawn(connections.serve(listener, router(Arc::clone(&app))));

    let loading = {
        let args = args.clone();
        tokio::task::spawn_blocking(move || load(&args))
    };
    let loaded = tokio::select! {
        loaded = loading => loaded.map_err(|_panic| ServeError::Panicked)??,
        () = signals.received() => return Ok(()),
    };
    let mut batching = start(args, &app, loaded)?;
    app.lifecycle.ready();
    tracing::info!("ready");

    tokio::select! {
        () = signals.received() => {}
        ended = &mut batching => return ended.map_err(|_panic| ServeError::Panicked)?.map_err(Into::into),
    }
    let ends = Instant::now() + args.drain_timeout();
    drain(args, &app, &closing, connections, ends).await;
    if let Some(model) = app.model.get() {
        model.queue.close();
    }
    match timeout_at(ends, batching).await {
        Ok(ended) => ended.map_err(|_panic| ServeError::Panicked)??,
        Err(_late) => tracing::error!("a batch was still running when the drain ended"),
    }
    tracing::info!("ended");
    Ok(())
}

/// Starts the workers and lets requests in.
fn start(
    args: &ServeArgs,
    app: &Arc<App<OnnxBackend>>,
    loaded: Loaded,
) -> Result<Batching, ServeError> {
    let limits = Limits {
        features: loaded.first.features(),
        max_rows: args.max_rows(),
    };
    let config = Config {
        policy: args.policy(),
        max_rows: args.max_rows(),
        max_queue_rows: args.max_waiting_rows(),
    };
    let observer = Arc::<Metrics>::clone(&app.metrics);
    let (queue, driver) =
        Driver::<RowLength, Worker>::start(config, loaded.first, loaded.others, observer)?;
    let already_there = app.model.set(Model { queue, limits }).is_err();
    debug_assert!(!already_there, "the model is loaded once");
    Ok(tokio::spawn(driver.run()))
}

/// Ends the connections without losing a request: first everything is served as before, with
/// clients asked to reconnect elsewhere, until none sends any more; then no connection is taken;
/// then those that are idle are closed.
async fn drain(
    args: &ServeArgs,
    app: &App<OnnxBackend>,
    closing: &watch::Sender<Closing>,
    connections: JoinHandle<()>,
    ends: Instant,
) {
    app.lifecycle.drain();
    closing.send_replace(Closing::Elsewhere);
    tracing::info!("draining");
    if let Some(model) = app.model.get() {
        model.queue.flush();
    }
    // A request that comes now still needs its whole time.
    let last_request = ends
        .checked_sub(args.request_timeout() + LAST_ANSWERS)
        .unwrap_or_else(Instant::now);
    app.lifecycle.until_quiet(QUIET, last_request).await;
    closing.send_replace(Closing::NoNewConnections);
    app.lifecycle.until_quiet(QUIET, ends).await;
    closing.send_replace(Closing::AfterRequest);
    if timeout_at(ends, connections).await.is_err() {
        tracing::warn!("connections were still open when the drain ended");
    }
}

/// SIGTERM, as Kubernetes sends it, and SIGINT, as a terminal does.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
