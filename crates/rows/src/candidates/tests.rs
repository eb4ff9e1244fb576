//! Each kind of constraint on a graph of a few nodes; the values are those that ONNX Runtime takes.

mod build;
mod lengths;
mod values;
