//! Parses the path and the query of a request.

use std::collections::BTreeMap;

use http::Uri;

/// A parsed path of the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/apis/GROUP/VERSION`: discovery of its resources.
    Discovery { group: String, version: String },
    /// All objects of a type, in one namespace or in all.
    Collection {
        resource: ResourcePath,
        namespace: Option<String>,
    },
    /// One object, or a subresource of it.
    Object {
        resource: ResourcePath,
        namespace: String,
        name: String,
        subresource: Option<String>,
    },
}

/// The part of a path that names a resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
}

impl Target {
    /// Parses a path. `None` if the API has no such path.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let resource = |plural: &str| ResourcePath {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
        };
        match rest {
            [] => Some(Self::Discovery {
                group: group.to_owned(),
                version: version.to_owned(),
            }),
            [plural] => Some(Self::Collection {
                resource: resource(plural),
                namespace: None,
            }),
            ["namespaces", namespace, plural] => Some(Self::Collection {
                resource: resource(plural),
                namespace: Some((*namespace).to_owned()),
            }),
            ["namespaces", namespace, plural, name, subresource @ ..] if subresource.len() <= 1 => {
                Some(Self::Object {
                    resource: resource(plural),
                    namespace: (*namespace).to_owned(),
                    name: (*name).to_owned(),
                    subresource: subresource.first().map(|name| (*name).to_owned()),
                })
            }
            _ => None,
        }
    }
}

/// The parameters of the query. Only the escapes in label selectors are decoded.
pub(crate) fn query(uri: &Uri) -> BTreeMap<String, String> {
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'%')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the labels of an object match an equality-based selector: `a=b,c=d`, `a==b`, or `a` for any value.
pub(crate) fn selects(selector: &str, object: &serde_json::Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector
        .split(',')
        .filter(|term| !term.is_empty())
        .all(|term| match term.split_once('=') {
            Some((name, value)) => labels[name] == value.trim_start_matches('='),
            None => labels.get(term).is_some(),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_parsed() {
        assert_eq!(
            Target::parse("/apis/apps/v1/namespaces/ns/deployments/iris/status"),
            Some(Target::Object {
                resource: ResourcePath {
                    group: "apps".to_owned(),
                    version: "v1".to_owned(),
                    plural: "deployments".to_owned(),
                },
                namespace: "ns".to_owned(),
                name: "iris".to_owned(),
                subresource: Some("status".to_owned()),
            })
        );
        assert_eq!(
            Target::parse("/apis/keda.sh/v1alpha1"),
            Some(Target::Discovery {
                group: "keda.sh".to_owned(),
                version: "v1alpha1".to_owned()
            })
        );
        assert_eq!(Target::parse("/healthz"), None);
    }

    #[test]
    fn selectors_compare_labels() {
        let object =
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "modelservice", "a": "b"}}});
        let uri: Uri = "/x?labelSelector=app.kubernetes.io%2Fname%3Dmodelservice%2Ca"
            .parse()
            .unwrap();
        let query = query(&uri);
        assert!(selects(&query["labelSelector"], &object));
        assert!(!selects("a=c", &object));
        assert!(!selects("missing", &object));
        assert!(selects("", &object));
    }
}
