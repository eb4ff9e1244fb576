//! Whole networks as exporters write them, and what one edit makes of them.

use super::{dependent, independent, unknown};

/// A layer of BERT as the exporter of `PyTorch` gives it for scaled dot-product attention, with the mask
/// expanded by shapes computed in the graph.
fn bert() -> String {
    "in ids:int64 N T; in mask:int64 N T; in types:int64 N T
     float words 1000 12; float kinds 2 12; float places 512 12; float g 12; float w 12 12; float up 12 48; float down 48 12
     w1 = Gather (words ids); k1 = Gather (kinds types)
     s = Shape (ids); scalar zero = 0; scalar one = 1; n = Gather axis=0 (s zero); t = Gather axis=0 (s one)
     ints first = 0; ints second = 1; tu = Unsqueeze (t first); nu = Unsqueeze (n first)
     range = Range (zero t one); positions = Unsqueeze (range first); p1 = Gather (places positions)
     e1 = Add (w1 k1); e2 = Add (e1 p1); e = LayerNormalization axis=-1 (e2 g g)
     ints middle = 1 2; m1 = Unsqueeze (mask middle); ints ones = 1
     wanted = Concat axis=0 (nu ones tu tu); four = Shape (wanted); filled = ConstantOfShape value=#1 (four)
     ints neg = -1; minus = Mul (filled neg); kept = Equal (wanted minus); target = Where (kept filled wanted)
     m2 = Expand (m1 target); m3 = Cast to=1 (m2); floats unit = 1; m4 = Sub (unit m3); floats low = -10000; bias = Mul (m4 low)
     ints heads = 0 0 3 4; ints back = 0 0 12
     q1 = MatMul (e w); q2 = Reshape (q1 heads); q = Transpose perm=0,2,1,3 (q2)
     v1 = MatMul (e w); v2 = Reshape (v1 heads); v = Transpose perm=0,2,1,3 (v2)
     h1 = MatMul (e w); h2 = Reshape (h1 heads); k = Transpose perm=0,2,3,1 (h2)
     a1 = MatMul (q k); a2 = Add (a1 bias); a = Softmax axis=-1 (a2); c1 = MatMul (a v)
     c2 = Transpose perm=0,2,1,3 (c1); c3 = Reshape (c2 back); o = MatMul (c3 w); r1 = Add (o e); r = LayerNormalization axis=-1 (r1 g g)
     f1 = MatMul (r up); f2 = Erf (f1); f3 = Mul (f1 f2); f = MatMul (f3 down); x = Add (f r)
     pooled = Gather axis=1 (x zero); d = Tanh (pooled); out x d"
        .to_owned()
}

#[test]
fn encoders() {
    independent(&bert());
    // The mean over the tokens of each text, as sentence transformers have it.
    let pooled = bert().replace(
        "out x d",
        "ints last = -1; mu = Unsqueeze (mask last); mf = Cast to=1 (mu); xm = Mul (x mf); sum = ReduceSum keepdims=0 (xm second)
         count = ReduceSum keepdims=0 (mf second); mean = Div (sum count); norm = ReduceL2 axes=[1] (mean); y = Div (mean norm); out y",
    );
    independent(&pooled);
}

/// A table of positions is cut to the texts' length, and what is added to it has that length.
#[test]
fn positions_from_a_table() {
    let text = "in ids:int64 N T; float words 99 8; float places 1 77 8; w = Gather (words ids); s = Shape (ids)
        ints from = 0; ints to = 1; ints two = 2; t = Slice (s to two); p = Slice (places from t to); e = Add (w p)
        ints flat = -1 8; f = Reshape (e flat); ints minus = -1; ints eight = 8; k = Concat axis=0 (minus t eight)
        y = Reshape (f k); out y";
    independent(text);
    let later = text.replace("Slice (places from t to)", "Slice (places to t to)");
    unknown(&later, "join elements of several rows");
}

/// One edit each, after which rows depend on each other, or nobody knows that they don't.
#[test]
fn encoders_with_an_edit() {
    let edits = [
        ("a = Softmax axis=-1 (a2)", "a = Softmax axis=0 (a2)"),
        ("perm=0,2,3,1 (h2)", "perm=3,2,0,1 (h2)"),
        ("c3 = Reshape (c2 back)", "c3 = Reshape (c1 back)"),
        (
            "pooled = Gather axis=1 (x zero)",
            "pooled = Gather axis=0 (x zero)",
        ),
        ("ints heads = 0 0 3 4", "ints heads = -1 2 3 4"),
        (
            "e = LayerNormalization axis=-1 (e2 g g)",
            "e = LayerNormalization axis=0 (e2 g g)",
        ),
        (
            "wanted = Concat axis=0 (nu ones tu tu)",
            "wanted = Concat axis=0 (tu ones nu tu)",
        ),
        ("range = Range (zero t one)", "range = Range (zero n one)"),
        ("f3 = Mul (f1 f2)", "nf = Cast to=1 (n); f3 = Div (f1 nf)"),
        (
            "q1 = MatMul (e w)",
            "eq es ez = DynamicQuantizeLinear (e); ed = DequantizeLinear (eq es ez); q1 = MatMul (ed w)",
        ),
    ];
    for (before, after) in edits {
        let edited = bert().replace(before, after);
        assert_ne!(edited, bert(), "{before}");
        let verdict = crate::analyse(&super::parse(&edited)).verdict;
        // The third edit keeps rows apart, though it is wrong.
        if before.starts_with("c3") {
            assert_eq!(verdict, crate::Verdict::Independent, "{after}");
        } else {
            assert_ne!(verdict, crate::Verdict::Independent, "{after}");
        }
    }
}

#[test]
fn residual_networks() {
    let block = "in x N 3 H W; float w 8 3 3 3; float v 8 8 3 3; float d 8 8 1 1; float g 8
        a = Conv pads=1,1,1,1 strides=2,2 (x w); b = BatchNormalization (a g g g g); c = Relu (b)
        e = Conv pads=1,1,1,1 strides=2,2 (c v); f = Conv strides=2,2 (c d); h = Add (e f); i = Relu (h)
        p = GlobalAveragePool (i); q = Flatten axis=1 (p); float k 5 8; float l 5; y = Gemm transB=1 (q k l); out y";
    independent(block);
    // Squeeze and excitation, depthwise.
    independent(
        "in x N 8 H W; float w 8 1 3 3; float r 2 8 1 1; float s 8 2 1 1; a = Conv group=8 pads=1,1,1,1 (x w); p = ReduceMean axes=[2,3] (a)
         b = Conv (p r); c = Relu (b); d = Conv (c s); e = HardSigmoid (d); y = Mul (a e); out y",
    );
    dependent(
        &block.replace("GlobalAveragePool (i)", "ReduceMean axes=[0,2,3] (i)"),
        "over the rows",
    );
    unknown(
        &block
            .replace("pads=1,1,1,1 strides=2,2 (x w)", "(t w)")
            .replace("a = Conv", "t = Transpose perm=2,1,0,3 (x); a = Conv"),
        "another axis than the first",
    );
}
