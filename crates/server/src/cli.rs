//! The command line. Each flag of `serve` is also an environment variable of [`springtide_contract::env`], which the
//! operator sets. [`parse`] reads both.

mod checksum;
mod environment;
mod fetch;
mod inspect;
mod probe;
mod serve;
mod values;

use clap::{Parser, Subcommand};

pub use self::checksum::ChecksumArgs;
pub use self::environment::{Notice, parse};
pub use self::fetch::FetchArgs;
pub use self::inspect::InspectArgs;
pub use self::probe::ProbeArgs;
pub use self::serve::ServeArgs;
pub(crate) use self::values::count;

/// Fetches ONNX models and serves them over HTTP and gRPC with dynamic batching.
#[derive(Debug, Parser)]
#[command(
    name = "springtide-server",
    version,
    about,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The command to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve models: POST /predict and `/v2/models/<name>/infer`, gRPC, GET /health, /ready and /metrics
    #[command(after_help = "\
Examples:
  # Serve a model on port 8000 and send a request
  ORT_DYLIB_PATH=$(scripts/onnxruntime) springtide-server serve --model-path iris.onnx
  curl localhost:8000/predict -d '{\"features\": [5.1, 3.5, 1.4, 0.2]}'

  # Serve several models and versions from one folder; each request names its model
  springtide-server serve --model-dir /models
  curl localhost:8000/v2/models/iris/infer -d @request.json

  # Serve on a GPU, with larger batches and a request timeout of one second
  springtide-server serve --model-path m.onnx --execution-provider cuda \\
    --max-batch-size 128 --request-timeout-ms 1000")]
    Serve(ServeArgs),
    /// Fetch a model file, verify its SHA-256 and move it to its destination
    #[command(after_help = "\
Examples:
  # From a mounted ConfigMap or volume
  springtide-server fetch --uri file:///source/model.onnx --to /models/model.onnx

  # From a web server; --sha256 is required
  springtide-server fetch --uri https://example.com/iris.onnx --to /models/model.onnx \\
    --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

To trust a private certificate authority, set SSL_CERT_FILE to the file with its certificates.
HTTPS_PROXY, HTTP_PROXY and NO_PROXY are used.")]
    Fetch(FetchArgs),
    /// Report on a model before it is served: inputs, outputs, task, batches, memory, problems, and requests that fit it.
    /// The exit code is 1 if the model can't be served
    #[command(after_help = "\
Examples:
  # A report for people
  ORT_DYLIB_PATH=$(scripts/onnxruntime) springtide-server inspect iris.onnx

  # One JSON object, for scripts, about the model in a folder
  springtide-server inspect --json models/iris/1

  # A model that takes texts, with a tokenizer beside it
  springtide-server inspect --task text-classification sentiment/")]
    Inspect(InspectArgs),
    /// Print the SHA-256 of a file, or the checksum of a folder
    #[command(after_help = "\
The checksum of a folder is the SHA-256 of a list, with a line for each file: its SHA-256, two blanks and its path,
sorted by path. Files and folders whose name starts with a dot aren't part of it.

Examples:
  # The same as that of sha256sum
  springtide-server checksum iris.onnx

  # A folder with a model and its tokenizer
  springtide-server checksum sentiment/")]
    Checksum(ChecksumArgs),
    /// Load and try a model in its own process; `serve` starts this for models that could crash the process
    #[command(
        hide = true,
        after_help = "\
Examples:
  springtide-server probe --onnxruntime libonnxruntime.so --execution-provider cpu \\
    --max-batch-size 32 --batching-mode auto model.onnx"
    )]
    Probe(ProbeArgs),
}

#[cfg(test)]
mod tests;
