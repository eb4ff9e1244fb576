//! The arguments of `serve`.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, RangedI64ValueParser};
use clap::{Args, value_parser};
use springtide_batching::{Config, Objective, Policy, Sharing};
use springtide_contract::batching::{BatchingMode, BatchingPolicy};
use springtide_contract::execution_provider::ExecutionProvider;
use springtide_contract::task::Task;
use springtide_contract::{bounds, defaults, env, paths};

use super::probe::command_line;
use super::values::{batching_mode, batching_policy, count, execution_provider, task};
use crate::http::cors::{Cors, Origin};
use crate::memory_budget::MemoryBudget;
use crate::models::batching::BatchingPreference;
use crate::models::isolation::IsolatedLoader;
use crate::models::{MODEL_FILE, ModelName, ModelSource};

/// Time after the request timeout in which the last responses reach their clients.
const RESPONSE_TIME: Duration = Duration::from_secs(defaults::ANSWER_SECONDS as u64);

/// The arguments.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on. Default: all addresses, over IPv6 and IPv4, or over IPv4 only on a machine without IPv6
    #[arg(long, env = env::HOST)]
    pub host: Option<IpAddr>,
    /// TCP port for HTTP and gRPC; 0 selects a free port, which the log names
    #[arg(long, env = env::PORT, default_value_t = defaults::PORT)]
    pub port: u16,
    /// Separate TCP port for gRPC; 0 selects a free port, which the log names
    #[arg(long, env = env::GRPC_PORT, default_value_t = defaults::GRPC_PORT)]
    pub grpc_port: u16,
    /// TCP port for probes and metrics only, with its own limit of connections. The other ports also answer probes and
    /// metrics. 0 selects a free port, which the log names
    #[arg(long, env = env::HEALTH_PORT, default_value_t = defaults::HEALTH_PORT)]
    pub health_port: u16,
    /// Path of the ONNX model file, or of a folder with model.onnx; it is served as version 1
    #[arg(long, env = env::MODEL_PATH, default_value = paths::MODEL_FILE, conflicts_with = "model_dir")]
    pub model_path: PathBuf,
    /// Folder of models, `<name>/<version>/model.onnx`, instead of one model file. New versions are served when they
    /// appear
    #[arg(long, env = env::MODEL_DIR, conflicts_with = "model_path")]
    pub model_dir: Option<PathBuf>,
    /// Name of the model. Default: `model`. With a folder of models: name of the model for /predict, by default the
    /// only model
    #[arg(long, env = env::MODEL_NAME)]
    pub model_name: Option<ModelName>,
    /// Number of versions of each model in the folder that are served, newest versions first
    #[arg(long, env = env::VERSIONS_PER_MODEL, default_value_t = 1,
        value_parser = value_parser!(u32).range(1..=100))]
    pub versions_per_model: u32,
    /// Poll interval of the folder of models, in seconds; 0 reads it only once. A change is applied one poll after the
    /// poll that detects it
    #[arg(long, env = env::MODEL_POLL_SECONDS, default_value_t = defaults::MODEL_POLL_SECONDS,
        value_parser = value_parser!(u32).range(0..=86_400))]
    pub model_poll_seconds: u32,
    /// Maximum number of rows in one batch; with 1, each request runs alone. If the requests of a model share batches,
    /// it is also the maximum of one request. Otherwise the maximum is 4096 rows for /predict, and there is none for the
    /// Open Inference Protocol
    #[arg(long, env = env::MAX_BATCH_SIZE, default_value_t = defaults::MAX_BATCH_ROWS,
        value_parser = value_parser!(u32).range(bounds::MAX_BATCH_ROWS))]
    pub max_batch_size: u32,
    /// Maximum time that a batch waits, in milliseconds. With policy `window` it waits to fill. Otherwise it waits for
    /// clients that are about to send again, if measurements show a benefit
    #[arg(long, env = env::MAX_WAIT_MS, default_value_t = defaults::MAX_WAIT_MILLISECONDS,
        value_parser = value_parser!(u32).range(bounds::MAX_WAIT_MILLISECONDS))]
    pub max_wait_ms: u32,
    /// Time at which queued requests become a batch
    #[arg(long, env = env::BATCHING_POLICY, value_parser = batching_policy(), default_value_t)]
    pub batching_policy: BatchingPolicy,
    /// Whether requests of several clients share batches. The springtide.toml of a model takes precedence
    /// over this flag
    #[arg(long, env = env::BATCHING_MODE, value_parser = batching_mode(), default_value_t)]
    pub batching_mode: BatchingMode,
    /// Task of the model, which decides the requests that /predict accepts. The springtide.toml of a model takes
    /// precedence over this flag. Default: found from the files beside the model
    #[arg(long, env = env::TASK, value_parser = task())]
    pub task: Option<Task>,
    /// Maximum number of rows in the queue; further requests are rejected with 429
    #[arg(long, env = env::MAX_QUEUE_ROWS, default_value_t = defaults::MAX_QUEUE_ROWS,
        value_parser = value_parser!(u32).range(bounds::MAX_QUEUE_ROWS))]
    pub max_queue_rows: u32,
    /// Request timeout, in milliseconds; requests that exceed it are answered with 504
    #[arg(long, env = env::REQUEST_TIMEOUT_MS, default_value_t = defaults::REQUEST_TIMEOUT_MILLISECONDS,
        value_parser = value_parser!(u32).range(bounds::REQUEST_TIMEOUT_MILLISECONDS))]
    pub request_timeout_ms: u32,
    /// Latency objective in a long overload, in milliseconds. It applies once all workers have been busy without a
    /// pause for the request timeout. Requests that would exceed it are then rejected with 429, so that accepted ones
    /// meet it. 0 turns it off: requests wait until the request timeout
    #[arg(long, env = env::LATENCY_OBJECTIVE_MS, default_value_t = 0,
        value_parser = value_parser!(u32).range(bounds::LATENCY_OBJECTIVE_MILLISECONDS))]
    pub latency_objective_ms: u32,
    /// Execution provider of the model
    #[arg(long, env = env::EXECUTION_PROVIDER, value_parser = execution_provider(), default_value_t)]
    pub execution_provider: ExecutionProvider,
    /// Inference threads, each with its own session. Default: one for every two CPUs of the CPU quota, or one on a GPU
    #[arg(long, env = env::WORKERS, value_parser = workers())]
    pub workers: Option<u32>,
    /// Path of libonnxruntime.so, version 1.17 or newer
    #[arg(long, env = env::ORT_DYLIB_PATH, default_value = "libonnxruntime.so")]
    pub onnxruntime: PathBuf,
    /// Minimum time after SIGTERM during which connections are still accepted, in seconds. It must cover the time until
    /// load balancers notice that /ready fails
    #[arg(long, env = env::DRAIN_DELAY_SECONDS, default_value_t = defaults::DRAIN_DELAY_SECONDS,
        value_parser = value_parser!(u32).range(0..=3600))]
    pub drain_delay_seconds: u32,
    /// Maximum time that a shutdown waits for accepted requests, in seconds. Default: one second more than the drain
    /// delay plus the request timeout
    #[arg(long, env = env::DRAIN_TIMEOUT_SECONDS, value_parser = value_parser!(u32).range(1..=3600))]
    pub drain_timeout_seconds: Option<u32>,
    /// Maximum number of concurrent connections. For one more, the connection that has been idle for the longest time
    /// is closed. If none is idle, the connection whose client has sent and received no data for the longest time is
    /// closed. Default: 4096, or the number that fits into the memory limit of the container
    #[arg(long, env = env::MAX_CONNECTIONS, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: Option<u32>,
    /// Maximum number of concurrent connections per client address; IPv6 addresses count by /64 network. For one more,
    /// the connection of that address that has been idle or without progress for the longest time is closed. If there
    /// is none, the new connection is closed. Default: half of --max-connections. 0 sets no limit, for clients that all
    /// connect through one proxy
    #[arg(long, env = env::MAX_CONNECTIONS_PER_PEER, value_parser = value_parser!(u32).range(0..=1_000_000))]
    pub max_connections_per_peer: Option<u32>,
    /// Maximum age of a connection, in seconds. Its client is then asked to reconnect, so that new servers behind a
    /// load balancer get connections. 0 sets no limit
    #[arg(long, env = env::MAX_CONNECTION_AGE_SECONDS, default_value_t = defaults::MAX_CONNECTION_AGE_SECONDS,
        value_parser = value_parser!(u32).range(0..=86_400))]
    pub max_connection_age_seconds: u32,
    /// Idle timeout of a connection between two requests, in seconds. It must be longer than that of the proxy or load
    /// balancer in front of the server
    #[arg(long, env = env::IDLE_TIMEOUT_SECONDS, default_value_t = defaults::IDLE_TIMEOUT_SECONDS,
        value_parser = value_parser!(u32).range(1..=86_400))]
    pub idle_timeout_seconds: u32,
    /// Origin whose pages may read responses in browsers (CORS), such as `https://example.com`, or `*` for every
    /// origin. May be given several times. Without it, browsers hide responses from the pages of all other origins
    #[arg(long, env = env::CORS_ORIGIN, value_delimiter = ',')]
    pub cors_origin: Vec<Origin>,
    /// Serve a page at / where models can be tried in a browser
    #[arg(long, env = env::PAGE, value_parser = BoolishValueParser::new())]
    pub page: bool,
    /// Maximum size of one request of the Open Inference Protocol, in bytes, decompressed. Over HTTP it is lower for
    /// models whose inputs have a small maximum number of elements. Requests to /predict have a maximum that is derived
    /// from the features of their model instead. Default: 64 MiB, at most --max-body-bytes-in-flight, and with a memory
    /// limit of the container at most half of the default of --max-body-bytes-in-flight
    #[arg(long, env = env::MAX_REQUEST_BYTES, value_parser = value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub max_request_bytes: Option<u64>,
    /// Memory limit of all requests together, in bytes: headers, bodies, tensors and responses, at least 16 KiB per
    /// request. Requests beyond it are rejected with 429. Default: 256 MiB, or what the memory limit of the container
    /// leaves after the models
    #[arg(long, env = env::MAX_BODY_BYTES_IN_FLIGHT, value_parser = value_parser!(u64).range(1..=1 << 40))]
    pub max_body_bytes_in_flight: Option<u64>,
    /// Name of the ModelService, a label of every metric
    #[arg(long, env = env::MODEL_SERVICE_NAME)]
    pub model_service: Option<String>,
    /// Namespace of the ModelService, a label of every metric
    #[arg(long, env = env::MODEL_SERVICE_NAMESPACE)]
    pub model_service_namespace: Option<String>,
    /// Timeout for the trial of a model, in seconds. Models that could crash the process, or use all of its time or
    /// memory, are first loaded and tried in their own process. A model that exceeds the timeout is not served
    #[arg(long, env = env::PROBE_TIMEOUT_SECONDS, default_value_t = defaults::PROBE_TIMEOUT_SECONDS,
        value_parser = value_parser!(u32).range(1..=86_400))]
    pub probe_timeout_seconds: u32,
    /// Memory limit of the trial of a model, in bytes. A model that exceeds it is not served. Default and maximum: 75 %
    /// of the memory that is free when the trial starts
    #[arg(long, env = env::PROBE_MEMORY_BYTES, value_parser = value_parser!(u64).range(1..))]
    pub probe_memory_bytes: Option<u64>,
    /// Folder for the record of models whose trial crashed, or exceeded its timeout or memory limit. After a restart
    /// these models are not tried again until their files change
    #[arg(long, env = env::STATE_DIR)]
    pub state_dir: Option<PathBuf>,
    /// Existing file that receives the reason of a fatal error, as JSON
    #[arg(long, env = env::TERMINATION_MESSAGE_PATH, default_value = paths::TERMINATION_LOG)]
    pub termination_message_path: PathBuf,
}

