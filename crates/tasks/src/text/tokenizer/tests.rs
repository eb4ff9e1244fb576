use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::text::fixtures;

const RIGHT: Truncation = Truncation {
    max_tokens: 512,
    side: Side::Right,
};

const NAMES: [&str; 4] = ["bert", "roberta", "gpt2", "xlm"];

static ALL: LazyLock<[TextTokenizer; 4]> = LazyLock::new(|| NAMES.map(tokenizer));

fn tokenizer(name: &str) -> TextTokenizer {
    TextTokenizer::parse(fixtures::tokenizer_json(name).as_bytes()).unwrap()
}

#[test]
fn tokens_are_those_of_transformers() {
    for fixtures::TokenizerCases {
        tokenizer: name,
        side,
        cases,
    } in fixtures::expected().tokens
    {
        let tokenizer = tokenizer(&name);
        for case in cases {
            let input = match case.texts.as_slice() {
                [text] => TextInput::Text(text),
                [first, second] => TextInput::Pair(first, second),
                _ => panic!("one text or two"),
            };
            let max_tokens = case.max_tokens;
            let truncation = Truncation { max_tokens, side };
            let shown = format!("{name} {max_tokens} {:?}", case.texts);
            let tokens = tokenizer.encode(input, truncation, true).unwrap();
            assert_eq!(tokens.ids, case.ids, "{shown}");
            assert_eq!(tokens.types, case.types, "{shown}");
            assert_eq!(tokens.places, case.places, "{shown}");
            assert_eq!(tokens.truncated, case.truncated, "{shown}");
            let without = tokenizer.encode(input, truncation, false).unwrap();
            assert_eq!((without.ids, without.types), (case.ids, case.types));
            assert!(without.places.is_empty());
        }
    }
}

#[test]
fn the_settings_of_the_file_are_defaults() {
    let bert = tokenizer("bert").defaults();
    let expected = TokenizerDefaults {
        max_tokens: Some(16),
        truncation_side: Some(Side::Right),
        padding_side: Some(Side::Right),
        padding_id: Some(0),
    };
    assert_eq!(bert, expected);
    assert_eq!(
        tokenizer("roberta").defaults(),
        TokenizerDefaults::default()
    );
}

#[test]
fn texts_are_changed_to_lower_case_on_request() {
    let ids = |tokenizer: &TextTokenizer, text| {
        let tokens = tokenizer.encode(TextInput::Text(text), RIGHT, false);
        tokens.unwrap().ids
    };
    let mixed = tokenizer("roberta");
    let lower = tokenizer("roberta").with_lowercase().unwrap();
    assert_ne!(ids(&mixed, "The Tide"), ids(&mixed, "the tide"));
    assert_eq!(ids(&lower, "The Tide"), ids(&mixed, "the tide"));
    // Special tokens stay, as does a normalizer that is there.
    assert_eq!(ids(&lower, "</s>"), ids(&mixed, "</s>"));
    let bert = tokenizer("bert");
    let text = "Anna MÜLLER [SEP]";
    assert_eq!(
        ids(&bert.clone().with_lowercase().unwrap(), text),
        ids(&bert, text)
    );
}

#[test]
fn special_tokens_need_a_place() {
    let tokenizer = tokenizer("bert");
    let encode = |input, max_tokens| {
        let side = Side::Right;
        tokenizer.encode(input, Truncation { max_tokens, side }, false)
    };
    for max_tokens in 0..3 {
        let refused = encode(TextInput::Text("the tide"), max_tokens).map(|_| ());
        assert_eq!(refused, Err(EncodeError::NoPlace));
    }
    let tokens = encode(TextInput::Text("the tide"), 3).unwrap();
    assert_eq!((tokens.ids.len(), tokens.truncated), (3, true));
    let tokens = encode(TextInput::Pair("the tide", "the tide"), 4).unwrap();
    assert_eq!((tokens.ids.len(), tokens.truncated), (4, true));
}

/// `bert` with a part of its file replaced.
fn changed(path: &str, value: Value) -> Result<TextTokenizer, FolderError> {
    let mut json: Value = serde_json::from_str(&fixtures::tokenizer_json("bert")).unwrap();
    *json.pointer_mut(path).unwrap() = value;
    TextTokenizer::parse(json.to_string().as_bytes())
}

