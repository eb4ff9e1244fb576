//! Bodies of requests.

use std::num::NonZeroUsize;

use serde::Deserialize;
use springtide_tasks::request::FieldError;

/// The body of `POST /v1/embeddings`.
#[derive(Debug, Deserialize)]
pub(super) struct EmbeddingsRequest {
    pub(super) model: String,
    pub(super) input: Input,
    #[serde(default)]
    pub(super) encoding_format: EncodingFormat,
    pub(super) dimensions: Option<NonZeroUsize>,
}

/// Texts. `OpenAI` also takes tokens, which are those of its own tokenizer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Input {
    One(String),
    Many(Vec<String>),
    Other(serde::de::IgnoredAny),
}

impl Input {
    pub(super) fn into_texts(self) -> Result<Vec<(String, Option<String>)>, FieldError> {
        match self {
            Self::One(text) => Ok(vec![(text, None)]),
            Self::Many(texts) => Ok(texts.into_iter().map(|text| (text, None)).collect()),
            Self::Other(_) => Err(FieldError::new(
                "input",
                "must be a string, or a list of strings: tokens of another tokenizer can't be used",
            )),
        }
    }
}

/// Format of the numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian 32-bit floats as base64.
    Base64,
}

/// The body of Cohere's `POST /v1/rerank` and `/v2/rerank`.
#[derive(Debug, Deserialize)]
pub(super) struct RerankRequest {
    pub(super) model: Option<String>,
    pub(super) query: String,
    documents: Vec<Document>,
    pub(super) top_n: Option<NonZeroUsize>,
    #[serde(default)]
    pub(super) return_documents: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Document {
    Text(String),
    Fields { text: String },
}

impl RerankRequest {
    pub(super) fn documents(&self) -> Vec<String> {
        let text = |document: &Document| match document {
            Document::Text(text) | Document::Fields { text } => text.clone(),
        };
        self.documents.iter().map(text).collect()
    }
}

/// The body of `POST /rerank` of Text Embeddings Inference.
#[derive(Debug, Deserialize)]
pub(super) struct TeiRequest {
    pub(super) query: String,
    pub(super) texts: Vec<String>,
    #[serde(default)]
    pub(super) raw_scores: bool,
    #[serde(default)]
    pub(super) return_text: bool,
}
