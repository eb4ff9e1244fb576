//! Padding: the lengths to which texts are padded.
//!
//! The length of a text depends on nothing but the text. Padding to the longest text of a batch would let an answer
//! depend on its neighbours, since sums of floats change with the length.

use super::encoded::EncodedText;

/// The number of tokens to which a text of `tokens` tokens is padded: the next multiple of 8, of 16 from 64 tokens on,
/// of 32 from 128, of 64 from 512 and of 128 from 1024; at most `max_tokens`, unless there are more tokens.
///
/// Few lengths make large batches, many make little padding: beyond 64 tokens, at most a fifth is padding.
#[must_use]
pub fn padded_length(tokens: usize, max_tokens: usize) -> usize {
    let step = match tokens {
        0..=64 => 8,
        65..=128 => 16,
        129..=512 => 32,
        513..=1024 => 64,
        _ => 128,
    };
    let multiple = tokens.max(1).div_ceil(step).saturating_mul(step);
    multiple.min(max_tokens.max(tokens))
}

/// Texts of one padded length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The length.
    pub padded_length: usize,
    /// Position of each text among all.
    pub positions: Vec<usize>,
    /// The texts.
    pub texts: Vec<EncodedText>,
}

/// Groups texts by their padded length, in the order of the first text of each group.
#[must_use]
pub fn group_by_padded_length(texts: Vec<EncodedText>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (position, text) in texts.into_iter().enumerate() {
        let padded_length = text.padded_length;
        // There are few lengths.
        let group = groups
            .iter_mut()
            .find(|group| group.padded_length == padded_length);
        match group {
            Some(group) => {
                group.positions.push(position);
                group.texts.push(text);
            }
            None => groups.push(Group {
                padded_length,
                positions: vec![position],
                texts: vec![text],
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_multiples() {
        for (tokens, expected) in [
            (0, 8),
            (1, 8),
            (8, 8),
            (9, 16),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (500, 510),
            (510, 510),
            (600, 600),
        ] {
            assert_eq!(padded_length(tokens, 510), expected, "{tokens}");
        }
        assert_eq!(padded_length(513, 8192), 576);
        assert_eq!(padded_length(1025, 8192), 1152);
    }

    fn text(tokens: usize) -> EncodedText {
        EncodedText {
            ids: vec![7; tokens],
            types: vec![0; tokens],
            truncated: false,
            padded_length: padded_length(tokens, 100),
            places: None,
        }
    }

    proptest! {
        #[test]
        fn a_padded_length_fits_and_grows_with_the_text(tokens: usize, more: usize, max_tokens: usize) {
            let padded = padded_length(tokens, max_tokens);
            prop_assert!(padded >= tokens);
            prop_assert!(padded <= max_tokens.max(tokens));
            prop_assert!(padded_length(tokens.saturating_add(more), max_tokens) >= padded);
            prop_assert_eq!(padded_length(padded, max_tokens), padded.max(padded_length(0, max_tokens)));
        }

        #[test]
        fn at_most_a_fifth_is_padding(tokens in 65_usize..100_000) {
            let padded = padded_length(tokens, usize::MAX);
            prop_assert!((padded - tokens) * 5 <= padded, "{tokens} {padded}");
        }

        #[test]
        fn every_text_is_in_the_group_of_its_length(lengths in prop::collection::vec(0_usize..100, 0..30)) {
            let groups = group_by_padded_length(lengths.iter().map(|length| text(*length)).collect());
            let mut positions: Vec<usize> = Vec::new();
            for group in &groups {
                prop_assert_eq!(group.positions.len(), group.texts.len());
                for (position, text) in group.positions.iter().zip(&group.texts) {
                    prop_assert_eq!(text.tokens(), lengths[*position]);
                    prop_assert_eq!(text.padded_length(), group.padded_length);
                }
                positions.extend(&group.positions);
            }
            positions.sort_unstable();
            prop_assert_eq!(positions, (0..lengths.len()).collect::<Vec<_>>());
        }
    }
}
