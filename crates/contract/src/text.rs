//! Sanitizes untrusted text for conditions, events, logs and responses.
//!
//! Names in a model, errors of a library and termination messages of pods can contain any character. Unsanitized, they
//! could control a terminal, start new lines in a log or change the direction of writing.

use std::borrow::Cow;

/// Replacement of hidden characters.
const REPLACEMENT: char = '\u{FFFD}';

/// End of a truncated text.
const CUT_OFF: &str = "…";

/// The text on one line, without control characters of terminals and of the direction of writing, in at most
/// `max_bytes` bytes of UTF-8. Line breaks and tabs become blanks, other such characters U+FFFD. A text that is too long
/// ends with `…`. The function is idempotent.
#[must_use]
pub fn plain(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes && !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len().min(max_bytes));
    // Length at which the mark of a truncated text still fits.
    let mut room = 0;
    for character in text.chars().map(shown) {
        if plain.len() + character.len_utf8() > max_bytes {
            plain.truncate(room);
            if plain.len() + CUT_OFF.len() <= max_bytes {
                plain.push_str(CUT_OFF);
            }
            break;
        }
        plain.push(character);
        if plain.len() + CUT_OFF.len() <= max_bytes {
            room = plain.len();
        }
    }
    Cow::Owned(plain)
}

fn shown(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        hidden if is_hidden(hidden) => REPLACEMENT,
        other => other,
    }
}

/// Controls (Unicode's category Cc), separators of lines and paragraphs, controls of the direction of writing
/// (<https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>), and characters without a
/// shape that can hide text in others.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61C}'
                | '\u{200B}'
                | '\u{200E}'
                | '\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E007F}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["", "iris", "größe 5 µm — 模型 👍🏽", "שלום"] {
            assert!(matches!(plain(text, 100), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_controls_a_terminal_or_the_direction_is_replaced() {
        for (text, expected) in [
            ("a\nb\r\nc\td", "a b  c d"),
            ("\u{1b}[31mred\u{7}", "\u{FFFD}[31mred\u{FFFD}"),
            (
                "nul\0 del\u{7f} csi\u{9b}",
                "nul\u{FFFD} del\u{FFFD} csi\u{FFFD}",
            ),
            ("user\u{202e}nimda\u{202c}", "user\u{FFFD}nimda\u{FFFD}"),
            (
                "\u{2066}x\u{2069}\u{2067}\u{2068}",
                "\u{FFFD}x\u{FFFD}\u{FFFD}\u{FFFD}",
            ),
            (
                "one\u{2028}two\u{2029}three\u{85}four",
                "one two three four",
            ),
            ("hid\u{e0041}den\u{200b}", "hid\u{FFFD}den\u{FFFD}"),
        ] {
            assert_eq!(plain(text, 100), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_off_between_two_characters() {
        for (text, max_bytes, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc…"),
            ("üüüü", 7, "üü…"),
            ("\0\0\0", 8, "\u{FFFD}…"),
            ("abcd", 3, "…"),
            ("abcd", 2, ""),
            ("abcd", 0, ""),
        ] {
            let cut = plain(text, max_bytes);
            assert_eq!(cut, expected, "{text:?} in {max_bytes}");
            assert_eq!(plain(&cut, max_bytes), cut);
        }
    }

    #[test]
    fn nothing_hidden_and_nothing_too_long_comes_of_any_character() {
        for character in '\0'..=char::MAX {
            let text = format!("x{character}y");
            let plain = plain(&text, 6);
            assert!(!plain.contains(is_hidden), "{character:?}");
            assert!(plain.len() <= 6, "{character:?}");
        }
    }
}
