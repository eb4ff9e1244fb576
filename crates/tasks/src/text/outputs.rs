//! Outputs of text models: which one has the answer, and its floats.

use std::borrow::Cow;

use springtide_inference::{ElementType, Port, Signature, TensorView};

use super::answer::OutputError;

/// Names of outputs with the embedding of a text, by optimum and sentence-transformers.
const SENTENCE: [&str; 1] = ["sentence_embedding"];

/// Names of outputs with the embeddings of tokens.
const TOKENS: [&str; 2] = ["token_embeddings", "last_hidden_state"];

/// Names of outputs with embeddings.
const EMBEDDINGS: [&str; 4] = [
    "sentence_embedding",
    "token_embeddings",
    "last_hidden_state",
    "pooler_output",
];

/// Names of outputs with scores of classes.
const LOGITS: [&str; 1] = ["logits"];

/// An output with embeddings, by its number among the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmbeddingOutput {
    /// Of texts, `[N, H]`.
    Sentence(usize),
    /// Of tokens, `[N, L, H]`.
    Tokens(usize),
}

/// Whether an output has floats and may have a rank.
fn fits(port: &Port, rank: usize) -> bool {
    port.element().is_some_and(ElementType::is_float)
        && port.shape.as_ref().is_none_or(|shape| shape.len() == rank)
}

fn named(signature: &Signature, names: &[&str], rank: usize) -> Option<usize> {
    names.iter().find_map(|name| {
        let mut outputs = signature.tensor_outputs();
        outputs.position(|port| port.name == *name && fits(port, rank))
    })
}

/// The only output of a rank, without those whose names say that they have something else.
fn only(signature: &Signature, rank: usize, others: &[&str]) -> Option<usize> {
    let outputs = signature.tensor_outputs().enumerate();
    let mut fitting = outputs.filter(|(_, port)| {
        port.shape.is_some() && fits(port, rank) && !others.contains(&port.name.as_str())
    });
    let (index, _) = fitting.next()?;
    fitting.next().is_none().then_some(index)
}

/// The output of class scores: `logits`, or the only one of this rank. The rank is 2 for classes of texts and 3 for
/// classes of tokens.
#[must_use]
pub(crate) fn class_output(signature: &Signature, rank: usize) -> Option<usize> {
    named(signature, &LOGITS, rank).or_else(|| only(signature, rank, &EMBEDDINGS))
}

/// Whether the model has an output `logits`.
#[must_use]
pub(crate) fn has_logits(signature: &Signature, rank: usize) -> bool {
    named(signature, &LOGITS, rank).is_some()
}

/// The output of embeddings by a name of the exporters.
#[must_use]
pub(crate) fn named_embedding_output(signature: &Signature) -> Option<EmbeddingOutput> {
    let sentence = named(signature, &SENTENCE, 2).map(EmbeddingOutput::Sentence);
    sentence.or_else(|| named(signature, &TOKENS, 3).map(EmbeddingOutput::Tokens))
}

/// The output of embeddings: by its name, otherwise the only one of tokens, otherwise the only one of texts.
#[must_use]
pub(crate) fn embedding_output(signature: &Signature) -> Option<EmbeddingOutput> {
    named_embedding_output(signature)
        .or_else(|| only(signature, 3, &LOGITS).map(EmbeddingOutput::Tokens))
        .or_else(|| only(signature, 2, &LOGITS).map(EmbeddingOutput::Sentence))
}

/// The outputs of a signature, for an error.
#[must_use]
pub(crate) fn shown(signature: &Signature) -> String {
    let outputs: Vec<_> = signature.outputs.iter().map(ToString::to_string).collect();
    match outputs.len() {
        0 => "missing".to_owned(),
        _ => outputs.join(", "),
    }
}

/// The floats of an output, as 32-bit floats.
///
/// # Errors
/// When it isn't of floats.
pub(crate) fn floats<'a>(output: &TensorView<'a>) -> Result<Cow<'a, [f32]>, OutputError> {
    let unlike = || OutputError::Type {
        given: output.to_string(),
    };
    output.data().floats().ok_or_else(unlike)
}

#[cfg(test)]
mod tests {
    use springtide_inference::Dimension;

    use super::*;

    fn signature(outputs: &[(&str, ElementType, usize)]) -> Signature {
        let port = |(name, element, rank): &(&str, ElementType, usize)| {
            Port::tensor(*name, *element, vec![Dimension::Any; *rank])
        };
        Signature {
            inputs: vec![],
            outputs: outputs.iter().map(port).collect(),
        }
    }

    const F32: ElementType = ElementType::F32;

    #[test]
    fn an_embedding_is_found_by_its_name_and_then_by_its_rank() {
        use EmbeddingOutput::{Sentence, Tokens};
        for (outputs, expected) in [
            (
                vec![("token_embeddings", F32, 3), ("sentence_embedding", F32, 2)],
                Some(Sentence(1)),
            ),
            (
                vec![("pooler_output", F32, 2), ("last_hidden_state", F32, 3)],
                Some(Tokens(1)),
            ),
            (
                vec![("pooler", F32, 2), ("hidden", ElementType::F16, 3)],
                Some(Tokens(1)),
            ),
            (vec![("x", F32, 2)], Some(Sentence(0))),
            (vec![("x", F32, 2), ("y", F32, 2)], None),
            (vec![("logits", F32, 2)], None),
            (vec![("sentence_embedding", ElementType::I64, 2)], None),
            (vec![], None),
        ] {
            assert_eq!(
                embedding_output(&signature(&outputs)),
                expected,
                "{outputs:?}"
            );
        }
    }

    #[test]
    fn classes_are_found_by_their_name_and_then_by_their_rank() {
        let outputs = [("x", F32, 2), ("logits", ElementType::Bf16, 2)];
        assert_eq!(class_output(&signature(&outputs), 2), Some(1));
        assert_eq!(class_output(&signature(&outputs), 3), None);
        assert_eq!(class_output(&signature(&outputs[..1]), 2), Some(0));
        let hidden = [("last_hidden_state", F32, 3)];
        assert_eq!(class_output(&signature(&hidden), 3), None);
        assert!(has_logits(&signature(&outputs), 2));
        assert!(!has_logits(&signature(&outputs[..1]), 2));
    }
}
