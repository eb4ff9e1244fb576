use std::fs;

use springtide_inference::{Data, Dimension, ElementType, Port};

use super::*;
use crate::text::fixtures;
use crate::text::padding::group_by_padded_length;

const ANY: Dimension = Dimension::Any;

/// A folder with a tokenizer and other files.
fn folder(tokenizer: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let json = fixtures::tokenizer_json(tokenizer);
    fs::write(folder.path().join("tokenizer.json"), json).unwrap();
    for (file, content) in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn signature(inputs: &[&str], length: Dimension, output: Port) -> Signature {
    let input = |name: &&str| Port::tensor(*name, ElementType::I64, [ANY, length]);
    Signature {
        inputs: inputs.iter().map(input).collect(),
        outputs: vec![output],
    }
}

fn logits(rank: usize) -> Port {
    Port::tensor("logits", ElementType::F32, vec![ANY; rank])
}

fn hidden() -> Port {
    Port::tensor("last_hidden_state", ElementType::F32, [ANY, ANY, ANY])
}

const MASKED: [&str; 2] = ["input_ids", "attention_mask"];

fn open(
    tokenizer: &str,
    files: &[(&str, &str)],
    signature: &Signature,
    task: Task,
) -> Result<TextModel, TextModelError> {
    let folder = folder(tokenizer, files);
    let files = ModelFolder::new(folder.path());
    TextModel::open(&files, signature, task, TextLimits::default())
}

fn classifier(files: &[(&str, &str)]) -> TextModel {
    let signature = signature(&MASKED, ANY, logits(2));
    open("bert", files, &signature, Task::TextClassification).unwrap()
}

#[test]
fn texts_of_different_lengths_are_grouped_and_answered() {
    let config =
        r#"{"id2label": {"0": "negative", "1": "positive"}, "max_position_embeddings": 64}"#;
    let model = classifier(&[("config.json", config)]);
    assert_eq!(model.max_tokens(), 64);
    let long = "the tide ".repeat(50);
    let inputs = [
        TextInput::Text("tide"),
        TextInput::Text(&long),
        TextInput::Pair("the tide", "rises"),
    ];
    let texts = model.encode(&inputs).unwrap();
    let lengths: Vec<_> = texts.iter().map(EncodedText::padded_length).collect();
    assert_eq!(lengths, [8, 64, 8]);
    let truncated: Vec<_> = texts.iter().map(EncodedText::truncated).collect();
    assert_eq!(truncated, [false, true, false]);
    let groups = group_by_padded_length(texts);
    assert_eq!(groups[0].positions, [0, 2]);
    let tensors = model.tensors(&groups[0].texts).unwrap();
    assert_eq!(tensors.len(), 2);
    assert_eq!(tensors[0].shape(), [2, 8]);
    let mask = vec![1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0];
    assert_eq!(tensors[1].data(), &Data::I64(mask));
    let outputs = Tensor::new(vec![2, 2], vec![0.0_f32, 0.0, -9.0, 9.0]).unwrap();
    let answers = model.read(&[outputs.view()], &groups[0].texts).unwrap();
    let TextAnswer::Classes(scores) = &answers[1] else {
        panic!("{answers:?}");
    };
    assert_eq!(&*scores[1].class, "positive");
    assert!(scores[1].score > 0.99);
}

#[test]
fn the_limit_is_that_of_the_files_or_of_the_server() {
    assert_eq!(classifier(&[]).max_tokens(), 16, "of tokenizer.json");
    let tokenizer = r#"{"model_max_length": 100000}"#;
    let long = classifier(&[("tokenizer_config.json", tokenizer)]);
    assert_eq!(long.max_tokens(), TextLimits::default().max_tokens);
    let none = signature(&MASKED, ANY, logits(2));
    let roberta = open("roberta", &[], &none, Task::TextClassification);
    assert_eq!(roberta.unwrap().max_tokens(), DEFAULT_TOKENS);
}

#[test]
fn a_fixed_length_is_kept() {
    let signature = signature(&MASKED, Dimension::Fixed(12), logits(2));
    let model = open("roberta", &[], &signature, Task::TextClassification).unwrap();
    assert_eq!(model.max_tokens(), 12);
    let long = "the tide ".repeat(50);
    let texts = [TextInput::Text("tide"), TextInput::Text(&long)];
    let texts = model.encode(&texts).unwrap();
    assert_eq!(model.tensors(&texts).unwrap()[0].shape(), [2, 12]);
    let short = |length| {
        let signature = self::signature(&MASKED, Dimension::Fixed(length), logits(2));
        open("roberta", &[], &signature, Task::TextClassification).map(|_| ())
    };
    let max_tokens = 4;
    assert_eq!(short(4), Err(TextModelError::TooFewTokens { max_tokens }));
    assert_eq!(short(5), Ok(()));
}

#[test]
fn a_model_without_a_mask_gets_no_padding() {
    let signature = signature(&["input_ids"], ANY, logits(2));
    let model = open("bert", &[], &signature, Task::TextClassification).unwrap();
    let texts = model.encode(&[TextInput::Text("the tide")]).unwrap();
    assert_eq!((texts[0].tokens(), texts[0].padded_length()), (4, 4));
}

#[test]
fn padding_and_positions_follow_the_files() {
    let inputs = ["input_ids", "attention_mask", "position_ids"];
    let signature = signature(&inputs, ANY, hidden());
    let files = [
        (
            "config.json",
            r#"{"model_type": "roberta", "pad_token_id": 1}"#,
        ),
        (
            "tokenizer_config.json",
            r#"{"padding_side": "left", "pad_token": "<pad>"}"#,
        ),
    ];
    let model = open("roberta", &files, &signature, Task::TextEmbedding).unwrap();
    let texts = model.encode(&[TextInput::Text("the")]).unwrap();
    let tensors = model.tensors(&texts).unwrap();
    let tokens = texts[0].tokens();
    let Data::I64(ids) = tensors[0].data() else {
        panic!("{tensors:?}");
    };
    let (padding, rest) = ids.split_at(8 - tokens);
    assert!(padding.iter().all(|id| *id == 1));
    assert_eq!((rest[0], rest[tokens - 1]), (0, 2));
    let Data::I64(positions) = tensors[2].data() else {
        panic!("{tensors:?}");
    };
    assert_eq!((positions[0], positions[8 - tokens]), (1, 2));
}

#[test]
fn embeddings_are_read_from_tokens_with_the_prompt() {
    let files = [
        (
            "modules.json",
            r#"[{"type": "a.Transformer"}, {"type": "a.Pooling", "path": "1_Pooling"}, {"type": "a.Normalize"}]"#,
        ),
        (
            "1_Pooling/config.json",
            r#"{"pooling_mode_cls_token": true}"#,
        ),
        (
            "config_sentence_transformers.json",
            r#"{"prompts": {"query": "the "}, "default_prompt_name": "query"}"#,
        ),
        (
            "sentence_bert_config.json",
            r#"{"max_seq_length": 128, "do_lower_case": true}"#,
        ),
    ];
    let signature = signature(&MASKED, ANY, hidden());
    let model = open("bert", &files, &signature, Task::TextEmbedding).unwrap();
    assert_eq!(model.max_tokens(), 128);
    let texts = model.encode(&[TextInput::Text("tide")]).unwrap();
    assert_eq!(texts[0].tokens(), 4);
    let mut tokens = vec![0.0_f32; 16];
    tokens[..2].copy_from_slice(&[3.0, 4.0]);
    let output = Tensor::new(vec![1, 8, 2], tokens).unwrap();
    let answers = model.read(&[output.view()], &texts).unwrap();
    assert_eq!(answers, [TextAnswer::Embedding(vec![0.6, 0.8])]);
}

#[test]
fn entities_have_their_places() {
    let config = r#"{"architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "B-PER", "2": "I-PER"}}"#;
    let signature = signature(&MASKED, ANY, logits(3));
    let files = [("config.json", config)];
    let model = open("bert", &files, &signature, Task::TokenClassification).unwrap();
    let texts = model
        .encode(&[TextInput::Text("Änna Müller sails")])
        .unwrap();
    // The tokens are those of a small vocabulary: classes by the word of each.
    let places = texts[0].places.clone().unwrap().characters;
    let length = texts[0].padded_length();
    let mut logits = vec![0.0_f32; length * 3];
    for (token, place) in places.iter().enumerate() {
        let class = match place {
            Some((0, _)) => 1,
            Some((start, _)) if *start < 12 => 2,
            _ => 0,
        };
        logits[token * 3 + class] = 20.0;
    }
    let output = Tensor::new(vec![1, length, 3], logits).unwrap();
    let answers = model.read(&[output.view()], &texts).unwrap();
    let TextAnswer::Entities(entities) = &answers[0] else {
        panic!("{answers:?}");
    };
    assert_eq!(entities.len(), 1);
    assert_eq!(entities[0].text, "Änna Müller");
    assert_eq!((entities[0].start, entities[0].end), (0, 11));
}

#[test]
fn texts_that_the_task_does_not_take_are_refused() {
    let model = classifier(&[]);
    let max_bytes = TextLimits::default().max_bytes;
    let long = "x".repeat(1 << 20);
    let too_long = TextError::TooLong {
        position: 1,
        bytes: long.len(),
        max_bytes,
    };
    let texts = [TextInput::Text("a"), TextInput::Pair("a", &long)];
    assert_eq!(model.encode(&texts), Err(too_long.clone()));
    assert_eq!(
        too_long.to_string(),
        "text 1 has 1048576 bytes, at most 65536 are accepted"
    );
    let longest = "x".repeat(max_bytes);
    assert!(model.encode(&[TextInput::Text(&longest)]).is_ok());

    let masked = |output| signature(&MASKED, ANY, output);
    let pair = open("bert", &[], &masked(logits(2)), Task::TextPair).unwrap();
    let (position, task) = (0, Task::TextEmbedding);
    assert_eq!(
        pair.encode(&[TextInput::Text("a")]),
        Err(TextError::NoPair { position })
    );
    let embedding = open("gpt2", &[], &masked(hidden()), task).unwrap();
    assert_eq!(
        embedding.encode(&[TextInput::Pair("a", "b")]),
        Err(TextError::Pair { position, task })
    );
    assert_eq!(
        embedding.encode(&[TextInput::Text("")]),
        Err(TextError::Empty { position }),
        "without special tokens, there is nothing"
    );
}

#[test]
fn a_model_that_does_not_fit_is_refused() {
    let masked = signature(&MASKED, ANY, logits(2));
    let empty = tempfile::tempdir().unwrap();
    let files = ModelFolder::new(empty.path());
    let open_empty =
        |task| TextModel::open(&files, &masked, task, TextLimits::default()).map(|_| ());
    assert_eq!(
        open_empty(Task::TextClassification),
        Err(TextModelError::NoTokenizer)
    );
    let task = Task::Tabular;
    assert_eq!(open_empty(task), Err(TextModelError::Task { task }));
    let unknown = signature(&["input_ids", "past"], ANY, logits(2));
    let refused = open("bert", &[], &unknown, Task::TextClassification).map(|_| ());
    assert!(matches!(refused, Err(TextModelError::Inputs(_))));
    let files = [("config.json", "secret")];
    let refused = open("bert", &files, &masked, Task::TextClassification).map(|_| ());
    assert!(matches!(refused, Err(TextModelError::Folder(_))));
}
