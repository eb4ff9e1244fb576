//! The report on a model, as data. Its JSON is that of `inspect --json`.

use serde::Serialize;
use springtide_contract::batching::BatchingStatus;

use super::requests::SampleRequest;

/// The report. Parts that aren't known are missing.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Path of the model file.
    pub path: String,
    /// Whether the model can be served.
    pub can_be_served: bool,
    /// What is wrong, and how to mend it.
    pub problems: Vec<String>,
    /// The model file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFacts>,
    /// ONNX Runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onnxruntime: Option<RuntimeFacts>,
    /// The loaded model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<LoadedFacts>,
}

/// The model file and its external data.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FileFacts {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Version of the file format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ir_version: Option<u64>,
    /// Sets of operators.
    pub operator_sets: Vec<OperatorSetFacts>,
    /// Name and version of the exporter. Empty if it isn't known.
    pub producer: String,
    /// Files with external data.
    pub external_data: Vec<ExternalFile>,
}

/// A set of operators.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorSetFacts {
    /// Its domain.
    pub domain: String,
    /// Its version.
    pub version: u64,
}

/// A file with external data.
#[derive(Debug, Clone, Serialize)]
pub struct ExternalFile {
    /// Its name in the model.
    pub name: String,
    /// Size in bytes. None if the file is missing.
    pub bytes: Option<u64>,
}

/// The library that runs the model.
#[derive(Debug, Clone, Serialize)]
pub struct RuntimeFacts {
    /// Its path.
    pub library: String,
    /// Its description of its own build.
    pub build: String,
    /// Execution provider.
    pub execution_provider: &'static str,
    /// Why the model doesn't run on a GPU, if it fell back to the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Newest supported version of the file format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_ir_version: Option<u64>,
    /// Newest supported version of the domain `ai.onnx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_operator_set: Option<u64>,
}

/// The loaded model.
#[derive(Debug, Clone, Serialize)]
pub struct LoadedFacts {
    /// Inputs.
    pub inputs: Vec<PortFacts>,
    /// Outputs.
    pub outputs: Vec<PortFacts>,
    /// What `/predict` takes and gives, or why it doesn't serve the model.
    pub task: TaskFacts,
    /// Whether requests share batches, and why.
    pub batching: BatchingStatus,
    /// Growth of the process by the load, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Number of workers in this memory.
    pub workers: usize,
    /// Time of the load, in milliseconds.
    pub load_ms: u64,
    /// Requests that fit the model.
    pub requests: Vec<SampleRequest>,
}

/// An input or output.
#[derive(Debug, Clone, Serialize)]
pub struct PortFacts {
    /// Its name.
    pub name: String,
    /// Its type in the Open Inference Protocol, or that of ONNX Runtime if the protocol has none.
    pub datatype: String,
    /// Its shape, -1 for a free length. None if it isn't declared.
    pub shape: Option<Vec<i64>>,
    /// Whether requests may omit it.
    pub optional: bool,
}

/// The task of a model. `kind` is its name in the JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TaskFacts {
    /// Rows.
    Tabular {
        /// The columns.
        columns: Vec<ColumnFacts>,
        /// Whether the model classifies.
        classifier: bool,
        /// Names of the classes, if the model declares them.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        classes: Vec<String>,
    },
    /// Texts.
    Text {
        /// The task.
        task: &'static str,
        /// Maximum number of tokens; longer texts are cut off.
        max_tokens: usize,
        /// Names of the classes.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        classes: Vec<String>,
        /// Length of an embedding.
        #[serde(skip_serializing_if = "Option::is_none")]
        embedding_size: Option<usize>,
    },
    /// Images.
    Image {
        /// The task.
        task: &'static str,
        /// Width after resizing.
        #[serde(skip_serializing_if = "Option::is_none")]
        width: Option<usize>,
        /// Height after resizing.
        #[serde(skip_serializing_if = "Option::is_none")]
        height: Option<usize>,
        /// Colors.
        channels: usize,
        /// Names of the classes, if the files name them.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        classes: Vec<String>,
    },
    /// `/predict` doesn't serve the model.
    Tensor {
        /// Why.
        reason: String,
    },
}

/// A column of a tabular model.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub datatype: &'static str,
    /// Values in each row.
    pub values: usize,
}

impl Report {
    /// What the versions and the external data of the file have wrong, in addition to the error of the load.
    #[must_use]
    pub fn problems_of_the_file(&self) -> Vec<String> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let mut problems = Vec::new();
        let newest = self.onnxruntime.as_ref();
        if let (Some(version), Some(newest)) = (
            file.ir_version,
            newest.and_then(|known| known.newest_ir_version),
        ) && version > newest
        {
            problems.push(format!(
                "the IR version of the file is {version}, and this ONNX Runtime supports {newest} at most: export \
                 the model with an older version (in Python: model.ir_version = {newest}), or use a newer ONNX Runtime"
            ));
        }
        let missing: Vec<&str> = file
            .external_data
            .iter()
            .filter(|file| file.bytes.is_none())
            .map(|file| &*file.name)
            .collect();
        if !missing.is_empty() {
            problems.push(format!(
                "external data is missing ({}): put these files beside the model file, under these names",
                missing.join(", ")
            ));
        }
        problems
    }
}
