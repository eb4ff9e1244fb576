//! Answers of image models as `/predict` gives them.

use crate::activation::Activation;
use crate::answer::{Answer, Value, top};
use crate::classes::{ClassScores, Classes};
use crate::request::Options;

/// The answers for images. Classes with several labels at once (sigmoid) are a list of those above one half.
#[must_use]
pub fn predictions(
    classes: Option<&Classes>,
    activation: Activation,
    scores: Vec<ClassScores>,
    options: &Options,
) -> Vec<Answer> {
    let answer = |scores: ClassScores| prediction(classes, activation, &scores, options);
    scores.into_iter().map(answer).collect()
}

fn prediction(
    classes: Option<&Classes>,
    activation: Activation,
    scores: &ClassScores,
    options: &Options,
) -> Answer {
    let label = |index: usize| match classes {
        Some(classes) => Value::Text(classes.name(index).into_owned()),
        None => Value::Unsigned(index as u64),
    };
    let numbers = &scores.probabilities;
    let best = scores.top(1).first().copied();
    let (prediction, confidence) = match activation {
        Activation::Sigmoid => {
            let above = (0..numbers.len()).filter(|index| numbers.get(*index) > Some(&0.5));
            (Value::List(above.map(label).collect()), None)
        }
        Activation::Softmax | Activation::Identity => (
            best.map_or(Value::List(Vec::new()), label),
            best.and_then(|best| numbers.get(best).copied()),
        ),
    };
    let by_class = || {
        let name = |index: usize| match classes {
            Some(classes) => classes.name(index).into_owned(),
            None => index.to_string(),
        };
        let named = numbers
            .iter()
            .enumerate()
            .map(|(index, one)| (name(index), *one));
        top(named.collect(), options.top_k)
    };
    Answer {
        prediction,
        confidence,
        probabilities: options.probabilities.then(by_class),
        truncated: false,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn answer(activation: Activation, options: &Options) -> Answer {
        let names = ["cat", "dog", "bird"].map(str::to_owned).to_vec();
        let scores = ClassScores {
            probabilities: vec![0.25, 0.7, 0.6],
        };
        let mut all = predictions(
            Some(&Classes::new(names)),
            activation,
            vec![scores],
            options,
        );
        all.remove(0)
    }

    #[test]
    fn the_highest_class_or_all_above_one_half() {
        let one = answer(Activation::Softmax, &Options::default());
        assert_eq!(one.prediction, Value::Text("dog".to_owned()));
        assert_eq!((one.confidence, one.probabilities), (Some(0.7), None));
        let several = answer(Activation::Sigmoid, &Options::default());
        let expected = ["dog", "bird"].map(|name| Value::Text(name.to_owned()));
        assert_eq!(several.prediction, Value::List(expected.to_vec()));
        assert_eq!(several.confidence, None);
    }

    #[test]
    fn probabilities_are_by_name() {
        let options = Options {
            probabilities: true,
            top_k: NonZeroUsize::new(1),
            ..Options::default()
        };
        let one = answer(Activation::Softmax, &options);
        assert_eq!(one.probabilities, Some(vec![("dog".to_owned(), 0.7)]));
    }
}
