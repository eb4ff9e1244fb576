//! The rules of the proof: the properties of each operator's outputs, derived from those of its inputs. A new operator
//! is one row in `rule`. Reviewed with ONNX's Operators.md up to operator set 24, Operators-ml.md up to 5, and ONNX
//! Runtime's ContribOperators.md and CPU kernels.

mod attention;
mod axes;
mod classical;
mod contraction;
pub(crate) mod control;
pub(crate) mod elementwise;
mod gather;
mod labels;
mod layout;
pub(crate) mod numbers;
mod quantization;
mod recurrent;
mod reshape;
mod sequence;
mod slice;
mod slicewise;
mod sources;
mod text;

use std::rc::Rc;

use crate::call::{Call, Outcome, resolve};
use crate::proto::{NodeProto, element};
use crate::scope::Scope;
use crate::value::Value;

/// The kinds of inputs that a rule supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knows {
    /// Values that are invariant or plainly by rows.
    Rows,
    /// Also known integers, and other layouts of rows.
    Counts,
    /// Also sequences of tensors.
    Sequences,
    /// All values: the rule runs graphs.
    Everything,
}

/// The analysis of an operator.
pub(crate) struct Rule {
    pub(crate) scope: Knows,
    pub(crate) run: for<'a, 's, 'm> fn(&mut Call<'a, 's, 'm>) -> Outcome<'m>,
}

