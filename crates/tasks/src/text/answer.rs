//! Answers of text models.

use std::sync::Arc;

/// The answer for one text.
#[derive(Debug, Clone, PartialEq)]
pub enum TextAnswer {
    /// A score for each class, in the order of the model's columns.
    Classes(Vec<ClassScore>),
    /// An embedding.
    Embedding(Vec<f32>),
    /// The relevance of a pair, higher for more. From 0 to 1 after a sigmoid, otherwise any number.
    Relevance(f32),
    /// Words and phrases that have a class, in the order of the text.
    Entities(Vec<Entity>),
}

/// The score of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScore {
    /// The class, by its label, or by its column if it has none.
    pub class: Arc<str>,
    /// A probability, or the output itself where the model isn't a classifier.
    pub score: f32,
}

/// A word or phrase with a class, such as the name of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// The class, without `B-` and `I-`.
    pub class: Arc<str>,
    /// Mean of the probabilities of its tokens.
    pub score: f32,
    /// Its first character (Unicode scalar value) in the text, from 0.
    pub start: usize,
    /// The character after its last one.
    pub end: usize,
    /// This part of the text.
    pub text: String,
}

/// Outputs of a run that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The run has fewer outputs than the model declares.
    #[error("the run has no output {index}")]
    Missing {
        /// Number of the output, from 0.
        index: usize,
    },
    /// An output isn't of floats.
    #[error("the output {given} of the run isn't of floats")]
    Type {
        /// Type and shape.
        given: String,
    },
    /// An output has another shape than the texts require.
    #[error("the output {given} of the run doesn't have the shape {expected}")]
    Shape {
        /// Type and shape.
        given: String,
        /// Expected shape.
        expected: String,
    },
    /// An answer isn't made of finite numbers.
    #[error("the model's answer for text {position} isn't finite")]
    NotFinite {
        /// Number of the text, from 0.
        position: usize,
    },
}