fn workers() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(bounds::WORKERS)
}

impl ServeArgs {
    /// Maximum rows in one batch.
    #[must_use]
    pub fn max_rows(&self) -> NonZeroUsize {
        count(self.max_batch_size)
    }

    /// The requested batching of models that have no settings of their own.
    #[must_use]
    pub fn batching_preference(&self) -> BatchingPreference {
        BatchingPreference {
            mode: self.batching_mode,
            max_rows: self.max_rows(),
        }
    }

    /// The trial of models that could crash the process. None if this program can't be found, for example because its
    /// file was replaced.
    #[must_use]
    pub fn isolated_loader(&self) -> Option<IsolatedLoader> {
        let mut arguments = command_line(
            &self.onnxruntime,
            self.execution_provider,
            self.max_batch_size,
            self.batching_mode,
        );
        if let Some(directory) = &self.model_dir {
            arguments.extend(["--model-dir".into(), directory.clone().into()]);
        }
        let program = std::env::current_exe().ok()?;
        let timeout = Duration::from_secs(self.probe_timeout_seconds.into());
        Some(IsolatedLoader {
            program,
            arguments,
            timeout,
            max_bytes: self.probe_memory_bytes,
        })
    }

    /// The configuration of batches and queues.
    #[must_use]
    pub fn batching(&self) -> Config {
        Config {
            policy: self.policy(),
            // It is decided for each version when it is loaded.
            sharing: Sharing::Alone,
            max_rows: self.max_rows(),
            max_queue_rows: count(self.max_queue_rows),
            objective: self.objective(),
        }
    }

