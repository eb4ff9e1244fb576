//! Parsed sources of models.

use std::{fmt, str::FromStr};

use crate::model::{Model, SecretKey};

/// Maximum length of a model's URI, in characters.
const MAX_URI_LENGTH: usize = 2048;

/// Maximum length of the name of an object and of a key of a Secret, in characters.
const MAX_OBJECT_NAME_LENGTH: usize = 253;

/// Source of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelUri {
    /// `configMap://NAME/KEY`: a key of a ConfigMap in the namespace of the ModelService.
    ConfigMap {
        /// Name of the ConfigMap.
        name: String,
        /// Key in its `data` or `binaryData`.
        key: String,
    },
    /// `pvc://CLAIM/PATH`: a file on a volume in the namespace of the ModelService.
    Claim {
        /// Name of the PersistentVolumeClaim.
        claim: String,
        /// Path of the file, relative to the root of the volume; no segment is empty, `.` or `..`.
        path: String,
    },
    /// `https://…` or `http://…`: a file on a web server.
    Http {
        /// The whole URL.
        url: String,
    },
    /// A secret URL: a key of a Secret in the namespace of the ModelService.
    Secret {
        /// Name of the Secret.
        name: String,
        /// Key in its `data`.
        key: String,
    },
}

/// A [`Model`] without a valid source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidModelSource {
    /// It has no source, or two.
    #[error("spec.model must have exactly one of uri and uriFrom")]
    NotOne,
    /// Its URI is invalid.
    #[error("spec.model.uri {0}")]
    Uri(#[from] InvalidModelUri),
    /// The name or key of its Secret is invalid.
    #[error("spec.model.uriFrom.secretKeyRef must have the name of a Secret and one of its keys")]
    SecretKey,
}

impl ModelUri {
    /// Whether the model needs a checksum: it comes over a network, where it could be replaced. A CEL rule of
    /// [`Model`] says the same.
    #[must_use]
    pub const fn requires_sha256(&self) -> bool {
        match self {
            Self::Http { .. } | Self::Secret { .. } => true,
            Self::ConfigMap { .. } | Self::Claim { .. } => false,
        }
    }
}

impl TryFrom<&Model> for ModelUri {
    type Error = InvalidModelSource;

    fn try_from(model: &Model) -> Result<Self, Self::Error> {
        match (&model.uri, &model.uri_from) {
            (Some(uri), None) => Ok(uri.parse::<Self>()?),
            (None, Some(from)) => secret(&from.secret_key_ref),
            (None, None) | (Some(_), Some(_)) => Err(InvalidModelSource::NotOne),
        }
    }
}

/// A text that is no [`ModelUri`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidModelUri {
    /// The scheme is unsupported.
    #[error("must begin with configMap://, pvc://, https:// or http://")]
    Scheme,
    /// It is too long.
    #[error("must have at most {MAX_URI_LENGTH} characters")]
    TooLong,
    /// Not `configMap://NAME/KEY`.
    #[error("must be configMap://NAME/KEY with the name of a ConfigMap and one of its keys")]
    ConfigMap,
    /// Not `pvc://CLAIM/PATH`.
    #[error(
        "must be pvc://CLAIM/PATH with the name of a PersistentVolumeClaim and the path of a file in it"
    )]
    Claim,
    /// Not a URL with a host, or one with a user, a query, a fragment or characters that URLs escape.
    #[error(
        "must be http(s)://HOST[:PORT]/PATH, without fragment, blanks or other characters that URLs escape, \
         and without user, password and query, which are mostly secrets: put a URI with one of them into a \
         Secret, and name it in spec.model.uriFrom"
    )]
    Http,
}

impl FromStr for ModelUri {
    type Err = InvalidModelUri;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        if uri.len() > MAX_URI_LENGTH {
            return Err(InvalidModelUri::TooLong);
        }
        let (scheme, rest) = uri.split_once("://").ok_or(InvalidModelUri::Scheme)?;
        match scheme {
            "configMap" => config_map(rest),
            "pvc" => claim(rest),
            "https" | "http" => http(uri, rest),
            _ => Err(InvalidModelUri::Scheme),
        }
    }
}

