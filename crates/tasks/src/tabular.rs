//! Tabular models: rows of named columns, or of features.