    fn objective(&self) -> Option<Objective> {
        (self.latency_objective_ms > 0).then(|| Objective {
            latency: Duration::from_millis(self.latency_objective_ms.into()),
            overload_after: Duration::from_millis(self.request_timeout_ms.into()),
        })
    }

    /// The source of models.
    #[must_use]
    pub fn source(&self) -> ModelSource {
        match &self.model_dir {
            Some(directory) => ModelSource::Directory(directory.clone()),
            None => ModelSource::File {
                name: self.model_name.clone().unwrap_or_default(),
                path: if self.model_path.is_dir() {
                    self.model_path.join(MODEL_FILE)
                } else {
                    self.model_path.clone()
                },
            },
        }
    }

    /// Maximum versions of each model that are served.
    #[must_use]
    pub fn versions(&self) -> NonZeroUsize {
        count(self.versions_per_model)
    }

    /// Poll interval of the source. None if it is read only once.
    #[must_use]
    pub fn poll(&self) -> Option<Duration> {
        let changes = self.model_dir.is_some() && self.model_poll_seconds > 0;
        changes.then(|| Duration::from_secs(self.model_poll_seconds.into()))
    }

    /// The requested inference threads. None: the default.
    #[must_use]
    pub fn worker_count(&self) -> Option<NonZeroUsize> {
        self.workers.map(count)
    }

