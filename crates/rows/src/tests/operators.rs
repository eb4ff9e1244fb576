//! Operators: for each kind, a model whose rows are independent, and one that it tells apart.

use super::{dependent, dependent_with, independent, independent_with, unknown, unknown_with};

#[test]
fn elementwise() {
    independent("in x N 4; a = Relu (x); b = Sigmoid (a); floats lo = 0; c = Clip (b lo); d = Where (e c x); out d".replace("d = Where (e c x); out d", "out c").as_str());
    independent("in x N 4; in c:bool N 4; y = Where (c x x); out y");
    independent("in x N 4; y = Dropout (x); out y");
    unknown(
        "in x N 4; scalar t = 1; float r 1; y = Dropout (x r t); out y",
        "training mode",
    );
    unknown_with(6, "in x N 4; y = Dropout (x); out y", "training mode");
    unknown(
        "in x N 4; y = RandomNormalLike (x); out y",
        "random numbers",
    );
    unknown("in x N 4; y = Bernoulli (x); out y", "random numbers");
    unknown(
        "in x N 4; y = com.example.Magic (x); out y",
        "(com.example.Magic) is of a domain that isn't known",
    );
    unknown("in x N 4; y = Magic (x); out y", "(Magic) isn't known");
    unknown(
        "in x N 4; float c 4; k = Magic (c); y = Add (x k); out y",
        "(Magic) isn't known",
    );
    unknown_with(
        99,
        "in x N 4; y = Relu (x); out y",
        "operator set that isn't known",
    );
}

#[test]
fn softmax_and_its_versions() {
    independent("in x N 4; y = Softmax (x); out y");
    dependent(
        "in x N 4; y = Softmax axis=0 (x); out y",
        "node \"the Softmax\" (Softmax) computes over the rows of the batch",
    );
    dependent("in x N; y = Softmax axis=-1 (x); out y", "over the rows");
    // Before 13, all axes from the given one on are one.
    independent_with(11, "in x N 4 4; y = Softmax axis=1 (x); out y");
    dependent_with(
        11,
        "in x N 4 4; y = Softmax axis=0 (x); out y",
        "over the rows",
    );
    dependent_with(
        11,
        "in x N 4 4; t = Transpose perm=1,0,2 (x); y = LogSoftmax axis=0 (t); out y",
        "over the rows",
    );
}

#[test]
fn sums_over_axes() {
    independent("in x N 4; y = ReduceMean axes=[1] (x); out y");
    independent("in x N 4; ints a = -1; y = ReduceSum keepdims=0 (x a); out y");
    dependent("in x N 4; y = ReduceMax (x); out y", "over the rows");
    dependent(
        "in x N 4; ints a = 0; m = ReduceSum (x a); y = Sub (x m); out y",
        "over the rows",
    );
    independent(
        "in x N 4; ints a = 0; s = ReduceSum noop_with_empty_axes=1 (x); y = Relu (s); out y",
    );
    unknown(
        "in x N 4; in a:int64 N; y = ReduceSum (x a); out y",
        "axes that aren't known",
    );
    independent("in x N 4; y = ArgMax axis=1 (x); out y");
    dependent("in x N 4; y = ArgMax (x); out y", "over the rows");
    independent("in x N 4; scalar k = 2; v i = TopK (x k); out v i");
    unknown(
        "in x N 4; scalar k = 2; v i = TopK axis=0 (x k); out v i",
        "sorts the rows",
    );
    independent("in x N 4; scalar a = 1; y = CumSum (x a); out y");
    dependent(
        "in x N 4; scalar a = 0; y = CumSum (x a); out y",
        "over the rows",
    );
}

/// ONNX Runtime takes some flags for set if they are 1, others if they aren't 0.
#[test]
fn flags_are_0_or_1() {
    let flags = [
        "y = ReduceMax keepdims=2 axes=[1] (x)",
        "y = ReduceMax keepdims=-1 axes=[1] (x)",
        "y = ArgMax keepdims=2 axis=1 (x)",
        "ints a = 0; y = ReduceSum noop_with_empty_axes=2 (x a)",
        "ints s = 0 2 2; y = Reshape allowzero=2 (x s)",
        "float w 4 4; y = Gemm transB=2 (x w)",
    ];
    for flag in flags {
        unknown(&format!("in x N 4; {flag}; out y"), "neither 0 nor 1");
    }
}

