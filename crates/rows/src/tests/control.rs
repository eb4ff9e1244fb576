//! Graphs in graphs, and the model's own functions.

use super::{dependent, independent, unknown, unknown_with};

#[test]
fn branches_are_followed() {
    let branches = "graph yes; a = Relu (x); out a; end; graph no; b = Neg (x); out b; end";
    // Chosen by a length that all rows share.
    independent(&format!(
        "in x N T; {branches}; s = Shape (x); scalar one = 1; scalar five = 5; t = Gather axis=0 (s one)
         c = Greater (t five); y = If then_branch=@yes else_branch=@no (c); out y"
    ));
    unknown(
        &format!(
            "in x N T; {branches}; s = Shape (x); scalar zero = 0; scalar five = 5; t = Gather axis=0 (s zero)
             c = Greater (t five); y = If then_branch=@yes else_branch=@no (c); out y"
        ),
        "by the number of rows",
    );
    // N is at least 1.
    independent(&format!(
        "in x N T; {branches}; s = Shape (x); scalar zero = 0; t = Gather axis=0 (s zero)
         c = Greater (t zero); y = If then_branch=@yes else_branch=@no (c); out y"
    ));
    dependent(
        &format!(
            "in x N T; {branches}; m = ReduceMax keepdims=0 (x); scalar zero = 0; z = Cast to=1 (zero); c = Greater (m z); y = If then_branch=@yes else_branch=@no (c); out y"
        ),
        "over the rows",
    );
}

#[test]
fn branches_that_differ_have_in_common_what_they_have() {
    unknown(
        "in x N 4; in f:bool N; graph yes; a = Relu (x); out a; end; graph no; b = Transpose (x); out b; end
         scalar c = 1; t = Shape (x); scalar one = 1; l = Gather axis=0 (t one); e = Less (l l); q = Cast to=9 (c)
         float w 3; k = ReduceSum keepdims=0 (w); d = Cast to=9 (k)
         y = If then_branch=@yes else_branch=@no (d); out y",
        "now something else",
    );
}

#[test]
fn loops_keep_rows_where_their_bodies_do() {
    let body = |line: &str| {
        format!(
            "graph body; in i:int64; in c:bool; in h N 4; d = Identity (c); {line}; out d g; end"
        )
    };
    independent(&format!(
        "in x N 4; {}; scalar times = 3; y = Loop body=@body (times _ x); out y",
        body("g = Relu (h)")
    ));
    dependent(
        &format!(
            "in x N 4; {}; scalar times = 3; y = Loop body=@body (times _ x); out y",
            body("g = Softmax axis=0 (h)")
        ),
        "over the rows",
    );
    // As often as there are rows, or as they say.
    unknown(
        &format!(
            "in x N 4; {}; s = Shape (x); scalar z = 0; n = Gather axis=0 (s z); y = Loop body=@body (n _ x); out y",
            body("g = Relu (h)")
        ),
        "as often as the rows say",
    );
    unknown(
        &format!(
            "in x N 4; in n:int64 N; {}; y = Loop body=@body (n _ x); out y",
            body("g = Relu (h)")
        ),
        "as often as the rows say",
    );
}

#[test]
fn a_loop_that_joins_rows_in_its_second_round_is_noticed() {
    // The first round only moves the states, the second mixes what the first left.
    dependent(
        "in x N 4; float zero 1 4; b = Expand (x e); graph body; in i:int64; in c:bool; in h N 4; in k N 4
         d = Identity (c); g = Softmax axis=0 (k); j = Identity (h); out d g j; end
         scalar times = 3; a2 = Identity (x); y z = Loop body=@body (times _ x a2); out y"
            .replace("b = Expand (x e); ", "")
            .as_str(),
        "over the rows",
    );
}

#[test]
fn scans_over_steps_and_over_rows() {
    // A recurrence over axis 1 of each row.
    independent(
        "in x N T 4; float w 4 4; graph body; in h N 4; in v N 4; m = MatMul (h w); g = Add (m v); o = Tanh (g); out g o; end
         s = Shape (x); scalar z = 0; scalar two = 2; ints first = 0; scalar one = 1; f = Gather axis=1 (x z)
         last all = Scan body=@body num_scan_inputs=1 scan_input_axes=[1] scan_output_axes=[1] (f x); out last all",
    );
    // Over the rows, with what is the same for all.
    independent(
        "in x N 4; float train 7 4; graph body; in t 7 4; in v 4; d = Sub (t v); ints a = 1; q = ReduceSumSquare axes=[1] keepdims=0 (d); u = Identity (t); out u q; end
         t q = Scan body=@body num_scan_inputs=1 (train x); out q",
    );
    // A running sum over the rows.
    dependent(
        "in x N 4; float zero 4; graph body; in t 4; in v 4; u = Add (t v); q = Identity (u); out u q; end
         t q = Scan body=@body num_scan_inputs=1 (zero x); out q",
        "carries a state from one row of the batch to the next",
    );
    // Each row meets all.
    unknown(
        "in x N 4; graph body; in v 4; d = Sub (x v); q = ReduceSum keepdims=0 axes=[1] (d); out q; end
         q = Scan body=@body num_scan_inputs=1 (x); out q",
        "meets each row with all others",
    );
}

#[test]
fn functions_are_followed() {
    independent("function f; in a; b = Relu (a); out b; end; in x N 4; y = local.f (x); out y");
    dependent(
        "function f; in a; b = Softmax axis=0 (a); out b; end; in x N 4; y = local.f (x); out y",
        "node \"the Softmax\"",
    );
    // Left out where the body leaves it out, too.
    independent(
        "function f; in a; in lo; in hi; b = Clip (a lo hi); out b; end; in x N 4; y = local.f (x); out y",
    );
    // A function that calls itself has no end.
    unknown(
        "function f; in a; b = local.f (a); out b; end; in x N 4; y = local.f (x); out y",
        "beyond the size",
    );
    unknown(
        "in x N 4; y = local.g (x); out y",
        "domain that isn't known",
    );
    // Whose operator set holds within a function isn't the same everywhere.
    unknown_with(
        12,
        "function f; in a; b = Relu (a); out b; end; in x N 4; y = local.f (x); out y",
        "another operator set than the model's",
    );
}
