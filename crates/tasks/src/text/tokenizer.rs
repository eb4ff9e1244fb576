//! Tokenizers: from texts to tokens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::pre_tokenizer::OffsetType;
use tokenizers::{
    Encoding, Model as _, NormalizerWrapper, PaddingDirection, PreTokenizer as _, Tokenizer,
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};

use super::configuration::Side;
use super::encoded::TextInput;
use crate::folder::{FolderError, ModelFolder, json_error};

/// Name of a tokenizer's file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Maximum bytes of a tokenizer. Those of multilingual models have 35 MB.
pub const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// The problem of a file that the library accepts, or panics for.
const DEFECTIVE: &str = "a part of it is defective: it can't encode texts";

/// A tokenizer.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    defaults: TokenizerDefaults,
}

/// Settings in a tokenizer's file. Those in other files override them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenizerDefaults {
    /// Maximum number of tokens with special tokens.
    pub max_tokens: Option<usize>,
    /// The end at which long texts are truncated.
    pub truncation_side: Option<Side>,
    /// The end at which short texts are padded.
    pub padding_side: Option<Side>,
    /// Number of the padding token.
    pub padding_id: Option<u32>,
}

/// Truncation of long texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// Maximum number of tokens with special tokens.
    pub max_tokens: usize,
    /// The end that is cut off.
    pub side: Side,
}

/// A text that a tokenizer couldn't encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The tokenizer has no token for it, not even one for unknown text.
    #[error("the model's tokenizer has no tokens for this text")]
    Unknown,
    /// The maximum number of tokens leaves no place for the text.
    #[error("the special tokens of the model's tokenizer leave no place for a text")]
    NoPlace,
    /// The tokenizer's file is defective.
    #[error("the model's tokenizer.json is defective: it can't encode this text")]
    Defective,
}

/// Tokens of a text.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Numbers of the tokens.
    pub ids: Vec<u32>,
    /// Types of the tokens.
    pub types: Vec<u32>,
    /// First character and the one after the last, for each token; None for special tokens. Empty if they weren't
    /// requested.
    pub places: Vec<Option<(usize, usize)>>,
    /// Whether the text was truncated.
    pub truncated: bool,
}

/// Calls a function of the library. It panics for some files, for example when the table of a normalizer
/// (`precompiled_charsmap`) is too short. None after a panic.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    // A tokenizer has no state besides caches, which are behind locks.
    catch_unwind(AssertUnwindSafe(call)).ok()
}

const fn direction(side: Side) -> TruncationDirection {
    match side {
        Side::Left => TruncationDirection::Left,
        Side::Right => TruncationDirection::Right,
    }
}

