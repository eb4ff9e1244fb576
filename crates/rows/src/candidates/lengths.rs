//! The lengths of nodes' outputs, and what nodes say about those of their inputs.

mod convolutions;
mod layout;
mod outputs;
mod products;
mod widths;

use super::collect::Collector;
use super::operands::Operands;
use super::tensor::Axis;
use outputs::{Outputs, broadcast_two};

/// The axes of the node's outputs, none where they aren't known. Tells `collector` what the node says
/// about its inputs' lengths.
pub(super) fn infer(operands: &Operands<'_, '_>, collector: &mut Collector) -> Outputs {
    let first = |axes: Option<Vec<Axis>>| vec![axes];
    match operands.operator() {
        "MatMul"
        | "MatMulInteger"
        | "FusedMatMul"
        | "MatMulIntegerToFloat"
        | "DynamicQuantizeMatMul"
        | "QLinearMatMul"
        | "Gemm"
        | "QGemm"
        | "MatMulNBits"
        | "Attention"
        | "QAttention" => first(products::infer(operands, collector)),
        "LSTM" | "GRU" | "RNN" => products::recurrent(operands, collector),
        "Conv"
        | "ConvInteger"
        | "QLinearConv"
        | "FusedConv"
        | "ConvTranspose"
        | "MaxPool"
        | "AveragePool"
        | "LpPool"
        | "QLinearAveragePool"
        | "GlobalAveragePool"
        | "GlobalMaxPool"
        | "GlobalLpPool"
        | "QLinearGlobalAveragePool"
        | "Resize"
        | "Upsample"
        | "DepthToSpace"
        | "SpaceToDepth" => first(convolutions::infer(operands, collector)),
        "Reshape"
        | "Flatten"
        | "Squeeze"
        | "Unsqueeze"
        | "Transpose"
        | "Concat"
        | "Slice"
        | "Gather"
        | "Pad"
        | "Tile"
        | "Expand"
        | "ConstantOfShape"
        | "Range"
        | "Shape"
        | "Size"
        | "ArgMax"
        | "ArgMin"
        | "TopK"
        | "OneHot"
        | "EmbedLayerNormalization" => first(layout::infer(operands, collector)),
        "Split" => layout::split(operands, collector),
        operator if operator.starts_with("Reduce") => first(layout::reduce(operands)),
        "OneHotEncoder"
        | "ArrayFeatureExtractor"
        | "Scaler"
        | "Imputer"
        | "LinearClassifier"
        | "LinearRegressor"
        | "SVMClassifier"
        | "SVMRegressor"
        | "TreeEnsemble"
        | "TreeEnsembleClassifier"
        | "TreeEnsembleRegressor"
        | "TfIdfVectorizer"
        | "Tokenizer"
        | "FeatureVectorizer" => first(widths::infer(operands, collector)),
        _ => elementwise(operands, collector),
    }
}

/// Operators whose outputs have the shape of their first input, or that broadcast all of them.
fn elementwise(operands: &Operands<'_, '_>, collector: &mut Collector) -> Outputs {
    let same = || vec![operands.input(0).axes().map(<[Axis]>::to_vec)];
    match operands.operator() {
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => {
            broadcast(operands, 0..2, collector);
            same()
        }
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => {
            collector.equal(operands.axis(0, -1), operands.axis(2, -1));
            vec![broadcast(operands, 0..2, collector)]
        }
        "BatchNormalization" | "InstanceNormalization" => {
            collector.equal(operands.axis(0, 1), operands.axis(1, 0));
            same()
        }
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "And" | "Or" | "Xor" | "Equal" | "Less"
        | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "BitShift" | "BitwiseAnd"
        | "BitwiseOr" | "BitwiseXor" | "Max" | "Min" | "Sum" | "Mean" | "Where" | "PRelu"
        | "BiasGelu" => {
            vec![broadcast(operands, 0..operands.inputs.len(), collector)]
        }
        "Identity"
        | "Cast"
        | "CastLike"
        | "Dropout"
        | "Relu"
        | "LeakyRelu"
        | "Sigmoid"
        | "Tanh"
        | "Erf"
        | "Gelu"
        | "FastGelu"
        | "QuickGelu"
        | "Softmax"
        | "LogSoftmax"
        | "Hardmax"
        | "Neg"
        | "Abs"
        | "Exp"
        | "Log"
        | "Sqrt"
        | "Reciprocal"
        | "Clip"
        | "Elu"
        | "Selu"
        | "Celu"
        | "HardSigmoid"
        | "HardSwish"
        | "Swish"
        | "Mish"
        | "Softplus"
        | "Softsign"
        | "ThresholdedRelu"
        | "Shrink"
        | "Floor"
        | "Ceil"
        | "Round"
        | "Sign"
        | "Not"
        | "BitwiseNot"
        | "IsNaN"
        | "IsInf"
        | "Sin"
        | "Cos"
        | "Tan"
        | "Asin"
        | "Acos"
        | "Atan"
        | "Sinh"
        | "Cosh"
        | "Asinh"
        | "Acosh"
        | "Atanh"
        | "CumSum"
        | "LRN"
        | "MeanVarianceNormalization"
        | "LpNormalization"
        | "GroupNormalization"
        | "QuantizeLinear"
        | "DequantizeLinear"
        | "DynamicQuantizeLinear"
        | "Normalizer"
        | "Binarizer"
        | "LabelEncoder"
        | "CategoryMapper"
        | "Trilu"
        | "RotaryEmbedding"
        | "MultiHeadAttention"
        | "ScatterND"
        | "ScatterElements" => same(),
        _ => Vec::new(),
    }
}

/// The axes of the inputs of these positions, broadcast.
fn broadcast(
    operands: &Operands<'_, '_>,
    positions: std::ops::Range<usize>,
    collector: &mut Collector,
) -> Option<Vec<Axis>> {
    let mut result: Vec<Axis> = Vec::new();
    for position in positions {
        result = broadcast_two(&result, operands.input(position).axes()?, collector);
    }
    Some(result)
}
