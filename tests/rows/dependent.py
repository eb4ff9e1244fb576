"""Models with rows that depend on each other, each by another mechanism. A batch of them gives other
answers than each row alone, or another number of rows."""

import numpy as np
from onnx import TensorProto, helper

from graph import B, CASES, DEPENDENT, Case, F, Graph, I, M, S, dependent
from independent import F32, I64, TOKENS, attention, dense, embedded, ints, linear


@dependent("the scale comes from the whole batch", x=F(6))
def dynamic_quantization(g, x):
    q, scale, zero = g.DynamicQuantizeLinear(x, outs=3)
    w = g.random.integers(-127, 128, (6, 3)).astype(np.int8)
    return g.Mul(g.Cast(g.MatMulInteger(q, w, zero), to=TensorProto.FLOAT), g.Mul(scale, F32(0.01)))


@dependent("the scale comes from the whole batch", x=F(6), out=[("float32", ["N", 3])])
def dynamic_quantize_matmul(g, x):
    w = g.random.integers(0, 255, (6, 3)).astype(np.uint8)
    return g.microsoft("DynamicQuantizeMatMul", x, w, F32(0.01), np.uint8(128))


@dependent("the scale comes from the whole batch", x=F(3, 8, 8, uniform=[-2, 2]))
def dynamic_quantization_conv(g, x):
    q, scale, zero = g.DynamicQuantizeLinear(g.Mul(x, x), outs=3)
    y = g.ConvInteger(q, g.random.integers(0, 255, (4, 3, 3, 3)).astype(np.uint8), zero)
    return g.Mul(g.Cast(y, to=TensorProto.FLOAT), scale)


@dependent("normalised by minimum and maximum of everything", x=F(6))
def minmax_of_the_batch(g, x):
    low, high = g.ReduceMin(x, keepdims=0), g.ReduceMax(x, keepdims=0)
    return g.Div(g.Sub(x, low), g.Add(g.Sub(high, low), F32(1e-6)))


@dependent("mean over the rows", x=F(6))
def centred_by_column(g, x):
    return g.Sub(x, g.ReduceMean(x, axes=[0]))


@dependent("mean over a negative axis that is the rows'", x=F(6))
def centred_by_negative_axis(g, x):
    return g.Sub(x, g.ReduceMean(x, axes=[-2]))


@dependent("the axes are an input", x=F(6))
def reduce_sum_axes_input(g, x):
    return g.Mul(x, g.ReduceSum(x, ints(0)))


@dependent("no axes are all axes", x=F(6))
def reduce_without_axes(g, x):
    return g.Add(x, g.ReduceSum(x, keepdims=1))


@dependent("no axes are all axes: an empty list", x=F(6), opset=18)
def reduce_with_empty_axes(g, x):
    return g.Add(x, g.ReduceMax(x, np.array([], I64), keepdims=1))


@dependent("rows are reduced in the end", x=F(6))
def pooled_to_one_row(g, x):
    return g.ReduceMean(x, axes=[0], keepdims=1)


@dependent("softmax over the candidates", query=F(4), document=F(4))
def reranker_softmax(g, query, document):
    return g.Softmax(g.ReduceSum(g.Mul(query, document), ints(1), keepdims=0), axis=0)


@dependent("softmax over the last axis of a vector of scores", x=F(4))
def softmax_of_a_vector(g, x):
    return g.Softmax(g.Squeeze(dense(g, x, 4, 1), ints(1)), axis=-1)


@dependent("softmax over the rows", x=F(4))
def softmax_axis_0(g, x):
    return g.Softmax(dense(g, x, 4, 3), axis=0)


@dependent("the old softmax flattens all axes from 0", x=F(4), opset=11)
def old_softmax_axis_0(g, x):
    return g.Softmax(x, axis=0)


@dependent("the old softmax has axis 1 of a [1, N] tensor", x=F(1), opset=11)
def old_softmax_of_a_transposed_column(g, x):
    return g.Transpose(g.Softmax(g.Transpose(x, perm=[1, 0])), perm=[1, 0])


@dependent("log-softmax over the rows", x=F(4))
def log_softmax_axis_0(g, x):
    return g.LogSoftmax(x, axis=0)


@dependent("hardmax over the rows", x=F(4))
def hardmax_axis_0(g, x):
    return g.Hardmax(x, axis=0)


@dependent("batch normalisation in training mode", x=F(4), out=[("float32", ["N", 4])])
def batch_norm_training(g, x):
    y, *_ = g.BatchNormalization(x, g.w(4), g.w(4), np.zeros(4, F32), np.ones(4, F32), outs=3, training_mode=1)
    return y


@dependent("layer normalisation from axis 0", x=F(4))
def layer_norm_axis_0(g, x):
    return g.LayerNormalization(x, F32([1]), axis=0)


@dependent("layer normalisation of transposed rows", x=F(4))
def layer_norm_of_columns(g, x):
    y = g.Transpose(x, perm=[1, 0])
    return g.Transpose(g.LayerNormalization(y, F32([1]), axis=-1), perm=[1, 0])


@dependent("mean and variance over the rows", x=F(3, 4, 4, uniform=[-2, 2]))
def mean_variance_normalization(g, x):
    return g.MeanVarianceNormalization(x)


@dependent("instance normalisation with the rows as space", x=F(4))
def instance_norm_over_rows(g, x):
    y = g.Unsqueeze(g.Transpose(x, perm=[1, 0]), ints(0))
    return g.Transpose(g.Squeeze(g.InstanceNormalization(y, g.w(4), g.w(4)), ints(0)), perm=[1, 0])


@dependent("running sum over the rows", x=F(4))
def cumulative_sum(g, x):
    return g.CumSum(x, np.array(0, I64))


@dependent("running sum over the rows from their end, exclusive", x=F(4))
def cumulative_sum_reverse(g, x):
    return g.CumSum(x, np.array(-2, I64), reverse=1, exclusive=1)