/// The rule of an operator, if there is one.
#[rustfmt::skip]
#[allow(clippy::match_same_arms, reason = "a table in chapters, with a row for each domain of a rule")]
pub(crate) fn rule(domain: &str, operator: &str) -> Option<Rule> {
    use Knows::{Counts, Everything, Rows, Sequences};
    type Run = for<'a, 's, 'm> fn(&mut Call<'a, 's, 'm>) -> Outcome<'m>;
    let (scope, run): (Knows, Run) = match (domain, operator) {
        // An output element depends on the input elements at the same place.
        ("", "Abs" | "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "BitwiseNot" | "Ceil"
            | "Celu" | "Cos" | "Cosh" | "Elu" | "Erf" | "Exp" | "Floor" | "Gelu" | "HardSigmoid"
            | "HardSwish" | "IsInf" | "IsNaN" | "LeakyRelu" | "Log" | "Mish" | "Neg" | "Not"
            | "Reciprocal" | "Relu" | "Round" | "Selu" | "Shrink" | "Sigmoid" | "Sign" | "Sin" | "Sinh"
            | "Softplus" | "Softsign" | "Sqrt" | "Swish" | "Tan" | "Tanh" | "ThresholdedRelu"
            | "RegexFullMatch") => (Rows, elementwise::unary),
        ("ai.onnx.ml", "Binarizer" | "CategoryMapper" | "LabelEncoder") => (Rows, elementwise::unary),
        ("com.microsoft", "QuickGelu" | "MurmurHash3") => (Rows, elementwise::unary),
        ("", "Add" | "And" | "Div" | "Equal" | "Greater" | "Less" | "Mul" | "Or" | "Pow" | "PRelu"
            | "Sub" | "Xor") => (Rows, elementwise::broadcasting_since_7),
        ("", "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Clip" | "GreaterOrEqual"
            | "LessOrEqual" | "Max" | "Mean" | "Min" | "Mod" | "StringConcat" | "Sum" | "Where") => (Rows, elementwise::broadcasting),
        ("com.microsoft", "BiasGelu" | "FastGelu" | "Gelu" | "BiasAdd") => (Rows, elementwise::broadcasting),
        ("", "Dropout") => (Rows, elementwise::dropout),
        ("", "Identity") => (Counts, elementwise::identity),
        ("", "Cast") => (Counts, elementwise::cast),
        ("", "CastLike") => (Rows, elementwise::cast_like),

        // Numbers and shapes.
        ("", "Constant") => (Rows, sources::constant),
        ("", "ConstantOfShape") => (Counts, sources::constant_of_shape),
        ("", "Range") => (Counts, sources::range),
        ("", "Shape") => (Counts, sources::shape),
        ("", "Size") => (Counts, sources::size),
        ("", "BlackmanWindow" | "HammingWindow" | "HannWindow" | "MelWeightMatrix") => (Rows, sources::generated),

        ("", "Bernoulli" | "Multinomial" | "RandomNormal" | "RandomNormalLike" | "RandomUniform"
            | "RandomUniformLike") => (Rows, sources::random),

        // Layout.
        ("", "Concat") => (Counts, layout::concat),
        ("", "Expand") => (Counts, layout::expand),
        ("", "Flatten") => (Counts, reshape::flatten),
        ("", "Pad") | ("com.microsoft", "Pad") => (Rows, layout::pad),
        ("", "Reshape") => (Counts, reshape::reshape),
        ("", "Slice") => (Counts, slice::slice),
        ("", "Split") => (Rows, layout::split),
        ("", "Squeeze") => (Counts, reshape::squeeze),
        ("", "Tile") => (Counts, layout::tile),
        ("", "Transpose") => (Counts, reshape::transpose),
        ("", "Unsqueeze") => (Counts, reshape::unsqueeze),

        // Computations over whole axes.
        ("", "ArgMax" | "ArgMin") => (Rows, axes::arg),
        ("", "CumProd" | "CumSum") => (Rows, axes::cumulative),
        ("", "Det" | "Trilu") | ("com.microsoft", "Inverse" | "Trilu") => (Rows, axes::matrices),
        ("", "DFT") => (Rows, axes::dft),
        ("", "Hardmax" | "LogSoftmax" | "Softmax") => (Rows, axes::softmax),
        ("", "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization") => (Rows, axes::layer_normalization),
        ("", "LpNormalization") => (Rows, axes::last_axis),
        ("", "MeanVarianceNormalization") => (Rows, axes::mean_variance),
        ("", "OneHot") => (Rows, axes::one_hot),
        ("", "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax" | "ReduceMean"
            | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare") => (Rows, axes::reduce),
        ("", "ReverseSequence") => (Rows, axes::reverse_sequence),
        ("", "TopK") => (Rows, axes::top_k),
        ("com.microsoft", "QLinearSoftmax") => (Rows, axes::quantized_softmax),
        ("com.microsoft", "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization") => (Rows, axes::skip_layer_normalization),

        // Products.
        ("", "Einsum") => (Rows, contraction::einsum),
        ("", "Gemm") | ("com.microsoft", "FusedGemm") => (Rows, contraction::gemm),
        ("", "MatMul") => (Rows, contraction::matmul),
        ("com.microsoft", "CDist") => (Rows, contraction::distances),
        ("com.microsoft", "FusedMatMul" | "TransposeMatMul") => (Rows, contraction::fused_matmul),
        ("com.microsoft", "MatMulNBits") => (Rows, contraction::matmul_packed),

        // Images.
        ("", "AveragePool" | "LpPool" | "MaxPool") => (Rows, slicewise::pool),
        ("", "BatchNormalization") => (Rows, slicewise::batch_normalization),
        ("", "Col2Im") => (Rows, slicewise::reshaping),
        ("", "Conv") => (Rows, slicewise::conv),
        ("", "ConvTranspose") => (Rows, slicewise::conv_transpose),
        ("", "DepthToSpace" | "SpaceToDepth") => (Rows, slicewise::depth_and_space),
        ("", "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool") => (Rows, slicewise::global_pool),
        ("", "GridSample") => (Rows, slicewise::grid_sample),
        ("", "GroupNormalization" | "InstanceNormalization" | "LRN") => (Rows, slicewise::same_shape),
        ("", "Resize" | "Upsample") => (Counts, slicewise::resize),
        ("com.microsoft", "FusedConv") => (Rows, slicewise::fused_conv),

        // Recurrent operators.
        ("", "GRU" | "LSTM" | "RNN") => (Rows, recurrent::recurrent),

        // Selection by indices.
        ("", "Compress") => (Rows, gather::compress),
        ("", "Gather") => (Counts, gather::gather),
        ("", "GatherElements") => (Rows, gather::gather_elements),
        ("", "GatherND") => (Counts, gather::gather_nd),
        ("", "NonMaxSuppression" | "NonZero" | "Unique") => (Rows, gather::selection),
        ("", "ScatterElements") => (Rows, gather::scatter_elements),
        ("", "ScatterND") => (Counts, gather::scatter_nd),
        ("ai.onnx.ml", "ArrayFeatureExtractor") => (Rows, gather::array_feature_extractor),

        // Quantized numbers.
        ("", "ConvInteger") => (Rows, slicewise::conv),
        ("", "DequantizeLinear" | "QuantizeLinear")
            | ("com.microsoft", "DequantizeLinear" | "QuantizeLinear") => (Rows, quantization::linear),
        ("", "DynamicQuantizeLinear")
            | ("com.microsoft", "DynamicQuantizeMatMul" | "DynamicQuantizeLSTM") => (Rows, quantization::from_the_batch),
        ("", "MatMulInteger") | ("com.microsoft", "MatMulIntegerToFloat") => (Rows, quantization::matmul_integer),
        ("", "QLinearConv") => (Rows, slicewise::quantized_conv),
        ("", "QLinearMatMul") => (Rows, quantization::qlinear_matmul),
        ("com.microsoft", "QGemm") => (Rows, quantization::qgemm),
        ("com.microsoft", "QLinearAdd" | "QLinearMul") => (Rows, quantization::qlinear_binary),
        ("com.microsoft", "QLinearAveragePool" | "QLinearGlobalAveragePool") => (Rows, quantization::qlinear_pool),
        ("com.microsoft", "QLinearConcat") => (Rows, quantization::qlinear_concat),
        ("com.microsoft", "QLinearLeakyRelu" | "QLinearSigmoid") => (Rows, quantization::qlinear_unary),

        // Attention.
        ("", "Attention") => (Rows, attention::scaled_dot_product),
        ("", "RotaryEmbedding") | ("com.microsoft", "RotaryEmbedding") => (Rows, attention::rotary),
        ("com.microsoft", "Attention") => (Rows, attention::packed),
        ("com.microsoft", "EmbedLayerNormalization") => (Rows, attention::embeddings),
        ("com.microsoft", "MultiHeadAttention") => (Rows, attention::multi_head),
        ("com.microsoft", "QAttention") => (Rows, attention::quantized),

        // Classical machine learning.
        ("ai.onnx.ml", "FeatureVectorizer") => (Rows, classical::side_by_side),
        ("ai.onnx.ml", "Imputer" | "Normalizer" | "Scaler") => (Rows, classical::columns),
        ("ai.onnx.ml", "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier") => (Rows, classical::classifier),
        ("ai.onnx.ml", "LinearRegressor" | "SVMRegressor" | "TreeEnsemble" | "TreeEnsembleRegressor") => (Rows, classical::regressor),
        ("ai.onnx.ml", "OneHotEncoder") => (Rows, classical::one_hot),
        ("ai.onnx.ml", "ZipMap") => (Rows, classical::zip_map),

        // Text.
        ("", "StringNormalizer") => (Rows, text::string_normalizer),
        ("", "StringSplit") => (Rows, text::string_split),
        ("", "TfIdfVectorizer") => (Counts, text::tf_idf),
        ("com.microsoft", "Tokenizer") => (Rows, text::tokenizer),

        // Sequences of tensors.
        ("", "ConcatFromSequence") => (Sequences, sequence::concat),
        ("", "SequenceAt") => (Sequences, sequence::at),
        ("", "SequenceConstruct") => (Sequences, sequence::construct),
        ("", "SequenceEmpty") => (Sequences, sequence::empty),
        ("", "SequenceInsert") => (Sequences, sequence::insert),
        ("", "SplitToSequence") => (Sequences, sequence::split),

        // Subgraphs.
        ("", "If") => (Everything, control::choose),
        ("", "Loop") => (Everything, control::repeat),
        ("", "Scan") => (Everything, control::scan),
        _ => return None,
    };
    Some(Rule { scope, run })
}

