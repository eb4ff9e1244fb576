"""Models whose rows are independent in a way that nobody is expected to prove: values decide what an
operator does, and the values happen to keep rows apart."""

import numpy as np
from onnx import TensorProto, helper

from graph import B, F, I, M, hard
from independent import F32, I64, TOKENS, dense, ints


@hard("what every row adds to all is 0 by its values: floor(sigmoid) is 0", x=F(4, uniform=[-5, 5]))
def zero_by_range(g, x):
    return g.Add(x, g.ReduceSum(g.Floor(g.Mul(g.Sigmoid(x), F32(0.9))), keepdims=0))


@hard("the largest of all, times 0 and finite", x=F(4, uniform=[-5, 5]))
def times_zero(g, x):
    return g.Add(x, g.Mul(g.ReduceMax(x, keepdims=0), F32(0)))


@hard("reversed twice", x=F(4))
def reversed_twice(g, x):
    y = g.Slice(x, ints(-1), ints(-(2**63)), ints(0), ints(-1))
    return g.Slice(g.Relu(y), ints(-1), ints(-(2**63)), ints(0), ints(-1))


@hard("sorted and put back", x=F(4), out=[("float32", ["N", 4])])
def sorted_and_put_back(g, x):
    count = g.Shape(x, start=0, end=1)
    _, order = g.TopK(g.ReduceSum(x, ints(1), keepdims=0), count, outs=2)
    _, back = g.TopK(order, count, outs=2, largest=0)
    return g.Gather(g.Tanh(g.Gather(x, order, axis=0)), back, axis=0)


@hard("the diagonal of all against all", x=F(4), y=F(4))
def diagonal_of_products(g, x, y):
    scores = g.MatMul(x, g.Transpose(y, perm=[1, 0]))
    count = g.Squeeze(g.Shape(x, start=0, end=1), ints(0))
    row = g.Unsqueeze(g.Range(np.array(0, I64), count, np.array(1, I64)), ints(1))
    return g.GatherElements(scores, row, axis=1)


@hard("an attention whose mask leaves only the row itself", x=F(4, uniform=[-2, 2]))
def attention_masked_to_self(g, x):
    count = g.Shape(x, start=0, end=1)
    eye = g.EyeLike(g.ConstantOfShape(g.Concat(count, count, axis=0)))
    scores = g.Add(g.MatMul(x, g.Transpose(x, perm=[1, 0])), g.Mul(g.Sub(F32(1), eye), F32(-1e9)))
    return g.MatMul(g.Softmax(scores, axis=1), x)


@hard("softmax over one row in each group", x=F(4))
def loop_that_slices_each_row(g, x):
    return g.Softmax(g.Reshape(x, ints(-1, 1, 4)), axis=2)


@hard("a loop that collects the rows one by one", x=F(4), out=[("float32", ["N", 3])])
def loop_collects_rows(g, x):
    def step(s, number, go):
        row = s.Gather(x, number, axis=0)
        return [(go, "bool", []), (s.MatMul(row, g.w(4, 3)), "float32", [3])]

    body = g.body([("round", "int64", []), ("go", "bool", [])], step)
    return g.Loop(g.Squeeze(g.Shape(x, start=0, end=1), ints(0)), None, body=body)


@hard("an If in each row of a Scan", x=F(4), out=[("float32", ["N", 4])])
def scan_with_if_per_row(g, x):
    def step(s, row):
        large = s.Greater(s.ReduceMax(row, keepdims=0), F32(1))
        then = s.body([], lambda t: [(t.Neg(row), "float32", [4])])
        other = s.body([], lambda t: [(t.Identity(row), "float32", [4])])
        return [(s.If(large, then_branch=then, else_branch=other), "float32", [4])]

    return g.Scan(x, body=g.body([("row", "float32", [4])], step), num_scan_inputs=1)


@hard("depth is a constant only by computation", kind=I(low=0, high=4))
def one_hot_runtime_depth(g, kind):
    table = g.w(4, 3)
    depth = g.Gather(g.Shape(g.Add(table, F32(1))), np.array(0, I64))
    return g.MatMul(g.OneHot(kind, depth, np.array([0, 1], F32), axis=-1), table)


@hard("counted by scattering ones of each row into its own place", kind=I(3, low=0, high=4))
def scatter_counts(g, kind):
    count = g.Shape(kind, start=0, end=1)
    zeros = g.ConstantOfShape(g.Concat(count, ints(4), axis=0))
    ones = g.ConstantOfShape(g.Shape(kind), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]))
    return g.ScatterElements(zeros, kind, ones, axis=1, reduction="add") if g.opset >= 16 else zeros


