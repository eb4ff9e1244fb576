//! The page at `/`, where people try models in a browser.
//!
//! It is static: an HTML document, scripts and a style, which the browser gets from this server only. It learns from
//! `GET /page/models` which fields a request has, and sends requests to `/predict/<name>` as every client does. Its
//! headers allow no other source of content, and no other page may contain it in a frame.

mod models;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use springtide_contract::paths;

use self::models::PageModels;
use crate::app::App;

const DOCUMENT: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/page.js");
const ANSWER_SCRIPT: &str = include_str!("page/answer.js");
const STYLE: &str = include_str!("page/page.css");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What a browser may load for the page: content of this server, and the icon and images that the page itself holds.
/// No text may become HTML or code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Headers of everything that belongs to the page.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // Another version of the server has another page.
    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// The endpoints of the page, or none if it isn't `served`.
pub fn router(served: bool) -> Router<Arc<App>> {
    if !served {
        return Router::new();
    }
    Router::new()
        .route(
            paths::PAGE,
            get(async || file("text/html; charset=utf-8", DOCUMENT)),
        )
        .route(paths::PAGE_SCRIPT, get(async || file(JAVASCRIPT, SCRIPT)))
        .route(
            paths::PAGE_ANSWER_SCRIPT,
            get(async || file(JAVASCRIPT, ANSWER_SCRIPT)),
        )
        .route(
            paths::PAGE_STYLE,
            get(async || file("text/css; charset=utf-8", STYLE)),
        )
        .route(paths::PAGE_MODELS, get(list))
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    (HEADERS, [(CONTENT_TYPE, content_type)], content).into_response()
}

async fn list(State(app): State<Arc<App>>) -> Response {
    (HEADERS, Json(PageModels::new(&app.models))).into_response()
}

#[cfg(test)]
mod tests;
