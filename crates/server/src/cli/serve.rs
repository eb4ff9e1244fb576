//! The arguments of `serve`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, RangedI64ValueParser};
use clap::{Args, ValueEnum, value_parser};
use springtide_batching::{Config, Objective, Policy, Sharing};
use springtide_contract::{defaults, env, paths};

use super::values::{ExecutionProvider, count};
use crate::http::cors::{Cors, Origin};
use crate::models::batching::Wish;
use crate::models::probe::Probe;
use crate::models::shipped::Mode;
use crate::models::{ModelName, Source};
use crate::room::Room;

/// Time beyond the request timeout in which the answers to the last requests reach their clients.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on; by default all, over IPv6 and IPv4, or over IPv4 where the machine has no
    /// IPv6
    #[arg(long, env = env::HOST)]
    pub host: Option<IpAddr>,
    /// TCP port to listen on; 0 takes a free one, which the log names
    #[arg(long, env = env::PORT, default_value_t = defaults::PORT)]
    pub port: u16,
    /// TCP port to listen on for gRPC, which the other port speaks too; 0 takes a free one, which the
    /// log names
    #[arg(long, env = env::GRPC_PORT, default_value_t = defaults::GRPC_PORT)]
    pub grpc_port: u16,
    /// TCP port to listen on for probes and metrics alone, which has places of its own for connections; the
    /// other ports answer them, too. 0 takes a free one, which the log names
    #[arg(long, env = env::HEALTH_PORT, default_value_t = defaults::HEALTH_PORT)]
    pub health_port: u16,
    /// Path of the ONNX model file, which is served as version 1
    #[arg(long, env = env::MODEL_PATH, default_value = paths::MODEL_FILE, conflicts_with = "model_dir")]
    pub model_path: PathBuf,
    /// Folder of models, `<name>/<version>/model.onnx`, instead of one file; new versions are served
    /// as they come
    #[arg(long, env = env::MODEL_DIR, conflicts_with = "model_path")]
    pub model_dir: Option<PathBuf>,
    /// Name of the model, by default `model`; with a folder of models, the one that /predict asks,
    /// by default the only one
    #[arg(long, env = env::MODEL_NAME)]
    pub model_name: Option<ModelName>,
    /// Versions of each model in the folder that are served, the newest ones
    #[arg(long, env = env::VERSIONS_PER_MODEL, default_value_t = 1,
        value_parser = value_parser!(u32).range(1..=100))]
    pub versions_per_model: u32,
    /// Seconds between two looks at the folder; 0 looks only once. What has changed since the look
    /// before is taken at the next one
    #[arg(long, env = env::MODEL_POLL_SECONDS, default_value_t = defaults::MODEL_POLL_SECONDS,
        value_parser = value_parser!(u32).range(0..=86_400))]
    pub model_poll_seconds: u32,
    /// Most rows in one batch, and so in one request
    #[arg(long, env = env::MAX_BATCH_SIZE, default_value_t = defaults::MAX_BATCH_ROWS,
        value_parser = value_parser!(u32).range(1..=4096))]
    pub max_batch_size: u32,
    /// Longest that a batch is held back, in milliseconds: under the policy `window` to fill, else for
    /// clients that are about to come back, where that pays
    #[arg(long, env = env::MAX_WAIT_MS, default_value_t = defaults::MAX_WAIT_MILLISECONDS,
        value_parser = value_parser!(u32).range(0..=60_000))]
    pub max_wait_ms: u32,
    /// When queued requests become a batch
    #[arg(long, env = env::BATCHING_POLICY, value_enum, default_value_t = BatchingPolicy::WorkConserving)]
    pub batching_policy: BatchingPolicy,
    /// Who decides whether the requests of several clients share a batch. A model's springtide.toml
    /// goes before this
    #[arg(long, env = env::BATCHING_MODE, value_enum, default_value_t = Mode::Auto)]
    pub batching_mode: Mode,
    /// Most rows that wait; further ones are refused with 429
    #[arg(long, env = env::MAX_QUEUE_ROWS, default_value_t = defaults::MAX_QUEUE_ROWS,
        value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub max_queue_rows: u32,
    /// Time after which a request is answered with 504, in milliseconds
    #[arg(long, env = env::REQUEST_TIMEOUT_MS, default_value_t = defaults::REQUEST_TIMEOUT_MILLISECONDS,
        value_parser = value_parser!(u32).range(1..=600_000))]
    pub request_timeout_ms: u32,
    /// Latency that answers should have in a long overload, in milliseconds: once all workers have been
    /// busy without a pause for the time above, requests whose answer would take longer are refused with 429, so
    /// that the others are in time; 0 lets all wait for as long as they have time
    #[arg(long, env = env::LATENCY_OBJECTIVE_MS, default_value_t = 0,
        value_parser = value_parser!(u32).range(0..=600_000))]
    pub latency_objective_ms: u32,
    /// What the model runs on
    #[arg(long, env = env::EXECUTION_PROVIDER, value_enum, default_value_t = ExecutionProvider::Cpu)]
    pub execution_provider: ExecutionProvider,
    /// Inference threads that each own a session; by default one for every two processors that the
    /// CPU quota allows, and one on a GPU
    #[arg(long, env = env::WORKERS, value_parser = workers())]
    pub workers: Option<u32>,
    /// Path of libonnxruntime.so, version 1.17 or newer
    #[arg(long, env = env::ORT_DYLIB_PATH, default_value = "libonnxruntime.so")]
    pub onnxruntime: PathBuf,
    /// Least time after SIGTERM in which connections are still taken, in seconds: as long as whatever
    /// sends clients here may take to notice that /ready says no
    #[arg(long, env = env::DRAIN_DELAY_SECONDS, default_value_t = defaults::DRAIN_DELAY_SECONDS,
        value_parser = value_parser!(u32).range(0..=3600))]
    pub drain_delay_seconds: u32,
    /// Longest time that a shutdown waits for accepted requests, in seconds; by default one second
    /// more than the drain delay and the request timeout
    #[arg(long, env = env::DRAIN_TIMEOUT_SECONDS, value_parser = value_parser!(u32).range(1..=3600))]
    pub drain_timeout_seconds: Option<u32>,
    /// Most connections at the same time; for one more, the one that has been idle the longest is
    /// closed, or else the one whose client has sent or taken nothing for the longest.
    /// By default 4096, or as many as the container's memory limit has room for
    #[arg(long, env = env::MAX_CONNECTIONS, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: Option<u32>,
    /// Most connections of one address at the same time, of IPv6 those of a /64 network; for one more, its
    /// own that has been idle or has made no progress the longest is closed, or else the new one. By default
    /// half of all. 0 sets none: where all clients come through one proxy
    #[arg(long, env = env::MAX_CONNECTIONS_PER_PEER, value_parser = value_parser!(u32).range(0..=1_000_000))]
    pub max_connections_per_peer: Option<u32>,
    /// Greatest age of a connection, in seconds: its client is then asked to reconnect, so that new
    /// servers behind a load balancer get their share; 0 sets none
    #[arg(long, env = env::MAX_CONNECTION_AGE_SECONDS, default_value_t = defaults::MAX_CONNECTION_AGE_SECONDS,
        value_parser = value_parser!(u32).range(0..=86_400))]
    pub max_connection_age_seconds: u32,
    /// Longest time that a connection may be idle between two requests, in seconds, before it is closed:
    /// longer than what stands before the server keeps idle connections
    #[arg(long, env = env::IDLE_TIMEOUT_SECONDS, default_value_t = defaults::IDLE_TIMEOUT_SECONDS,
        value_parser = value_parser!(u32).range(1..=86_400))]
    pub idle_timeout_seconds: u32,
    /// Origin whose pages may read answers in browsers (CORS), `https://example.com`, or `*` for every
    /// one; may be given several times. Without it browsers keep answers from all pages
    #[arg(long, env = env::CORS_ORIGIN, value_delimiter = ',')]
    pub cors_origin: Vec<Origin>,
    /// Most bytes of one request; fewer where a model's inputs say how many numbers they hold at most. By
    /// default 64 MiB, or half of the memory below
    #[arg(long, env = env::MAX_REQUEST_BYTES, value_parser = value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub max_request_bytes: Option<u64>,
    /// Memory that all requests may take together, in bytes: heads, bodies, tensors and answers, each
    /// request 16 KiB at least; one without room is refused with 429. By default 256 MiB, or what the
    /// container's memory limit leaves beside the models
    #[arg(long, env = env::MAX_BODY_BYTES_IN_FLIGHT, value_parser = value_parser!(u64).range(1..=1 << 40))]
    pub max_body_bytes_in_flight: Option<u64>,
    /// Name of the ModelService, a label of every metric
    #[arg(long, env = env::MODEL_SERVICE_NAME)]
    pub model_service: Option<String>,
    /// Namespace of the ModelService, a label of every metric
    #[arg(long, env = env::MODEL_SERVICE_NAMESPACE)]
    pub model_service_namespace: Option<String>,
    /// Longest time in which a model that could end the process, or take all of its time or memory, is loaded
    /// and tried in a process of its own, in seconds. A model that takes longer isn't served
    #[arg(long, env = env::PROBE_TIMEOUT_SECONDS, default_value_t = defaults::PROBE_TIMEOUT_SECONDS,
        value_parser = value_parser!(u32).range(1..=86_400))]
    pub probe_timeout_seconds: u32,
    /// Most memory that such a trial may take, in bytes; a model that takes more isn't served. By default, and
    /// at most, 75 % of what is free when it begins
    #[arg(long, env = env::PROBE_MEMORY_BYTES, value_parser = value_parser!(u64).range(1..))]
    pub probe_memory_bytes: Option<u64>,
    /// Folder in which it is noted which models crashed, took too long or too much memory when they were tried,
    /// so that they aren't tried again after a restart until their files change
    #[arg(long, env = env::STATE_DIR)]
    pub state_dir: Option<PathBuf>,
    /// File that gets the reason of a fatal error as JSON, where it exists
    #[arg(long, env = env::TERMINATION_MESSAGE_PATH, default_value = paths::TERMINATION_LOG)]
    pub termination_message_path: PathBuf,
}

