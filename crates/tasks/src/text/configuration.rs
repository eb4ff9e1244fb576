//! The configuration of a text model, from the files of an exporter.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::labels::Labels;
use super::modules::Modules;
use crate::activation::Activation;
use crate::folder::{FolderError, ModelFolder};

const CONFIG: &str = "config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const SENTENCE_CONFIG: &str = "sentence_bert_config.json";

/// Values of `model_max_length` from this one on mean that there is no limit. transformers writes 1e30.
const NO_MAX_LENGTH: f64 = 1e9;

/// Models whose first position comes after the number of the padding token, as `create_position_ids_from_input_ids`
/// of transformers has it.
const POSITIONS_AFTER_PADDING: [&str; 15] = [
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "layoutlmv3",
    "lilt",
    "longformer",
    "luke",
    "markuplm",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
];

/// Number of a padding token, where such a model's configuration has none.
const ROBERTA_PADDING: u32 = 1;

/// An end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The start.
    Left,
    /// The end.
    #[default]
    Right,
}

/// Kind of a classifier's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Numbers, not classes.
    Regression,
    /// One class for each text.
    SingleLabel,
    /// Any number of classes for each text.
    MultiLabel,
}

/// The configuration of a cross-encoder of sentence-transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossEncoder {
    /// Without an activation function: sigmoid for one label, identity for several.
    Default,
    /// With this activation function.
    Activation(Activation),
    /// With an activation function that isn't supported.
    Unsupported,
}

/// What the files beside a text model say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextConfiguration {
    /// The model's class in transformers, such as `BertForSequenceClassification`.
    pub architecture: Option<String>,
    /// The classes.
    pub labels: Labels,
    /// Number of classes, where the files say it.
    pub classes: Option<usize>,
    /// Kind of the classes.
    pub problem: Option<Problem>,
    /// Settings of a cross-encoder; None for other models.
    pub cross_encoder: Option<CrossEncoder>,
    /// Maximum number of tokens of a text with its special tokens.
    pub max_tokens: Option<usize>,
    /// The position of the first token, where it isn't 0. Padding has the position before.
    pub first_position: Option<u32>,
    /// The end at which long texts are truncated.
    pub truncation_side: Option<Side>,
    /// The end at which short texts are padded.
    pub padding_side: Option<Side>,
    /// The padding token.
    pub padding_token: Option<String>,
    /// The number of the padding token, from `config.json`.
    pub padding_id: Option<u32>,
    /// Whether texts are changed to lower case.
    pub lowercase: bool,
    /// What follows the transformer.
    pub modules: Modules,
}

/// `config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
    id2label: Option<BTreeMap<usize, Value>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
    max_position_embeddings: Option<i64>,
    pad_token_id: Option<i64>,
    sentence_transformers: Option<CrossEncoderConfig>,
    sbert_ce_default_activation_function: Option<String>,
}

/// `sentence_transformers` in `config.json`.
#[derive(Deserialize)]
struct CrossEncoderConfig {
    activation_fn: Option<String>,
}

/// `tokenizer_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
    truncation_side: Option<Side>,
    padding_side: Option<Side>,
    pad_token: Option<Token>,
}

/// `special_tokens_map.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecialTokens {
    pad_token: Option<Token>,
}

/// A token of a configuration.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Added { content: String },
}

impl Token {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Added { content: text } => text,
        }
    }
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<u64>,
    do_lower_case: Option<bool>,
}

impl Config {
    /// The first position, for models that number positions after the padding token.
    fn first_position(&self) -> Option<u32> {
        let model_type = self.model_type.as_deref()?;
        POSITIONS_AFTER_PADDING.contains(&model_type).then(|| {
            let padding = self.padding_id().unwrap_or(ROBERTA_PADDING);
            padding.saturating_add(1)
        })
    }

    fn padding_id(&self) -> Option<u32> {
        u32::try_from(self.pad_token_id?).ok()
    }

    /// Number of tokens that have a position. Negative for any number, in `XLNet`.
    fn positions(&self) -> Option<usize> {
        let positions = usize::try_from(self.max_position_embeddings?).ok()?;
        let unused = self.first_position().unwrap_or(0);
        Some(positions.saturating_sub(usize::try_from(unused).ok()?))
    }

    fn problem(&self) -> Option<Problem> {
        match self.problem_type.as_deref()? {
            "regression" => Some(Problem::Regression),
            "single_label_classification" => Some(Problem::SingleLabel),
            "multi_label_classification" => Some(Problem::MultiLabel),
            _ => None,
        }
    }

    fn cross_encoder(&self) -> Option<CrossEncoder> {
        let current = self.sentence_transformers.as_ref();
        let old = self.sbert_ce_default_activation_function.as_deref();
        if current.is_none() && old.is_none() {
            return None;
        }
        let function = current.and_then(|config| config.activation_fn.as_deref());
        // The name is a path, such as `torch.nn.modules.linear.Identity`.
        let name = function.or(old).map(|path| path.rsplit('.').next());
        Some(match name {
            None => CrossEncoder::Default,
            Some(Some("Sigmoid")) => CrossEncoder::Activation(Activation::Sigmoid),
            Some(Some("Identity")) => CrossEncoder::Activation(Activation::Identity),
            Some(_) => CrossEncoder::Unsupported,
        })
    }
}

impl TextConfiguration {
    /// The configuration in a model's folder. What no file says is None.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn read(folder: &ModelFolder) -> Result<Self, FolderError> {
        let config: Config = folder.json(CONFIG)?.unwrap_or_default();
        let tokenizer: TokenizerConfig = folder.json(TOKENIZER_CONFIG)?.unwrap_or_default();
        let sentence: SentenceConfig = folder.json(SENTENCE_CONFIG)?.unwrap_or_default();
        let padding_token = match tokenizer.pad_token {
            Some(token) => Some(token),
            None => {
                let tokens: SpecialTokens = folder.json(SPECIAL_TOKENS)?.unwrap_or_default();
                tokens.pad_token
            }
        };
        let labels = config.id2label.as_ref().map(Labels::from_json);
        let labels = labels.map(|labels| {
            let problem = "a label of id2label is neither a string nor a number";
            labels.ok_or_else(|| FolderError::new(CONFIG, problem))
        });
        let labels = labels.transpose()?.unwrap_or_default();
        let max_length = tokenizer
            .model_max_length
            .filter(|length| (1.0..NO_MAX_LENGTH).contains(length))
            .map(|length| length as usize);
        let max_sequence = sentence
            .max_seq_length
            .and_then(|length| usize::try_from(length).ok());
        let limits = [max_length, max_sequence, config.positions()];
        Ok(Self {
            classes: match labels.len() {
                0 => config.num_labels,
                count => Some(count),
            },
            labels,
            problem: config.problem(),
            cross_encoder: config.cross_encoder(),
            max_tokens: limits.into_iter().flatten().min(),
            first_position: config.first_position(),
            truncation_side: tokenizer.truncation_side,
            padding_side: tokenizer.padding_side,
            padding_token: padding_token.map(Token::into_text),
            padding_id: config.padding_id(),
            lowercase: sentence.do_lower_case.unwrap_or(false),
            modules: Modules::read(folder)?,
            architecture: config.architectures.and_then(|all| all.into_iter().next()),
        })
    }
}

#[cfg(test)]
mod tests;
