//! Quantities of Kubernetes (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>): their
//! amount in any notation, and the canonical form of the API server
//! (<https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity>), for comparisons of applied and stored objects.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Decimal places of the finest unit, `n`.
const NANO: i32 = 9;

/// Nanos in one, and in a MiB.
pub(crate) const WHOLE: i128 = 1_000_000_000;
pub(crate) const MEBI: i128 = (1 << 20) * WHOLE;

/// Whether two quantities are the same amount, such as `500m` and `0.5`, or `1Gi` and `1024Mi`. Parts below a nano are
/// ignored. Invalid quantities are never equal.
pub(crate) fn is_same_quantity(one: &str, other: &str) -> bool {
    let both = nanos(one).zip(nanos(other));
    both.is_some_and(|(one, other)| one == other)
}

/// A quantity in nanos. `None` if it is invalid.
pub(crate) fn nanos(text: &str) -> Option<i128> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}").parse::<i128>().ok()?;
    let decimals = i32::try_from(fraction.len()).ok()?;
    let amount = match unit(suffix)? {
        Unit::Decimal(exponent) => {
            shifted(digits, exponent.checked_add(NANO)?.checked_sub(decimals)?)?
        }
        Unit::Binary(bits) => shifted(digits.checked_mul(1 << bits)?, NANO - decimals)?,
    };
    Some(if is_negative { -amount } else { amount })
}

/// The multiplier of a suffix.
enum Unit {
    /// A power of ten.
    Decimal(i32),
    /// A power of two.
    Binary(u32),
}

fn unit(suffix: &str) -> Option<Unit> {
    Some(match suffix {
        "n" => Unit::Decimal(-9),
        "u" => Unit::Decimal(-6),
        "m" => Unit::Decimal(-3),
        "" => Unit::Decimal(0),
        "k" => Unit::Decimal(3),
        "M" => Unit::Decimal(6),
        "G" => Unit::Decimal(9),
        "T" => Unit::Decimal(12),
        "P" => Unit::Decimal(15),
        "E" => Unit::Decimal(18),
        "Ki" => Unit::Binary(10),
        "Mi" => Unit::Binary(20),
        "Gi" => Unit::Binary(30),
        "Ti" => Unit::Binary(40),
        "Pi" => Unit::Binary(50),
        "Ei" => Unit::Binary(60),
        _ => Unit::Decimal(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

/// `digits` times a power of ten, rounded towards zero.
fn shifted(digits: i128, exponent: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    if exponent < 0 {
        Some(power.map_or(0, |power| digits / power))
    } else {
        digits.checked_mul(power?)
    }
}

/// A whole number as a quantity.
pub(crate) fn whole(number: i32) -> Quantity {
    if number != 0 && number % 1_000_000 == 0 {
        Quantity(format!("{}M", number / 1_000_000))
    } else if number != 0 && number % 1000 == 0 {
        Quantity(format!("{}k", number / 1000))
    } else {
        Quantity(number.to_string())
    }
}

/// A number of MiB as a quantity.
pub(crate) fn mebibytes(number: i32) -> Quantity {
    if number % 1024 == 0 {
        Quantity(format!("{}Gi", number / 1024))
    } else {
        Quantity(format!("{number}Mi"))
    }
}

/// A number of thousandths as a quantity.
pub(crate) fn thousandths(number: i32) -> Quantity {
    if number % 1000 == 0 {
        whole(number / 1000)
    } else {
        Quantity(format!("{number}m"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_compared_and_not_texts() {
        for (one, other) in [
            ("0.5", "500m"),
            (".5", "500m"),
            ("1", "1000m"),
            ("1000", "1k"),
            ("2Gi", "2048Mi"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
            ("1E3", "1k"),
            ("1E", "1000P"),
            ("1Ei", "1024Pi"),
            ("+1", "1.0"),
            ("-1", "-1000m"),
            ("0", "0Gi"),
        ] {
            assert!(is_same_quantity(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("1", "1m"),
            ("1Gi", "1G"),
            ("1", "-1"),
            ("0.0000000001e1", "1"),
            ("", ""),
            ("cpu", "cpu"),
            ("1.2.3", "1.2.3"),
            ("1e99", "1e99"),
        ] {
            assert!(!is_same_quantity(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-+.0-9a-zA-Z]{0,40}") {
            let _ = nanos(&text);
        }

        #[test]
        fn thousandths_are_exact(number in 0..1_000_000_000_i64) {
            let decimals = format!("{}.{:03}", number / 1000, number % 1000);
            let [same, more] = [number, number + 1].map(|number| format!("{number}m"));
            prop_assert!(is_same_quantity(&decimals, &same));
            prop_assert!(!is_same_quantity(&decimals, &more));
        }
    }
}
