//! `KServe`'s V1 protocol: `POST /v1/models/NAME:predict` with instances, and the models.
//!
//! The protocol is described at <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol>.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use springtide_contract::text::plain;
use springtide_tasks::answer::{Answer, Value};
use springtide_tasks::request::Protocol;

use crate::app::App;
use crate::models::MAX_MESSAGE;
use crate::predict::error::ApiError;
use crate::predict::{find, predictions_of};

/// What follows the name of a model in a prediction's path.
const PREDICT_SUFFIX: &str = ":predict";

/// The endpoints below `/v1`.
pub fn router() -> Router<Arc<App>> {
    let method_not_allowed = async || Error(ApiError::MethodNotAllowed);
    Router::new()
        .route("/v1/models", get(list).fallback(method_not_allowed))
        .route(
            "/v1/models/{call}",
            get(describe).post(predict).fallback(method_not_allowed),
        )
}

/// An error in the protocol's form: `{"error": "…"}`.
pub struct Error(pub ApiError);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let message = plain(&self.0.to_string(), MAX_MESSAGE).into_owned();
        let (parts, _) = self.0.into_response().into_parts();
        let mut response = (parts.status, Json(json!({ "error": message }))).into_response();
        if let Some(retry_after) = parts.headers.get(http::header::RETRY_AFTER) {
            let retry_after = retry_after.clone();
            response
                .headers_mut()
                .insert(http::header::RETRY_AFTER, retry_after);
        }
        response
    }
}

/// The names of the models that serve.
async fn list(State(app): State<Arc<App>>) -> Response {
    let serving = app.models.serving();
    let names: BTreeSet<&str> = serving.iter().map(|model| model.name()).collect();
    Json(json!({ "models": names })).into_response()
}

async fn describe(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let Path(name) = name.map_err(|_not_text| Error(ApiError::NotFound))?;
    let model = find(&app, &name).map_err(Error)?;
    Ok(Json(json!({ "name": model.name(), "ready": true })).into_response())
}

async fn predict(
    State(app): State<Arc<App>>,
    call: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let name = match &call {
        Ok(Path(call)) => call.strip_suffix(PREDICT_SUFFIX).ok_or(ApiError::NotFound),
        Err(_not_text) => Err(ApiError::NotFound),
    };
    let model = name
        .map_err(Error)
        .and_then(|name| find(&app, name).map_err(Error));
    let model = model.map_err(|Error(error)| error);
    let predicted = predictions_of(&app, model, request, Protocol::V1)
        .await
        .map_err(Error)?;
    let predictions: Vec<Value> = predicted.answers.into_iter().map(prediction).collect();
    Ok(Json(json!({ "predictions": predictions })).into_response())
}

/// The prediction of an instance: with its probabilities if they were requested.
fn prediction(answer: Answer) -> Value {
    match answer.probabilities {
        None => answer.prediction,
        Some(probabilities) => {
            let by_class = probabilities
                .into_iter()
                .map(|(class, one)| (class, Value::Float(one)));
            Value::Named(vec![
                ("prediction".to_owned(), answer.prediction),
                ("probabilities".to_owned(), Value::Named(by_class.collect())),
            ])
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::http::testing::{AT_ONCE, MODEL, TestResponse, get_path, ready_app, send};

    async fn post(app: &Arc<App>, path: &str, body: &'static str) -> TestResponse {
        send(app, Request::post(path).body(Body::from(body)).unwrap()).await
    }

    #[tokio::test]
    async fn instances_get_predictions() {
        let app = ready_app(AT_ONCE, 100);
        let path = format!("/v1/models/{MODEL}:predict");
        let answer = post(
            &app,
            &path,
            r#"{"instances": [[1, 0], {"features": [3, 0]}]}"#,
        )
        .await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({ "predictions": [1, 3] }))
        );
        let refused = post(&app, &path, r#"{"instances": [[1]]}"#).await;
        let problem = "instances[0] has 1 number, the model takes 2";
        assert_eq!(
            (refused.status, refused.json()),
            (422, json!({ "error": problem }))
        );
    }

    #[tokio::test]
    async fn models_are_listed_and_described() {
        let app = ready_app(AT_ONCE, 100);
        let list = get_path(&app, "/v1/models").await;
        assert_eq!(list.json(), json!({ "models": [MODEL] }));
        let one = get_path(&app, &format!("/v1/models/{MODEL}")).await;
        assert_eq!(one.json(), json!({ "name": MODEL, "ready": true }));
        for (answer, status) in [
            (get_path(&app, "/v1/models/unknown").await, 404),
            (post(&app, "/v1/models/unknown:predict", "{}").await, 404),
            (post(&app, &format!("/v1/models/{MODEL}"), "{}").await, 404),
            (post(&app, "/v1/models", "{}").await, 405),
        ] {
            assert_eq!(answer.status, status, "{}", answer.text);
            assert!(answer.json()["error"].is_string(), "{}", answer.text);
        }
    }
}
