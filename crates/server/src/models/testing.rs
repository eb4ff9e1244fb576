//! Fake models for tests, which need no ONNX Runtime.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use springtide_batching::Config;
use springtide_contract::batching::BatchingMode;
use springtide_inference::onnx::{ModelAnalysis, Provider};
use springtide_inference::{
    Backend, CancelHandle, DataView, Dimension, ElementType, Port, RunError, Signature, Tensor,
};
use springtide_rows::{Analysis, Candidates, Finding, Verdict};
use springtide_tasks::folder::ModelFolder;
use springtide_tasks::{ModelFacts, NoTask, TaskModel};

use super::batching::BatchingPreference;
use super::fingerprint::{FileStat, Fingerprint};
use super::folder::MODEL_FILE;
use super::loader::{LoadedModel, ModelInfo};
use super::model::Model;
use super::name::{ModelName, Version};
use super::warmup::warm_up;
use crate::app::App;

/// Minimum first number of a row that [`FakeBackend`] rejects as invalid.
pub(crate) const BEYOND: f32 = 1e6;

/// Classifies each row by its first number. Fails where it is negative, and rejects it from [`BEYOND`] on. Clones
/// share the record of their runs.
#[derive(Clone)]
pub(crate) struct FakeBackend {
    signature: Signature,
    fails: bool,
    fixed_rows: Option<usize>,
    /// Rows of each run.
    runs: Arc<Mutex<Vec<usize>>>,
    /// The next run waits until this is closed.
    gate: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

/// `features` of two numbers to `label` and `probabilities` of two classes.
pub(crate) fn classifier_signature() -> Signature {
    let (any, two) = (Dimension::Any, Dimension::Fixed(2));
    Signature {
        inputs: vec![Port::tensor("features", ElementType::F32, [any, two])],
        outputs: vec![
            Port::tensor("label", ElementType::I64, [any]),
            Port::tensor("probabilities", ElementType::F32, [any, two]),
        ],
    }
}

impl FakeBackend {
    pub(crate) fn classifier() -> Self {
        Self::with_signature(classifier_signature())
    }

    pub(crate) fn with_signature(signature: Signature) -> Self {
        Self {
            signature,
            fails: false,
            fixed_rows: None,
            runs: Arc::default(),
            gate: Arc::default(),
        }
    }

    /// The next run continues, even if it is stopped, until the returned sender is dropped.
    pub(crate) fn hold(&self) -> mpsc::Sender<()> {
        let (held, gate) = mpsc::channel();
        *self.gate.lock().unwrap() = Some(gate);
        held
    }

    pub(crate) fn that_fails(self) -> Self {
        Self {
            fails: true,
            ..self
        }
    }

    /// Gives this number of rows, whatever the input.
    pub(crate) fn with_fixed_rows(self, rows: usize) -> Self {
        Self {
            fixed_rows: Some(rows),
            ..self
        }
    }

    pub(crate) fn rows(&self) -> Vec<usize> {
        self.runs.lock().unwrap().clone()
    }
}

impl Backend for FakeBackend {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[&Tensor], stop: &CancelHandle) -> Result<Vec<Tensor>, RunError> {
        let DataView::F32(numbers) = inputs[0].view().data() else {
            panic!("not floats")
        };
        let rows = inputs[0].rows();
        self.runs.lock().unwrap().push(rows);
        let gate = self.gate.lock().unwrap().take();
        let _dropped = gate.map(|gate| gate.recv());
        if stop.is_cancelled() {
            return Err(RunError::Stopped);
        }
        let firsts = numbers.chunks(numbers.len() / rows).map(|row| row[0]);
        if self.fails || firsts.clone().any(|first| first < 0.0) {
            return Err(RunError::Failed("negative".to_owned()));
        }
        if firsts.clone().any(|first| first >= BEYOND) {
            return Err(RunError::InvalidInput("Gather: out of bounds".to_owned()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "tests use small whole numbers"
        )]
        let mut labels: Vec<i64> = firsts.map(|first| first as i64).collect();
        let rows = self.fixed_rows.unwrap_or(rows);
        labels.resize(rows, 0);
        let probabilities: Vec<f32> = labels
            .iter()
            .flat_map(|label| match label {
                0 => [0.75, 0.25],
                _ => [0.25, 0.75],
            })
            .collect();
        let mut outputs = vec![
            Tensor::new(vec![rows], labels).unwrap(),
            Tensor::new(vec![rows, 2], probabilities).unwrap(),
        ];
        outputs.truncate(self.signature.outputs.len());
        Ok(outputs)
    }
}

/// The task of a model without files beside it.
pub(crate) fn tabular(signature: &Signature) -> Result<TaskModel, NoTask> {
    let facts = ModelFacts {
        signature,
        feature_names: None,
        classes: &[],
    };
    TaskModel::open(&ModelFolder::new("/nowhere"), facts, None)
}

/// A loaded model.
pub(crate) fn loaded(mut backend: FakeBackend, max_rows: NonZeroUsize) -> LoadedModel {
    let preference = BatchingPreference {
        mode: BatchingMode::Auto,
        max_rows,
    };
    let task = tabular(backend.signature());
    let warmup = warm_up(&mut backend, &proven(), Ok(Vec::new()), preference, task);
    let info = ModelInfo {
        sha256: Some("5a".repeat(32)),
        signature: warmup.signature,
        batching: warmup.batching,
        task: warmup.task,
        classes: Vec::new(),
        provider: Provider::Cpu,
        fallback: None,
        load_time: Duration::from_millis(250),
        memory: None,
    };
    LoadedModel {
        info,
        first: Box::new(backend),
        others: Vec::new(),
        threads: NonZeroUsize::MIN,
        measured_runs: Vec::new(),
    }
}

/// Analysis of a model whose rows are proven independent.
pub(crate) fn proven() -> ModelAnalysis {
    analysis(Verdict::Independent)
}

/// Analysis of a model whose graph decides nothing.
pub(crate) fn unknown() -> ModelAnalysis {
    analysis(Verdict::Unknown(Finding {
        node: "x".to_owned(),
        operator: "Mystery".to_owned(),
        why: "isn't known".to_owned(),
        remedy: None,
    }))
}

fn analysis(verdict: Verdict) -> ModelAnalysis {
    ModelAnalysis {
        graph: Analysis {
            verdict,
            hazards: Vec::new(),
        },
        candidates: Candidates::default(),
        classes: Vec::new(),
        feature_names: None,
    }
}

/// A fingerprint that differs from any other number's.
pub(crate) fn fingerprint(content: u64) -> Fingerprint {
    let stat = FileStat {
        bytes: content,
        modified: (0, 0),
        changed: (0, 0),
        inode: 1,
    };
    Fingerprint::of([(Path::new(MODEL_FILE), &stat)])
}

/// Serves the backend as version 1 of a model.
pub(crate) fn install(app: &App, name: &str, backend: FakeBackend, config: Config) {
    let name: ModelName = name.parse().unwrap();
    let loaded = loaded(backend, config.max_rows);
    let series = app.metrics.of_model(name.as_str());
    let (model, driver) =
        Model::start(name.clone(), Version::FIRST, loaded, config, series).unwrap();
    tokio::spawn(driver.run());
    app.models.install(&name, Arc::new(model), fingerprint(1));
}
