//! Shapes: what exporters write to compute them, and what turns rows into something else.

use super::{dependent, independent, independent_with, unknown, unknown_with};

#[test]
fn what_a_model_declares_of_its_inputs_is_taken() {
    independent("in x N 4; y = Relu (x); out y");
    independent("in x batch H W; y = Relu (x); out y");
    unknown(
        "in x 1 4; y = Relu (x); out y",
        "input \"x\" has a fixed number of rows, 1",
    );
    unknown("in x; y = Relu (x); out y", "has no axis of rows");
    unknown(
        "in x N N; y = Relu (x); out y",
        "another axis as long as the rows are many",
    );
}

/// No output needs the sum, and for a batch the model fails there.
#[test]
fn a_node_for_nothing_is_judged() {
    unknown(
        "in x N 4; float b 5 4; dead = Add (x b); y = Relu (x); out y",
        "5 fixed ones",
    );
}

#[test]
fn names_of_lengths_are_believed_only_where_they_are_checked() {
    let text = "in ids:int64 N length; in mask N length; s = Shape (mask); ints one = 1; t = Gather axis=0 (s one)
        ints minus = -1; k = Concat axis=0 (minus t); r = Reshape (ids k); y = Identity (r); out y";
    unknown(text, "join elements of several rows");
    let named = |text: &str| crate::analyse_named_lengths(&super::parse(text)).verdict;
    assert_eq!(named(text), crate::Verdict::Independent);
    assert_ne!(
        named(&text.replace("mask N length", "mask N other")),
        crate::Verdict::Independent
    );
    // Beside another input's rows, such a length is their number.
    let crossed = "in x batch 4; in y other batch; z = Relu (x); w = Relu (y); out z w";
    independent(crossed);
    assert_ne!(named(crossed), crate::Verdict::Independent);
}

#[test]
fn outputs_need_a_row_for_each_row() {
    independent("in x N 4; y = Identity (x); out x y");
    dependent(
        "in x N 4; y = Transpose (x); out y",
        "output \"y\" has the rows along axis 1, not 0",
    );
    dependent(
        "in x N 4; ints s = -1; y = Reshape (x s); out y",
        "several places for each row",
    );
    dependent(
        "in x N 4; float w 3; out w",
        "is the same whatever the rows",
    );
    dependent(
        "in x N 4; s = Shape (x); out s",
        "gives the number of rows in the batch",
    );
    unknown(
        "in x N T; ints s = -1; y = Reshape (x s); out y",
        "several places for each row",
    );
    unknown("in x N 4; out y", "is given by no node");
    unknown("in x N 4", "is missing");
}

#[test]
fn shapes_may_be_made_from_shapes() {
    // As PyTorch exports x.view(x.size(0), -1).
    independent(
        "in x N 4 6
         s = Shape (x); scalar zero = 0; n = Gather axis=0 (s zero)
         ints axes = 0; u = Unsqueeze (n axes); ints minus = -1
         target = Concat axis=0 (u minus); y = Reshape (x target); out y",
    );
    // Heads: [N, T, 12] to [N, T, 3, 4], transposed, and back.
    independent(
        "in x N T 12
         ints four = 0 0 3 4; a = Reshape (x four)
         b = Transpose perm=0,2,1,3 (a); c = Softmax axis=-1 (b)
         d = Transpose perm=0,2,1,3 (c); ints back = 0 0 12; y = Reshape (d back); out y",
    );
    // Rows and steps together, a layer for each, and apart again.
    independent(
        "in x N T 4; float w 4 3
         ints flat = -1 4; a = Reshape (x flat); b = MatMul (a w)
         s = Shape (x); ints zero = 0; ints two = 2; nt = Slice (s zero two); ints three = 3
         target = Concat axis=0 (nt three); y = Reshape (b target); out y",
    );
    unknown(
        "in x N 3; ints s = -1 2; y = Reshape (x s); out y",
        "join elements of several rows",
    );
    dependent(
        "in x N 4; ints s = 1 -1 2; y = Reshape (x s); out y",
        "along axis 1",
    );
    unknown(
        "in x N 4 6; s = Shape (x); ints z = 0; n = Gather axis=0 (s z); ints six = 6; t = Concat axis=0 (n six); y = Reshape (x t); out y",
        "a shape of another size",
    );
    unknown(
        "in x N T 6; ints f = -1 6; a = Reshape (x f); s = Shape (x); ints z = 0; n = Gather axis=0 (s z)
         ints six = 6; t = Concat axis=0 (n six); y = Reshape (a t); out y",
        "a shape of another size",
    );
    unknown(
        "in x N 4; ints s = 8 4; y = Reshape (x s); out y",
        "fixed lengths",
    );
    unknown(
        "in x N 4; ints s = -1 4; t = Transpose (x); y = Reshape (t s); out y",
        "can't be told apart",
    );
}

