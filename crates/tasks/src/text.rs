//! Text models: tokenizers, and the reading of their outputs.
//!
//! [`detect`] finds the task of a model. [`TextModel::open`] reads the files beside it. For each request,
//! [`TextModel::encode`] makes tokens, [`group_by_padded_length`] makes batches, [`TextModel::tensors`] makes the
//! inputs of a run, and [`TextModel::read`] reads its outputs.
//!
//! Tokens, truncation and answers are those of transformers and sentence-transformers. The files are untrusted until
//! they are read: their sizes are limited, and a tokenizer for which the library panics is refused.

pub mod answer;
pub mod configuration;
mod encoded;
mod entities;
mod errors;
#[cfg(test)]
mod fixtures;
mod inputs;
mod labels;
mod model;
pub mod modules;
mod outputs;
mod padding;
pub mod pooling;
mod prediction;
mod reading;
pub mod request;
mod scores;
mod tasks;
pub mod tokenizer;

pub use self::answer::{ClassScore, Entity, OutputError, TextAnswer};
pub use self::configuration::{Side, TextConfiguration};
pub use self::encoded::{EncodedText, TextInput};
pub use self::errors::{TextError, TextModelError};
pub use self::inputs::{InputsError, Padding, TensorsError, TextInputs};
pub use self::labels::Labels;
pub use self::model::{TextLimits, TextModel};
pub use self::padding::{Group, group_by_padded_length, padded_length};
pub use self::prediction::predictions;
pub use self::reading::Reading;
pub use self::tasks::detect;
pub use self::tokenizer::TextTokenizer;
