//! Bodies of responses.

use std::num::NonZeroUsize;

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::json;
use springtide_contract::text::plain;
use springtide_tasks::answer::{Answer, Value};
use springtide_tasks::request::FieldError;

use super::requests::EncodingFormat;
use crate::models::{InferError, MAX_MESSAGE};
use crate::predict::Predictions;
use crate::predict::error::ApiError;

/// An error in `OpenAI`'s form.
pub(super) struct OpenAiError(pub(super) ApiError);

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let message = plain(&error.to_string(), MAX_MESSAGE).into_owned();
        let param = error.field().map(ToOwned::to_owned);
        let code = error.code();
        let mut response = error.into_response();
        let kind = if response.status().is_server_error() {
            "server_error"
        } else {
            "invalid_request_error"
        };
        let details = json!({ "message": message, "type": kind, "param": param, "code": code });
        let (parts, body) = Json(json!({ "error": details }))
            .into_response()
            .into_parts();
        for (name, value) in &parts.headers {
            response.headers_mut().insert(name, value.clone());
        }
        *response.body_mut() = body;
        response
    }
}

/// The body of a successful response of `POST /v1/embeddings`.
#[derive(Debug, Serialize)]
pub(super) struct Embeddings {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Numbers {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Embeddings {
    /// The embeddings of texts, in their order.
    ///
    /// # Errors
    /// When another number of dimensions is requested than the model has.
    pub(super) fn new(
        predictions: Predictions,
        model: String,
        format: EncodingFormat,
        dimensions: Option<NonZeroUsize>,
    ) -> Result<Self, ApiError> {
        let tokens = predictions.tokens;
        let embedding = |(index, answer): (usize, Answer)| {
            let Value::Floats(numbers) = answer.prediction else {
                return Err(InferError::Failed.into());
            };
            if dimensions.is_some_and(|wanted| wanted.get() != numbers.len()) {
                let problem = format!("must be {}, the model's own", numbers.len());
                return Err(ApiError::from(FieldError::new("dimensions", problem)));
            }
            let embedding = match format {
                EncodingFormat::Float => Numbers::Floats(numbers),
                EncodingFormat::Base64 => {
                    let bytes: Vec<u8> = numbers.iter().flat_map(|one| one.to_le_bytes()).collect();
                    Numbers::Base64(BASE64_STANDARD.encode(bytes))
                }
            };
            Ok(Embedding {
                object: "embedding",
                index,
                embedding,
            })
        };
        let answers = predictions.answers.into_iter().enumerate();
        Ok(Self {
            object: "list",
            data: answers.map(embedding).collect::<Result<_, _>>()?,
            model,
            usage: Usage {
                prompt_tokens: tokens,
                total_tokens: tokens,
            },
        })
    }
}

/// The positions of texts with their relevance, the most relevant first.
fn ranked(predictions: &Predictions) -> Vec<(usize, f32)> {
    let score = |answer: &Answer| match answer.prediction {
        Value::Float(score) => score,
        _ => 0.0,
    };
    let mut ranked: Vec<(usize, f32)> = predictions.answers.iter().map(score).enumerate().collect();
    // Stable: equal ones stay in their order.
    ranked.sort_by(|(_, first), (_, second)| second.total_cmp(first));
    ranked
}

/// The body of a successful response of Cohere's reranking.
#[derive(Debug, Serialize)]
pub(super) struct Ranking {
    results: Vec<RankedDocument>,
    meta: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct RankedDocument {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<serde_json::Value>,
}

impl Ranking {
    pub(super) fn new(
        predictions: &Predictions,
        top_n: Option<NonZeroUsize>,
        documents: Option<&[String]>,
    ) -> Self {
        let text = |index: usize| documents?.get(index);
        let document = |(index, relevance_score)| RankedDocument {
            index,
            relevance_score,
            document: text(index).map(|text| json!({ "text": text })),
        };
        let most = top_n.map_or(usize::MAX, NonZeroUsize::get);
        Self {
            results: ranked(predictions)
                .into_iter()
                .take(most)
                .map(document)
                .collect(),
            meta: json!({ "api_version": { "version": "2" } }),
        }
    }
}

/// An entry of a response of Text Embeddings Inference's reranking.
#[derive(Debug, Serialize)]
pub(super) struct TeiRank {
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl TeiRank {
    pub(super) fn of(predictions: &Predictions, texts: Option<&[String]>) -> Vec<Self> {
        let text = |index: usize| texts?.get(index).cloned();
        let rank = |(index, score)| Self {
            index,
            score,
            text: text(index),
        };
        ranked(predictions).into_iter().map(rank).collect()
    }
}
