//! The watched namespaces.

use std::{collections::BTreeSet, fmt, str::FromStr};

/// Maximum length of a namespace's name (DNS-1123 label).
const MAX_LENGTH: usize = 63;

/// Name of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace(String);

/// Why a string is not a [`Namespace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a namespace's name has at most {MAX_LENGTH} lower-case letters, digits and '-', beginning and ending with a letter or digit"
)]
pub struct InvalidNamespace;

impl FromStr for Namespace {
    type Err = InvalidNamespace;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = name.as_bytes();
        let ends_are_valid = [bytes.first(), bytes.last()]
            .into_iter()
            .all(|end| end.is_some_and(is_alphanumeric));
        let is_valid = ends_are_valid
            && bytes.len() <= MAX_LENGTH
            && bytes
                .iter()
                .all(|byte| is_alphanumeric(byte) || *byte == b'-');
        if is_valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidNamespace)
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The namespaces in which ModelServices and their objects are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces.
    Cluster,
    /// These namespaces, each with its own watches, so that no permission in others is needed.
    Namespaces(BTreeSet<Namespace>),
}

impl Scope {
    /// The parts with their own lists and watches: all namespaces, or each named one.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match self {
            Self::Cluster => vec![Part(None)],
            Self::Namespaces(names) => names.iter().cloned().map(Some).map(Part).collect(),
        }
    }
}

/// Without a name: all namespaces.
impl FromIterator<Namespace> for Scope {
    fn from_iter<I: IntoIterator<Item = Namespace>>(names: I) -> Self {
        let names: BTreeSet<_> = names.into_iter().collect();
        if names.is_empty() {
            Self::Cluster
        } else {
            Self::Namespaces(names)
        }
    }
}

/// The part of the scope that one list and one watch cover: a namespace, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part(Option<Namespace>);

impl Part {
    /// The namespace; `None` for all.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.0.as_ref().map(|Namespace(name)| name.as_str())
    }

    /// Whether it contains a namespace.
    pub(crate) fn has(&self, namespace: &str) -> bool {
        self.namespace().is_none_or(|part| part == namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_kubernetes() {
        for name in ["a", "models", "team-1", &"a".repeat(MAX_LENGTH)] {
            assert_eq!(
                name.parse::<Namespace>().map(|name| name.to_string()),
                Ok(name.to_owned())
            );
        }
        for name in [
            "",
            "-a",
            "a-",
            "Models",
            "a.b",
            "a/b",
            "a b",
            "*",
            &"a".repeat(MAX_LENGTH + 1),
        ] {
            assert_eq!(name.parse::<Namespace>(), Err(InvalidNamespace), "{name:?}");
        }
    }

    #[test]
    fn each_namespace_is_watched_once_and_an_empty_list_means_all() {
        let parts = |names: &[&str]| {
            let scope: Scope = names.iter().map(|name| name.parse().unwrap()).collect();
            scope.parts()
        };
        assert_eq!(parts(&[]), [Part(None)]);
        let two = parts(&["b", "a", "b"]);
        let names: Vec<_> = two.iter().map(Part::namespace).collect();
        assert_eq!(names, [Some("a"), Some("b")]);
        assert!(two[0].has("a") && !two[0].has("b"));
        assert!(Part(None).has("b"));
    }
}