@hard("scattered by the row's own number", x=F(4), where=I(low=0, high=4))
def scatter_nd_own_row(g, x, where):
    count = g.Squeeze(g.Shape(x, start=0, end=1), ints(0))
    row = g.Range(np.array(0, I64), count, np.array(1, I64))
    index = g.Concat(g.Unsqueeze(row, ints(1)), g.Unsqueeze(where, ints(1)), axis=1)
    return g.ScatterND(x, index, g.ConstantOfShape(g.Shape(where)))


@hard("as eos pooling of CLIP: ArgMax finds each row's place, GatherND takes it", **TOKENS, ids=I("length", high=20))
def clip_eos_pooling(g, ids):
    x = g.Gather(g.w(20, 4), ids)
    where = g.ArgMax(ids, axis=-1, keepdims=0)
    row = g.Range(np.array(0, I64), g.Squeeze(g.Shape(ids, start=0, end=1), ints(0)), np.array(1, I64))
    return g.GatherND(x, g.Concat(g.Unsqueeze(row, ints(1)), g.Unsqueeze(where, ints(1)), axis=1))


@hard("places along the rows that cancel", x=F(4, uniform=[-2, 2]))
def row_number_cancels(g, x):
    count = g.Squeeze(g.Shape(x, start=0, end=1), ints(0))
    rows = g.Unsqueeze(g.Cast(g.Range(np.array(0, I64), count, np.array(1, I64)), to=TensorProto.FLOAT), ints(1))
    return g.Add(x, g.Sub(rows, rows))


@hard("boxes of one image can't suppress those of another", box=F(5, 4, uniform=[0, 1]), score=F(1, 5, uniform=[0, 1]))
def suppression_counts_of_a_row(g, box, score):
    body_score = g.ReduceMax(score, axes=[1, 2], keepdims=0)
    return g.Add(body_score, g.ReduceMax(box, axes=[1, 2], keepdims=0))


@hard("rounds until done, and done rows don't change any more", x=F(4, uniform=[-5, 5]), out=[("float32", ["N", 4])])
def loop_until_converged(g, x):
    def step(s, _, go, state):
        new = s.Where(s.Greater(s.Abs(state), F32(1)), s.Mul(state, F32(0.5)), state)
        return [(s.Greater(s.ReduceMax(s.Abs(new), keepdims=0), F32(1)), "bool", []), (new, "float32", ["N", 4])]

    body = g.body([("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 4])], step)
    return g.Loop(np.array(20, I64), np.array(True), x, body=body)


@hard("an If that any row decides, between two ways to the same", x=F(4), out=[("float32", ["N", 4])])
def if_with_equal_branches(g, x):
    any_large = g.Greater(g.ReduceMax(x, keepdims=0), F32(3))
    then = g.body([], lambda s: [(s.Abs(x), "float32", ["N", 4])])
    other = g.body([], lambda s: [(s.Max(x, s.Neg(x)), "float32", ["N", 4])])
    return g.If(any_large, then_branch=then, else_branch=other)


@hard("padded to the longest row and pooled under the mask", **TOKENS, x=F("length", 4), mask=M("length"))
def trimmed_and_masked(g, x, mask):
    longest = g.ReduceMax(g.ReduceSum(mask, ints(1), keepdims=0), keepdims=1)
    cut, seen = g.Slice(x, ints(0), longest, ints(1)), g.Cast(g.Slice(mask, ints(0), longest, ints(1)), to=TensorProto.FLOAT)
    return g.Div(g.ReduceSum(g.Mul(cut, g.Unsqueeze(seen, ints(2))), ints(1), keepdims=0), g.ReduceSum(seen, ints(1)))


@hard("rows that are masked away by NonZero and come back by ScatterND", x=F(4), keep=B())
def experts_by_scatter(g, x, keep):
    chosen = g.Transpose(g.NonZero(keep), perm=[1, 0])
    new = g.Relu(dense(g, g.GatherND(x, chosen), 4, 4))
    return g.ScatterND(x, chosen, new)


@hard("the batch times a square whose size is the batch's, the identity", x=F(4))
def identity_matrix_of_rows(g, x):
    count = g.Shape(x, start=0, end=1)
    return g.MatMul(g.EyeLike(g.ConstantOfShape(g.Concat(count, count, axis=0))), x)


@hard("transposed to the last axis, unique per row by comparing", kind=I(4, low=0, high=3))
def distinct_values_of_a_row(g, kind):
    same = g.Equal(g.Unsqueeze(kind, ints(1)), g.Unsqueeze(kind, ints(2)))
    return g.ReduceSum(g.Div(F32(1), g.ReduceSum(g.Cast(same, to=TensorProto.FLOAT), ints(2), keepdims=0)), ints(1), keepdims=0)


@hard("a split of the rows by Sequence operators, joined again", x=F(4), out=[("float32", ["N", 4])])
def split_and_joined_sequence(g, x):
    rows = g.SplitToSequence(x, np.array(1, I64), axis=0)
    return g.ConcatFromSequence(rows, axis=0)
