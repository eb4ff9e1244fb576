//! Text models: tokenizers, and the reading of their outputs.
