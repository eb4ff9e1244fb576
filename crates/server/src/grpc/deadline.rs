//! The deadline that a client sends with a call.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The header with the timeout of a call:
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
const TIMEOUT: &str = "grpc-timeout";

/// Maximum digits of the timeout.
const MAX_DIGITS: usize = 8;

/// The timeout that the client has set. None if it has set none, or an invalid one.
pub(super) fn client_timeout(metadata: &MetadataMap) -> Option<Duration> {
    parse(metadata.get(TIMEOUT)?.to_str().ok()?)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(3600 * count),
        "M" => Duration::from_secs(60 * count),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_parsed() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7_200)),
            ("2M", Duration::from_secs(120)),
            ("2S", Duration::from_secs(2)),
            ("150m", Duration::from_millis(150)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_timeout_is_none() {
        for text in ["", "5", "S", "5s", "-5S", "+5S", "123456789S", "5ä", "1.5S"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