@dependent("sorted rows", x=F(4), out=[("float32", ["N", 4])])
def sorted_over_rows(g, x):
    values, _ = g.TopK(x, g.Shape(x, start=0, end=1), outs=2, axis=0)
    return values


@dependent("the best row", x=F(4))
def best_row_marked(g, x):
    best = g.ArgMax(dense(g, x, 4, 1), axis=0, keepdims=0)
    rows = g.Range(np.array(0, I64), g.Squeeze(g.Shape(x, start=0, end=1), ints(0)), np.array(1, I64))
    return g.Cast(g.Equal(rows, best), to=TensorProto.FLOAT)


@dependent("in-batch negatives", x=F(4))
def in_batch_negatives(g, x):
    scores = g.MatMul(x, g.Transpose(x, perm=[1, 0]))
    return g.ReduceMax(g.Softmax(scores, axis=1), axes=[1], keepdims=0)


@dependent("every row against every row", x=F(4))
def similarity_matrix(g, x):
    return g.MatMul(x, g.Transpose(x, perm=[1, 0]))


@dependent("every row against every row by Gemm", x=F(4))
def similarity_by_gemm(g, x):
    return g.ReduceSum(g.Gemm(x, x, transB=1), ints(1), keepdims=0)


@dependent("every row against every row by einsum", x=F(4))
def similarity_by_einsum(g, x):
    return g.ReduceMean(g.Einsum(x, x, equation="id,jd->ij"), axes=[1], keepdims=0)


@dependent("every row against every row by broadcasting", x=F(4))
def pairwise_distances(g, x):
    apart = g.Sub(g.Unsqueeze(x, ints(0)), g.Unsqueeze(x, ints(1)))
    return g.ReduceSumSquare(apart, axes=[1, 2], keepdims=0)


@dependent("attention over the rows", x=F(4))
def attention_over_rows(g, x):
    return g.Squeeze(attention(g, g.Unsqueeze(x, ints(0)), 4, 2), ints(0))


@dependent("attention with the wrong permutation", x=F(4, 8))
def attention_batch_second(g, x):
    y = g.Transpose(x, perm=[1, 0, 2])
    scores = g.Softmax(g.MatMul(y, g.Transpose(y, perm=[0, 2, 1])), axis=-1)
    return g.Transpose(g.MatMul(scores, y), perm=[1, 0, 2])


@dependent("the rows are an LSTM's time", x=F(3, 4), out=[("float32", ["N", 3, 5])])
def lstm_over_rows(g, x):
    out, *_ = g.LSTM(x, g.w(1, 20, 4), g.w(1, 20, 5), outs=3, hidden_size=5)
    return g.Squeeze(out, ints(1))


@dependent("the rows are a GRU's time, as PyTorch without batch_first gives it", x=F(1, 4))
def gru_over_rows(g, x):
    out, _ = g.GRU(x, g.w(1, 15, 4), g.w(1, 15, 5), outs=2, hidden_size=5)
    return g.Squeeze(out, ints(1))


@dependent("the rows are an RNN's time, backwards", x=F(1, 4))
def rnn_over_rows_reverse(g, x):
    out, _ = g.RNN(x, g.w(1, 5, 4), g.w(1, 5, 5), outs=2, hidden_size=5, direction="reverse")
    return g.Squeeze(out, ints(1))


@dependent("convolution along the rows", x=F(4))
def conv_over_rows(g, x):
    y = g.Unsqueeze(g.Transpose(x, perm=[1, 0]), ints(0))
    y = g.Conv(y, g.w(4, 4, 3), pads=[1, 1])
    return g.Transpose(g.Squeeze(y, ints(0)), perm=[1, 0])


@dependent("convolution with the rows as channels' neighbours: width", x=F(4))
def conv_with_rows_as_image(g, x):
    y = g.Conv(g.Unsqueeze(x, ints(0, 1)), g.w(1, 1, 3, 3), pads=[1, 1, 1, 1])
    return g.Squeeze(y, ints(0, 1))


@dependent("maximum pooling along the rows", x=F(4))
def max_pool_over_rows(g, x):
    y = g.MaxPool(g.Unsqueeze(x, ints(0, 1)), kernel_shape=[3, 1], pads=[1, 0, 1, 0])
    return g.Squeeze(y, ints(0, 1))


@dependent("smoothed along the rows by Resize", x=F(4))
def resized_rows(g, x):
    y = g.Resize(g.Unsqueeze(x, ints(0, 1)), None, np.array([1, 1, 2, 1], F32), mode="linear")
    return g.Squeeze(g.MaxPool(y, kernel_shape=[2, 1], strides=[2, 1]), ints(0, 1))


@dependent("resized along the rows' axis itself", x=F(4))
def resize_scales_rows(g, x):
    y = g.Resize(x, None, np.array([2, 1], F32), mode="nearest")
    return g.ReduceMax(g.Reshape(y, ints(2, -1, 4)), axes=[0], keepdims=0)


@dependent("divided by the largest of all", x=F(4))
def reduce_max_as_scale(g, x):
    return g.Div(x, g.Max(g.ReduceMax(g.Abs(x), keepdims=0), F32(1e-6)))


@dependent("divided by the number of rows", x=F(4))
def divided_by_the_number_of_rows(g, x):
    count = g.Cast(g.Gather(g.Shape(x), np.array(0, I64)), to=TensorProto.FLOAT)
    return g.Div(x, count)


@dependent("divided by the number of elements", x=F(4))
def divided_by_size(g, x):
    return g.Div(x, g.Cast(g.Size(x), to=TensorProto.FLOAT))


@dependent("the number of rows as a feature", x=F(4))
def number_of_rows_as_output(g, x):
    return g.Concat(x, g.Expand(g.Cast(g.Shape(x, start=0, end=1), to=TensorProto.FLOAT), g.Concat(g.Shape(x, start=0, end=1), ints(1), axis=0)), axis=1)


@dependent("each row's number", x=F(4))
def row_number(g, x):
    count = g.Squeeze(g.Shape(x, start=0, end=1), ints(0))
    rows = g.Cast(g.Range(np.array(0, I64), count, np.array(1, I64)), to=TensorProto.FLOAT)
    return g.Add(x, g.Unsqueeze(rows, ints(1)))


