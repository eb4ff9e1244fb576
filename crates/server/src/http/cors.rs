//! Cross-origin resource sharing (<https://fetch.spec.whatwg.org/#http-cors-protocol>): the origins whose pages may
//! read responses in browsers.

use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Method, Uri};
use springtide_open_inference::http::JSON_LENGTH_HEADER;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Time for which browsers may cache the response to a preflight request.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// An origin of pages, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// All origins.
    Any,
    /// One origin, as browsers send it.
    One(HeaderValue),
}

/// A text isn't an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin is `*`, or like https://example.com or http://localhost:3000, without a path")]
pub struct NoOrigin;

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let uri = Uri::from_str(text).map_err(|_invalid| NoOrigin)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(NoOrigin);
        };
        // A path, a user or a query isn't written again, so the texts differ.
        let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
        let has_user = authority.as_str().contains('@');
        if has_user || !matches!(scheme, "http" | "https") || origin != text.to_ascii_lowercase() {
            return Err(NoOrigin);
        }
        let value = HeaderValue::from_str(&origin).map_err(|_invalid| NoOrigin)?;
        Ok(Self::One(value))
    }
}

/// The origins whose pages may read responses: none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors(Vec<Origin>);

impl FromIterator<Origin> for Cors {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        Self(origins.into_iter().collect())
    }
}

impl Cors {
    /// Adds the headers that browsers need to the responses of the endpoints.
    pub fn layered(&self, endpoints: Router) -> Router {
        match self.layer() {
            Some(layer) => endpoints.layer(layer),
            None => endpoints,
        }
    }

    fn layer(&self) -> Option<CorsLayer> {
        let origins: Option<Vec<HeaderValue>> = self
            .0
            .iter()
            .map(|origin| match origin {
                Origin::Any => None,
                Origin::One(value) => Some(value.clone()),
            })
            .collect();
        let allowed = match origins {
            None => AllowOrigin::any(),
            Some(origins) if origins.is_empty() => return None,
            Some(origins) => AllowOrigin::list(origins),
        };
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([HeaderName::from_static(JSON_LENGTH_HEADER), RETRY_AFTER])
            .max_age(PREFLIGHT_AGE);
        Some(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for (text, sent) in [
            ("https://example.com", "https://example.com"),
            ("HTTP://Localhost:3000", "http://localhost:3000"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            let expected = Origin::One(HeaderValue::from_static(sent));
            assert_eq!(text.parse(), Ok(expected));
        }
        assert_eq!("*".parse(), Ok(Origin::Any));
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "",
            "example.com",
            "https://example.com/",
            "https://example.com/page",
            "https://example.com?x",
            "https://user@example.com",
            "ftp://example.com",
            "https://*.example.com extra",
            "null",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(NoOrigin), "{text}");
        }
    }

    #[test]
    fn no_origin_is_allowed_by_default() {
        assert!(Cors::default().layer().is_none());
        assert!(Cors(vec![Origin::Any]).layer().is_some());
    }
}
