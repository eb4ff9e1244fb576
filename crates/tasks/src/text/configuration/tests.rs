use std::fs;

use super::*;

/// The configuration of a folder with files.
fn read(files: &[(&str, &str)]) -> Result<TextConfiguration, FolderError> {
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in files {
        fs::write(folder.path().join(file), content).unwrap();
    }
    TextConfiguration::read(&ModelFolder::new(folder.path()))
}

#[test]
fn an_empty_folder_says_nothing() {
    assert_eq!(read(&[]), Ok(TextConfiguration::default()));
    let null = r#"{"id2label": null, "problem_type": null, "pad_token_id": null, "max_position_embeddings": null}"#;
    assert_eq!(
        read(&[
            ("config.json", null),
            (
                "tokenizer_config.json",
                r#"{"model_max_length": null, "pad_token": null}"#
            ),
            ("sentence_bert_config.json", r#"{"max_seq_length": null}"#),
        ]),
        Ok(TextConfiguration::default())
    );
}

#[test]
fn the_shortest_limit_counts() {
    let limit = |max_length: &str, sequence: &str, config: &str| {
        let tokenizer = format!(r#"{{"model_max_length": {max_length}}}"#);
        let sentence = format!(r#"{{"max_seq_length": {sequence}}}"#);
        let files = [
            ("tokenizer_config.json", tokenizer.as_str()),
            ("sentence_bert_config.json", &sentence),
            ("config.json", config),
        ];
        read(&files).unwrap().max_tokens
    };
    const NONE: &str = "1000000000000000019884624838656";
    let bert = r#"{"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}"#;
    let roberta = r#"{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}"#;
    let no_padding = r#"{"model_type": "mpnet", "max_position_embeddings": 514}"#;
    let xlnet = r#"{"model_type": "xlnet", "max_position_embeddings": -1}"#;
    for (max_length, sequence, config, expected) in [
        (NONE, "null", "{}", None),
        ("1e30", "null", xlnet, None),
        ("0", "null", "{}", None),
        ("128", "256", bert, Some(128)),
        (NONE, "256", bert, Some(256)),
        (NONE, "null", bert, Some(512)),
        (NONE, "null", roberta, Some(512)),
        (NONE, "null", no_padding, Some(512)),
        (NONE, "514", roberta, Some(512)),
        (
            NONE,
            "null",
            r#"{"model_type": "esm", "max_position_embeddings": 1}"#,
            Some(0),
        ),
    ] {
        let found = limit(max_length, sequence, config);
        assert_eq!(found, expected, "{max_length} {sequence} {config}");
    }
}

#[test]
fn positions_come_after_padding_for_models_like_roberta() {
    let first = |config| read(&[("config.json", config)]).unwrap().first_position;
    assert_eq!(
        first(r#"{"model_type": "xlm-roberta", "pad_token_id": 5}"#),
        Some(6)
    );
    assert_eq!(first(r#"{"model_type": "bert", "pad_token_id": 5}"#), None);
}

#[test]
fn the_padding_token_is_a_string_or_an_object() {
    let token = |tokenizer, special| {
        let files = [
            ("tokenizer_config.json", tokenizer),
            ("special_tokens_map.json", special),
        ];
        read(&files).unwrap().padding_token
    };
    let expected = Some("<pad>".to_owned());
    assert_eq!(token(r#"{"pad_token": "<pad>"}"#, "{}"), expected);
    assert_eq!(
        token(
            r#"{"pad_token": {"content": "<pad>", "lstrip": false}}"#,
            "{}"
        ),
        expected
    );
    assert_eq!(token("{}", r#"{"pad_token": "<pad>"}"#), expected);
}

#[test]
fn the_sides_are_read() {
    let sides = r#"{"truncation_side": "left", "padding_side": "right"}"#;
    let configuration = read(&[("tokenizer_config.json", sides)]).unwrap();
    assert_eq!(configuration.truncation_side, Some(Side::Left));
    assert_eq!(configuration.padding_side, Some(Side::Right));
}

#[test]
fn classes_are_counted_by_their_labels() {
    let classes = |config| read(&[("config.json", config)]).unwrap().classes;
    let labels = r#"{"id2label": {"0": "a", "1": "b"}, "num_labels": 3}"#;
    assert_eq!(classes(labels), Some(2));
    assert_eq!(classes(r#"{"num_labels": 3}"#), Some(3));
    assert_eq!(classes("{}"), None);
}

#[test]
fn a_cross_encoder_is_known_by_its_activation_function() {
    let cross_encoder = |config| read(&[("config.json", config)]).unwrap().cross_encoder;
    for (config, expected) in [
        ("{}", None),
        (
            r#"{"sentence_transformers": {"version": "4.1.0"}}"#,
            Some(CrossEncoder::Default),
        ),
        (
            r#"{"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}"#,
            Some(CrossEncoder::Activation(Activation::Identity)),
        ),
        (
            r#"{"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}"#,
            Some(CrossEncoder::Activation(Activation::Sigmoid)),
        ),
        (
            r#"{"sbert_ce_default_activation_function": "a.Tanh"}"#,
            Some(CrossEncoder::Unsupported),
        ),
    ] {
        assert_eq!(cross_encoder(config), expected, "{config}");
    }
}

#[test]
fn malformed_files_are_errors_without_their_content() {
    for (file, content) in [
        ("config.json", r#"{"id2label": {"secret": "a"}}"#),
        ("config.json", r#"{"id2label": {"0": ["secret"]}}"#),
        ("config.json", r#"{"architectures": "secret"}"#),
        ("config.json", r#"{"max_position_embeddings": "secret"}"#),
        ("config.json", "secret"),
        ("config.json", r#""secret""#),
        ("tokenizer_config.json", r#"{"truncation_side": "secret"}"#),
        ("tokenizer_config.json", r#"{"pad_token": ["secret"]}"#),
        ("sentence_bert_config.json", r#"{"max_seq_length": -1}"#),
        ("special_tokens_map.json", r#"{"pad_token": ["secret"]}"#),
        ("modules.json", r#"{"secret": 1}"#),
    ] {
        let error = read(&[(file, content)]).unwrap_err();
        assert_eq!(error.file, file);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let deep = "[".repeat(100_000);
    assert!(read(&[("config.json", &deep)]).is_err());
}