/// True is no number of a row, nor is a number that wraps.
#[test]
fn a_rows_number_is_one_only_as_an_integer() {
    let index = |to: i32| {
        format!(
            "in x N 4; s = Shape (x); scalar z = 0; n = Gather axis=0 (s z); scalar one = 1; r = Range (z n one)
             k = Cast to={to} (r); i = Cast to=7 (k); y = Gather axis=0 (x i); out y"
        )
    };
    independent(&index(6));
    for to in [1, 2, 3, 9, 10] {
        unknown(&index(to), "picks rows of the batch");
    }
}

#[test]
fn normalizations() {
    independent("in x N T 4; float g 4; y = LayerNormalization (x g); out y");
    dependent(
        "in x N 4; float g 4; y = LayerNormalization axis=0 (x g); out y",
        "over the rows",
    );
    independent("in x N 3 8 8; float a 3; y = BatchNormalization (x a a a a); out y");
    dependent(
        "in x N 3 8 8; float a 3; y m v = BatchNormalization training_mode=1 (x a a a a); out y",
        "as in training",
    );
    independent("in x N 3 8 8; float a 3; y = InstanceNormalization (x a a); out y");
    independent("in x N 3 8 8; y = MeanVarianceNormalization axes=[2,3] (x); out y");
    dependent(
        "in x N 3 8 8; y = MeanVarianceNormalization (x); out y",
        "over the rows",
    );
    independent("in x N 4; y = LpNormalization axis=1 (x); out y");
    dependent(
        "in x N 4; y = LpNormalization axis=0 (x); out y",
        "over the rows",
    );
    independent(
        "in x N T 4; in r N T 4; float g 4; y = com.microsoft.SkipLayerNormalization (x r g g); out y",
    );
    unknown(
        "in x N T 4; float r 3 T4 4; y = com.microsoft.SkipLayerNormalization (x r g g); out y"
            .replace("T4", "5")
            .replace("float r", "float g 4; float r")
            .as_str(),
        "3 fixed ones",
    );
}

#[test]
fn products() {
    independent("in x N 4; float w 4 3; float b 3; y = Gemm (x w b); out y");
    independent("in x N 4; float w 3 4; y = Gemm transB=1 (x w); out y");
    dependent(
        "in x N 4; float w 3 4; y = Gemm transB=1 (w x); out y",
        "along axis 1",
    );
    dependent("in x N 4; y = Gemm transA=1 (x x); out y", "over the rows");
    dependent(
        "in x N 4; y = Gemm transB=1 (x x); out y",
        "pairs each row with every other",
    );
    unknown(
        "in x N 4; float w 4 3; float b 5 3; y = Gemm (x w b); out y",
        "5 fixed ones",
    );
    independent("in x N T 4; t = Transpose perm=0,2,1 (x); y = MatMul (x t); out y");
    dependent(
        "in x N 4; t = Transpose (x); y = MatMul (t x); out y",
        "over the rows",
    );
    independent("in x N T 4; y = Einsum equation=\"bij,bkj->bik\" (x x); out y");
    dependent(
        "in x N T 4; y = Einsum equation=\"bij,bkj->ik\" (x x); out y",
        "over the rows",
    );
    dependent(
        "in x N 4; y = Einsum equation=\"bj,cj->bc\" (x x); out y",
        "pairs each row with every other",
    );
    independent("in x N 4; float t 9 4; d = com.microsoft.CDist (x t); out d");
    dependent(
        "in x N 4; d = com.microsoft.CDist (x x); out d",
        "pairs each row with every other",
    );
    independent("in x N T 4; float w 4 3; y = com.microsoft.FusedMatMul (x w); out y");
    unknown(
        "in x N T 4; float w 4 3; y = com.microsoft.FusedMatMul transBatchA=1 (x w); out y",
        "batches",
    );
}

