//! Tasks of models, as a ModelService and a flag of the server name them.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// What a model does, which decides what requests to `/predict` contain and how its outputs are read.
///
/// Serialized as `spec.model.task` has it (`TextClassification`); [`Self::name`] is the value of the server's flag
/// (`text-classification`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum Task {
    /// Rows of named columns or of features: classes, numbers.
    Tabular,
    /// A text, or a pair of texts: its class.
    TextClassification,
    /// A text: its embedding.
    TextEmbedding,
    /// A query and texts: their relevance, for reranking.
    TextPair,
    /// A text: classes of its words, such as names of persons.
    TokenClassification,
    /// An image: its class.
    ImageClassification,
    /// Tensors only, through the Open Inference Protocol.
    Tensor,
}

names! {
    Task {
        Tabular: "tabular",
        TextClassification: "text-classification",
        TextEmbedding: "text-embedding",
        TextPair: "text-pair",
        TokenClassification: "token-classification",
        ImageClassification: "image-classification",
        Tensor: "tensor",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_parsed_from_its_name() {
        for task in Task::ALL {
            assert_eq!(task.to_string().parse(), Ok(*task));
        }
        assert!("Tabular".parse::<Task>().is_err());
    }
}