impl TextTokenizer {
    /// The tokenizer in a model's folder. None if there is none.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn read(folder: &ModelFolder) -> Result<Option<Self>, FolderError> {
        let bytes = folder.read(TOKENIZER_FILE, MAX_TOKENIZER_BYTES)?;
        bytes.map(|bytes| Self::parse(&bytes)).transpose()
    }

    /// The tokenizer of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn parse(json: &[u8]) -> Result<Self, FolderError> {
        let unreadable = "it has something that no supported tokenizer has";
        let mut tokenizer = guarded(|| serde_json::from_slice::<Tokenizer>(json))
            .ok_or_else(|| FolderError::new(TOKENIZER_FILE, DEFECTIVE))?
            .map_err(|error| json_error(TOKENIZER_FILE, &error, unreadable))?;
        let truncation = tokenizer.get_truncation();
        let padding = tokenizer.get_padding();
        let defaults = TokenizerDefaults {
            max_tokens: truncation.map(|truncation| truncation.max_length),
            truncation_side: truncation.map(|truncation| match truncation.direction {
                TruncationDirection::Left => Side::Left,
                TruncationDirection::Right => Side::Right,
            }),
            padding_side: padding.map(|padding| match padding.direction {
                PaddingDirection::Left => Side::Left,
                PaddingDirection::Right => Side::Right,
            }),
            padding_id: padding.map(|padding| padding.pad_id),
        };
        // The library would truncate with parts of a text that overlap, and pad to the longest text.
        tokenizer.with_padding(None);
        let defective = || FolderError::new(TOKENIZER_FILE, DEFECTIVE);
        tokenizer.with_truncation(None).map_err(|_| defective())?;
        let this = Self {
            tokenizer,
            defaults,
        };
        let truncation = Truncation {
            max_tokens: usize::MAX,
            side: Side::Right,
        };
        // A defective table is found by its use. A tokenizer may have no token for this text.
        match this.encode(TextInput::Text("A \u{e9}"), truncation, false) {
            Err(EncodeError::Defective) => Err(defective()),
            _ => Ok(this),
        }
    }

    /// Changes texts to lower case, as sentence-transformers does for `do_lower_case`.
    ///
    /// # Errors
    /// When an added token can't be changed.
    pub fn with_lowercase(mut self) -> Result<Self, FolderError> {
        let mut all: Vec<NormalizerWrapper> = vec![Lowercase.into()];
        all.extend(self.tokenizer.get_normalizer().cloned());
        let normalizer = Some(Sequence::new(all));
        match guarded(|| self.tokenizer.with_normalizer(normalizer).is_ok()) {
            Some(true) => Ok(self),
            _ => Err(FolderError::new(TOKENIZER_FILE, DEFECTIVE)),
        }
    }

    /// The settings in the file.
    #[must_use]
    pub const fn defaults(&self) -> TokenizerDefaults {
        self.defaults
    }

    /// The number of a token.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The tokens of a text or a pair, with special tokens, in time that is linear in the text. Of a pair, the longer
    /// text is truncated first.
    ///
    /// # Errors
    /// When the tokenizer can't encode it.
    pub fn encode(
        &self,
        input: TextInput<'_>,
        truncation: Truncation,
        with_places: bool,
    ) -> Result<Tokens, EncodeError> {
        guarded(|| self.encode_unguarded(input, truncation, with_places))
            .unwrap_or(Err(EncodeError::Defective))
    }

    /// [`Tokenizer::encode`], but without what it does with the parts that are cut off: it combines each of the first
    /// text with each of the second one.
    fn encode_unguarded(
        &self,
        input: TextInput<'_>,
        truncation: Truncation,
        with_places: bool,
    ) -> Result<Tokens, EncodeError> {
        let (text, second) = input.parts();
        let processor = self.tokenizer.get_post_processor();
        let special = processor.map_or(0, |processor| {
            tokenizers::PostProcessor::added_tokens(processor, second.is_some())
        });
        let place = truncation.max_tokens.saturating_sub(special);
        if place == 0 {
            return Err(EncodeError::NoPlace);
        }
        // Some more than there is place for, so that a truncated text is known. Of a pair, the longer text is truncated,
        // so that both lengths must be known.
        let enough = Truncation {
            max_tokens: match second {
                Some(_) => usize::MAX,
                None => place.saturating_add(1),
            },
            ..truncation
        };
        let offsets = if with_places {
            OffsetType::Char
        } else {
            OffsetType::None
        };
        let first = self.encode_part(text, 0, enough, offsets)?;
        let second = match second {
            Some(second) => Some(self.encode_part(second, 1, enough, offsets)?),
            None => None,
        };
        let tokens = first.len() + second.as_ref().map_or(0, Encoding::len);
        let parameters = TruncationParams {
            direction: direction(truncation.side),
            max_length: place,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let (mut first, mut second) =
            truncate_encodings(first, second, &parameters).map_err(|_| EncodeError::Defective)?;
        first.take_overflowing();
        if let Some(second) = &mut second {
            second.take_overflowing();
        }
        let encoding = self
            .tokenizer
            .post_process(first, second, true)
            .map_err(|_| EncodeError::Defective)?;
        if encoding.len() > truncation.max_tokens {
            return Err(EncodeError::Defective);
        }
        let places = encoding
            .get_offsets()
            .iter()
            .zip(encoding.get_special_tokens_mask())
            .map(|(place, special)| (*special == 0).then_some(*place));
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
            places: if with_places {
                places.collect()
            } else {
                Vec::new()
            },
            truncated: tokens > place,
        })
    }

    /// The tokens of one text without special tokens: all, or at least as many as are enough.
    fn encode_part(
        &self,
        text: &str,
        type_id: u32,
        enough: Truncation,
        offsets: OffsetType,
    ) -> Result<Encoding, EncodeError> {
        let tokenizer = &self.tokenizer;
        let mut parts = tokenizer
            .get_added_vocabulary()
            .extract_and_normalize(tokenizer.get_normalizer(), text);
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer
                .pre_tokenize(&mut parts)
                .map_err(|_| EncodeError::Unknown)?;
        }
        let limit = (enough.max_tokens, direction(enough.side));
        tokenizer
            .get_model()
            .tokenize_in_pretokenized(&mut parts, Some(limit))
            .map_err(|_| EncodeError::Unknown)?;
        let mut encoding = parts
            .into_encoding(None, type_id, offsets)
            .map_err(|_| EncodeError::Defective)?;
        encoding.set_type_ids(vec![type_id; encoding.len()]);
        Ok(encoding)
    }
}

#[cfg(test)]
mod tests;