@dependent("places along the rows, as positions of a batch-second encoder", x=F(4))
def position_along_rows(g, x):
    places = g.Slice(g.w(64, 4), ints(0), g.Shape(x, start=0, end=1), ints(0))
    return g.Add(x, places)


@dependent("each row's number by cumulated ones", x=F(4))
def row_number_by_cumsum(g, x):
    ones = g.ConstantOfShape(g.Concat(g.Shape(x, start=0, end=1), ints(1), axis=0), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]))
    return g.Add(x, g.CumSum(ones, np.array(0, I64)))


@dependent("each row's number by NonZero", x=F(4))
def row_number_by_nonzero(g, x):
    ones = g.ConstantOfShape(g.Shape(x, start=0, end=1), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]))
    where = g.Cast(g.Transpose(g.NonZero(ones), perm=[1, 0]), to=TensorProto.FLOAT)
    return g.Add(x, where)


@dependent("rows in reverse order", x=F(4))
def reversed_rows(g, x):
    return g.Slice(x, ints(-1), ints(-(2**63)), ints(0), ints(-1))


@dependent("reversed by ReverseSequence", x=F(4))
def reverse_sequence_over_rows(g, x):
    count = g.Expand(g.Shape(x, start=0, end=1), ints(4))
    return g.ReverseSequence(x, count, batch_axis=1, time_axis=0)


@dependent("the next row", x=F(4))
def shifted_rows(g, x):
    front = g.Pad(x, ints(1, 0, 0, 0), F32(0))
    return g.Slice(front, ints(0), ints(-1), ints(0))


@dependent("the next row, rolled around", x=F(4))
def rolled_rows(g, x):
    return g.Concat(g.Slice(x, ints(1), ints(2**31), ints(0)), g.Slice(x, ints(0), ints(1), ints(0)), axis=0)


@dependent("differences of neighbours", x=F(4))
def neighbour_difference(g, x):
    y = g.Pad(x, ints(1, 0, 0, 0), mode="edge")
    return g.Sub(x, g.Slice(y, ints(0), ints(-1), ints(0)))


@dependent("row 0 for all", x=F(4))
def gather_row_0(g, x):
    return g.Sub(x, g.Gather(x, np.array(0, I64), axis=0))


@dependent("the last row for all", x=F(4))
def gather_last_row(g, x):
    return g.Add(x, g.Gather(x, ints(-1), axis=0))


@dependent("the first row by a slice", x=F(4))
def slice_of_row_0(g, x):
    return g.Add(x, g.Slice(x, ints(0), ints(1), ints(0)))


@dependent("the first row by a split", x=F(4), out=[("float32", ["N", 4])])
def every_row_by_index_0(g, x):
    zeros = g.ConstantOfShape(g.Shape(x, start=0, end=1), value=helper.make_tensor("v", TensorProto.INT64, [1], [0]))
    return g.Gather(x, zeros, axis=0)


@dependent("rows picked by the data", x=F(4), pick=I(low=-1, high=1))
def gather_rows_by_data(g, x, pick):
    return g.Gather(x, pick, axis=0)


@dependent("rows picked by GatherND with an index that isn't the row's own", x=F(4), pick=I(1, low=-1, high=1))
def gather_nd_rows_by_data(g, x, pick):
    return g.GatherND(x, pick)


@dependent("rows picked by GatherElements along the rows", x=F(4), pick=I(4, low=-1, high=1))
def gather_elements_over_rows(g, x, pick):
    return g.GatherElements(x, pick, axis=0)


@dependent("scattered along the rows", x=F(4), pick=I(4, low=-1, high=1))
def scatter_elements_over_rows(g, x, pick):
    return g.ScatterElements(g.Mul(x, F32(0)), pick, x, axis=0)


@dependent("scattered to row 0", x=F(4))
def scatter_nd_to_row_0(g, x):
    return g.ScatterND(x, np.zeros((1, 1), I64), np.ones((1, 4), F32))


@dependent("a row is scattered to where its data say", x=F(4), where=I(1, low=-1, high=1))
def scatter_nd_by_data(g, x, where):
    return g.ScatterND(g.Mul(x, F32(0)), where, x)


@dependent("rows that are zero vanish", x=I(low=0, high=2))
def non_zero_rows(g, x):
    return g.Transpose(g.NonZero(x), perm=[1, 0])


@dependent("rows that a condition drops vanish", x=F(4), keep=B())
def compress_rows(g, x, keep):
    return g.Compress(x, keep, axis=0)


@dependent("elements that a condition keeps", x=F(4))
def compress_flattened(g, x):
    return g.Compress(x, g.Reshape(g.Greater(x, F32(0)), ints(-1)))


@dependent("each value once", x=I(low=0, high=3))
def unique_rows(g, x):
    y, _, inverse, _ = g.Unique(x, outs=4)
    return inverse


@dependent("how often a row occurs", x=I(low=0, high=3))
def unique_counts(g, x):
    _, _, inverse, count = g.Unique(x, outs=4, sorted=1)
    return g.Gather(count, inverse)


@dependent("boxes suppress each other", box=F(4, uniform=[0, 1]), score=F(uniform=[0, 1]))
def non_max_suppression(g, box, score):
    y = g.NonMaxSuppression(g.Unsqueeze(box, ints(0)), g.Unsqueeze(score, ints(0, 1)), np.array([1], I64), np.array([0.5], F32))
    hot = g.Gather(y, ints(2), axis=1)
    rows = g.Range(np.array(0, I64), g.Squeeze(g.Shape(score), ints(0)), np.array(1, I64))
    return g.Cast(g.Equal(rows, g.Reshape(hot, ints(-1))), to=TensorProto.FLOAT)


@dependent("[N, 4] as [N * 4 / 3, 3]", x=F(6))
def reshape_mixes_rows(g, x):
    pairs = g.Reshape(x, ints(3, -1))
    return g.Reshape(g.Softmax(pairs, axis=-1), ints(-1, 6))