fn config_map(rest: &str) -> Result<ModelUri, InvalidModelUri> {
    let (name, key) = rest.split_once('/').ok_or(InvalidModelUri::ConfigMap)?;
    if !is_object_name(name) || !is_key(key) {
        return Err(InvalidModelUri::ConfigMap);
    }
    Ok(ModelUri::ConfigMap {
        name: name.to_owned(),
        key: key.to_owned(),
    })
}

fn secret(SecretKey { name, key }: &SecretKey) -> Result<ModelUri, InvalidModelSource> {
    let fits = |text: &str| text.len() <= MAX_OBJECT_NAME_LENGTH;
    if !is_object_name(name) || !is_key(key) || !fits(name) || !fits(key) {
        return Err(InvalidModelSource::SecretKey);
    }
    Ok(ModelUri::Secret {
        name: name.clone(),
        key: key.clone(),
    })
}

fn claim(rest: &str) -> Result<ModelUri, InvalidModelUri> {
    let (claim, path) = rest.split_once('/').ok_or(InvalidModelUri::Claim)?;
    // The path becomes part of a file:// URL, so nothing that a URL would have to escape is allowed.
    let segment_is_valid = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+@=,".contains(&byte))
    };
    if !is_object_name(claim) || !path.split('/').all(segment_is_valid) {
        return Err(InvalidModelUri::Claim);
    }
    Ok(ModelUri::Claim {
        claim: claim.to_owned(),
        path: path.to_owned(),
    })
}

