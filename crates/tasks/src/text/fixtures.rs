//! Fixtures of tests: small tokenizers, and what Python makes of texts and outputs (`tests/fixtures/make_text.py`).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::configuration::Side;
use super::encoded::EncodedText;

/// `expected.json`.
#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) tokens: Vec<TokenizerCases>,
    pub(crate) entities: EntityCases,
    pub(crate) pooling: Vec<PoolingCase>,
    pub(crate) scores: Vec<ScoreCase>,
}

#[derive(Deserialize)]
pub(crate) struct TokenizerCases {
    pub(crate) tokenizer: String,
    pub(crate) side: Side,
    pub(crate) cases: Vec<TokenCase>,
}

#[derive(Deserialize)]
pub(crate) struct TokenCase {
    pub(crate) texts: Vec<String>,
    pub(crate) max_tokens: usize,
    pub(crate) ids: Vec<u32>,
    pub(crate) types: Vec<u32>,
    pub(crate) places: Vec<Option<(usize, usize)>>,
    pub(crate) truncated: bool,
}

#[derive(Deserialize)]
pub(crate) struct EntityCases {
    pub(crate) labels: Vec<String>,
    pub(crate) cases: Vec<EntityCase>,
}

#[derive(Deserialize)]
pub(crate) struct EntityCase {
    pub(crate) text: String,
    pub(crate) logits: Vec<f32>,
    pub(crate) entities: Vec<ExpectedEntity>,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedEntity {
    pub(crate) class: String,
    pub(crate) score: f32,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) text: String,
}

#[derive(Deserialize)]
pub(crate) struct PoolingCase {
    pub(crate) side: Side,
    pub(crate) lengths: Vec<usize>,
    pub(crate) padded_length: usize,
    pub(crate) width: usize,
    pub(crate) tokens: Vec<f32>,
    pub(crate) pooled: std::collections::BTreeMap<String, Vec<Vec<f32>>>,
    pub(crate) normalized: std::collections::BTreeMap<String, Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
pub(crate) struct ScoreCase {
    pub(crate) logits: Vec<f32>,
    pub(crate) softmax: Vec<f32>,
    pub(crate) sigmoid: Vec<f32>,
}

fn path(file: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text");
    folder.join(file)
}

pub(crate) fn expected() -> Expected {
    serde_json::from_slice(&fs::read(path("expected.json")).unwrap()).unwrap()
}

/// The `tokenizer.json` of a tokenizer.
pub(crate) fn tokenizer_json(name: &str) -> String {
    fs::read_to_string(path(name).join("tokenizer.json")).unwrap()
}

/// A text of some tokens.
pub(crate) fn encoded(tokens: usize, padded_length: usize) -> EncodedText {
    EncodedText {
        ids: vec![7; tokens],
        types: vec![0; tokens],
        truncated: false,
        padded_length,
        places: None,
    }
}

/// Whether numbers are equal up to rounding.
pub(crate) fn close(first: &[f32], second: &[f32]) -> bool {
    let near = |(first, second): (&f32, &f32)| (first - second).abs() <= 1e-5;
    first.len() == second.len() && first.iter().zip(second).all(near)
}
