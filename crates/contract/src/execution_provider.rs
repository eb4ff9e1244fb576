//! Execution providers of ONNX Runtime, as a ModelService and a flag of the server request them.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// Requested execution provider of ONNX Runtime.
///
/// Serialized as `spec.server.executionProvider` has it (`TensorRT`); [`Self::name`] is the value of the
/// server's flag (`tensorrt`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum ExecutionProvider {
    /// A GPU if one is usable, otherwise the CPU.
    Auto,
    /// The CPU.
    #[default]
    #[serde(rename = "CPU")]
    Cpu,
    /// A GPU through CUDA.
    #[serde(rename = "CUDA")]
    Cuda,
    /// A GPU through TensorRT.
    #[serde(rename = "TensorRT")]
    TensorRt,
}

names! {
    ExecutionProvider {
        Auto: "auto",
        Cpu: "cpu",
        Cuda: "cuda",
        TensorRt: "tensorrt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_is_parsed_from_its_name() {
        for provider in ExecutionProvider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(*provider));
        }
        let unknown = "CPU".parse::<ExecutionProvider>().unwrap_err();
        let expected = r#""CPU" is none of auto, cpu, cuda, tensorrt"#;
        assert_eq!(unknown.to_string(), expected);
    }

    #[test]
    fn the_spec_has_the_names_of_the_vendors() {
        let values = serde_json::to_value(ExecutionProvider::ALL).unwrap();
        assert_eq!(
            values,
            serde_json::json!(["Auto", "CPU", "CUDA", "TensorRT"])
        );
    }
}
