//! Numbers that JSON can't represent.

/// `NaN`, `Infinity` or a similar literal at the position of a parse error. Many languages write them, and JSON can't
/// represent them.
#[must_use]
pub fn non_finite_literal<'b>(json: &'b [u8], error: &serde_json::Error) -> Option<&'b str> {
    let line_start = match error.line() {
        0 => return None,
        1 => 0,
        line => {
            json.iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'\n')
                .nth(line - 2)?
                .0
                + 1
        }
    };
    let at = (line_start + error.column())
        .checked_sub(1)?
        .min(json.len());
    let (before, after) = json.split_at(at);
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'_');
    let start = at - before.iter().rev().take_while(|byte| word(byte)).count();
    let end = at + after.iter().take_while(|byte| word(byte)).count();
    let literal = str::from_utf8(&json[start..end]).ok()?;
    let name = literal.trim_start_matches(['-', '+']).to_ascii_lowercase();
    matches!(&*name, "nan" | "inf" | "infinity").then_some(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_for_what_is_not_finite_are_found() {
        for (json, found) in [
            ("[1, NaN]", Some("NaN")),
            ("[1,\n -Infinity]", Some("-Infinity")),
            ("[1, inf]", Some("inf")),
            ("[1, , 2]", None),
            ("[1, nul]", None),
            ("[\"nan \\ud800\"]", None),
        ] {
            let error = serde_json::from_str::<serde_json::Value>(json).unwrap_err();
            assert_eq!(non_finite_literal(json.as_bytes(), &error), found, "{json}");
        }
    }
}