fn http(uri: &str, rest: &str) -> Result<ModelUri, InvalidModelUri> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path_is_valid = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"#<>?`{}".contains(&byte));
    if !is_authority(authority) || !path_is_valid {
        return Err(InvalidModelUri::Http);
    }
    Ok(ModelUri::Http {
        url: uri.to_owned(),
    })
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn is_authority(authority: &str) -> bool {
    let (host_is_valid, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) => {
                let is_address = !address.is_empty()
                    && address
                        .bytes()
                        .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
                (is_address, after)
            }
            None => (false, ""),
        },
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            (
                is_label_like(host, |byte| byte.is_ascii_alphanumeric()),
                port,
            )
        }
    };
    let port_is_valid = match port.strip_prefix(':') {
        Some(digits) => {
            (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        None => port.is_empty(),
    };
    host_is_valid && port_is_valid
}

/// A key of a ConfigMap or Secret that is also a file of a folder.
fn is_key(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with('.')
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// A name of a ConfigMap, Secret or claim: a DNS-1123 subdomain.
fn is_object_name(name: &str) -> bool {
    is_label_like(name, |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit()
    })
}

/// Begins and ends with a letter or digit, with `-` and `.` allowed between.
fn is_label_like(name: &str, is_alphanumeric: impl Fn(u8) -> bool) -> bool {
    let bytes = name.as_bytes();
    let ends_are_valid = [bytes.first(), bytes.last()]
        .into_iter()
        .all(|end| end.is_some_and(|byte| is_alphanumeric(*byte)));
    ends_are_valid
        && bytes
            .iter()
            .all(|byte| is_alphanumeric(*byte) || b"-.".contains(byte))
}

impl fmt::Display for ModelUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap { name, key } => write!(formatter, "configMap://{name}/{key}"),
            Self::Claim { claim, path } => write!(formatter, "pvc://{claim}/{path}"),
            Self::Http { url } => formatter.write_str(url),
            Self::Secret { name, key } => write!(formatter, "secret://{name}/{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accepted_uris_print_as_they_were_written() {
        for uri in [
            "configMap://iris/model.onnx",
            "configMap://a.b-c/_x",
            "pvc://models/iris/v1/model.onnx",
            "pvc://m/a..b",
            "https://example.com/iris.onnx",
            "http://example.com",
            "http://10.0.0.1:8080/a&b=c",
            "https://[2001:db8::1]:443/x",
        ] {
            assert_eq!(
                uri.parse::<ModelUri>().as_ref().map(ToString::to_string),
                Ok(uri.to_owned())
            );
        }
    }

    #[test]
    fn refused_uris_say_why() {
        use InvalidModelUri::{Claim, ConfigMap, Http, Scheme};
        for (uri, reason) in [
            ("", Scheme),
            ("iris", Scheme),
            ("s3://bucket/key", Scheme),
            ("file:///etc/passwd", Scheme),
            ("HTTPS://example.com/x", Scheme),
            ("configMap://iris", ConfigMap),
            ("configMap:///key", ConfigMap),
            ("configMap://iris/", ConfigMap),
            ("configMap://iris/..", ConfigMap),
            ("configMap://iris/a/b", ConfigMap),
            ("configMap://Iris/a", ConfigMap),
            ("configMap://iris-/a", ConfigMap),
            ("pvc://models", Claim),
            ("pvc://models/", Claim),
            ("pvc://models/../x", Claim),
            ("pvc://models/a/../x", Claim),
            ("pvc://models/a/..", Claim),
            ("pvc://models/./x", Claim),
            ("pvc://models//x", Claim),
            ("pvc://models/a%2e%2e", Claim),
            ("pvc://models/a b", Claim),
            ("https://", Http),
            ("https:///x", Http),
            ("https://user:password@example.com/x", Http),
            ("https://example.com:/x", Http),
            ("https://example.com:123456/x", Http),
            ("https://example.com/a b", Http),
            ("https://example.com/a#b", Http),
            ("https://example.com/a<b", Http),
            ("https://example.com/a`", Http),
            ("https://example.com/a?X-Amz-Signature=b", Http),
            ("https://example.com/?", Http),
            ("secret://iris/uri", Scheme),
            ("https://[::1/x", Http),
            ("https://example.com?x", Http),
        ] {
            assert_eq!(uri.parse::<ModelUri>(), Err(reason), "{uri}");
        }
    }

    fn model(fields: serde_json::Value) -> Model {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn a_model_comes_from_one_place() {
        let secret = json!({"secretKeyRef": {"name": "presigned", "key": "iris.uri"}});
        for (fields, expected) in [
            (
                json!({"uri": "configMap://iris/model.onnx"}),
                "configMap://iris/model.onnx",
            ),
            (json!({"uriFrom": secret}), "secret://presigned/iris.uri"),
        ] {
            let uri = ModelUri::try_from(&model(fields)).unwrap();
            assert_eq!(uri.to_string(), expected);
        }
        for fields in [
            json!({}),
            json!({"uri": "configMap://iris/model.onnx", "uriFrom": secret}),
        ] {
            assert_eq!(
                ModelUri::try_from(&model(fields)),
                Err(InvalidModelSource::NotOne)
            );
        }
        let long = "a".repeat(MAX_OBJECT_NAME_LENGTH + 1);
        for (name, key) in [
            ("", "uri"),
            ("Presigned", "uri"),
            ("../presigned", "uri"),
            (&long, "uri"),
            ("presigned", ""),
            ("presigned", ".."),
            ("presigned", "a/b"),
            ("presigned", &long),
        ] {
            let fields = json!({"uriFrom": {"secretKeyRef": {"name": name, "key": key}}});
            assert_eq!(
                ModelUri::try_from(&model(fields)),
                Err(InvalidModelSource::SecretKey),
                "{name}/{key}"
            );
        }
    }

    #[test]
    fn a_uri_has_a_longest_length() {
        let longest = format!("https://h/{}", "x".repeat(MAX_URI_LENGTH - 10));
        assert!(longest.parse::<ModelUri>().is_ok());
        assert_eq!(
            format!("{longest}x").parse::<ModelUri>(),
            Err(InvalidModelUri::TooLong)
        );
    }
}