#[test]
fn images() {
    independent(
        "in x N 3 H W; float w 8 3 3 3; a = Conv strides=2,2 pads=1,1,1,1 (x w); b = MaxPool kernel_shape=2,2 (a)
         c = GlobalAveragePool (b); d = Flatten (c); float f 8 5; y = MatMul (d f); out y",
    );
    independent(
        "in x N 3 32 32; float w 8 3 3 3; a = Conv strides=2,2 pads=1,1,1,1 (x w); ints s = -1 2048; y = Reshape (a s); out y",
    );
    unknown(
        "in x N 3 32 32; float w 8 3 3 3; a = Conv strides=2,2 (x w); ints s = -1 2048; y = Reshape (a s); out y",
        "join elements of several rows",
    );
    unknown(
        "in x N 3 8; float w 8 3 3; t = Transpose perm=2,1,0 (x); y = Conv (t w); out y",
        "another axis than the first",
    );
    dependent(
        "in x N 3 8 8; y i = MaxPool kernel_shape=2,2 (x); out y i",
        "numbers places in the whole batch",
    );
    independent("in x N 3 8 8; floats s = 1 1 2 2; y = Resize (x _ s); out y");
    unknown(
        "in x N 3 8 8; floats s = 2 1 2 2; y = Resize (x _ s); out y",
        "may resize along the rows",
    );
    independent(
        "in x N 3 8 8; h = Shape (x); ints z = 0; ints two = 2; nc = Slice (h z two); ints hw = 16 16; t = Concat axis=0 (nc hw); y = Resize (x _ _ t); out y",
    );
    independent("in x N 12 4 4; y = DepthToSpace blocksize=2 (x); out y");
}

#[test]
fn recurrent_networks() {
    // Steps first in the graph, rows first outside.
    independent(
        "in x N T 4; float w 1 16 4; float r 1 16 4; t = Transpose perm=1,0,2 (x); a h c = LSTM hidden_size=4 (t w r)
         ints ax = 1; q = Squeeze (a ax); y = Transpose perm=1,0,2 (q); ints z = 0; l = Squeeze (h z); out y l",
    );
    dependent(
        "in x N T 4; float w 1 16 4; float r 1 16 4; a h c = LSTM hidden_size=4 (x w r); out a",
        "as the steps of a sequence",
    );
    // Zeros for each row to begin with.
    independent(
        "in x N T 4; float w 1 12 4; float r 1 12 4; t = Transpose perm=1,0,2 (x); s = Shape (x); ints zero = 0; n = Gather axis=0 (s zero)
         ints one = 1; ints four = 4; k = Concat axis=0 (one n four); z = ConstantOfShape (k)
         a h = GRU hidden_size=4 (t w r _ _ z); y = Squeeze (h zero); out y",
    );
    unknown(
        "in x N T 4; float w 1 12 4; float r 1 12 4; float z 1 1 4; t = Transpose perm=1,0,2 (x); a h = GRU hidden_size=4 (t w r _ _ z); ints zero = 0; y = Squeeze (h zero); out y",
        "states that aren't those of the rows",
    );
}

