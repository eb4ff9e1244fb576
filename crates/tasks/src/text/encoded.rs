//! Texts, and their tokens.

/// One text, or two that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextInput<'a> {
    /// A text.
    Text(&'a str),
    /// Two texts, such as a query and a document.
    Pair(&'a str, &'a str),
}

impl<'a> TextInput<'a> {
    /// The text, and the second one of a pair.
    #[must_use]
    pub const fn parts(self) -> (&'a str, Option<&'a str>) {
        match self {
            Self::Text(text) => (text, None),
            Self::Pair(first, second) => (first, Some(second)),
        }
    }
}

/// The tokens of a text, with those that the tokenizer adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedText {
    pub(crate) ids: Vec<u32>,
    /// 0 for tokens of the first text, 1 for those of the second, as the tokenizer has it.
    pub(crate) types: Vec<u32>,
    pub(crate) truncated: bool,
    pub(crate) padded_length: usize,
    /// Places of the tokens, where they are needed.
    pub(crate) places: Option<TokenPlaces>,
}

/// Places of tokens in their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenPlaces {
    pub(crate) text: String,
    /// First character and the one after the last, for each token. None for a token that the tokenizer has added.
    pub(crate) characters: Vec<Option<(usize, usize)>>,
}

impl EncodedText {
    /// The numbers of the tokens.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Types of the tokens: 1 for the second text of a pair where the model distinguishes them, otherwise 0.
    #[must_use]
    pub fn types(&self) -> &[u32] {
        &self.types
    }

    /// Number of tokens, without padding.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Whether the text was longer than the model takes, so that its end or its start was cut off.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.truncated
    }

    /// Number of tokens with padding.
    #[must_use]
    pub const fn padded_length(&self) -> usize {
        self.padded_length
    }
}