fn workers() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=256)
}

impl ServeArgs {
    /// Most rows in one batch.
    #[must_use]
    pub fn max_rows(&self) -> NonZeroUsize {
        count(self.max_batch_size)
    }

    /// What models are batched by where their owners ship no settings.
    #[must_use]
    pub fn wish(&self) -> Wish {
        Wish {
            mode: self.batching_mode.into(),
            max_rows: self.max_rows(),
        }
    }

    /// How models that could end the process are tried first; None where this program can't be found,
    /// as after its file was replaced.
    #[must_use]
    pub fn probe(&self) -> Option<Probe> {
        let name = |value: &dyn Fn() -> Option<PossibleValue>| {
            value()
                .map(|value| value.get_name().to_owned())
                .unwrap_or_default()
        };
        let mut arguments: Vec<OsString> = vec![
            "probe".into(),
            "--onnxruntime".into(),
            self.onnxruntime.clone().into(),
            "--execution-provider".into(),
            name(&|| self.execution_provider.to_possible_value()).into(),
            "--max-batch-size".into(),
            self.max_batch_size.to_string().into(),
            "--batching-mode".into(),
            name(&|| self.batching_mode.to_possible_value()).into(),
        ];
        if let Some(directory) = &self.model_dir {
            arguments.extend(["--model-dir".into(), directory.clone().into()]);
        }
        let program = std::env::current_exe().ok()?;
        let time = Duration::from_secs(self.probe_timeout_seconds.into());
        Some(Probe {
            program,
            arguments,
            time,
            bytes: self.probe_memory_bytes,
        })
    }