#[test]
fn rows_inside_other_axes_are_followed() {
    // Steps first: [T, N, 4] to [T · N, 4], a layer, and back.
    independent(
        "in x N T 4; float w 4 4
         t = Transpose perm=1,0,2 (x); s = Shape (t); ints flat = -1 4
         a = Reshape (t flat); b = MatMul (a w); c = Reshape (b s)
         y = Transpose perm=1,0,2 (c); out y",
    );
    // Back in the other order, rows would be taken for steps.
    unknown(
        "in x N T 4; float w 4 4
         t = Transpose perm=1,0,2 (x); s = Shape (x); ints flat = -1 4
         a = Reshape (t flat); b = MatMul (a w); y = Reshape (b s); out y",
        "can't be told apart",
    );
    // Twice the rows one after the other, and apart again.
    independent(
        "in x N 4; a = Concat axis=0 (x x); ints s = 2 -1 4; b = Reshape (a s); scalar one = 1; y = Gather axis=0 (b one); out y",
    );
    dependent(
        "in x N 4; y = Concat axis=0 (x x); out y",
        "several places for each row",
    );
}

#[test]
fn axes_of_length_1_are_not_the_rows() {
    independent("in x N 1 4; ints a = 1; y = Squeeze (x a); out y");
    independent_with(11, "in x N 1 4; y = Squeeze axes=[1] (x); out y");
    unknown(
        "in x N 1 4; y = Squeeze (x); out y",
        "drops every axis of length 1",
    );
    unknown(
        "in x N 4; ints a = 0; y = Squeeze (x a); out y",
        "drops the axis of the rows",
    );
    independent("in x N 4; ints a = 1; u = Unsqueeze (x a); y = Squeeze (u a); out y");
    dependent(
        "in x N 4; ints a = 0; y = Unsqueeze (x a); out y",
        "along axis 1",
    );
}

#[test]
fn parts_of_rows_are_rows() {
    independent("in x N T 4; ints a = 0; ints b = 1; ints ax = 1; y = Slice (x a b ax); out y");
    independent(
        "in x N 4; ints a = 0; ints b = 9223372036854775807; ints ax = 0; y = Slice (x a b ax); out y",
    );
    dependent(
        "in x N 4; ints a = 0; ints b = 5; ints ax = 0; y = Slice (x a b ax); out y",
        "takes a part of the rows",
    );
    dependent(
        "in x N 4; ints a = -1; ints b = -9223372036854775807; ints ax = 0; ints s = -1; y = Slice (x a b ax s); out y",
        "turns them round",
    );
    independent("in x N 6; a b = Split axis=1 (x); y = Add (a b); out y");
    dependent(
        "in x N 6; a b = Split axis=0 (x); y = Add (a b); out y",
        "splits the rows",
    );
    independent("in x N T 4; scalar i = 0; y = Gather axis=1 (x i); out y");
    dependent(
        "in x N 4; ints i = 0 0; y = Gather axis=0 (x i); out y",
        "picks rows of the batch",
    );
    independent("in x N 4; floats z = 0; ints p = 0 1 0 1; y = Pad (x p); out y");
    unknown(
        "in x N 4; ints p = 1 0 0 0; y = Pad (x p); out y",
        "adds rows",
    );
}

