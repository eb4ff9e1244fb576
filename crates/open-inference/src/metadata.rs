//! Metadata of the server and its models. The messages of gRPC have the same fields as the objects of JSON, so they are
//! used for both.

use std::num::NonZeroUsize;
use std::time::Duration;

use springtide_inference::{Dimension, ElementType, Port, Signature};

use crate::datatype;
use crate::grpc::message::model_instance_group::Kind;
use crate::grpc::message::model_metadata_response::TensorMetadata;
use crate::grpc::message::{
    DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelInstanceGroup,
    ModelMetadataResponse, ModelOutput, ModelParameter, ModelTensorReshape, ServerMetadataResponse,
};
use crate::request::dimensions;

/// Supported extensions, by Triton's names.
const EXTENSIONS: [&str; 6] = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
];

/// A server's metadata.
#[must_use]
pub fn server(name: &str, version: &str) -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: name.to_owned(),
        version: version.to_owned(),
        extensions: EXTENSIONS.map(str::to_owned).to_vec(),
    }
}

/// A model's metadata, without inputs and outputs that aren't tensors: requests and responses can't contain them.
#[must_use]
pub fn model(
    name: &str,
    versions: Vec<String>,
    platform: &str,
    signature: &Signature,
) -> ModelMetadataResponse {
    ModelMetadataResponse {
        name: name.to_owned(),
        versions,
        platform: platform.to_owned(),
        inputs: signature.inputs.iter().filter_map(tensor).collect(),
        outputs: signature.outputs.iter().filter_map(tensor).collect(),
    }
}

fn tensor(port: &Port) -> Option<TensorMetadata> {
    Some(TensorMetadata {
        name: port.name.clone(),
        datatype: datatype::name(port.element()?).to_owned(),
        shape: shape(port),
    })
}

/// The shape. An unknown rank is one dimension of any length, since the protocol can't express it.
fn shape(port: &Port) -> Vec<i64> {
    dimensions(port.shape.as_deref().unwrap_or(&[Dimension::Any]))
}

/// Properties of a served model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving<'a> {
    /// The model.
    pub name: &'a str,
    /// Framework and format: `onnxruntime_onnx`.
    pub platform: &'a str,
    /// The backend: `onnxruntime`.
    pub backend: &'a str,
    /// Maximum number of rows in a batch. None where requests aren't batched.
    pub max_batch_rows: Option<NonZeroUsize>,
    /// Maximum time that a request waits for others.
    pub max_wait: Duration,
    /// Number of concurrent sessions.
    pub instances: usize,
    /// Whether they run on a GPU.
    pub on_gpu: bool,
    /// Further properties.
    pub parameters: &'a [(&'a str, &'a str)],
}

/// A model's configuration, in Triton's format.
#[must_use]
pub fn config(signature: &Signature, serving: &Serving<'_>) -> ModelConfig {
    let batches = serving.max_batch_rows.is_some();
    let kind = if serving.on_gpu { Kind::Gpu } else { Kind::Cpu };
    let input = |port: &Port| {
        let (dims, reshape) = configured_shape(port, batches);
        Some(ModelInput {
            name: port.name.clone(),
            data_type: data_type(port.element()?).into(),
            dims,
            reshape,
        })
    };
    let output = |port: &Port| {
        let (dims, reshape) = configured_shape(port, batches);
        Some(ModelOutput {
            name: port.name.clone(),
            data_type: data_type(port.element()?).into(),
            dims,
            reshape,
        })
    };
    ModelConfig {
        name: serving.name.to_owned(),
        platform: serving.platform.to_owned(),
        backend: serving.backend.to_owned(),
        max_batch_size: serving
            .max_batch_rows
            .map_or(0, |rows| i32::try_from(rows.get()).unwrap_or(i32::MAX)),
        input: signature.inputs.iter().filter_map(input).collect(),
        output: signature.outputs.iter().filter_map(output).collect(),
        dynamic_batching: batches.then(|| ModelDynamicBatching {
            max_queue_delay_microseconds: u64::try_from(serving.max_wait.as_micros())
                .unwrap_or(u64::MAX),
        }),
        instance_group: vec![ModelInstanceGroup {
            name: serving.name.to_owned(),
            kind: kind.into(),
            count: i32::try_from(serving.instances).unwrap_or(i32::MAX),
        }],
        parameters: serving
            .parameters
            .iter()
            .map(|(name, value)| {
                let string_value = (*value).to_owned();
                ((*name).to_owned(), ModelParameter { string_value })
            })
            .collect(),
    }
}