#[test]
fn places() {
    independent("in ids:int64 N T; float table 100 8; y = Gather (table ids); out y");
    dependent(
        "in x N 4; in i:int64 N; y = Gather axis=1 (x i); out y",
        "what every other row says",
    );
    unknown(
        "in x N 4; in i:int64 N; y = Gather axis=0 (x i); out y",
        "by the rows' values",
    );
    independent("in x N 4; in i:int64 N 2; y = GatherElements axis=1 (x i); out y");
    dependent(
        "in x N 4; in i:int64 N 4; y = GatherElements axis=0 (x i); out y",
        "among the rows",
    );
    unknown(
        "float t 3 4; in i:int64 N 4; y = GatherElements axis=1 (t i); out y",
        "places in the batch",
    );
    independent("in x N T 4; in i:int64 N 1; y = GatherND batch_dims=1 (x i); out y");
    unknown(
        "in x N 4; in i:int64 N 1; y = GatherND (x i); out y",
        "among the rows",
    );
    // CLIP's and GPT's pooling: x[arange(N), argmax].
    let pooling = |tail: &str| {
        format!(
            "in x N T 4; in ids:int64 N T; s = Shape (x); scalar z = 0; n = Gather axis=0 (s z); scalar one = 1; r = Range (z n one)
             m = ArgMax axis=1 keepdims=0 (ids); ints last = -1; {tail}"
        )
    };
    independent(&pooling(
        "a = Unsqueeze (r last); b = Unsqueeze (m last); i = Concat axis=-1 (a b); y = GatherND (x i); out y",
    ));
    unknown(
        &pooling(
            "a = Unsqueeze (r last); b = Unsqueeze (m last); i = Concat axis=-1 (b a); y = GatherND (x i); out y",
        ),
        "place in the batch",
    );
    independent(&pooling("y = Gather axis=0 (x r); out y"));
    unknown(
        &pooling("y = Gather axis=1 (x r); out y"),
        "by a row's place",
    );
    // The same by places among all tokens of all rows.
    let flat = |place: &str, within: &str| {
        format!(
            "in x N T 4; s = Shape (x); scalar z = 0; scalar one = 1; n = Gather axis=0 (s z); t = Gather axis=0 (s one)
             r = Range (z n one); v = ReduceMax axes=[2] keepdims=0 (x); m = ArgMax axis=1 keepdims=0 (v)
             k = {place}; o = {within}; p = Add (o k); ints f = -1 4; a = Reshape (x f); y = Gather axis=0 (a p); out y"
        )
    };
    independent(&flat("Mul (r t)", "Identity (m)"));
    for (place, within) in [
        ("Mul (r one)", "Identity (m)"),
        ("Mul (m t)", "Identity (r)"),
        ("Identity (r)", "Mul (m t)"),
        (
            "w = Gather axis=1 (v z); q = Cast to=7 (w); k = Mul (r t)",
            "Identity (q)",
        ),
    ] {
        let text = flat(place, within).replace("k = w = ", "w = ");
        unknown(&text, "picks rows of the batch");
    }
    let grid = |place: &str, limit: &str| {
        pooling(&format!(
            "b = Shape (ids); t = Gather axis=0 (b one); u = Unsqueeze (r last); k = {place}; w = Range ({limit}); p = Add (k w)
             ints f = -1; a = Reshape (ids f); y = Gather axis=0 (a p); out y"
        ))
    };
    independent(&grid("Mul (u t)", "z t one"));
    unknown(&grid("Mul (u t)", "one t one"), "picks rows of the batch");
    unknown(&grid("Add (u t)", "z t one"), "picks rows of the batch");
    dependent(
        &grid("Mul (u t)", "z t one").replace("out y", "out y p"),
        "place in the batch",
    );
    // Only the shape of what is made of places is used.
    independent(&pooling(
        "ints two = 1 2; g = Unsqueeze (r two); h = Max (g one); q = Shape (h); e = Expand (x q); y = Relu (e); out y",
    ));
    dependent(
        &pooling("float table 100 4; y = Gather axis=0 (table r); out y"),
        "place in the batch for a value",
    );
    // A tuple that is taken apart isn't one.
    unknown(
        &pooling(
            "a = Unsqueeze (r last); b = Unsqueeze (m last); i = Concat axis=-1 (a b); j = Unsqueeze (i last); y = GatherND (x j); out y",
        ),
        "place in the batch",
    );
    unknown(
        "in x N 4; y = NonZero (x); out y",
        "as many elements as the values",
    );
    independent("in x N 4; ints c = 1 0 1 1; b = Cast to=9 (c); y = Compress axis=1 (x b); out y");
    unknown(
        "in x N 4; in c:bool N; y = Compress axis=0 (x c); out y",
        "as many elements",
    );
    independent("in i:int64 N 2; scalar d = 5; floats v = 0 1; y = OneHot (i d v); out y");
    dependent(
        "in i:int64 N 2; scalar d = 5; floats v = 0 1; y = OneHot axis=0 (i d v); out y",
        "along axis 1",
    );
}

#[test]
fn quantized_numbers() {
    dependent(
        "in x N 4; q s z = DynamicQuantizeLinear (x); y = DequantizeLinear (q s z); out y",
        "(DynamicQuantizeLinear) takes its scale from the whole batch",
    );
    dependent(
        "in x N 4; float w 4 4; float s 1; y = com.microsoft.DynamicQuantizeMatMul (x w s); out y",
        "(com.microsoft.DynamicQuantizeMatMul) takes its scale",
    );
    independent(
        "in x N 4; floats s = 0.5; q = QuantizeLinear (x s); y = DequantizeLinear (q s); out y",
    );
    independent(
        "in x N 3 4; float s 3; q = QuantizeLinear axis=1 (x s); y = DequantizeLinear axis=1 (q s); out y",
    );
    unknown(
        "in x N 3; float s 3; q = QuantizeLinear axis=0 (x s); out q",
        "other parameters for each row",
    );
    independent(
        "in x N 3; m = ReduceMax axes=[1] keepdims=0 (x); q = QuantizeLinear axis=0 (x m); out q",
    );
    independent("in a:int32 N 4; float w 4 3; floats z = 0; y = MatMulInteger (a w z); out y");
    unknown(
        "in a:int32 N 4; float w 4 3; float z 5; y = MatMulInteger (a w z); out y",
        "several numbers",
    );
}

