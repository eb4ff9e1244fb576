//! ONNX Runtime without a server: runs `Session::run` on the same input for a given time. Prints one JSON object with
//! the rows per second and the median time of a run.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynTensor, Tensor, TensorElementType, ValueType};
use serde_json::json;

/// The word "hello" in the vocabulary of uncased BERT models. The token has no effect on the duration of a run.
const TOKEN: i64 = 7592;

/// Runs a model at the maximum rate
#[derive(Parser)]
struct Cli {
    /// Path of the ONNX model
    #[arg(long)]
    model: PathBuf,
    /// Path of libonnxruntime.so
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
    /// Rows of each run
    #[arg(long, default_value_t = 1)]
    rows: usize,
    /// Length of every dynamic dimension after the first
    #[arg(long, default_value_t = 64)]
    length: usize,
    /// Number of sessions, each in its own thread
    #[arg(long, default_value_t = 1)]
    sessions: usize,
    /// Threads of each session
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Lets idle threads of a session spin, as ONNX Runtime does by default
    #[arg(long)]
    spin: bool,
    /// Seconds to run, after a tenth of that to warm up
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// The result of one session.
struct Runs {
    elapsed: Duration,
    times: Vec<Duration>,
}

fn main() -> anyhow::Result<()> {
    let cli = Arc::new(Cli::parse());
    let environment = ort::init_from(&cli.onnxruntime)?
        .with_telemetry(false)
        .build()?;
    let sessions = (0..cli.sessions)
        .map(|_| open(&environment, &cli))
        .collect::<ort::Result<Vec<_>>>()?;
    let start = Arc::new(Barrier::new(sessions.len()));
    let threads: Vec<_> = sessions
        .into_iter()
        .map(|session| {
            let (cli, start) = (Arc::clone(&cli), Arc::clone(&start));
            thread::spawn(move || run(session, &cli, &start))
        })
        .collect();
    let mut times = Vec::new();
    let mut rows_per_second = 0.0;
    for thread in threads {
        let runs = thread
            .join()
            .map_err(|_panic| anyhow!("a session panicked"))??;
        rows_per_second += rate(runs.times.len() * cli.rows, runs.elapsed);
        times.extend(runs.times);
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).context("no run ended in time")?;
    let report = json!({
        "rows_per_second": rows_per_second,
        "p50_ms": median.as_secs_f64() * 1e3,
        "runs": times.len(),
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

fn open(environment: &Environment, cli: &Cli) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(cli.threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(cli.spin)?
        .commit_from_file(&cli.model)
}

fn run(mut session: Session, cli: &Cli, start: &Barrier) -> anyhow::Result<Runs> {
    let inputs = inputs(&session, cli)?;
    let mut once = || -> anyhow::Result<()> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        let outputs = session.run(inputs)?;
        std::hint::black_box(&outputs);
        Ok(())
    };
    let warm_up = Instant::now();
    once()?;
    while warm_up.elapsed().as_secs_f64() < cli.seconds / 10.0 {
        once()?;
    }
    start.wait();
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed().as_secs_f64() < cli.seconds {
        let before = Instant::now();
        once()?;
        times.push(before.elapsed());
    }
    Ok(Runs {
        elapsed: begin.elapsed(),
        times,
    })
}

/// A tensor for every input. Masks are all ones: there is no padding.
fn inputs(session: &Session, cli: &Cli) -> anyhow::Result<Vec<(String, DynTensor)>> {
    session
        .inputs()
        .iter()
        .map(|input| {
            let ValueType::Tensor { ty, shape, .. } = input.dtype() else {
                bail!("{} is not a tensor", input.name());
            };
            let shape: Vec<usize> = shape
                .iter()
                .enumerate()
                .map(|(place, &length)| match (place, usize::try_from(length)) {
                    (0, _) => cli.rows,
                    (_, Ok(length)) => length,
                    (_, Err(_open)) => cli.length,
                })
                .collect();
            let count = shape.iter().product();
            let tensor = match ty {
                TensorElementType::Float32 => {
                    Tensor::from_array((shape, vec![1.0_f32; count]))?.upcast()
                }
                TensorElementType::Int64 => {
                    let value = match input.name() {
                        "attention_mask" => 1,
                        "token_type_ids" => 0,
                        _ => TOKEN,
                    };
                    Tensor::from_array((shape, vec![value; count]))?.upcast()
                }
                other => bail!("{} is of {other}, which nothing here makes", input.name()),
            };
            Ok((input.name().to_owned(), tensor))
        })
        .collect()
}
