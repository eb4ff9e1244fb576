//! Text models: tokenizers, and the reading of their outputs.

pub mod configuration;
mod encoded;
#[cfg(test)]
mod fixtures;
mod labels;
pub mod modules;
mod padding;
pub mod pooling;
pub mod tokenizer;

pub use self::configuration::{Activation, Side, TextConfiguration};
pub use self::encoded::{EncodedText, TextInput};
pub use self::labels::Labels;
pub use self::padding::{Group, group_by_padded_length, padded_length};
pub use self::tokenizer::TextTokenizer;
