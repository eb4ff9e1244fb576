//! SHA-256 checksums of model files.

use std::fmt;
use std::str::FromStr;

/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;

/// A SHA-256, written as 64 lower-case hexadecimal digits.
///
/// ```
/// use springtide_contract::sha256::Sha256;
///
/// let digits = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// let sha256: Sha256 = digits.parse()?;
/// assert_eq!(sha256.as_str(), digits);
/// assert!("9f86".parse::<Sha256>().is_err());
/// # Ok::<(), springtide_contract::sha256::InvalidSha256>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; DIGITS]);

impl Sha256 {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always ASCII: each constructor writes or checks hexadecimal digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A digest as bytes.
impl From<[u8; DIGITS / 2]> for Sha256 {
    fn from(digest: [u8; DIGITS / 2]) -> Self {
        let digit = |nibble: u8| match nibble {
            0..=9 => b'0' + nibble,
            _ => b'a' + nibble - 10,
        };
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        Self(digits)
    }
}

/// A text that is no [`Sha256`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidSha256;

impl fmt::Display for InvalidSha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "must be {DIGITS} lower-case hexadecimal digits")
    }
}

impl std::error::Error for InvalidSha256 {}

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: [u8; DIGITS] = text.as_bytes().try_into().map_err(|_| InvalidSha256)?;
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.iter().all(is_hex) {
            Ok(Self(digits))
        } else {
            Err(InvalidSha256)
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sha256({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha256_is_64_lower_case_digits() {
        let digits = "0f".repeat(32);
        assert_eq!(digits.parse::<Sha256>().unwrap().to_string(), digits);
        for digits in [
            "",
            "0",
            &"0F".repeat(32),
            &"0g".repeat(32),
            &"0f".repeat(33),
            &"ü".repeat(32),
        ] {
            assert_eq!(digits.parse::<Sha256>(), Err(InvalidSha256), "{digits}");
        }
    }

    #[test]
    fn every_byte_of_a_digest_has_its_two_digits() {
        for first in (0..=u8::MAX).step_by(32) {
            let digest: [u8; 32] = std::array::from_fn(|at| first + at as u8);
            let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits.parse(), Ok(Sha256::from(digest)));
        }
    }
}
