use std::fs;

use springtide_inference::{ElementType, Port};

use super::*;
use crate::text::labels::Labels;
use crate::text::modules::Modules;
use crate::text::pooling::PoolingMode;

const ANY: Dimension = Dimension::Any;

fn signature(outputs: Vec<Port>) -> Signature {
    let input = |name| Port::tensor(name, ElementType::I64, [ANY, ANY]);
    Signature {
        inputs: vec![input("input_ids"), input("attention_mask")],
        outputs,
    }
}

fn logits(shape: &[Dimension]) -> Port {
    Port::tensor("logits", ElementType::F32, shape)
}

fn output(name: &str, rank: usize) -> Port {
    Port::tensor(name, ElementType::F32, vec![ANY; rank])
}

fn labels(names: &[&str]) -> Labels {
    let names = names.iter().map(|name| (*name).into()).enumerate();
    Labels::from_json(&names.collect()).unwrap()
}

fn classifier(names: &[&str]) -> TextConfiguration {
    TextConfiguration {
        architecture: Some("BertForSequenceClassification".to_owned()),
        labels: labels(names),
        classes: Some(names.len()),
        ..TextConfiguration::default()
    }
}

fn cross_encoder(names: &[&str], settings: CrossEncoder) -> TextConfiguration {
    TextConfiguration {
        cross_encoder: Some(settings),
        ..classifier(names)
    }
}

fn architecture(name: &str) -> TextConfiguration {
    TextConfiguration {
        architecture: Some(name.to_owned()),
        ..TextConfiguration::default()
    }
}

#[test]
fn the_task_follows_from_architecture_and_outputs() {
    let two = || signature(vec![logits(&[ANY, Dimension::Fixed(2)])]);
    let one = || signature(vec![logits(&[ANY, Dimension::Fixed(1)])]);
    let dynamic = || signature(vec![logits(&[ANY, ANY])]);
    let of_tokens = || signature(vec![logits(&[ANY; 3])]);
    let hidden = || signature(vec![output("last_hidden_state", 3)]);
    let none = TextConfiguration::default;
    let modules = || TextConfiguration {
        modules: Modules {
            declared: true,
            ..Modules::default()
        },
        ..TextConfiguration::default()
    };
    for (configuration, signature, expected) in [
        (
            classifier(&["a", "b"]),
            two(),
            Some(Task::TextClassification),
        ),
        (
            classifier(&["a", "b"]),
            dynamic(),
            Some(Task::TextClassification),
        ),
        (classifier(&["a"]), dynamic(), Some(Task::TextPair)),
        (
            cross_encoder(&["a", "b"], CrossEncoder::Default),
            two(),
            Some(Task::TextPair),
        ),
        (none(), two(), Some(Task::TextClassification)),
        (none(), one(), Some(Task::TextPair)),
        (none(), of_tokens(), None),
        (
            architecture("BertForTokenClassification"),
            of_tokens(),
            Some(Task::TokenClassification),
        ),
        (architecture("BertForTokenClassification"), two(), None),
        (architecture("GPT2LMHeadModel"), of_tokens(), None),
        (architecture("BertForMaskedLM"), of_tokens(), None),
        (
            architecture("BertForMaskedLM"),
            hidden(),
            Some(Task::TextEmbedding),
        ),
        (
            architecture("BertModel"),
            hidden(),
            Some(Task::TextEmbedding),
        ),
        (
            none(),
            signature(vec![
                output("token_embeddings", 3),
                output("sentence_embedding", 2),
            ]),
            Some(Task::TextEmbedding),
        ),
        (none(), signature(vec![output("x", 2)]), None),
        (
            modules(),
            signature(vec![output("x", 2)]),
            Some(Task::TextEmbedding),
        ),
        (none(), signature(vec![]), None),
    ] {
        assert_eq!(
            detected(&configuration, &signature),
            expected,
            "{configuration:?} {signature:?}"
        );
    }
}

#[test]
fn only_models_with_a_tokenizer_are_text_models() {
    let folder = tempfile::tempdir().unwrap();
    let files = ModelFolder::new(folder.path());
    let hidden = signature(vec![output("last_hidden_state", 3)]);
    assert_eq!(detect(&files, &hidden), Ok(None));
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert_eq!(detect(&files, &hidden), Ok(Some(Task::TextEmbedding)));
    let image = Signature {
        inputs: vec![Port::tensor("pixels", ElementType::F32, [ANY; 4])],
        ..hidden.clone()
    };
    fs::write(folder.path().join("config.json"), "secret").unwrap();
    assert_eq!(detect(&files, &image), Ok(None));
    assert_eq!(detect(&files, &hidden).unwrap_err().file, "config.json");
}