    /// Maximum concurrent connections per client address, with `connections` in total. None: no limit.
    #[must_use]
    pub fn connections_per_peer(&self, connections: NonZeroUsize) -> Option<NonZeroUsize> {
        match self.max_connections_per_peer {
            None => NonZeroUsize::new(connections.get() / 2),
            Some(maximum) => usize::try_from(maximum).ok().and_then(NonZeroUsize::new),
        }
    }

    /// Maximum age of a connection. None: no limit.
    #[must_use]
    pub fn connection_age(&self) -> Option<Duration> {
        let seconds = self.max_connection_age_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// Maximum idle time of a connection between two requests.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds.into())
    }

    /// The origins whose pages may read responses.
    #[must_use]
    pub fn cors(&self) -> Cors {
        self.cors_origin.iter().cloned().collect()
    }

    /// The parts of the memory under a limit in bytes. Flags take precedence.
    #[must_use]
    pub fn memory_budget(&self, limit: Option<u64>) -> MemoryBudget {
        let default = MemoryBudget::before_models(limit);
        let requests_bytes = self
            .max_body_bytes_in_flight
            .unwrap_or(default.requests_bytes);
        MemoryBudget {
            connections: self.max_connections.map_or(default.connections, u64::from),
            requests_bytes,
            request_bytes: self
                .max_request_bytes
                .unwrap_or_else(|| default.request_bytes.min(requests_bytes)),
        }
    }

    /// The time at which queued requests become a batch.
    fn policy(&self) -> Policy {
        match self.batching_policy {
            BatchingPolicy::WorkConserving => Policy::WorkConserving {
                max_linger: Duration::from_millis(self.max_wait_ms.into()),
            },
            BatchingPolicy::Window => {
                Policy::Window(Duration::from_millis(self.max_wait_ms.into()))
            }
        }
    }

    /// Time after which a request is answered with 504.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }

    /// Minimum time for which connections are accepted after the beginning of a shutdown.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay_seconds.into())
    }

    /// Maximum time that a shutdown waits for accepted requests.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout_seconds.map_or_else(
            || self.drain_delay() + self.request_timeout() + RESPONSE_TIME,
            |seconds| Duration::from_secs(seconds.into()),
        )
    }
}

#[cfg(test)]
mod tests;
