//! Image models: decoding, resizing and normalization, and the reading of their outputs.
