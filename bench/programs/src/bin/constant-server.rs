//! A minimal HTTP server in Rust for predictions: it parses the body of `/predict` and sends a constant response. The
//! difference to `springtide-server` is the cost of serving a model.

use anyhow::Context as _;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use serde::Deserialize;
use tokio::net::TcpListener;

/// As many bytes as a response of the iris model.
const ANSWER: &str =
    r#"{"prediction":0,"confidence":0.99965596,"latency_ms":0.358,"batch_size":1}"#;

/// Sends the same response to every valid request
#[derive(Parser)]
struct Cli {
    /// TCP port on 127.0.0.1
    #[arg(long)]
    port: u16,
}

#[derive(Deserialize)]
struct PredictRequest {
    features: Vec<f32>,
    request_id: Option<String>,
}

async fn predict(Json(request): Json<PredictRequest>) -> impl IntoResponse {
    // The value is used, so that the parser isn't optimized away.
    std::hint::black_box((request.features, request.request_id));
    ([(CONTENT_TYPE, "application/json")], ANSWER)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = Cli::parse().port;
    let router = Router::new()
        .route("/predict", post(predict))
        .route("/ready", get(|| async { "ready" }));
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("port {port}"))?;
    axum::serve(listener, router).await?;
    Ok(())
}
