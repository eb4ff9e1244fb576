//! Names of models and versions, in folders, URLs and metric labels.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

/// Maximum length of a model's name, in bytes.
const MAX_NAME: usize = 128;

/// A model's name: 1 to 128 ASCII letters, digits, `.`, `_` and `-`, not starting with a dot. File systems and
/// Kubernetes' volumes have folders of their own that start with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(Arc<str>);

/// A text that can't be a model's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a model's name has 1 to {MAX_NAME} letters, digits, '.', '_' and '-', and starts with no dot"
)]
pub struct InvalidName;

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The default name, `model`.
impl Default for ModelName {
    fn default() -> Self {
        Self("model".into())
    }
}

impl FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let valid = (1..=MAX_NAME).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(allowed);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName)
        }
    }
}

impl Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A model's version: a positive integer. The highest is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(NonZeroU64);

/// A text that can't be a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is a positive integer without leading zeros")]
pub struct InvalidVersion;

impl Version {
    /// The version of a model that is served from a file.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The next version. The highest is its own next one.
    pub(super) const fn following(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        // One version has one spelling, or two folders could be the same.
        if text.starts_with(['0', '+']) {
            return Err(InvalidVersion);
        }
        text.parse()
            .map(Self)
            .map_err(|_not_a_number| InvalidVersion)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths_urls_and_labels() {
        let longest = "x".repeat(MAX_NAME);
        for valid in ["iris", "a.b_c-D9", "-", &longest] {
            assert_eq!(valid.parse::<ModelName>().unwrap().as_str(), valid);
        }
        let too_long = "x".repeat(MAX_NAME + 1);
        for invalid in [
            "", ".", "..", ".data", "a/b", "a b", "ü", "a\"", "a\n", &too_long,
        ] {
            assert_eq!(invalid.parse::<ModelName>(), Err(InvalidName), "{invalid}");
        }
    }

    #[test]
    fn a_version_has_one_spelling() {
        let greatest = u64::MAX.to_string();
        for valid in ["1", "20", &greatest] {
            assert_eq!(valid.parse::<Version>().unwrap().to_string(), valid);
        }
        for invalid in [
            "",
            "0",
            "01",
            "+1",
            "-1",
            "1.0",
            "v1",
            " 1",
            "18446744073709551616",
        ] {
            assert_eq!(invalid.parse::<Version>(), Err(InvalidVersion), "{invalid}");
        }
        assert!("10".parse::<Version>().unwrap() > "9".parse::<Version>().unwrap());
    }
}