    /// Bounds of batches and queues.
    #[must_use]
    pub fn batching(&self) -> Config {
        Config {
            policy: self.policy(),
            // Decided for each version when it is loaded.
            sharing: Sharing::Alone,
            max_rows: self.max_rows(),
            max_queue_rows: count(self.max_queue_rows),
            objective: self.objective(),
        }
    }

    fn objective(&self) -> Option<Objective> {
        (self.latency_objective_ms > 0).then(|| Objective {
            latency: Duration::from_millis(self.latency_objective_ms.into()),
            standing: Duration::from_millis(self.request_timeout_ms.into()),
        })
    }

    /// Where models come from.
    #[must_use]
    pub fn source(&self) -> Source {
        match &self.model_dir {
            Some(directory) => Source::Directory(directory.clone()),
            None => Source::File {
                name: self.model_name.clone().unwrap_or_default(),
                path: self.model_path.clone(),
            },
        }
    }

    /// Versions of each model that are served.
    #[must_use]
    pub fn versions(&self) -> NonZeroUsize {
        count(self.versions_per_model)
    }

    /// Time between two looks at the source; None where it doesn't change.
    #[must_use]
    pub fn poll(&self) -> Option<Duration> {
        let changes = self.model_dir.is_some() && self.model_poll_seconds > 0;
        changes.then(|| Duration::from_secs(self.model_poll_seconds.into()))
    }

    /// Workers that were asked for.
    #[must_use]
    pub fn worker_count(&self) -> Option<NonZeroUsize> {
        self.workers.map(count)
    }

    /// Most connections of one address. None: as many as there are at all.
    #[must_use]
    pub fn connections_per_peer(&self, connections: NonZeroUsize) -> Option<NonZeroUsize> {
        match self.max_connections_per_peer {
            None => NonZeroUsize::new(connections.get() / 2),
            Some(most) => usize::try_from(most).ok().and_then(NonZeroUsize::new),
        }
    }

    /// Greatest age of a connection.
    #[must_use]
    pub fn connection_age(&self) -> Option<Duration> {
        let seconds = self.max_connection_age_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// Longest time that a connection may be idle between two requests.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds.into())
    }

    /// Whose pages may read answers.
    #[must_use]
    pub fn cors(&self) -> Cors {
        self.cors_origin.iter().cloned().collect()
    }

    /// How the memory is shared out under a limit: what is given goes before.
    #[must_use]
    pub fn room(&self, limit: Option<u64>) -> Room {
        let chosen = Room::before_models(limit);
        let requests_bytes = self
            .max_body_bytes_in_flight
            .unwrap_or(chosen.requests_bytes);
        Room {
            connections: self.max_connections.map_or(chosen.connections, u64::from),
            requests_bytes,
            request_bytes: self
                .max_request_bytes
                .unwrap_or_else(|| chosen.request_bytes.min(requests_bytes)),
        }
    }

    /// When queued requests become a batch.
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

    /// Least time in which a shutdown still takes connections.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay_seconds.into())
    }

    /// Longest time that a shutdown waits for accepted requests.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout_seconds.map_or_else(
            || self.drain_delay() + self.request_timeout() + ANSWER_TIME,
            |seconds| Duration::from_secs(seconds.into()),
        )
    }
}

/// When queued requests become a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BatchingPolicy {
    /// As soon as a worker is idle
    WorkConserving,
    /// When the batch is full or the oldest request has waited for max-wait-ms
    Window,
}

#[cfg(test)]
mod tests;