#[test]
fn classical_models() {
    let trees = "classlabels_int64s=[0,1]";
    independent(&format!(
        "in x N 4; l p = ai.onnx.ml.TreeEnsembleClassifier {trees} (x); z = ai.onnx.ml.ZipMap classlabels_int64s=[0,1] (p); out l z"
    ));
    independent("in x N 4; y = ai.onnx.ml.TreeEnsembleRegressor n_targets=1 (x); out y");
    unknown(
        "in x N; y = ai.onnx.ml.TreeEnsembleRegressor n_targets=1 (x); out y",
        "an input of another rank",
    );
    unknown(
        "in x N 4; t = Transpose (x); y = ai.onnx.ml.Normalizer (t); out y",
        "",
    );
    independent(
        "in c:string N 1; y = ai.onnx.ml.OneHotEncoder cats_strings=[a,b] (c); ints s = -1 2; z = Reshape (y s); out z",
    );
    // What k neighbours' labels are.
    independent(
        "in x N 4; float train 9 4; d = com.microsoft.CDist (x train); scalar k = 3; v i = TopK largest=0 (d k)
         float labels 9; ints flat = -1; f = Reshape (i flat); e = ai.onnx.ml.ArrayFeatureExtractor (labels f)
         ints s = -1 3; r = Reshape (e s); y = ReduceMean axes=[1] (r); out y",
    );
    dependent(
        "in x N 4; ints i = 0; t = Transpose (x); e = ai.onnx.ml.ArrayFeatureExtractor (t i); out e",
        "by their places in it",
    );
    dependent(
        "in x N 4; q s = Split axis=1 (x); z = ai.onnx.ml.ZipMap (s); y = ReduceMax (q); out y z",
        "over the rows",
    );
}

#[test]
fn text() {
    let vectorizer = |normalizer: &str, pool: &str| {
        format!(
            "in x:string N 1; ints flat = -1; f = Reshape (x flat); n = StringNormalizer {normalizer} (f)
             t = com.microsoft.Tokenizer pad_value=\"#\" mark=0 (n); g = Flatten (t)
             y = TfIdfVectorizer ngram_indexes=[0,1] pool_strings={pool} (g); out y"
        )
    };
    independent(&vectorizer("is_case_sensitive=0", "[a,b]"));
    dependent(
        &vectorizer("is_case_sensitive=0", "[a,#]"),
        "counts the padding of shorter rows",
    );
    dependent(
        &vectorizer("stopwords=[the,a]", "[a,b]"),
        "drops rows that are a stop word",
    );
    dependent(
        "in x:string N; t = com.microsoft.Tokenizer pad_value=\"#\" (x); out t",
        "as long as the longest row",
    );
    dependent(
        "in x:string N; t = com.microsoft.Tokenizer pad_value=\"#\" (x); y = ai.onnx.ml.LabelEncoder (t); ints a = 1; z = ReduceSum (y a); out z",
        "how long the longest row",
    );
    unknown(
        "in x:string N; t = com.microsoft.Tokenizer pad_value=\"#\" (x); y = Size (t); ints a = 0; u = Unsqueeze (y a); z = ConstantOfShape (u); out z",
        "depends on the rows' values",
    );
    dependent(
        "in x:string N; y = TfIdfVectorizer ngram_indexes=[0] pool_strings=[a] (x); out y",
        "reads all rows of the batch as one text",
    );
}

#[test]
fn attention_operators() {
    let attention = |mask: &str| {
        format!(
            "in x N T 12; in m:int32 N T; float w 12 36; float b 36; {mask}; y = com.microsoft.Attention num_heads=3 (x w b k); out y"
        )
    };
    independent(&attention("k = Identity (m)"));
    unknown(
        &attention("ints z = 0; k = Concat axis=0 (m m)"),
        "first axis isn't the rows",
    );
    independent(
        "in q N T 12; in k N T 12; in v N T 12; y = com.microsoft.MultiHeadAttention num_heads=3 (q k v); out y",
    );
    unknown(
        "in q N T 12; float k 2 5 12; y = com.microsoft.MultiHeadAttention num_heads=3 (q k k); out y",
        "first axis isn't the rows",
    );
}

#[test]
fn sequences() {
    independent(
        "in x N 4; in y N 4; s = SequenceConstruct (x y); scalar one = 1; a = SequenceAt (s one); b = ConcatFromSequence axis=1 (s); out a b",
    );
    dependent(
        "in x N 4; in y N 4; s = SequenceConstruct (x y); b = ConcatFromSequence axis=0 (s); out b",
        "several places",
    );
    dependent(
        "in x N 4; s = SplitToSequence axis=0 (x); scalar z = 0; a = SequenceAt (s z); out a",
        "splits the rows",
    );
    unknown(
        "in x N 4; s = SequenceConstruct (x x); out s",
        "is a sequence",
    );
}
