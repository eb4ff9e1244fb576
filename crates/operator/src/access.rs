//! Authentication of readers of the metrics. The API server must accept their bearer token (`TokenReview`) and allow
//! its user to get the path `/metrics` (`SubjectAccessReview`). Controllers with controller-runtime or kube-rbac-proxy
//! do the same.
//!
//! Without a positive response of the API server, the reader is rejected.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::warn;

use crate::error::brief;

/// Path and verb that a reader must be allowed.
const PATH: &str = "/metrics";
const VERB: &str = "get";

/// Maximum bytes of a token. Those of service accounts have about a thousand.
const MAX_TOKEN_BYTES: usize = 8192;

/// Time for which a positive response is cached. A revoked token or permission is valid for as long.
const CACHE_DURATION: Duration = Duration::from_secs(60);

/// Maximum number of cached tokens.
const MAX_CACHED: usize = 64;

/// Maximum number of concurrent requests to the API server, so that clients with invalid tokens can't make this
/// operator flood it.
const MAX_CONCURRENT_REVIEWS: usize = 4;

/// Timeout of a request to the API server.
const API_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the metrics are not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The API server accepts no token of the request.
    Unauthenticated,
    /// The user isn't allowed to get them.
    Forbidden,
    /// The API server could not determine it.
    Unknown,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "send a token of this cluster: Authorization: Bearer TOKEN\n",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "this account may not get /metrics: bind it to the ClusterRole for readers of metrics in the operator's chart\n",
            ),
            Self::Unknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the API server can't check this token now: try again, and see the operator's log\n",
            ),
        };
        let mut response = (status, text).into_response();
        if self == Self::Unauthenticated {
            let scheme = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Authenticates readers of the metrics, and caches positive responses.
pub struct Access {
    client: Client,
    cache: Mutex<TokenCache>,
    reviews: Semaphore,
}

impl Access {
    /// Uses this client, whose account needs permission to create TokenReviews and SubjectAccessReviews.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            cache: Mutex::default(),
            reviews: Semaphore::new(MAX_CONCURRENT_REVIEWS),
        }
    }

    /// Whether a request with these headers may read the metrics.
    ///
    /// # Errors
    ///
    /// If it may not, or if that can't be determined.
    pub async fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let token = bearer(headers).ok_or(Denied::Unauthenticated)?;
        let digest: TokenDigest = Sha256::digest(token).into();
        if self.with_cache(|cache| cache.contains(&digest, Instant::now())) {
            return Ok(());
        }
        let _permit = self.reviews.try_acquire().map_err(|_| Denied::Unknown)?;
        let reviewed_at = Instant::now();
        match timeout(API_TIMEOUT, self.review(token)).await {
            Ok(Ok(verdict)) => {
                verdict?;
                self.with_cache(|cache| cache.insert(digest, reviewed_at));
                Ok(())
            }
            Ok(Err(error)) => {
                warn!(
                    error = brief(&error),
                    "a reader of the metrics could not be authenticated"
                );
                Err(Denied::Unknown)
            }
            Err(_) => {
                warn!("a reader of the metrics could not be authenticated in time");
                Err(Denied::Unknown)
            }
        }
    }

    async fn review(&self, token: &str) -> Result<Result<(), Denied>, kube::Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let reviewed = Api::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await?;
        let Some(user) = authenticated(reviewed) else {
            return Ok(Err(Denied::Unauthenticated));
        };
        let reviewed = Api::all(self.client.clone())
            .create(&PostParams::default(), &access_of(user))
            .await?;
        Ok(if is_allowed(&reviewed) {
            Ok(())
        } else {
            Err(Denied::Forbidden)
        })
    }

    fn with_cache<T>(&self, change: impl FnOnce(&mut TokenCache) -> T) -> T {
        change(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The token of a request with exactly one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let is_token = !token.is_empty()
        && token.len() <= MAX_TOKEN_BYTES
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// The user of a token, from the API server.
fn authenticated(review: TokenReview) -> Option<UserInfo> {
    let status = review.status?;
    let is_known = status.authenticated == Some(true);
    status.user.filter(|user| {
        let name = user.username.as_deref().unwrap_or_default();
        is_known && !name.is_empty()
    })
}

fn access_of(user: UserInfo) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            groups: user.groups,
            uid: user.uid,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(PATH.to_owned()),
                verb: Some(VERB.to_owned()),
            }),
            resource_attributes: None,
        },
        ..SubjectAccessReview::default()
    }
}

fn is_allowed(review: &SubjectAccessReview) -> bool {
    review
        .status
        .as_ref()
        .is_some_and(|status| status.allowed && status.denied != Some(true))
}

/// A hash of a token, which is cached instead of it.
type TokenDigest = [u8; 32];

/// Tokens that may read the metrics, oldest first.
#[derive(Debug, Default)]
struct TokenCache(Vec<(TokenDigest, Instant)>);

impl TokenCache {
    fn contains(&mut self, digest: &TokenDigest, now: Instant) -> bool {
        self.0
            .retain(|(_, reviewed_at)| now.duration_since(*reviewed_at) < CACHE_DURATION);
        self.0.iter().any(|(known, _)| known == digest)
    }

    fn insert(&mut self, digest: TokenDigest, reviewed_at: Instant) {
        self.0.retain(|(known, _)| *known != digest);
        if self.0.len() >= MAX_CACHED {
            self.0.remove(0);
        }
        self.0.push((digest, reviewed_at));
    }
}

#[cfg(test)]
mod tests;
