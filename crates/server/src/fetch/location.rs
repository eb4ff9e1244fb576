//! The location of a model.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

/// The source of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file in a mounted volume.
    File(PathBuf),
    /// A web server.
    Http(HttpUrl),
}

/// An `http://` or `https://` URL. It is displayed without its query, which may contain a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(Uri);

impl HttpUrl {
    /// The URL with its query.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self
            .0
            .authority()
            .map_or("", |authority| authority.as_str());
        write!(formatter, "{scheme}://{authority}{}", self.0.path())
    }
}

/// The error of an invalid URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUri {
    /// The scheme isn't supported.
    #[error("the URI must begin with file:///, https:// or http://")]
    Scheme,
    /// A file URI with a host or without a path.
    #[error("a file URI must be file:///PATH")]
    FilePath,
    /// It isn't a URL, or has no host.
    #[error(
        "the URL must be https://HOST/PATH or http://HOST/PATH, with blanks, <, > and the like escaped"
    )]
    Url,
    /// The URL has a user name or password.
    #[error("the URL must not contain a user name or password")]
    Credentials,
}

impl FromStr for Source {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("file://") {
            // It isn't unescaped: the operator writes the names of keys and files as they are.
            let path = Path::new(path);
            let names_a_file = path.is_absolute() && path.file_name().is_some();
            return if names_a_file {
                Ok(Self::File(path.into()))
            } else {
                Err(InvalidUri::FilePath)
            };
        }
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return Err(InvalidUri::Scheme);
        }
        let uri: Uri = text.parse().map_err(|_invalid| InvalidUri::Url)?;
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => Err(InvalidUri::Credentials),
            Some(authority) if is_reachable(authority) => Ok(Self::Http(HttpUrl(uri))),
            _ => Err(InvalidUri::Url),
        }
    }
}

/// Whether there is a host, and a valid port if there is one. In `https://user:pass/word@host/` the port is `pass`.
/// Such a URL is rejected before its path is logged.
fn is_reachable(authority: &Authority) -> bool {
    let host = authority.host();
    !host.is_empty() && (authority.as_str() == host || authority.port_u16().is_some())
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "file://{}", path.display()),
            Self::Http(url) => url.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_uris_are_accepted() {
        for (text, printed) in [
            ("file:///source/model.onnx", "file:///source/model.onnx"),
            ("file:///source/a b/50%.onnx", "file:///source/a b/50%.onnx"),
            (
                "https://example.com/m.onnx?token=secret",
                "https://example.com/m.onnx",
            ),
            (
                "http://models.default.svc:8080/m",
                "http://models.default.svc:8080/m",
            ),
            ("http://[::1]:80/m", "http://[::1]:80/m"),
            // Every character that the rule of spec.model.uri allows.
            (
                "https://h/!$%&'()*+,-./09:;=@AZ[\\]^_az|~?!$%&'()*+,-./09:;=?@AZ[\\]^_az|~",
                "https://h/!$%&'()*+,-./09:;=@AZ[\\]^_az|~",
            ),
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn the_request_keeps_the_query() {
        let Ok(Source::Http(url)) = "https://example.com/m?token=secret".parse() else {
            panic!()
        };
        assert_eq!(url.uri().query(), Some("token=secret"));
    }

    #[test]
    fn invalid_uris_are_rejected() {
        for (text, refusal) in [
            ("ftp://example.com/m", InvalidUri::Scheme),
            ("model.onnx", InvalidUri::Scheme),
            ("", InvalidUri::Scheme),
            ("file://host/m", InvalidUri::FilePath),
            ("file:///", InvalidUri::FilePath),
            ("file:///source/..", InvalidUri::FilePath),
            ("https://", InvalidUri::Url),
            ("https:///m", InvalidUri::Url),
            ("https://exa mple.com/m", InvalidUri::Url),
            ("https://example.com/<m>", InvalidUri::Url),
            ("https://example.com/`m`", InvalidUri::Url),
            ("https://example.com:65536/m", InvalidUri::Url),
            ("https://user:pass/word@example.com/m", InvalidUri::Url),
            (
                "https://user:password@example.com/m",
                InvalidUri::Credentials,
            ),
        ] {
            assert_eq!(text.parse::<Source>(), Err(refusal), "{text}");
        }
    }
}