#[test]
fn classes_have_the_activation_of_their_problem() {
    let activation = |configuration: TextConfiguration| {
        let signature = signature(vec![logits(&[ANY, ANY])]);
        match reading(Task::TextClassification, &configuration, &signature).unwrap() {
            Reading::Classes { activation, .. } => activation,
            other => panic!("{other:?}"),
        }
    };
    let of = |problem, names| {
        activation(TextConfiguration {
            problem,
            ..classifier(names)
        })
    };
    let two = &["a", "b"];
    assert_eq!(of(None, two), Activation::Softmax);
    assert_eq!(of(Some(Problem::SingleLabel), two), Activation::Softmax);
    assert_eq!(of(Some(Problem::MultiLabel), two), Activation::Sigmoid);
    assert_eq!(of(Some(Problem::Regression), two), Activation::Identity);
    assert_eq!(of(None, &["a"]), Activation::Sigmoid);
    assert_eq!(of(Some(Problem::Regression), &["a"]), Activation::Identity);
}

#[test]
fn pairs_have_the_activation_of_their_cross_encoder() {
    let pair = |configuration: &TextConfiguration| {
        let signature = signature(vec![logits(&[ANY, ANY])]);
        reading(Task::TextPair, configuration, &signature)
    };
    let identity = CrossEncoder::Activation(Activation::Identity);
    for (configuration, expected) in [
        (classifier(&["a"]), Activation::Sigmoid),
        (
            cross_encoder(&["a"], CrossEncoder::Default),
            Activation::Sigmoid,
        ),
        (cross_encoder(&["a"], identity), Activation::Identity),
    ] {
        let expected = Reading::Relevance {
            output: 0,
            activation: expected,
        };
        assert_eq!(pair(&configuration), Ok(expected));
    }
    let several = pair(&cross_encoder(&["a", "b"], CrossEncoder::Default));
    let expected = Reading::Classes {
        output: 0,
        activation: Activation::Identity,
        labels: labels(&["a", "b"]),
    };
    assert_eq!(several, Ok(expected));
    let unsupported = pair(&cross_encoder(&["a"], CrossEncoder::Unsupported));
    assert_eq!(unsupported, Err(TextModelError::Activation));
}

#[test]
fn embeddings_follow_the_modules() {
    let configuration = |modules| TextConfiguration {
        modules,
        ..TextConfiguration::default()
    };
    let modules = Modules {
        declared: true,
        pooling: vec![PoolingMode::Cls],
        token_width: Some(4),
        normalize: true,
        ..Modules::default()
    };
    let hidden = |width| {
        let shape = [ANY, ANY, width];
        let port = Port::tensor("last_hidden_state", ElementType::F32, shape);
        signature(vec![output("pooler_output", 2), port])
    };
    let read = |modules: &Modules, signature: &Signature| {
        reading(
            Task::TextEmbedding,
            &configuration(modules.clone()),
            signature,
        )
    };
    let expected = Reading::Tokens {
        output: 1,
        pooling: vec![PoolingMode::Cls],
        normalize: true,
    };
    assert_eq!(
        read(&modules, &hidden(Dimension::Fixed(4))),
        Ok(expected.clone())
    );
    assert_eq!(read(&modules, &hidden(ANY)), Ok(expected));
    let (configured, columns) = (4, 8);
    assert_eq!(
        read(&modules, &hidden(Dimension::Fixed(8))),
        Err(TextModelError::Width {
            configured,
            columns
        })
    );
    let dense = Modules {
        others: true,
        ..modules
    };
    assert_eq!(read(&dense, &hidden(ANY)), Err(TextModelError::Modules));
    let sentence = signature(vec![output("sentence_embedding", 2)]);
    let expected = Reading::Sentences {
        output: 0,
        normalize: true,
    };
    assert_eq!(read(&dense, &sentence), Ok(expected));
}

#[test]
fn a_task_that_does_not_fit_is_an_error_that_says_what_to_do() {
    let hidden = signature(vec![output("last_hidden_state", 3)]);
    let two = signature(vec![logits(&[ANY, Dimension::Fixed(2)])]);
    let none = signature(vec![]);
    let message = |task, configuration: &TextConfiguration, signature: &Signature| {
        reading(task, configuration, signature)
            .unwrap_err()
            .to_string()
    };
    let plain = TextConfiguration::default();
    for (task, configuration, signature, expected) in [
        (
            Task::TextClassification,
            &plain,
            &hidden,
            "--task text-classification",
        ),
        (
            Task::TextPair,
            &plain,
            &hidden,
            "last_hidden_state float32[N, N, N]",
        ),
        (
            Task::TokenClassification,
            &plain,
            &hidden,
            "--task token-classification",
        ),
        (
            Task::TokenClassification,
            &plain,
            &two,
            "logits float32[N, 2]",
        ),
        (
            Task::TextEmbedding,
            &plain,
            &two,
            "--task feature-extraction",
        ),
        (
            Task::TextEmbedding,
            &plain,
            &none,
            "outputs of this model are missing",
        ),
        (
            Task::TextClassification,
            &classifier(&["a", "b", "c"]),
            &two,
            "has 3 classes, and the model's output has 2",
        ),
        (Task::Tabular, &plain, &two, "`tabular` is no text task"),
    ] {
        let message = message(task, configuration, signature);
        assert!(message.contains(expected), "{message}");
    }
}