#[test]
fn slices_of_nothing_are_survived() {
    for step in [
        "1",
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "0",
    ] {
        for start in ["0", "-1", "5"] {
            let text = format!(
                "in x N 4; ints none =; ints a = {start}; ints b = -9223372036854775808; ints ax = 0; ints s = {step}
                 e = Slice (none a b ax s); ints axis = 1; f = Slice (x a b axis s); y = Relu (x); out y"
            );
            independent(&text);
        }
    }
}

#[test]
fn constants_are_repeated_for_each_row() {
    // A class token before each row's patches.
    independent(
        "in x N P 8; float token 1 1 8; s = Shape (x); ints z = 0; n = Gather axis=0 (s z)
         ints rest = -1 -1; ints ones = 1 8; target = Concat axis=0 (n ones)
         t = Expand (token target); y = Concat axis=1 (t x); out y",
    );
    independent("in x N 4; float b 1 4; s = Shape (x); e = Expand (b s); y = Add (x e); out y");
    independent("in x N 4; s = Shape (x); z = ConstantOfShape (s); y = Concat axis=1 (x z); out y");
    independent(
        "in x N 4; float b 4; s = Shape (x); ints z = 0; n = Gather axis=0 (s z); ints one = 1; ints a = 0; u = Unsqueeze (b a); r = Concat axis=0 (n one); t = Tile (u r); y = Add (x t); out y",
    );
    unknown(
        "in x N 4; float b 5 4; s = Shape (x); e = Expand (b s); y = Add (x e); out y",
        "expands to a shape that depends on the rows",
    );
    unknown(
        "in x N 4; float b 5 4; y = Concat axis=1 (x b); out y",
        "fixed number of others",
    );
    unknown(
        "in x N 4; float b 1 4; y = Concat axis=0 (x b); out y",
        "adds fixed rows",
    );
    unknown(
        "in x N 4; s = Shape (x); ints two = 2; p = Mul (s two); scalar z = 0; y = Expand (x p); out y",
        "joins the rows with",
    );
}

#[test]
fn broadcasting_never_crosses_the_rows() {
    independent("in x N 4; float b 4; y = Add (x b); out y");
    independent("in x N 4; float b 1 4; y = Add (x b); out y");
    unknown(
        "in x N 4; float b 5 4; y = Add (x b); out y",
        "joins the rows with 5 fixed ones",
    );
    independent("in x N T; in m N T; y = Mul (x m); out y");
    dependent(
        "in x N; ints a = 1; u = Unsqueeze (x a); y = Sub (u x); out y",
        "pairs each row with every other",
    );
    unknown(
        "in x N 4; in y N; z = Add (x y); out z",
        "on different axes",
    );
    unknown_with(
        6,
        "in x N 4; float b 4; y = Add axis=1 broadcast=1 (x b); out y",
        "before 7",
    );
}

#[test]
fn the_number_of_rows_is_no_value() {
    // The mean over the batch by hand, and a scale by the batch's size.
    dependent(
        "in x N 4; s = Shape (x); scalar z = 0; n = Gather axis=0 (s z); f = Cast to=1 (n); y = Div (x f); out y",
        "takes the number of rows in the batch into its values",
    );
    independent(
        "in x N 4; s = Shape (x); scalar z = 1; n = Gather axis=0 (s z); f = Cast to=1 (n); r = Sqrt (f); y = Div (x r); out y",
    );
    dependent(
        "in x N 4; s = Shape (x); scalar z = 0; n = Gather axis=0 (s z); scalar one = 1; r = Range (z n one); out r",
        "a row's place in the batch",
    );
    dependent(
        "in x:int64 N; s = Shape (x); scalar z = 0; n = Squeeze (s); scalar one = 1; r = Range (z n one); y = Add (x r); out y",
        "place in the batch for a value",
    );
    dependent(
        "in x N 4; y = Size (x); ints a = 0; u = Unsqueeze (y a); z = ConstantOfShape (u); out z",
        "several places",
    );
}
