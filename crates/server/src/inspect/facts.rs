//! Collects the facts of a [`Report`]: reads the model file and loads the model, as `serve` does.

use std::fs;
use std::path::{Path, PathBuf};

use springtide_contract::batching::BatchingStatus;
use springtide_contract::task::Task;
use springtide_inference::onnx::{
    HazardPolicy, LinkPolicy, LoadError, ModelDeclaration, NewestSupported, Runtime,
};
use springtide_inference::{Classes, Dimension, Port, PortKind, Signature};
use springtide_open_inference::datatype_name;
use springtide_tasks::text::{Reading, TextModel};
use springtide_tasks::{NoTask, TaskModel};

use super::report::{
    ColumnFacts, ExternalFile, FileFacts, LoadedFacts, OperatorSetFacts, PortFacts, Report,
    RuntimeFacts, TaskFacts,
};
use super::requests::samples;
use crate::cli::InspectArgs;
use crate::models::loader::{
    LoadedModel, ModelInfo, ModelLoadError, ModelLoader as _, OnnxLoader, select_provider,
};
use crate::models::{MODEL_FILE, checksum};

/// Name of the model in the sample requests: the default of `serve --model-path`.
const MODEL_NAME: &str = "model";

/// Inspects a model.
#[must_use]
pub fn collect(args: &InspectArgs) -> Report {
    let mut report = Report {
        path: args.path.display().to_string(),
        ..Report::default()
    };
    let file = match model_file(&args.path) {
        Ok(file) => file,
        Err(problem) => {
            report.problems.push(problem);
            return report;
        }
    };
    report.path = file.display().to_string();
    let (facts, unreadable) = file_facts(&file);
    report.file = facts;
    match load(args, &file, &mut report) {
        Ok(loaded) => {
            report.model = Some(loaded_facts(&loaded));
            report.can_be_served = true;
        }
        Err(error) => report.problems.push(error.to_string()),
    }
    let further = unreadable.into_iter().chain(report.problems_of_the_file());
    for problem in further.collect::<Vec<_>>() {
        if !report.problems.contains(&problem) {
            report.problems.push(problem);
        }
    }
    report
}

/// The model file at a path: the file itself, or that in a folder.
fn model_file(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| format!("{shown} can't be read: {error}"))?;
    if !metadata.is_dir() {
        return Ok(path.to_owned());
    }
    let usual = path.join(MODEL_FILE);
    if usual.is_file() {
        return Ok(usual);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("{shown} can't be read: {error}"))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "onnx")
        })
        .collect();
    match (found.pop(), &*found) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(format!(
            "the folder {shown} has no model: put an ONNX model there as {MODEL_FILE}"
        )),
        (Some(_), _) => Err(format!(
            "the folder {shown} has several models, and none is named {MODEL_FILE}: name the file"
        )),
    }
}

