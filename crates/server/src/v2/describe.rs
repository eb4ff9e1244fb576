//! Metadata, configuration and statistics of the server and its models.

use std::sync::Arc;

use serde_json::json;
use springtide_inference::Classes;
use springtide_inference::onnx::Provider;
use springtide_open_inference::grpc::message::repository_index_response::ModelIndex;
use springtide_open_inference::grpc::message::{
    InferBatchStatistics, InferStatistics, ModelConfig, ModelMetadataResponse, ModelStatistics,
    ModelStatisticsResponse, ServerMetadataResponse, StatisticDuration,
};
use springtide_open_inference::metadata::{self, Serving};

use crate::models::statistics::Times;
use crate::models::{Model, Repository, State};

/// The backend of all models, as Triton names it.
const BACKEND: &str = "onnxruntime";

pub(crate) fn server_metadata() -> ServerMetadataResponse {
    metadata::server("springtide", env!("CARGO_PKG_VERSION"))
}

/// The metadata of a version, with all versions of its model that serve.
pub(crate) fn model_metadata(models: &Repository, model: &Model) -> ModelMetadataResponse {
    let versions = models
        .serving()
        .into_iter()
        .filter(|other| other.name() == model.name())
        .map(|other| other.version().to_owned());
    metadata::model(
        model.name(),
        versions.collect(),
        Model::platform(),
        model.signature(),
    )
}

pub(crate) fn model_config(model: &Model) -> ModelConfig {
    let facts = model.info();
    let batching = model.batching();
    let mut parameters = vec![
        ("execution_provider", facts.provider.name()),
        ("batching_reason", batching.reason.name()),
        ("batching_message", &batching.message),
    ];
    let memory = facts.memory.map(|bytes| bytes.to_string());
    if let Some(memory) = &memory {
        parameters.push(("memory_bytes_after_load", memory));
    }
    if let Some(reason) = &facts.fallback {
        parameters.push(("execution_provider_fallback", reason));
    }
    let classes: Vec<(String, String)> = facts
        .classes
        .iter()
        .map(|(output, classes)| (format!("classes:{output}"), names(classes)))
        .collect();
    let classes = classes.iter().map(|(name, value)| (&**name, &**value));
    parameters.extend(classes);
    let serving = Serving {
        name: model.name(),
        platform: Model::platform(),
        backend: BACKEND,
        max_batch_rows: model.max_rows(),
        max_wait: model.max_wait(),
        instances: model.workers().get(),
        on_gpu: facts.provider != Provider::Cpu,
        parameters: &parameters,
    };
    metadata::config(model.signature(), &serving)
}

/// The classes as a JSON list.
fn names(classes: &Classes) -> String {
    match classes {
        Classes::Numbers(numbers) => json!(numbers).to_string(),
        Classes::Names(names) => json!(names).to_string(),
    }
}

pub(crate) fn statistics(models: &[Arc<Model>]) -> ModelStatisticsResponse {
    ModelStatisticsResponse {
        model_stats: models.iter().map(|model| model_statistics(model)).collect(),
    }
}

fn model_statistics(model: &Model) -> ModelStatistics {
    let statistics = model.statistics();
    let batch = |rows, compute: Times| InferBatchStatistics {
        batch_size: rows,
        // The preparation of inputs and outputs is a part of the run.
        compute_input: none(compute.count),
        compute_infer: duration(compute),
        compute_output: none(compute.count),
    };
    let inferred = statistics.compute.count;
    ModelStatistics {
        name: model.name().to_owned(),
        version: model.version().to_owned(),
        last_inference: statistics.last_inference,
        inference_count: statistics.inferences,
        execution_count: statistics.executions,
        inference_stats: Some(InferStatistics {
            success: duration(statistics.success),
            fail: duration(statistics.fail),
            queue: duration(statistics.queue),
            compute_input: none(inferred),
            compute_infer: duration(statistics.compute),
            compute_output: none(inferred),
            // There is no cache.
            cache_hit: none(0),
            cache_miss: none(0),
        }),
        batch_stats: statistics
            .batches
            .iter()
            .map(|times| batch(times.rows, times.compute))
            .collect(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "messages are optional fields")]
const fn duration(times: Times) -> Option<StatisticDuration> {
    Some(StatisticDuration {
        count: times.count,
        ns: times.nanoseconds,
    })
}

const fn none(count: u64) -> Option<StatisticDuration> {
    duration(Times {
        count,
        nanoseconds: 0,
    })
}

/// The index of all versions, or of those that serve.
pub(crate) fn index(models: &Repository, ready: bool) -> Vec<ModelIndex> {
    let entries = models.index().into_iter();
    entries
        .filter(|entry| !ready || entry.state == State::Ready)
        .map(|entry| ModelIndex {
            name: entry.name,
            version: entry.version,
            state: match entry.state {
                State::Ready => "READY",
                State::Loading => "LOADING",
                State::Unavailable => "UNAVAILABLE",
            }
            .to_owned(),
            reason: entry.reason,
        })
        .collect()
}
