//! Entities: words and phrases of a text that have a class.
//!
//! Adjacent tokens of one class are an entity, as with `aggregation_strategy="simple"` of transformers. Its classes are
//! tagged: `B-` begins an entity, `I-` continues one, and a class without a tag continues. `O` is no entity.

use std::sync::Arc;

use super::answer::Entity;
use super::encoded::TokenPlaces;
use super::labels::Labels;
use super::scores::best;

/// The class of tokens that belong to no entity.
const OUTSIDE: &str = "O";

/// Tokens of one class.
struct Span {
    class: Arc<str>,
    scores: f64,
    tokens: usize,
    start: usize,
    end: usize,
}

/// The entities of a text. `logits` has `width` numbers for each of its tokens. None if a class can't be chosen, as the
/// logits aren't finite.
#[must_use]
pub(crate) fn entities(
    labels: &Labels,
    places: &TokenPlaces,
    logits: &[f32],
    width: usize,
) -> Option<Vec<Entity>> {
    let mut spans: Vec<Span> = Vec::new();
    let rows = logits.chunks_exact(width.max(1));
    for (place, logits) in places.characters.iter().zip(rows) {
        let Some((start, end)) = *place else {
            continue;
        };
        let (column, score) = best(logits)?;
        let label = labels.name(column);
        let (begins, class) = untagged(&label);
        match spans.last_mut() {
            Some(span) if !begins && &*span.class == class => {
                span.scores += f64::from(score);
                span.tokens += 1;
                span.end = end;
            }
            _ => spans.push(Span {
                class: class.into(),
                scores: f64::from(score),
                tokens: 1,
                start,
                end,
            }),
        }
    }
    let offsets: Vec<usize> = places.text.char_indices().map(|(at, _)| at).collect();
    let offset = |character: usize| offsets.get(character).copied();
    let entity = |span: Span| {
        let start = offset(span.start).unwrap_or(places.text.len());
        let end = offset(span.end).unwrap_or(places.text.len());
        Entity {
            class: span.class,
            score: (span.scores / span.tokens as f64) as f32,
            start: span.start,
            end: span.end,
            text: places.text.get(start..end).unwrap_or_default().to_owned(),
        }
    };
    let inside = spans.into_iter().filter(|span| &*span.class != OUTSIDE);
    Some(inside.map(entity).collect())
}

/// Whether a label begins an entity, and its class.
fn untagged(label: &str) -> (bool, &str) {
    match label.strip_prefix("B-") {
        Some(class) => (true, class),
        None => (false, label.strip_prefix("I-").unwrap_or(label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Labels {
        let names = names.iter().map(|name| (*name).into()).enumerate();
        Labels::from_json(&names.collect()).unwrap()
    }

    /// The entities of `text`, of which each token is a character of the label at its position.
    fn tagged(
        text: &str,
        names: &[&str],
        columns: &[usize],
    ) -> Vec<(String, usize, usize, String)> {
        let places = TokenPlaces {
            text: text.to_owned(),
            characters: (0..columns.len()).map(|at| Some((at, at + 1))).collect(),
        };
        let mut logits = vec![0.0; columns.len() * names.len()];
        for (token, column) in columns.iter().enumerate() {
            logits[token * names.len() + column] = 9.0;
        }
        let entities = entities(&labels(names), &places, &logits, names.len()).unwrap();
        let shown = |entity: Entity| {
            (
                entity.class.to_string(),
                entity.start,
                entity.end,
                entity.text,
            )
        };
        entities.into_iter().map(shown).collect()
    }

    fn entity(class: &str, start: usize, end: usize, text: &str) -> (String, usize, usize, String) {
        (class.to_owned(), start, end, text.to_owned())
    }

    #[test]
    fn adjacent_tokens_of_a_class_are_one_entity() {
        let names = ["O", "B-PER", "I-PER", "I-LOC"];
        assert_eq!(
            tagged("äbcde", &names, &[1, 2, 0, 2, 3]),
            [
                entity("PER", 0, 2, "äb"),
                entity("PER", 3, 4, "d"),
                entity("LOC", 4, 5, "e")
            ]
        );
        assert_eq!(
            tagged("ab", &names, &[1, 1]),
            [entity("PER", 0, 1, "a"), entity("PER", 1, 2, "b")]
        );
    }

    #[test]
    fn classes_without_tags_continue() {
        assert_eq!(
            tagged("a-b", &["PER", "O", "X-Y"], &[0, 0, 2]),
            [entity("PER", 0, 2, "a-"), entity("X-Y", 2, 3, "b")]
        );
    }

    #[test]
    fn special_tokens_do_not_part_an_entity() {
        let places = TokenPlaces {
            text: "ab".to_owned(),
            characters: vec![None, Some((0, 1)), None, Some((1, 2))],
        };
        let logits = [9.0, 0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 9.0];
        let found = entities(&labels(&["O", "X"]), &places, &logits, 2).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].start, found[0].end), (0, 2));
    }

    #[test]
    fn places_beyond_the_text_have_no_text() {
        let places = TokenPlaces {
            text: "a".to_owned(),
            characters: vec![Some((5, 3))],
        };
        let found = entities(&labels(&["X"]), &places, &[1.0], 1).unwrap();
        assert_eq!(found[0].text, "");
        assert_eq!(entities(&labels(&["X"]), &places, &[f32::NAN], 1), None);
    }
}
