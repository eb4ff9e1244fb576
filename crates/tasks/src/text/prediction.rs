//! Answers of text models as `/predict` gives them.

use super::answer::{ClassScore, Entity, TextAnswer};
use super::encoded::EncodedText;
use super::reading::Reading;
use crate::activation::Activation;
use crate::answer::{Answer, Value, top};
use crate::request::Options;

/// The answers for texts. Classes with several labels at once (sigmoid) are a list of those above one half.
#[must_use]
pub fn predictions(
    reading: &Reading,
    answers: Vec<TextAnswer>,
    texts: &[EncodedText],
    options: &Options,
) -> Vec<Answer> {
    let answers = answers.into_iter().zip(texts);
    answers
        .map(|(answer, text)| Answer {
            truncated: text.truncated(),
            ..prediction(reading, answer, options)
        })
        .collect()
}

fn prediction(reading: &Reading, answer: TextAnswer, options: &Options) -> Answer {
    match answer {
        TextAnswer::Embedding(numbers) => Answer::of(Value::Floats(numbers)),
        TextAnswer::Relevance(score) => Answer::of(Value::Float(score)),
        TextAnswer::Entities(entities) => {
            Answer::of(Value::List(entities.into_iter().map(entity).collect()))
        }
        TextAnswer::Classes(scores) => classes(activation(reading), &scores, options),
    }
}

const fn activation(reading: &Reading) -> Activation {
    match reading {
        Reading::Classes { activation, .. } => *activation,
        _ => Activation::Softmax,
    }
}

fn classes(activation: Activation, scores: &[ClassScore], options: &Options) -> Answer {
    let is_single = activation == Activation::Softmax;
    let best = scores
        .iter()
        .reduce(|best, one| if one.score > best.score { one } else { best });
    let prediction = match activation {
        Activation::Softmax => best.map_or(Value::List(Vec::new()), label),
        Activation::Sigmoid => Value::List(
            scores
                .iter()
                .filter(|one| one.score > 0.5)
                .map(label)
                .collect(),
        ),
        // The outputs of a regression.
        Activation::Identity => match scores {
            [only] => Value::Float(only.score),
            scores => Value::Floats(scores.iter().map(|one| one.score).collect()),
        },
    };
    let confidence = best.filter(|_| is_single).map(|best| best.score);
    let wants_probabilities = options.probabilities && activation != Activation::Identity;
    let by_class = || {
        let named = scores.iter().map(|one| (one.class.to_string(), one.score));
        top(named.collect(), options.top_k)
    };
    Answer {
        prediction,
        confidence,
        probabilities: wants_probabilities.then(by_class),
        truncated: false,
    }
}

fn label(score: &ClassScore) -> Value {
    Value::Text(score.class.to_string())
}

/// A name or phrase with the fields that transformers' pipelines give.
fn entity(entity: Entity) -> Value {
    let position = |at: usize| Value::Unsigned(at as u64);
    let fields = [
        ("label", Value::Text(entity.class.to_string())),
        ("score", Value::Float(entity.score)),
        ("text", Value::Text(entity.text)),
        ("start", position(entity.start)),
        ("end", position(entity.end)),
    ];
    Value::Named(fields.map(|(name, value)| (name.to_owned(), value)).into())
}