#[test]
fn malformed_files_are_errors_without_their_content() {
    let secret = || json!("secret");
    for refused in [
        TextTokenizer::parse(b"").unwrap_err(),
        TextTokenizer::parse(b"secret").unwrap_err(),
        TextTokenizer::parse(br#""secret""#).unwrap_err(),
        TextTokenizer::parse(b"{}").unwrap_err(),
        TextTokenizer::parse("[".repeat(1_000_000).as_bytes()).unwrap_err(),
        TextTokenizer::parse(r#"{"normalizer":"#.repeat(100_000).as_bytes()).unwrap_err(),
        changed("/version", secret()).unwrap_err(),
        changed("/model/type", secret()).unwrap_err(),
        changed("/model/vocab", secret()).unwrap_err(),
        changed("/model/vocab", json!({"secret": -1})).unwrap_err(),
        changed("/normalizer", secret()).unwrap_err(),
        changed(
            "/post_processor/single",
            json!([{"SpecialToken": {"id": "secret", "type_id": 0}}]),
        )
        .unwrap_err(),
    ] {
        assert_eq!(refused.file, TOKENIZER_FILE);
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}

#[test]
fn files_for_which_the_library_panics_are_errors() {
    // A table of characters that isn't base64, one that is shorter than it says, and one without entries.
    for table in ["?", "/////w==", "AAAAAA==", "BAAAAAAAAAA="] {
        let normalizer = json!({"type": "Precompiled", "precompiled_charsmap": table});
        let result = changed("/normalizer", normalizer);
        assert!(result.is_err(), "{table}");
    }
}

#[test]
fn a_tokenizer_without_unknown_tokens_refuses_texts_alone() {
    let model = json!({"type": "WordLevel", "vocab": {"tide": 0}, "unk_token": "[UNK]"});
    let tokenizer = changed("/model", model).unwrap();
    let encode = |text| tokenizer.encode(TextInput::Text(text), RIGHT, false);
    assert_eq!(encode("tide").unwrap().ids.len(), 3);
    assert_eq!(encode("moon").unwrap_err(), EncodeError::Unknown);
}

#[test]
fn a_long_text_is_truncated_by_every_tokenizer() {
    const BYTES: usize = 8 << 10;
    for part in ["the tide ", "x", " ", "🌊", "[SEP]"] {
        let text = part.repeat(BYTES / part.len());
        for (name, tokenizer) in NAMES.iter().zip(&*ALL) {
            for input in [TextInput::Text(&text), TextInput::Pair(&text, &text)] {
                let tokens = tokenizer.encode(input, RIGHT, true).unwrap();
                assert!(tokens.ids.len() <= RIGHT.max_tokens, "{name} {part}");
            }
        }
    }
}

/// Measures, rather than tests: `cargo test --release -p springtide-tasks -- --ignored --nocapture measure`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    fn time(
        tokenizer: &TextTokenizer,
        input: TextInput<'_>,
        max_tokens: usize,
        with_places: bool,
        runs: u32,
    ) -> String {
        let side = Side::Right;
        let truncation = Truncation { max_tokens, side };
        let mut tokens = 0;
        let start = Instant::now();
        for _ in 0..runs {
            let encoded = tokenizer.encode(input, truncation, with_places).unwrap();
            tokens = encoded.ids.len();
        }
        format!("{tokens} tokens in {:?}", start.elapsed() / runs)
    }
    let short =
        "the spring tide comes twice in every month when the sun and the moon stand in line";
    let short = [short; 4].join(" ");
    for (name, tokenizer) in NAMES.iter().zip(&*ALL) {
        for with_places in [false, true] {
            let input = TextInput::Text(&short);
            let time = time(tokenizer, input, 64, with_places, 10_000);
            println!("{name}, places {with_places}: {time}");
        }
        for part in ["the tide ", "x", " ", "🌊", "[SEP]"] {
            let long = part.repeat((64 << 10) / part.len());
            let single = time(tokenizer, TextInput::Text(&long), 512, false, 10);
            let pair = time(tokenizer, TextInput::Pair(&long, &long), 512, false, 10);
            println!("{name}, 64 KiB of {part:?}: {single}, as a pair {pair}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_has_sound_tokens(first in ".{0,60}", second in proptest::option::of(".{0,60}"), max_tokens in 5_usize..40) {
        for tokenizer in &*ALL {
            let input = match &second {
                Some(second) => TextInput::Pair(&first, second),
                None => TextInput::Text(&first),
            };
            for side in [Side::Left, Side::Right] {
                let tokens = tokenizer.encode(input, Truncation { max_tokens, side }, true).unwrap();
                prop_assert!(tokens.ids.len() <= max_tokens);
                prop_assert_eq!(tokens.types.len(), tokens.ids.len());
                prop_assert_eq!(tokens.places.len(), tokens.ids.len());
                prop_assert!(!tokens.truncated || tokens.ids.len() + 1 >= max_tokens, "{:?}", tokens);
                let longest = first.chars().count().max(second.as_ref().map_or(0, |text| text.chars().count()));
                for (start, end) in tokens.places.iter().flatten() {
                    prop_assert!(start <= end && *end <= longest);
                }
                let whole = tokenizer.encode(input, RIGHT, false).unwrap();
                prop_assert_eq!(tokens.truncated, whole.ids.len() > max_tokens);
            }
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_tokenizer(position: prop::sample::Index, byte: u8, text in ".{0,20}") {
        let mut json = fixtures::tokenizer_json("xlm").into_bytes();
        let position = position.index(json.len());
        json[position] = byte;
        if let Ok(tokenizer) = TextTokenizer::parse(&json) {
            let _ = tokenizer.encode(TextInput::Text(&text), RIGHT, true);
        }
    }
}