@dependent("[N, 4, 6] as [4, N, 6] without a transposition", x=F(4, 6))
def reshape_instead_of_transpose(g, x):
    y = g.Reshape(x, ints(4, -1, 6))
    return g.Transpose(g.MatMul(y, g.w(6, 6)), perm=[1, 0, 2])


@dependent("a transposition and a reshape that don't belong together", x=F(4, 6))
def wrong_reshape_after_transpose(g, x):
    y = g.Transpose(x, perm=[1, 0, 2])
    return g.Reshape(y, ints(-1, 24))


@dependent("heads folded in front of the rows, unfolded behind them", x=F(4, 6))
def heads_unfolded_wrongly(g, x):
    y = g.Transpose(g.Reshape(x, ints(0, 4, 2, 3)), perm=[2, 0, 1, 3])
    folded = g.Reshape(y, ints(-1, 4, 3))
    return g.Reshape(folded, ints(-1, 2, 4, 3))


@dependent("flattened from axis 0", x=F(4))
def flatten_axis_0(g, x):
    flat = g.Flatten(x, axis=0)
    return g.Reshape(g.Softmax(flat, axis=1), ints(-1, 4))


@dependent("[N] as [1, N] and softmax over it", x=F())
def scores_as_one_row(g, x):
    row = g.Reshape(x, ints(1, -1))
    return g.Reshape(g.Softmax(row, axis=1), ints(-1))


@dependent("rows and columns change places where they are as many", x=F(4))
def transposed_output(g, x):
    return g.Transpose(x, perm=[1, 0])


@dependent("a loop over the rows that keeps a state", x=F(4), out=[("float32", ["N", 4])])
def scan_over_rows_with_state(g, x):
    body = g.body([("state", "float32", [4]), ("row", "float32", [4])], lambda s, state, row: [(s.Add(s.Mul(state, F32(0.5)), row), "float32", [4])] * 2)
    _, out = g.Scan(np.zeros(4, F32), x, outs=2, body=body, num_scan_inputs=1)
    return out


@dependent("a scan over the rows, backwards", x=F(4), out=[("float32", ["N", 4])])
def scan_output_reversed(g, x):
    body = g.body([("row", "float32", [4])], lambda s, row: [(s.Neg(row), "float32", [4])])
    return g.Scan(x, body=body, num_scan_inputs=1, scan_output_directions=[1])