/// The element types of a node's outputs, as far as the operator determines them. Only hazards use them.
pub(crate) struct Elements {
    first: i32,
    others: i32,
}

impl Elements {
    pub(crate) fn of(&self, output: usize) -> i32 {
        if output == 0 { self.first } else { self.others }
    }
}

/// See `Elements`.
pub(crate) fn elements<'m>(
    node: &'m NodeProto,
    inputs: &[Option<Rc<Value<'m>>>],
    scope: &Scope<'_, 'm>,
) -> Elements {
    let input = |index: usize| {
        inputs
            .get(index)
            .and_then(Option::as_ref)
            .map_or(element::UNDEFINED, |value| value.element)
    };
    let both = |kind: i32| Elements {
        first: kind,
        others: kind,
    };
    match node.op_type.as_str() {
        "And" | "Equal" | "Greater" | "GreaterOrEqual" | "IsInf" | "IsNaN" | "Less"
        | "LessOrEqual" | "Not" | "Or" | "RegexFullMatch" | "Xor" => both(element::BOOL),
        "ArgMax" | "ArgMin" | "NonZero" | "Shape" | "Size" | "NonMaxSuppression"
        | "SequenceLength" => both(element::INT64),
        "TopK" | "MaxPool" | "Unique" => Elements {
            first: input(0),
            others: element::INT64,
        },
        "Cast" => both(
            resolve(node, scope, "to")
                .and_then(|to| i32::try_from(to.i).ok())
                .unwrap_or_default(),
        ),
        "CastLike" | "DequantizeLinear" | "DynamicQuantizeLSTM" | "Where" => both(input(1)),
        "DynamicQuantizeLinear" => Elements {
            first: element::UINT8,
            others: element::FLOAT,
        },
        "MatMulInteger" | "ConvInteger" => both(element::INT32),
        "OneHot" => both(input(2)),
        "LinearRegressor"
        | "TreeEnsembleRegressor"
        | "SVMRegressor"
        | "Scaler"
        | "Normalizer"
        | "TfIdfVectorizer"
        | "FeatureVectorizer" => both(element::FLOAT),
        "LinearClassifier" | "TreeEnsembleClassifier" | "SVMClassifier" => {
            let strings = ["classlabels_strings"].iter().any(|name| {
                resolve(node, scope, name).is_some_and(|labels| !labels.strings.is_empty())
            });
            Elements {
                first: if strings {
                    element::STRING
                } else {
                    element::INT64
                },
                others: element::FLOAT,
            }
        }
        "If" | "Loop" | "Scan" | "Constant" | "ConstantOfShape" | "LabelEncoder"
        | "OneHotEncoder" | "CategoryMapper" | "QuantizeLinear" | "Dropout" | "SequenceAt"
        | "EyeLike" | "Bernoulli" | "RandomNormal" | "RandomUniform" | "Multinomial"
        | "QLinearConv" | "QLinearMatMul" => both(element::UNDEFINED),
        _ if node.domain.is_empty()
            || node.domain == "ai.onnx"
            || node.domain == "com.microsoft"
            || node.domain == "ai.onnx.ml" =>
        {
            both(input(0))
        }
        _ => both(element::UNDEFINED),
    }
}
