//! `POST /v1/embeddings` as `OpenAI`'s clients send it, and reranking as Cohere's and Text Embeddings Inference's do.
//!
//! The protocols are described at <https://platform.openai.com/docs/api-reference/embeddings>,
//! <https://docs.cohere.com/reference/rerank> and <https://huggingface.github.io/text-embeddings-inference>.

mod requests;
mod responses;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use springtide_contract::task::Task;
use springtide_tasks::TaskModel;
use springtide_tasks::request::{FieldError, InvalidRequest};
use springtide_tasks::text::request::{TextRequest, max_body_bytes};

use self::requests::{EmbeddingsRequest, RerankRequest, TeiRequest};
use self::responses::{Embeddings, OpenAiError, Ranking, TeiRank};
use crate::app::App;
use crate::body::{self, BufferedBody};
use crate::models::Model;
use crate::predict::error::ApiError;
use crate::predict::{Predictions, counted, find, refused, run_texts};
use crate::request_memory::Reservation;

/// Maximum bytes of a text in the limit of a body. The model has the limit of each text.
const BYTES_PER_TEXT: usize = 64 << 10;

/// The endpoints.
pub fn router() -> Router<Arc<App>> {
    let openai = async || OpenAiError(ApiError::MethodNotAllowed);
    let others = async || ApiError::MethodNotAllowed;
    Router::new()
        .route("/v1/embeddings", post(embeddings).fallback(openai))
        .route("/v1/rerank", post(rerank).fallback(others))
        .route("/v2/rerank", post(rerank).fallback(others))
        .route("/rerank", post(tei_rerank).fallback(others))
}

async fn embeddings(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, OpenAiError> {
    let answered = async {
        let (wanted, reservation): (EmbeddingsRequest, _) = read(&app, request).await?;
        let model = find(&app, &wanted.model);
        let EmbeddingsRequest {
            input,
            encoding_format,
            dimensions,
            model: name,
        } = wanted;
        let texts = input
            .into_texts()
            .and_then(|texts| TextRequest::new(texts, "input"));
        let predicted = run(&app, model, Task::TextEmbedding, texts, reservation).await?;
        let embeddings = Embeddings::new(predicted, name, encoding_format, dimensions)?;
        Ok(Json(embeddings).into_response())
    };
    answered.await.map_err(OpenAiError)
}

async fn rerank(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let (wanted, reservation): (RerankRequest, _) = read(&app, request).await?;
    let model = match &wanted.model {
        Some(name) => find(&app, name),
        None => app.models.default_model().map_err(ApiError::from),
    };
    let documents = wanted.documents();
    let pairs = documents
        .iter()
        .map(|document| (wanted.query.clone(), Some(document.clone())));
    let texts = TextRequest::new(pairs.collect(), "documents");
    let predicted = run(&app, model, Task::TextPair, texts, reservation).await?;
    let returned = wanted.return_documents.then_some(&*documents);
    Ok(Json(Ranking::new(&predicted, wanted.top_n, returned)).into_response())
}

async fn tei_rerank(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let (wanted, reservation): (TeiRequest, _) = read(&app, request).await?;
    if wanted.raw_scores {
        let problem = "can't be used: scores are those of the model's activation function";
        return Err(FieldError::new("raw_scores", problem).into());
    }
    let model = app.models.default_model().map_err(ApiError::from);
    let pairs = wanted
        .texts
        .iter()
        .map(|text| (wanted.query.clone(), Some(text.clone())));
    let texts = TextRequest::new(pairs.collect(), "texts");
    let predicted = run(&app, model, Task::TextPair, texts, reservation).await?;
    let returned = wanted.return_text.then_some(&*wanted.texts);
    Ok(Json(TeiRank::of(&predicted, returned)).into_response())
}

/// Reads a body, and counts a request whose body can't be read.
async fn read<T: DeserializeOwned + Send + 'static>(
    app: &App,
    request: Request,
) -> Result<(T, Reservation), ApiError> {
    match try_read(app, request).await {
        Ok(read) => Ok(read),
        Err(error) => refused(app, error).await,
    }
}

async fn try_read<T: DeserializeOwned + Send + 'static>(
    app: &App,
    request: Request,
) -> Result<(T, Reservation), ApiError> {
    let (parts, body) = request.into_parts();
    let deadline = tokio::time::Instant::now() + app.request_timeout;
    let limit = max_body_bytes(BYTES_PER_TEXT);
    let memory = &app.request_memory;
    let body = body::read(memory, &parts.headers, body, limit, deadline);
    let BufferedBody { bytes, reservation } = body.await?;
    let parse = move || {
        let parsed = serde_json::from_slice(&bytes);
        parsed.map_err(|error| InvalidRequest::Malformed(error.to_string()).into())
    };
    Ok((app.preparation.run(parse).await?, reservation))
}

/// Runs texts on a model that must have a task.
async fn run(
    app: &App,
    model: Result<Arc<Model>, ApiError>,
    task: Task,
    texts: Result<TextRequest, FieldError>,
    reservation: Reservation,
) -> Result<Predictions, ApiError> {
    let model = model.and_then(|model| match model.task() {
        Ok(TaskModel::Text(text)) if text.task() == task => Ok(model),
        Ok(other) => Err(ApiError::OtherTask {
            task: other.task(),
            expected: task,
        }),
        Err(reason) => Err(ApiError::Unsupported(reason.clone())),
    });
    counted(app, model, async |model, call| {
        run_texts(app, call, model, reservation, move || Ok(texts?)).await
    })
    .await
}

#[cfg(test)]
mod tests;
