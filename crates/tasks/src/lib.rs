//! What models are asked, and what they answer.
//!
//! A model takes tensors and gives tensors. Its task says what they mean: [`tabular`] models take rows of named
//! columns, [`text`] models take texts, [`image`] models take images. The files of an exporter beside the model
//! ([`folder`]) say how: the tokenizer, the classes, the normalization.
//!
//! Everything here is a function of data. It blocks its thread: the server runs it on threads of its own.

pub mod activation;
pub mod answer;
pub mod classes;
mod description;
pub mod folder;
pub mod image;
mod model;
pub mod request;
pub mod tabular;
pub mod text;

pub use self::description::Description;
pub use self::model::{ModelFacts, NoTask, TaskModel};
