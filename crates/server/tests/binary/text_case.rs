//! Models that change the case of text, for which ONNX Runtime needs a locale of the system.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Server, binary, serving};

/// Letters as they are, in lower and in upper case, by the C library's locale `en_US.UTF-8`: one
/// letter becomes one letter, and some have no other case.
const LETTERS: [(&str, &str, &str); 8] = [
    ("Good FILM", "good film", "GOOD FILM"),
    (
        "\u{c4}\u{d6}\u{dc} \u{df} \u{e9}\u{ff}",
        "\u{e4}\u{f6}\u{fc} \u{df} \u{e9}\u{ff}",
        "\u{c4}\u{d6}\u{dc} \u{df} \u{c9}\u{178}",
    ),
    (
        "\u{141}\u{f3}d\u{17a} I\u{131}i",
        "\u{142}\u{f3}d\u{17a} i\u{131}i",
        "\u{141}\u{d3}D\u{179} III",
    ),
    (
        "\u{41c}\u{438}\u{440} \u{40b}\u{457}",
        "\u{43c}\u{438}\u{440} \u{45b}\u{457}",
        "\u{41c}\u{418}\u{420} \u{40b}\u{407}",
    ),
    (
        "\u{3a3}\u{3af}\u{3c2}",
        "\u{3c3}\u{3af}\u{3c2}",
        "\u{3a3}\u{38a}\u{3a3}",
    ),
    ("\u{531}\u{562}", "\u{561}\u{562}", "\u{531}\u{532}"),
    (
        "\u{10400}\u{10428}",
        "\u{10428}\u{10428}",
        "\u{10400}\u{10400}",
    ),
    (
        "\u{4f60}\u{597d} \u{5d0} \u{1f600}",
        "\u{4f60}\u{597d} \u{5d0} \u{1f600}",
        "\u{4f60}\u{597d} \u{5d0} \u{1f600}",
    ),
];

#[test]
fn text_is_served_where_the_locale_is_missing_with_the_same_letters() {
    let locales = tempfile::tempdir().unwrap();
    let model =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/models/letters.onnx");
    let mut command = serving(binary(), &model);
    // The C library then looks here, and not into its archive of locales.
    command.env("LOCPATH", locales.path());
    let server = Server::spawn(command);
    let texts = LETTERS.map(|(text, ..)| text);
    let input = json!({
        "name": "text", "shape": [texts.len()], "datatype": "BYTES", "data": texts,
    });
    let body = json!({ "inputs": [input] }).to_string();
    let answer = server.client().post_to("/v2/models/model/infer", &body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    let data = |output: usize| answer["outputs"][output]["data"].clone();
    let expected = |texts: [&str; 8]| Value::from(texts.to_vec());
    assert_eq!(data(0), expected(LETTERS.map(|(_, lower, _)| lower)));
    assert_eq!(data(1), expected(LETTERS.map(|(.., upper)| upper)));
}