@dependent("as many rounds as rows", x=F(4), out=[("float32", ["N", 4])])
def loop_as_often_as_rows(g, x):
    body = g.body([("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 4])], lambda s, _, go, state: [(go, "bool", []), (s.Mul(state, F32(0.5)), "float32", ["N", 4])])
    return g.Loop(g.Squeeze(g.Shape(x, start=0, end=1), ints(0)), None, x, body=body)


@dependent("goes on until every row is small", x=F(4), out=[("float32", ["N", 4])])
def loop_until_all_are_done(g, x):
    def step(s, _, go, state):
        new = s.Mul(state, F32(0.5))
        return [(s.Greater(s.ReduceMax(s.Abs(new), keepdims=0), F32(1)), "bool", []), (new, "float32", ["N", 4])]

    body = g.body([("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 4])], step)
    return g.Loop(np.array(20, I64), np.array(True), x, body=body)


@dependent("greedy decoding that ends when all rows have ended", x=F(4), out=[("int64", ["N", "steps"])])
def decoding_until_all_have_ended(g, x):
    def step(s, _, go, state):
        new = s.MatMul(s.Tanh(state), g.w(4, 4, scale=1))
        token = s.ArgMax(new, axis=1, keepdims=0)
        ended = s.ReduceMin(s.Cast(s.Equal(token, np.array(0, I64)), to=TensorProto.INT32), keepdims=0)
        return [(s.Not(s.Cast(ended, to=TensorProto.BOOL)), "bool", []), (new, "float32", ["N", 4]), (token, "int64", ["N"])]

    body = g.body([("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 4])], step)
    _, tokens = g.Loop(np.array(4, I64), np.array(True), x, outs=2, body=body)
    return g.Transpose(tokens, perm=[1, 0])


@dependent("a branch for all where one row asks for it", x=F(4), out=[("float32", ["N", 4])])
def if_any_row(g, x):
    any_large = g.Greater(g.ReduceMax(x, keepdims=0), F32(3))
    then = g.body([], lambda s: [(s.Clip(x, F32(-1), F32(1)), "float32", ["N", 4])])
    other = g.body([], lambda s: [(s.Identity(x), "float32", ["N", 4])])
    return g.If(any_large, then_branch=then, else_branch=other)


@dependent("another branch for more than one row", x=F(4), out=[("float32", ["N", 4])])
def if_more_than_one_row(g, x):
    many = g.Greater(g.Gather(g.Shape(x), np.array(0, I64)), np.array(1, I64))
    then = g.body([], lambda s: [(s.Neg(x), "float32", ["N", 4])])
    other = g.body([], lambda s: [(s.Identity(x), "float32", ["N", 4])])
    return g.If(many, then_branch=then, else_branch=other)


@dependent("another branch from the third row on", x=F(4), out=[("float32", ["N", 4])])
def if_more_than_two_rows(g, x):
    many = g.Greater(g.Gather(g.Shape(x), np.array(0, I64)), np.array(2, I64))
    then = g.body([], lambda s: [(s.Neg(x), "float32", ["N", 4])])
    other = g.body([], lambda s: [(s.Identity(x), "float32", ["N", 4])])
    return g.If(many, then_branch=then, else_branch=other)


@dependent("the dependence is within a branch", x=F(4), out=[("float32", ["N", 4])])
def dependent_branch(g, x):
    wide = g.Greater(g.Gather(g.Shape(x), np.array(1, I64)), np.array(2, I64))
    then = g.body([], lambda s: [(s.Softmax(x, axis=0), "float32", ["N", 4])])
    other = g.body([], lambda s: [(s.Identity(x), "float32", ["N", 4])])
    return g.If(wide, then_branch=then, else_branch=other)


@dependent("the dependence is within a loop's body", x=F(4), out=[("float32", ["N", 4])])
def dependent_loop_body(g, x):
    def step(s, _, go, state):
        return [(go, "bool", []), (s.Sub(state, s.ReduceMean(state, axes=[0])), "float32", ["N", 4])]

    body = g.body([("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 4])], step)
    return g.Loop(np.array(2, I64), None, x, body=body)


@dependent("the dependence reaches a loop's state only in its second round", x=F(4), out=[("float32", ["N", 4]), ("float32", [])])
def loop_state_mixes_later(g, x):
    # Round 1 reads the constant, round 2 the mean of all rows.
    def step(s, _, go, state, memory):
        return [(go, "bool", []), (s.Add(state, memory), "float32", ["N", 4]), (s.ReduceMean(state, keepdims=0), "float32", [])]

    body = g.body([("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 4]), ("memory", "float32", [])], step)
    end, _ = g.Loop(np.array(2, I64), None, x, np.array(0, F32), outs=2, body=body)
    return end


@dependent("only from the third row on", x=F(4))
def third_row_only(g, x):
    late = g.Slice(g.Pad(x, ints(3, 0, 0, 0), F32(0)), ints(0), ints(-3), ints(0))
    return g.Add(x, late)


@dependent("only from the eighth row on", x=F(4), hints=[{"x": [[float(i + 1)] * 4 for i in range(12)]}])
def from_the_eighth_row_on(g, x):
    late = g.Slice(g.Pad(x, ints(8, 0, 0, 0), F32(0)), ints(0), ints(-8), ints(0))
    return g.Add(x, late)


@dependent("only where something is very large", x=F(4), hints=[{"x": [[1e7, 0, 0, 0], [1, 2, 3, 4]]}])
def only_on_extreme_values(g, x):
    return g.Sub(x, g.Max(g.Sub(g.ReduceMax(x, keepdims=0), F32(1e6)), F32(0)))


@dependent("only where something is negative", x=F(4, uniform=[-0.01, 1]))
def only_on_negative_values(g, x):
    return g.Add(x, g.ReduceSum(g.Relu(g.Neg(x)), ints(0)))


@dependent("only where an integer is 1234", x=I(2, high=2000), hints=[{"x": [[1234, 5], [6, 7]]}])
def only_on_one_integer(g, x):
    hit = g.ReduceMax(g.Cast(g.Equal(x, np.array(1234, I64)), to=TensorProto.INT64), keepdims=0)
    return g.Add(x, hit)


@dependent("only where a string is 'swordfish'", x=S(1, choices=("a", "b", "c", "swordfish")), opset=19)
def only_on_one_string(g, x):
    hit = g.Cast(g.Equal(x, np.array(["swordfish"], object)), to=TensorProto.FLOAT)
    return g.Add(hit, g.ReduceMax(hit, keepdims=0))


@dependent("only where there is NaN", x=F(4, normal=[0.5, 2], missing=0.05))
def only_on_nan(g, x):
    missing = g.Cast(g.IsNaN(x), to=TensorProto.FLOAT)
    return g.Add(g.Where(g.IsNaN(x), F32(0), x), g.ReduceMax(missing, axes=[0], keepdims=1))


@dependent("only where a row is infinite: 0 * inf is NaN for all", x=F(4, choices=[1.0, 2.0, float("inf")]))
def zero_times_infinity(g, x):
    return g.Add(x, g.Mul(g.ReduceSum(x, keepdims=0), F32(0)))


@dependent("cancels out unless an integer overflows", x=I(1, low=2**30, high=2**31 - 1, dtype="int32"))
def integer_overflow(g, x):
    # ONNX Runtime 1.31.1's sum stops at the largest integer, where older ones wrap; an Add wraps in both.
    total = g.Add(g.ReduceSum(x, ints(0)), np.array(1, np.int32))
    return g.Greater(g.Add(g.Mul(x, np.array(0, np.int32)), total), np.array(0, np.int32))


@dependent("cancels out unless a float32 rounds", x=F(2, choices=[1.0, 2.0, 1e10]), hints=[{"x": [[1e10, 1.0], [1.0, 2.0]]}])
def cancels_out_but_for_rounding(g, x):
    total = g.ReduceSum(x, ints(0))
    return g.Sub(g.Add(x, total), total)


@dependent("multiplied by a factor that is almost always 1", x=F(4, uniform=[0, 1]), hints=[{"x": [[0.9995, 0.5, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2]]}])
def rare_threshold(g, x):
    rare = g.Cast(g.Greater(g.ReduceMax(x, keepdims=0), F32(0.9993)), to=TensorProto.FLOAT)
    return g.Mul(x, g.Add(rare, F32(1)))


@dependent("the padding's length is that of the batch's longest row", **TOKENS, input_ids=I("length", high=20), attention_mask=M("length"))
def trimmed_to_the_longest_row(g, ids, mask):
    longest = g.ReduceMax(g.ReduceSum(mask, ints(1), keepdims=0), keepdims=1)
    x = g.Gather(g.w(20, 4), g.Slice(ids, ints(0), longest, ints(1)))
    return g.ReduceMean(x, axes=[1], keepdims=0)


@dependent("the largest length of all is a feature", x=F(4), lengths=I(low=1, high=9))
def largest_length_as_range(g, x, lengths):
    longest = g.ReduceMax(lengths, keepdims=0)
    places = g.Range(np.array(0, I64), longest, np.array(1, I64))
    inside = g.Cast(g.Less(g.Unsqueeze(places, ints(0)), g.Unsqueeze(lengths, ints(1))), to=TensorProto.FLOAT)
    return g.ReduceMean(inside, axes=[1], keepdims=0)


@dependent("a constant with as many rows as the batch may have", x=F(4), rows=F(1))
def constants_by_row(g, x, other):
    table = g.Slice(g.w(64, 1), ints(0), g.Shape(x, start=0, end=1), ints(0))
    return g.MatMul(g.Mul(x, table), g.w(4, 2))


@dependent("the first row's value for all, by a scalar", x=F(4), threshold=F(1))
def threshold_of_row_0(g, x, threshold):
    return g.Cast(g.Greater(x, g.Gather(threshold, np.array(0, I64))), to=TensorProto.FLOAT)


@dependent("the largest k of all rows counts", x=F(4), k=I(1, low=1, high=4))
def top_k_of_the_largest_k(g, x, k):
    values, _ = g.TopK(x, g.Reshape(g.ReduceMax(k, keepdims=0), ints(1)), outs=2, axis=1)
    return g.ReduceSum(values, ints(1), keepdims=0)


@dependent("depth by the largest id", x=F(4), kind=I(low=0, high=6))
def one_hot_depth_of_the_batch(g, x, kind):
    depth = g.Add(g.ReduceMax(kind, keepdims=0), np.array(1, I64))
    hot = g.OneHot(kind, depth, np.array([0, 1], F32), axis=-1)
    return g.ReduceMean(hot, axes=[1], keepdims=0)


@dependent("one-hot along the rows", kind=I(low=0, high=3))
def one_hot_axis_0(g, kind):
    return g.OneHot(kind, np.array(3, I64), np.array([0, 1], F32), axis=0)


@dependent("random numbers, one sequence for all rows", x=F(4))
def random_normal_like(g, x):
    return g.Add(x, g.RandomNormalLike(x, dtype=TensorProto.FLOAT, seed=1.0))


@dependent("dropout in training mode", x=F(4, normal=[0.5, 2]))
def dropout_training(g, x):
    return g.Dropout(x, F32(0.5), np.array(True), seed=1)


@dependent("Gemm with the rows as its sum", x=F(4))
def gemm_trans_a(g, x):
    return g.MatMul(x, g.Gemm(x, x, transA=1))


@dependent("covariance whitening", x=F(3))
def whitening(g, x):
    y = g.Sub(x, g.ReduceMean(x, axes=[0]))
    return g.MatMul(y, g.MatMul(g.Transpose(y, perm=[1, 0]), y))


@dependent("the rows are an einsum's sum", x=F(4))
def einsum_over_rows(g, x):
    return g.Mul(x, g.Einsum(x, equation="nd->d"))


@dependent("einsum with the ellipsis over the rows", x=F(2, 4))
def einsum_ellipsis_sums(g, x):
    return g.Add(x, g.Einsum(x, x, equation="n...,m...->m..."))


@dependent("einsum swaps", x=F(3))
def einsum_implicit_order(g, x):
    # No arrow: output letters in alphabetical order, so this is a transposition.
    return g.Einsum(x, equation="ba")


@dependent("the rows broadcast against a transposed self", x=F(1))
def column_plus_row(g, x):
    return g.ReduceMax(g.Add(x, g.Transpose(x, perm=[1, 0])), axes=[1], keepdims=0)


@dependent("[N] broadcasts against [N, N] as its last axis", x=F(4))
def vector_broadcasts_over_columns(g, x):
    mean = g.ReduceMean(x, axes=[1], keepdims=0)
    square = g.MatMul(x, g.Transpose(x, perm=[1, 0]))
    return g.ReduceSum(g.Mul(g.Identity(square), mean), ints(1), keepdims=0)


@dependent("Where with a condition over all", x=F(4))
def where_any(g, x):
    any_large = g.Greater(g.ReduceMax(x, keepdims=0), F32(5))
    return g.Where(any_large, g.Neg(x), x)


@dependent("the rows are concatenated twice", x=F(4))
def doubled_rows(g, x):
    return g.Concat(x, x, axis=0)


@dependent("tiled rows", x=F(4))
def tiled_rows(g, x):
    return g.Slice(g.Tile(x, ints(2, 1)), ints(1), g.Add(g.Shape(x, start=0, end=1), np.array([1], I64)), ints(0))


@dependent("every second row", x=F(4))
def strided_rows(g, x):
    return g.Slice(x, ints(0), ints(2**63 - 1), ints(0), ints(2))


@dependent("at most two rows", x=F(4))
def clipped_rows(g, x):
    return g.Slice(x, ints(0), ints(2), ints(0))


@dependent("without the first row", x=F(4))
def without_first_row(g, x):
    return g.Slice(x, ints(1), ints(2**63 - 1), ints(0))


@dependent("padded with a row", x=F(4))
def padded_rows(g, x):
    return g.Pad(x, ints(0, 0, 1, 0))


@dependent("rows upside down by Gather with computed indices", x=F(4))
def gather_descending_range(g, x):
    count = g.Squeeze(g.Shape(x, start=0, end=1), ints(0))
    last = g.Sub(count, np.array(1, I64))
    return g.Gather(x, g.Range(last, np.array(-1, I64), np.array(-1, I64)), axis=0)


@dependent("sequence operators over the rows", x=F(4), out=[("float32", ["N", 4])])
def split_to_sequence(g, x):
    rows = g.SplitToSequence(x, np.array(1, I64), axis=0)
    first = g.SequenceAt(rows, np.array(0, I64))
    return g.Add(x, first)


@dependent("the median of all", x=F(4), out=[("float32", ["N", 4])])
def median_of_the_batch(g, x):
    flat = g.Reshape(x, ints(-1))
    half = g.Div(g.Add(g.Size(x), np.array(1, I64)), np.array(2, I64))
    values, _ = g.TopK(flat, g.Reshape(half, ints(1)), outs=2, axis=0)
    return g.Sub(x, g.Gather(values, ints(-1)))


@dependent("an L2 norm of the whole", x=F(4))
def global_norm_clipping(g, x):
    norm = g.ReduceL2(x, keepdims=0)
    return g.Mul(x, g.Min(g.Div(F32(1), g.Add(norm, F32(1e-6))), F32(1)))


@dependent("LpNormalization over the rows", x=F(4))
def lp_normalization_axis_0(g, x):
    return g.LpNormalization(x, axis=0, p=2)


@dependent("ai.onnx.ml's Normalizer on a transposed table", x=F(4), out=[("float32", ["N", 4])])
def ml_normalizer_transposed(g, x):
    return g.Transpose(g.ml("Normalizer", g.Transpose(x, perm=[1, 0]), norm="L1"), perm=[1, 0])


@dependent("a scaler on one row of all values", x=F(1), out=[("float32", [1, "M"])])
def ml_features_over_rows(g, x):
    y = g.ml("Normalizer", g.Reshape(x, ints(1, -1)), norm="MAX")
    return g.Reshape(y, ints(-1, 1))


@dependent("gradient-reversal-like moving average kept over the rows", x=F(4), out=[("float32", ["N", 4])])
def exponential_moving_average(g, x):
    body = g.body([("state", "float32", [4]), ("row", "float32", [4])], lambda s, state, row: [(s.Add(s.Mul(state, F32(0.9)), s.Mul(row, F32(0.1))), "float32", [4])] * 2)
    _, out = g.Scan(g.w(4), x, outs=2, body=body, num_scan_inputs=1)
    return out


@dependent("one expert's capacity is shared by all rows", x=F(4))
def mixture_of_experts_capacity(g, x):
    gate = g.ArgMax(g.MatMul(x, g.w(4, 2)), axis=1, keepdims=0)
    mine = g.Cast(g.Equal(g.Unsqueeze(gate, ints(1)), ints(0, 1)), to=TensorProto.FLOAT)
    place = g.Mul(g.CumSum(mine, np.array(0, I64)), mine)
    fits = g.LessOrEqual(g.ReduceSum(place, ints(1)), F32(1))
    return g.Where(fits, g.Relu(x), F32(0))


@dependent("message passing along edges between rows", x=F(4))
def graph_neighbours(g, x):
    count = g.Shape(x, start=0, end=1)
    eye = g.EyeLike(g.ConstantOfShape(g.Concat(count, count, axis=0)), k=1)
    return g.MatMul(eye, x)


@dependent("a triangle over the rows", x=F(4))
def triangle_over_rows(g, x):
    count = g.Shape(x, start=0, end=1)
    ones = g.ConstantOfShape(g.Concat(count, count, axis=0), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]))
    return g.MatMul(g.Trilu(ones, upper=0), x)


@dependent("CTC-like collapse over the rows", x=I(low=0, high=3))
def equal_to_previous_row(g, x):
    before = g.Slice(g.Pad(g.Cast(x, to=TensorProto.FLOAT), ints(1, 0), F32(-1)), ints(0), ints(-1), ints(0))
    return g.Equal(g.Cast(x, to=TensorProto.FLOAT), before)


@dependent("a spectrum over the rows", x=F(4), opset=17)
def fourier_over_rows(g, x):
    y = g.DFT(g.Unsqueeze(g.Transpose(x, perm=[1, 0]), ints(2)), axis=1)
    return g.Transpose(g.ReduceL2(y, axes=[2], keepdims=0), perm=[1, 0])


@dependent("determinant-like product over rows", x=F(4))
def reduce_prod(g, x):
    return g.Mul(x, g.ReduceProd(g.Tanh(x), axes=[0]))


@dependent("log-sum-exp over the rows", x=F(4))
def reduce_log_sum_exp(g, x):
    return g.Sub(x, g.ReduceLogSumExp(x, axes=[0]))


@dependent("a second input's row 0 is the query of all, by squeezing", x=F(3, 4), y=F(4))
def squeezed_context(g, x, y):
    query = g.Slice(y, ints(0), ints(1), ints(0))
    return g.MatMul(x, g.Transpose(query, perm=[1, 0]))


@dependent("matrix product of [N, 4, N]-like halves: rows as the inner axis", x=F(4), y=F(4))
def outer_product_over_rows(g, x, y):
    return g.MatMul(x, g.MatMul(g.Transpose(y, perm=[1, 0]), x))


@dependent("the rows' axis is declared with another name in each input", x=F(4), y=F(4, rows="M"))
def cross_inputs(g, x, y):
    return g.MatMul(x, g.Transpose(y, perm=[1, 0]))


@dependent("time first: [length, 4] of one speech, axis 0 unnamed", x=F(4, rows=None))
def time_axis_unnamed(g, x):
    y = g.Unsqueeze(x, ints(1))
    out, _ = g.GRU(y, g.w(1, 9, 4), g.w(1, 9, 3), outs=2, hidden_size=3)
    return g.Squeeze(out, ints(1))


@dependent("clipped by a bound from the data", x=F(4))
def clip_by_mean(g, x):
    bound = g.ReduceMean(g.Abs(x), keepdims=0)
    return g.Clip(x, g.Neg(bound), bound)


@dependent("quantized by a scale from the data", x=F(4))
def quantize_by_computed_scale(g, x):
    scale = g.Div(g.Add(g.ReduceMax(g.Abs(x), keepdims=0), F32(1e-6)), F32(127))
    return g.DequantizeLinear(g.QuantizeLinear(x, scale, np.uint8(128)), scale, np.uint8(128))


@dependent("padded by an amount from the data", x=F(4), amount=I(1, low=0, high=3))
def pad_by_data(g, x, amount):
    wide = g.Reshape(g.ReduceMax(amount, keepdims=0), ints(1))
    y = g.Pad(x, g.Concat(ints(0, 0, 0), wide, axis=0), F32(1))
    return g.ReduceMean(y, axes=[1], keepdims=0)


@dependent("expanded to the number of rows along another axis", x=F(4))
def as_many_columns_as_rows(g, x):
    count = g.Shape(x, start=0, end=1)
    y = g.Expand(g.Unsqueeze(x, ints(2)), g.Concat(count, ints(4), count, axis=0))
    return g.ReduceSum(y, ints(2), keepdims=0)


@dependent("a shape that has the number of rows in its second place", x=F(4, 6))
def reshape_by_permuted_shape(g, x):
    count = g.Shape(x, start=0, end=1)
    y = g.Reshape(x, g.Concat(ints(4), count, ints(6), axis=0))
    return g.Transpose(g.Softmax(y, axis=-1), perm=[1, 0, 2])


@dependent("a Reshape of which only the whole is right for N = 4", x=F(4, 2))
def reshape_zero_takes_wrong_axis(g, x):
    y = g.Transpose(x, perm=[1, 0, 2])
    return g.Reshape(g.Reshape(y, ints(-1, 2)), ints(-1, 4, 2))


@dependent("shape operators that read another tensor's rows", x=F(4))
def range_by_data(g, x):
    total = g.Cast(g.ReduceMax(g.Abs(x), keepdims=0), to=TensorProto.INT64)
    y = g.Range(np.array(0, I64), g.Clip(total, np.array(1, I64), np.array(8, I64)), np.array(1, I64))
    return g.Add(x, g.Cast(g.ReduceMax(y, keepdims=0), to=TensorProto.FLOAT))


def numbers_of_rows(g, x: str) -> str:
    """0, 1, 2, … N - 1."""
    return g.Range(np.array(0, I64), g.Squeeze(g.Shape(x, start=0, end=1), ints(0)), np.array(1, I64))


@dependent("each row's number as a boolean is 0 or 1, so later rows give row 1", x=F(4))
def row_number_as_boolean(g, x):
    number = g.Cast(numbers_of_rows(g, x), to=TensorProto.BOOL)
    return g.Gather(x, g.Cast(number, to=TensorProto.INT64), axis=0)


@dependent("the same for the places of GatherND", x=F(4), where=I(1, high=2))
def row_number_in_a_tuple_as_boolean(g, x, where):
    place = g.Concat(g.Unsqueeze(numbers_of_rows(g, x), ints(1)), where, axis=1)
    return g.GatherND(x, g.Cast(g.Cast(place, to=TensorProto.BOOL), to=TensorProto.INT64))


@dependent("each row's number halved", x=F(4))
def row_number_halved(g, x):
    return g.Gather(x, g.Div(numbers_of_rows(g, x), np.array(2, I64)), axis=0)


@dependent("a loop's state takes its axis from the round before", x=F(4), out=[("float32", ["N", 4]), ("int64", [])])
def loop_axis_changes(g, x):
    def step(s, _, go, state, axis):
        return [(go, "bool", []), (s.CumSum(state, axis), "float32", ["N", 4]), (s.Sub(axis, np.array(1, I64)), "int64", [])]

    body = g.body([("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 4]), ("axis", "int64", [])], step)
    end, _ = g.Loop(np.array(2, I64), None, x, np.array(1, I64), outs=2, body=body)
    return end


@dependent("a scan's body sees all rows of the graph around it", x=F(4), out=[("float32", ["N", 4])])
def scan_captures_all_rows(g, x):
    body = g.body([("row", "float32", [4])], lambda s, row: [(s.Sub(row, s.ReduceMean(x, axes=[0], keepdims=0)), "float32", [4])])
    return g.Scan(x, body=body, num_scan_inputs=1)


@dependent("a scan's body sees the number of rows", x=F(4), out=[("float32", ["N", 4])])
def scan_captures_the_number_of_rows(g, x):
    body = g.body([("row", "float32", [4])], lambda s, row: [(s.Mul(row, s.Cast(s.Shape(x, start=0, end=1), to=TensorProto.FLOAT)), "float32", [4])])
    return g.Scan(x, body=body, num_scan_inputs=1)


@dependent("a shape's -1 that is computed", x=F(6))
def hidden_minus_one(g, x):
    hidden = g.Cast(g.Constant(value_float=-1.0), to=TensorProto.INT64)
    target = g.Concat(g.Unsqueeze(hidden, ints(0)), g.Mul(g.Shape(x, start=0, end=1), ints(2)), axis=0)
    return g.Reshape(g.Softmax(g.Reshape(x, target), axis=0), g.Shape(x))


@dependent("a loop's states change places, and one of them mixes rows", x=F(4), out=[("float32", ["N", 4]), ("float32", ["N", 4])])
def loop_swaps_states(g, x):
    def step(s, _, go, one, other):
        return [(go, "bool", []), (s.Identity(other), "float32", ["N", 4]), (s.Identity(one), "float32", ["N", 4])]

    body = g.body([("round", "int64", []), ("go", "bool", []), ("one", "float32", ["N", 4]), ("other", "float32", ["N", 4])], step)
    end, _ = g.Loop(np.array(1, I64), None, x, g.Softmax(x, axis=0), outs=2, body=body)
    return end


@dependent("a flag that is neither 0 nor 1 is 0 for ONNX Runtime, so this reduces everything", x=F(4))
def flag_beyond_one(g, x):
    return g.Sub(x, g.ReduceSum(x, None, noop_with_empty_axes=2))


@dependent("keepdims=2 drops the axis: [N, 4] meets [N] on the last one", x=F(4), out=[("float32", ["N", 4])], hints=[{"x": [[float(i * i + j + 1) for j in range(4)] for i in range(4)]}])
def keepdims_beyond_one(g, x):
    return g.Div(x, g.ReduceSum(x, ints(1), keepdims=2))


def function_case() -> Case:
    """A model function with an operator set of its own. ONNX Runtime runs its nodes with the model's."""
    graph = Graph("function_of_a_newer_operator_set", 12)
    columns = graph.Transpose("x", perm=[1, 2, 0])
    output = graph.Transpose(graph.node("Mixes", columns, domain="functions"), perm=[2, 0, 1])
    given = {"x": F(3, 4)}
    model = graph.model(given, [output], {output: ("float32", ["N", 3, 4])})
    body = [helper.make_node("Softmax", ["a"], ["b"], axis=1)]
    model.functions.append(helper.make_function("functions", "Mixes", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    return Case(graph.name, DEPENDENT, "Softmax of operator set 12 flattens, of 17 it wouldn't", model, [given["x"].sidecar("x")])


CASES["function_of_a_newer_operator_set"] = function_case
