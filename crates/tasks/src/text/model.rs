//! A text model: its tokenizer, its tensors, and its answers.

use springtide_contract::task::Task;
use springtide_inference::{Signature, Tensor, TensorView};

use super::answer::{OutputError, TextAnswer};
use super::configuration::TextConfiguration;
use super::encoded::{EncodedText, TextInput, TokenPlaces};
use super::errors::{TextError, TextModelError};
use super::inputs::{Padding, TensorsError, TextInputs};
use super::padding::padded_length;
use super::reading::Reading;
use super::tasks::reading;
use super::tokenizer::{EncodeError, TextTokenizer, Truncation};
use crate::folder::ModelFolder;

/// Maximum number of tokens of a model whose files have none.
const DEFAULT_TOKENS: usize = 512;

/// Limits of what a text model accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    /// Maximum bytes of a text. Longer ones are refused.
    pub max_bytes: usize,
    /// Maximum number of tokens of a text, which is truncated to it. The model may have a lower maximum.
    pub max_tokens: usize,
}

/// 64 KiB, which is more than 8192 tokens of most languages. The memory of a run may grow with the square of the tokens.
impl Default for TextLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 10,
            max_tokens: 8192,
        }
    }
}

/// A text model, without its session. Calls block, for about 2 ms per 10 kB of text.
#[derive(Debug, Clone)]
pub struct TextModel {
    task: Task,
    tokenizer: TextTokenizer,
    truncation: Truncation,
    max_bytes: usize,
    prompt: String,
    inputs: TextInputs,
    padding: Padding,
    first_position: u32,
    reading: Reading,
}

