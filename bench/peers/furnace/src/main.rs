//! furnace-server with ONNX Runtime as its engine: MODEL LIBRARY PORT SESSIONS MAX_BATCH_SIZE.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use furnace::error::ModelError;
use furnace::{FurnaceError, HostTensor, IoSpec, Model, Server, TensorModel, Values};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

#[derive(Debug)]
struct Iris {
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
}

impl TensorModel for Iris {
    fn name(&self) -> &str {
        "iris"
    }

    fn backend(&self) -> &str {
        "cpu"
    }

    fn inputs(&self) -> Vec<IoSpec> {
        vec![IoSpec::fp32("features", &[4])]
    }

    fn outputs(&self) -> Vec<IoSpec> {
        vec![IoSpec::fp32("probabilities", &[3])]
    }

    fn run(&self, mut inputs: Vec<HostTensor>) -> furnace::Result<Vec<HostTensor>> {
        let Some(HostTensor {
            shape,
            values: Values::F32(values),
        }) = inputs.pop()
        else {
            return Err(failed("not one FP32 tensor"));
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.sessions.len();
        let mut session = self.sessions[number].lock().map_err(failed)?;
        let input = TensorRef::from_array_view((shape, values.as_slice())).map_err(failed)?;
        let outputs = session
            .run(ort::inputs!["features" => input])
            .map_err(failed)?;
        let (shape, probabilities) = outputs["probabilities"]
            .try_extract_tensor::<f32>()
            .map_err(failed)?;
        Ok(vec![HostTensor {
            shape: shape.iter().map(|&length| length as usize).collect(),
            values: Values::F32(probabilities.to_vec()),
        }])
    }
}

fn failed(error: impl ToString) -> FurnaceError {
    ModelError::InferenceFailed(error.to_string()).into()
}

fn open(environment: &Environment, model: &str) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .commit_from_file(model)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let [model, library, port, sessions, max_batch_size] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: furnace-peer MODEL LIBRARY PORT SESSIONS MAX_BATCH_SIZE")?;
    let environment = ort::init_from(library)?.build()?;
    let sessions = (0..sessions.parse::<usize>()?)
        .map(|_| open(&environment, &model).map(Mutex::new))
        .collect::<ort::Result<Vec<_>>>()?;
    let iris = Iris {
        sessions,
        next: AtomicUsize::new(0),
    };
    Server::new()
        .host("127.0.0.1")
        .port(port.parse()?)
        .max_batch_size(max_batch_size.parse()?)
        .model(Model::custom(iris))
        .serve()
        .await?;
    Ok(())
}
