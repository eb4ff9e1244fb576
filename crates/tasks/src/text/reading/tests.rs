use springtide_inference::{Data, Tensor};

use super::*;
use crate::text::fixtures::{self, close, encoded};
use crate::text::pooling::PoolingMode;
use crate::text::{
    encoded::{TextInput, TokenPlaces},
    tokenizer::{TextTokenizer, Truncation},
};

fn tensor(shape: &[usize], data: impl Into<Data>) -> Tensor {
    Tensor::new(shape.to_vec(), data).unwrap()
}

fn read(
    reading: &Reading,
    output: &Tensor,
    texts: &[EncodedText],
) -> Result<Vec<TextAnswer>, OutputError> {
    reading.read(&[output.view()], texts, Side::Right)
}

fn embeddings(answers: Vec<TextAnswer>) -> Vec<Vec<f32>> {
    let embedding = |answer| match answer {
        TextAnswer::Embedding(embedding) => embedding,
        other => panic!("{other:?}"),
    };
    answers.into_iter().map(embedding).collect()
}

fn labels(names: &[String]) -> Labels {
    let names = names.iter().map(|name| name.as_str().into()).enumerate();
    Labels::from_json(&names.collect()).unwrap()
}

#[test]
fn pooling_is_that_of_sentence_transformers() {
    for case in fixtures::expected().pooling {
        let shape = [case.lengths.len(), case.padded_length, case.width];
        let output = tensor(&shape, case.tokens);
        let texts: Vec<_> = case
            .lengths
            .iter()
            .map(|length| encoded(*length, case.padded_length))
            .collect();
        for (normalize, expected) in [(false, &case.pooled), (true, &case.normalized)] {
            for (name, expected) in expected {
                let reading = Reading::Tokens {
                    output: 0,
                    pooling: vec![PoolingMode::named(name).unwrap()],
                    normalize,
                };
                let answers = reading.read(&[output.view()], &texts, case.side);
                for (found, expected) in embeddings(answers.unwrap()).iter().zip(expected) {
                    // A mean of one token may have a length of almost 1, which is left.
                    assert!(
                        close(found, expected),
                        "{name}: {found:?}, not {expected:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn scores_are_those_of_transformers() {
    for case in fixtures::expected().scores {
        let classes = case.logits.len();
        let output = tensor(&[1, classes], case.logits);
        for (activation, expected) in [
            (Activation::Softmax, &case.softmax),
            (Activation::Sigmoid, &case.sigmoid),
        ] {
            let reading = Reading::Classes {
                output: 0,
                activation,
                labels: labels(&["a".to_owned()]),
            };
            let answers = read(&reading, &output, &[encoded(3, 8)]).unwrap();
            let [TextAnswer::Classes(scores)] = answers.as_slice() else {
                panic!("{answers:?}");
            };
            let found: Vec<_> = scores.iter().map(|score| score.score).collect();
            assert!(close(&found, expected), "{found:?}, not {expected:?}");
            let names: Vec<_> = scores.iter().map(|score| score.class.to_string()).collect();
            assert_eq!(names, ["a", "1", "2", "3", "4"][..classes]);
        }
    }
}

#[test]
fn entities_are_those_of_transformers() {
    let expected = fixtures::expected().entities;
    let json = fixtures::tokenizer_json("bert");
    let tokenizer = TextTokenizer::parse(json.as_bytes()).unwrap();
    let truncation = Truncation {
        max_tokens: 32,
        side: Side::Right,
    };
    let reading = Reading::Entities {
        output: 0,
        labels: labels(&expected.labels),
    };
    for case in expected.cases {
        let tokens = tokenizer.encode(TextInput::Text(&case.text), truncation, true);
        let tokens = tokens.unwrap();
        let count = tokens.ids.len();
        let text = EncodedText {
            places: Some(TokenPlaces {
                text: case.text,
                characters: tokens.places,
            }),
            ..encoded(count, count)
        };
        let output = tensor(&[1, count, expected.labels.len()], case.logits);
        let answers = read(&reading, &output, &[text]).unwrap();
        let [TextAnswer::Entities(found)] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        assert_eq!(found.len(), case.entities.len());
        for (found, expected) in found.iter().zip(&case.entities) {
            assert_eq!(*found.class, *expected.class);
            assert_eq!((found.start, found.end), (expected.start, expected.end));
            assert_eq!(found.text, expected.text);
            assert!(close(&[found.score], &[expected.score]));
        }
    }
}

#[test]
fn floats_of_every_type_are_read() {
    let reading = Reading::Sentences {
        output: 0,
        normalize: false,
    };
    let tensor = tensor(&[1, 2], vec![0.5_f64, -2.0]);
    let answers = read(&reading, &tensor, &[encoded(1, 8)]).unwrap();
    assert_eq!(embeddings(answers), [[0.5, -2.0]]);
    for element in [
        springtide_inference::ElementType::F16,
        springtide_inference::ElementType::Bf16,
    ] {
        let zeros = Tensor::zeros(element, vec![1, 2]).unwrap();
        let answers = read(&reading, &zeros, &[encoded(1, 8)]).unwrap();
        assert_eq!(embeddings(answers), [[0.0, 0.0]]);
    }
    let integers = Tensor::zeros(springtide_inference::ElementType::I64, vec![1, 2]).unwrap();
    let refused = read(&reading, &integers, &[encoded(1, 8)]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the output int64[1, 2] of the run isn't of floats"
    );
}

#[test]
fn an_embedding_is_normalized_if_the_model_has_not() {
    let reading = Reading::Sentences {
        output: 0,
        normalize: true,
    };
    let output = tensor(&[2, 2], vec![3.0_f32, 4.0, 0.6, 0.8]);
    let answers = read(&reading, &output, &[encoded(1, 8), encoded(1, 8)]);
    assert_eq!(embeddings(answers.unwrap()), [[0.6, 0.8], [0.6, 0.8]]);
}

#[test]
fn relevance_is_one_column_or_none() {
    let reading = Reading::Relevance {
        output: 0,
        activation: Activation::Sigmoid,
    };
    let texts = [encoded(1, 8), encoded(2, 8)];
    let expected = Ok(vec![TextAnswer::Relevance(0.5), TextAnswer::Relevance(1.0)]);
    for shape in [vec![2, 1], vec![2]] {
        let output = tensor(&shape, vec![0.0_f32, 100.0]);
        assert_eq!(read(&reading, &output, &texts), expected);
    }
    let output = tensor(&[2, 2], vec![0.0_f32; 4]);
    assert!(read(&reading, &output, &texts).is_err());
}

#[test]
fn other_shapes_are_refused() {
    let rows = Reading::Sentences {
        output: 0,
        normalize: false,
    };
    let tokens = Reading::Tokens {
        output: 0,
        pooling: vec![PoolingMode::Mean],
        normalize: false,
    };
    let texts = [encoded(1, 8), encoded(2, 8)];
    for (reading, shape) in [
        (&rows, vec![2]),
        (&rows, vec![3, 4]),
        (&rows, vec![2, 0]),
        (&rows, vec![2, 8, 4]),
        (&rows, vec![]),
        (&tokens, vec![2, 4]),
        (&tokens, vec![2, 7, 4]),
        (&tokens, vec![1, 8, 4]),
        (&tokens, vec![2, 8, 0]),
    ] {
        let output = Tensor::zeros(springtide_inference::ElementType::F32, shape).unwrap();
        let refused = read(reading, &output, &texts).unwrap_err();
        assert!(matches!(refused, OutputError::Shape { .. }), "{refused}");
    }
    let mixed = [encoded(1, 8), encoded(12, 16)];
    let output = tensor(&[2, 8, 1], vec![0.0_f32; 16]);
    assert!(read(&tokens, &output, &mixed).is_err());
    let missing = OutputError::Missing { index: 0 };
    assert_eq!(rows.read(&[], &texts, Side::Right), Err(missing));
}

#[test]
fn answers_are_finite() {
    let position = 1;
    let texts = [encoded(1, 2), encoded(1, 2)];
    let classes = |activation| Reading::Classes {
        output: 0,
        activation,
        labels: Labels::default(),
    };
    let sentences = Reading::Sentences {
        output: 0,
        normalize: true,
    };
    for reading in [
        classes(Activation::Softmax),
        classes(Activation::Identity),
        sentences,
    ] {
        for unsound in [f32::NAN, f32::INFINITY] {
            let output = tensor(&[2, 2], vec![0.0, 1.0, unsound, 0.0]);
            let refused = read(&reading, &output, &texts);
            assert_eq!(refused, Err(OutputError::NotFinite { position }));
        }
    }
    // Padding may be anything.
    let tokens = Reading::Tokens {
        output: 0,
        pooling: vec![PoolingMode::Mean],
        normalize: false,
    };
    let output = tensor(&[2, 2, 1], vec![1.0, f32::NAN, 2.0, f32::NAN]);
    let answers = read(&tokens, &output, &texts).unwrap();
    assert_eq!(embeddings(answers), [[1.0], [2.0]]);
}