impl TextModel {
    /// The model of a signature, with the files in its folder, for a task.
    ///
    /// # Errors
    /// When the signature or a file doesn't fit the task.
    pub fn open(
        folder: &ModelFolder,
        signature: &Signature,
        task: Task,
        limits: TextLimits,
    ) -> Result<Self, TextModelError> {
        let configuration = TextConfiguration::read(folder)?;
        // Before the tokenizer is read, which takes longer.
        let reading = reading(task, &configuration, signature)?;
        let inputs = TextInputs::new(signature)?;
        let tokenizer = TextTokenizer::read(folder)?.ok_or(TextModelError::NoTokenizer)?;
        let tokenizer = if configuration.lowercase {
            tokenizer.with_lowercase()?
        } else {
            tokenizer
        };
        let defaults = tokenizer.defaults();
        let of_files = configuration.max_tokens.or(defaults.max_tokens);
        let max_tokens = of_files
            .unwrap_or(DEFAULT_TOKENS)
            .min(limits.max_tokens)
            .min(inputs.length().unwrap_or(usize::MAX));
        let padding_token = configuration.padding_token.as_deref();
        let model = Self {
            task,
            truncation: Truncation {
                max_tokens,
                side: configuration
                    .truncation_side
                    .or(defaults.truncation_side)
                    .unwrap_or_default(),
            },
            max_bytes: limits.max_bytes,
            prompt: match task {
                Task::TextEmbedding => configuration.modules.prompt,
                _ => String::new(),
            },
            padding: Padding {
                token: padding_token
                    .and_then(|token| tokenizer.token_id(token))
                    .or(defaults.padding_id)
                    .or(configuration.padding_id)
                    .unwrap_or(0),
                side: configuration
                    .padding_side
                    .or(defaults.padding_side)
                    .unwrap_or_default(),
            },
            first_position: configuration.first_position.unwrap_or(0),
            tokenizer,
            inputs,
            reading,
        };
        let no_place = Err(EncodeError::NoPlace);
        if [TextInput::Text(""), TextInput::Pair("", "")]
            .into_iter()
            .filter(|input| model.takes(*input))
            .any(|input| model.tokens(input).map(|_| ()) == no_place)
        {
            return Err(TextModelError::TooFewTokens { max_tokens });
        }
        Ok(model)
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> Task {
        self.task
    }

    /// Maximum number of tokens of a text.
    #[must_use]
    pub const fn max_tokens(&self) -> usize {
        self.truncation.max_tokens
    }

    /// Maximum bytes of a text.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Maximum number of texts in a run, if the model has one.
    #[must_use]
    pub const fn max_rows(&self) -> Option<usize> {
        self.inputs.rows()
    }

    /// How answers are read.
    #[must_use]
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The number of tokens to which a text of some tokens is padded.
    #[must_use]
    pub fn padded_length(&self, tokens: usize) -> usize {
        match self.inputs.length() {
            Some(length) => length,
            None if self.inputs.has_mask() => padded_length(tokens, self.max_tokens()),
            // The model would take padding for text.
            None => tokens,
        }
    }

    /// Whether the task takes a text, or a pair.
    const fn takes(&self, input: TextInput<'_>) -> bool {
        match input {
            TextInput::Text(_) => !matches!(self.task, Task::TextPair),
            TextInput::Pair(..) => matches!(self.task, Task::TextPair | Task::TextClassification),
        }
    }

    /// The tokens of texts.
    ///
    /// # Errors
    /// For the first text that is too long, or can't be encoded.
    pub fn encode(&self, texts: &[TextInput<'_>]) -> Result<Vec<EncodedText>, TextError> {
        let texts = texts.iter().enumerate();
        texts
            .map(|(position, text)| self.encode_one(position, *text))
            .collect()
    }

    fn encode_one(&self, position: usize, input: TextInput<'_>) -> Result<EncodedText, TextError> {
        let (text, second) = input.parts();
        if !self.takes(input) {
            return Err(match second {
                Some(_) => TextError::Pair {
                    position,
                    task: self.task,
                },
                None => TextError::NoPair { position },
            });
        }
        let bytes = text.len().max(second.map_or(0, str::len));
        if bytes > self.max_bytes {
            return Err(TextError::TooLong {
                position,
                bytes,
                max_bytes: self.max_bytes,
            });
        }
        let prompted;
        let input = match input {
            TextInput::Text(text) if !self.prompt.is_empty() => {
                prompted = format!("{}{text}", self.prompt);
                TextInput::Text(&prompted)
            }
            _ => input,
        };
        let encoded = self
            .tokens(input)
            .map_err(|error| TextError::Encode { position, error })?;
        if encoded.tokens() == 0 {
            return Err(TextError::Empty { position });
        }
        Ok(encoded)
    }

    /// The tokens of a text that the task takes, with its prompt.
    fn tokens(&self, input: TextInput<'_>) -> Result<EncodedText, EncodeError> {
        let with_places = self.task == Task::TokenClassification;
        let tokens = self.tokenizer.encode(input, self.truncation, with_places)?;
        Ok(EncodedText {
            padded_length: self.padded_length(tokens.ids.len()),
            ids: tokens.ids,
            types: tokens.types,
            truncated: tokens.truncated,
            places: with_places.then(|| TokenPlaces {
                text: input.parts().0.to_owned(),
                characters: tokens.places,
            }),
        })
    }

    /// The tensors of texts of one padded length, in the order of the model's required inputs.
    ///
    /// # Errors
    /// When the padded lengths differ.
    pub fn tensors(&self, texts: &[EncodedText]) -> Result<Vec<Tensor>, TensorsError> {
        self.inputs
            .tensors(texts, self.padding, self.first_position)
    }

    /// The answers for the texts of a run, from its outputs: those of the signature that are tensors.
    ///
    /// # Errors
    /// When the outputs don't fit the texts.
    pub fn read(
        &self,
        outputs: &[TensorView<'_>],
        texts: &[EncodedText],
    ) -> Result<Vec<TextAnswer>, OutputError> {
        self.reading.read(outputs, texts, self.padding.side)
    }
}

#[cfg(test)]
mod tests;
