//! Types of values of flags.

use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use springtide_contract::batching::{BatchingMode, BatchingPolicy};
use springtide_contract::execution_provider::ExecutionProvider;
use springtide_contract::names::UnknownName;
use springtide_contract::task::Task;

/// A number of bytes, rows, threads or connections, which is at least 1, as a number of the platform.
pub(crate) fn count(number: impl Into<u64>) -> NonZeroUsize {
    let number = usize::try_from(number.into()).unwrap_or(usize::MAX);
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// Values of a flag, by the names that the contract gives them, each with its help text.
fn values<T>(
    all: &[T],
    name: fn(T) -> &'static str,
    help: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + FromStr<Err = UnknownName> + Send + Sync + 'static,
{
    let value = |value: &T| PossibleValue::new(name(*value)).help(help(*value));
    PossibleValuesParser::new(all.iter().map(value)).try_map(|name| name.parse())
}

pub(super) fn execution_provider() -> impl TypedValueParser<Value = ExecutionProvider> {
    values(
        ExecutionProvider::ALL,
        ExecutionProvider::name,
        |provider| match provider {
            ExecutionProvider::Auto => {
                "NVIDIA GPU if one is usable, otherwise the CPU; log, metadata and metrics show the choice"
            }
            ExecutionProvider::Cpu => "CPU",
            ExecutionProvider::Cuda => "NVIDIA GPU; the server does not start if none is usable",
            ExecutionProvider::TensorRt => {
                "NVIDIA GPU through TensorRT, which compiles a model for minutes when it is loaded; the \
             server does not start if it is not usable"
            }
        },
    )
}

pub(super) fn batching_mode() -> impl TypedValueParser<Value = BatchingMode> {
    values(BatchingMode::ALL, BatchingMode::name, |mode| match mode {
        BatchingMode::Auto => {
            "Requests share batches where the model's graph proves that rows are independent, or, where \
             the graph doesn't decide it, where trial runs find no dependence"
        }
        BatchingMode::Always => "Requests share batches: you guarantee that rows are independent",
        BatchingMode::Never => "Each request runs alone",
    })
}

pub(super) fn task() -> impl TypedValueParser<Value = Task> {
    values(Task::ALL, Task::name, |task| match task {
        Task::Tabular => "Rows of columns or features",
        Task::TextClassification => "A text, or a pair of texts: its class",
        Task::TextEmbedding => "A text: its embedding",
        Task::TextPair => "A query and a text: the relevance of the text",
        Task::TokenClassification => "A text: the classes of its words",
        Task::ImageClassification => "An image: its class",
        Task::Tensor => "Tensors only, through the Open Inference Protocol",
    })
}

pub(super) fn batching_policy() -> impl TypedValueParser<Value = BatchingPolicy> {
    values(
        BatchingPolicy::ALL,
        BatchingPolicy::name,
        |policy| match policy {
            BatchingPolicy::WorkConserving => "As soon as a worker is idle",
            BatchingPolicy::Window => {
                "When the batch is full or the oldest request has waited for --max-wait-ms"
            }
        },
    )
}