/// The facts of a file, and why it can't be parsed.
fn file_facts(file: &Path) -> (Option<FileFacts>, Option<String>) {
    let Ok(metadata) = fs::metadata(file) else {
        return (None, None);
    };
    let mut facts = FileFacts {
        bytes: metadata.len(),
        sha256: checksum::of_file(file)
            .ok()
            .map(|sha256| sha256.to_string()),
        ..FileFacts::default()
    };
    let declared = match ModelDeclaration::read(file) {
        Ok(declared) => declared,
        Err(error) => return (Some(facts), Some(error.to_string())),
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let size = |name: &str| {
        let metadata = fs::metadata(folder.join(name)).ok()?;
        metadata.is_file().then_some(metadata.len())
    };
    facts.ir_version = declared.ir_version;
    facts.producer = declared.producer;
    facts.operator_sets = declared
        .operator_sets
        .into_iter()
        .map(|set| OperatorSetFacts {
            domain: set.domain,
            version: set.version,
        })
        .collect();
    facts.external_data = declared
        .external_data
        .into_iter()
        .map(|name| ExternalFile {
            bytes: size(&name),
            name,
        })
        .collect();
    (Some(facts), None)
}

/// Loads the model as `serve` does: a hazardous one in a child process first.
fn load(
    args: &InspectArgs,
    file: &Path,
    report: &mut Report,
) -> Result<LoadedModel, ModelLoadError> {
    let runtime = Runtime::load(&args.onnxruntime)?;
    let newest = NewestSupported::of(&runtime);
    let build = runtime.build().to_owned();
    let selection = select_provider(&runtime, args.execution_provider)?;
    report.onnxruntime = Some(RuntimeFacts {
        library: args.onnxruntime.display().to_string(),
        build,
        execution_provider: selection.active.name(),
        fallback: selection.fallback.as_ref().map(ToString::to_string),
        newest_ir_version: newest.ir_version,
        newest_operator_set: newest.operator_set,
    });
    let isolated_loader = args.isolated_loader();
    let loader = OnnxLoader {
        runtime,
        selection,
        links: LinkPolicy::BesideTheModel,
        workers: None,
        preference: args.batching_preference(),
        task: args.task,
        isolated_loader: None,
        failures: None,
    };
    match loader.load(file, HazardPolicy::Reject) {
        Err(ModelLoadError::Load(LoadError::Hazardous(hazard))) => {
            if let Some(isolated) = isolated_loader
                && let Err(failure) = isolated.run(file, isolated.limits())
            {
                return Err(ModelLoadError::Isolated { failure, hazard });
            }
            loader.load(file, HazardPolicy::Allow)
        }
        loaded => loaded,
    }
}

fn loaded_facts(loaded: &LoadedModel) -> LoadedFacts {
    let info = &loaded.info;
    let ports = |ports: &[Port]| ports.iter().map(port).collect();
    LoadedFacts {
        inputs: ports(&info.signature.inputs),
        outputs: ports(&info.signature.outputs),
        task: task(info),
        batching: BatchingStatus::clone(&info.batching),
        memory_bytes: info.memory,
        workers: loaded.others.len() + 1,
        load_ms: u64::try_from(info.load_time.as_millis()).unwrap_or(u64::MAX),
        requests: samples(MODEL_NAME, &info.signature, info.task.as_ref().ok()),
    }
}

fn port(port: &Port) -> PortFacts {
    let length = |dimension: &Dimension| match dimension {
        Dimension::Any => -1,
        Dimension::Fixed(length) => i64::try_from(*length).unwrap_or(i64::MAX),
    };
    PortFacts {
        name: port.name.clone(),
        datatype: match &port.kind {
            PortKind::Tensor(element) => datatype_name(*element).to_owned(),
            PortKind::Other(name) => name.clone(),
        },
        shape: port
            .shape
            .as_ref()
            .map(|shape| shape.iter().map(length).collect()),
        optional: port.optional,
    }
}

fn task(info: &ModelInfo) -> TaskFacts {
    match &info.task {
        Ok(TaskModel::Tabular(model)) => TaskFacts::Tabular {
            columns: model
                .table
                .columns()
                .iter()
                .map(|column| ColumnFacts {
                    name: column.name.clone(),
                    datatype: datatype_name(column.element),
                    values: column.width.get(),
                })
                .collect(),
            classifier: model.outputs.is_classifier(),
            // Scores that aren't probabilities have names of columns, too.
            classes: match info
                .classes
                .first()
                .filter(|_| model.outputs.is_classifier())
            {
                Some((_, Classes::Names(names))) => names.clone(),
                Some((_, Classes::Numbers(numbers))) => {
                    numbers.iter().map(ToString::to_string).collect()
                }
                None => Vec::new(),
            },
        },
        Ok(TaskModel::Text(model)) => text(model, &info.signature),
        Ok(TaskModel::Image(model)) => {
            let size = model.size();
            TaskFacts::Image {
                task: Task::ImageClassification.name(),
                width: size.map(|size| size.width),
                height: size.map(|size| size.height),
                channels: model.input().channels,
                classes: model
                    .classes()
                    .map(|classes| classes.names().to_vec())
                    .unwrap_or_default(),
            }
        }
        Err(reason) => TaskFacts::Tensor {
            reason: NoTask::to_string(reason),
        },
    }
}

fn text(model: &TextModel, signature: &Signature) -> TaskFacts {
    let width = |output: &usize| {
        let port = signature.tensor_outputs().nth(*output)?;
        match port.shape.as_deref()? {
            [.., Dimension::Fixed(width)] => Some(*width),
            _ => None,
        }
    };
    let (classes, embedding_size) = match model.reading() {
        Reading::Classes { labels, .. } | Reading::Entities { labels, .. } => {
            let names = (0..labels.len()).map(|column| labels.name(column).to_string());
            (names.collect(), None)
        }
        Reading::Relevance { .. } => (Vec::new(), None),
        Reading::Sentences { output, .. } => (Vec::new(), width(output)),
        Reading::Tokens {
            output, pooling, ..
        } => {
            let size = width(output).map(|width| width.saturating_mul(pooling.len()));
            (Vec::new(), size)
        }
    };
    TaskFacts::Text {
        task: model.task().name(),
        max_tokens: model.max_tokens(),
        classes,
        embedding_size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let problem = |expected: &str| {
            let problem = model_file(path).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        problem("has no model");
        fs::write(path.join("iris.onnx"), "").unwrap();
        assert_eq!(model_file(path), Ok(path.join("iris.onnx")));
        fs::write(path.join("other.onnx"), "").unwrap();
        problem("several models");
        fs::write(path.join(MODEL_FILE), "").unwrap();
        assert_eq!(model_file(path), Ok(path.join(MODEL_FILE)));
        assert!(model_file(&path.join("missing")).is_err());
    }

    #[test]
    fn a_file_that_is_no_model_still_has_a_size_and_a_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.onnx");
        fs::write(&file, "no model").unwrap();
        let (facts, unreadable) = file_facts(&file);
        let facts = facts.unwrap();
        assert_eq!(facts.bytes, 8);
        assert!(facts.sha256.is_some() && facts.ir_version.is_none());
        assert!(unreadable.is_some_and(|error| error.contains("not an ONNX model")));
    }
}