/// The dimensions without the rows. A configuration must have at least one. Where rows are single elements it is 1, with
/// a reshape to none.
fn configured_shape(port: &Port, batches: bool) -> (Vec<i64>, Option<ModelTensorReshape>) {
    let mut dims = shape(port);
    if batches && !dims.is_empty() {
        dims.remove(0);
    }
    if dims.is_empty() {
        return (vec![1], Some(ModelTensorReshape::default()));
    }
    (dims, None)
}

const fn data_type(element: ElementType) -> DataType {
    match element {
        ElementType::Bool => DataType::TypeBool,
        ElementType::U8 => DataType::TypeUint8,
        ElementType::U16 => DataType::TypeUint16,
        ElementType::U32 => DataType::TypeUint32,
        ElementType::U64 => DataType::TypeUint64,
        ElementType::I8 => DataType::TypeInt8,
        ElementType::I16 => DataType::TypeInt16,
        ElementType::I32 => DataType::TypeInt32,
        ElementType::I64 => DataType::TypeInt64,
        ElementType::F16 => DataType::TypeFp16,
        ElementType::Bf16 => DataType::TypeBf16,
        ElementType::F32 => DataType::TypeFp32,
        ElementType::F64 => DataType::TypeFp64,
        ElementType::String => DataType::TypeString,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use springtide_inference::PortKind;

    use super::*;

    fn signature() -> Signature {
        let rows = Dimension::Any;
        let maps = Port {
            name: "maps".to_owned(),
            kind: PortKind::Other("Sequence<Map<Int64, Float32>>".to_owned()),
            shape: None,
            optional: false,
        };
        Signature {
            inputs: vec![Port::tensor(
                "x",
                ElementType::F32,
                [rows, Dimension::Fixed(4)],
            )],
            outputs: vec![Port::tensor("label", ElementType::I64, [rows]), maps],
        }
    }

    fn serving() -> Serving<'static> {
        Serving {
            name: "iris",
            platform: "onnxruntime_onnx",
            backend: "onnxruntime",
            max_batch_rows: NonZeroUsize::new(32),
            max_wait: Duration::from_millis(50),
            instances: 2,
            on_gpu: false,
            parameters: &[("execution_provider", "cpu")],
        }
    }

    #[test]
    fn a_model_tells_its_tensors() {
        let metadata = model(
            "iris",
            vec!["1".to_owned()],
            "onnxruntime_onnx",
            &signature(),
        );
        let expected = json!({
            "name": "iris", "versions": ["1"], "platform": "onnxruntime_onnx",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
        });
        assert_eq!(serde_json::to_value(metadata).unwrap(), expected);
    }

    #[test]
    fn a_batched_model_is_configured_without_its_rows() {
        let expected = json!({
            "name": "iris", "platform": "onnxruntime_onnx", "backend": "onnxruntime",
            "max_batch_size": 32,
            "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}],
            "output": [{
                "name": "label", "data_type": "TYPE_INT64", "dims": [1],
                "reshape": {"shape": []},
            }],
            "dynamic_batching": {"max_queue_delay_microseconds": 50_000},
            "instance_group": [{"name": "iris", "kind": "KIND_CPU", "count": 2}],
            "parameters": {"execution_provider": {"string_value": "cpu"}},
        });
        let config = config(&signature(), &serving());
        assert_eq!(serde_json::to_value(config).unwrap(), expected);
    }

    #[test]
    fn a_model_that_is_not_batched_keeps_its_whole_shape() {
        let serving = Serving {
            max_batch_rows: None,
            on_gpu: true,
            ..serving()
        };
        let config = config(&signature(), &serving);
        assert_eq!(config.max_batch_size, 0);
        assert_eq!(config.input[0].dims, [-1, 4]);
        assert_eq!(config.dynamic_batching, None);
        assert_eq!(config.instance_group[0].kind, i32::from(Kind::Gpu));
    }

    #[test]
    fn a_shape_of_unknown_rank_is_one_open_length() {
        let port = Port {
            shape: None,
            ..Port::tensor("x", ElementType::F32, [])
        };
        assert_eq!(tensor(&port).unwrap().shape, [-1]);
    }

    #[test]
    fn every_type_has_its_configured_name() {
        for element in ElementType::ALL {
            let name = data_type(element).as_str_name();
            let expected = match element {
                ElementType::String => "TYPE_STRING".to_owned(),
                _ => format!("TYPE_{}", datatype::name(element)),
            };
            assert_eq!(name, expected);
        }
    }
}
