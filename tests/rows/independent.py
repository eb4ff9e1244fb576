"""Models whose rows are independent, in the shapes that exporters give them."""

import numpy as np
from onnx import TensorProto, helper

from graph import B, F, I, M, S, Graph, hard, independent

I64 = np.int64
F32 = np.float32


def ints(*values: int) -> np.ndarray:
    """A tensor of indices or lengths."""
    return np.array(values, I64)


def dense(g: Graph, x: str, wide: int, narrow: int) -> str:
    """A linear layer as Gemm."""
    return g.Gemm(x, g.w(wide, narrow), g.w(narrow, scale=0.1))


def linear(g: Graph, x: str, wide: int, narrow: int) -> str:
    """A linear layer as MatMul and Add, as for more than two axes."""
    return g.Add(g.MatMul(x, g.w(wide, narrow)), g.w(narrow, scale=0.1))


@independent(x=F(8))
def mlp(g, x):
    hidden = g.Relu(dense(g, x, 8, 16))
    return g.Softmax(dense(g, g.Tanh(dense(g, hidden, 16, 16)), 16, 3), axis=1)


@independent(x=F(8), opset=11)
def mlp_opset_11(g, x):
    return g.Softmax(dense(g, g.LeakyRelu(dense(g, x, 8, 16), alpha=0.1), 16, 3))


@independent(x=F(8), opset=9)
def mlp_opset_9_transposed(g, x):
    hidden = g.Gemm(x, g.w(16, 8), g.w(16), transB=1)
    return g.LogSoftmax(g.Gemm(g.Elu(hidden), g.w(3, 16), g.w(3), transB=1), axis=1)


@independent(x=F(8))
def mlp_batch_norm(g, x):
    hidden = dense(g, x, 8, 16)
    normed = g.BatchNormalization(hidden, g.w(16), g.w(16), g.w(16), np.abs(g.w(16)) + F32(0.5), epsilon=1e-3)
    return g.Sigmoid(dense(g, g.Dropout(g.Relu(normed)), 16, 1))


@independent(x=F(8), y=F(4))
def two_towers(g, x, y):
    left = g.Relu(dense(g, x, 8, 6))
    right = g.Relu(dense(g, y, 4, 6))
    return g.ReduceSum(g.Mul(left, right), ints(1), keepdims=0), g.Concat(left, right, axis=-1)


@independent(x=F(8))
def residual_mlp(g, x):
    for _ in range(3):
        mean = g.ReduceMean(x, axes=[-1])
        centred = g.Sub(x, mean)
        deviation = g.Sqrt(g.Add(g.ReduceMean(g.Pow(centred, F32(2)), axes=[-1]), F32(1e-5)))
        x = g.Add(x, dense(g, g.Relu(dense(g, g.Div(centred, deviation), 8, 16)), 16, 8))
    return x


@independent(x=F(12), opset=18)
def gelu_of_erf(g, x):
    h = linear(g, x, 12, 16)
    gelu = g.Mul(g.Mul(h, F32(0.5)), g.Add(g.Erf(g.Div(h, F32(2**0.5))), F32(1)))
    return g.LayerNormalization(linear(g, gelu, 16, 12), g.w(12), g.w(12), axis=-1)


def block(g: Graph, x: str, inner: int, outer: int, stride: int = 1) -> str:
    """A residual block of two convolutions, batch normalisation folded or not."""
    a = g.Conv(x, g.w(outer, inner, 3, 3), g.w(outer), kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride, stride])
    a = g.Relu(g.BatchNormalization(a, g.w(outer), g.w(outer), g.w(outer), np.abs(g.w(outer)) + F32(0.5)))
    a = g.Conv(a, g.w(outer, outer, 3, 3), g.w(outer), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    shortcut = g.Conv(x, g.w(outer, inner, 1, 1), kernel_shape=[1, 1], strides=[stride, stride])
    return g.Relu(g.Add(a, shortcut))


@independent(x=F(3, 16, 16, uniform=[-2, 2]))
def resnet(g, x):
    stem = g.Relu(g.Conv(x, g.w(4, 3, 7, 7), kernel_shape=[7, 7], pads=[3, 3, 3, 3], strides=[2, 2]))
    stem = g.MaxPool(stem, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    out = block(g, block(g, stem, 4, 4), 4, 8, 2)
    return dense(g, g.Flatten(g.GlobalAveragePool(out), axis=1), 8, 10)


@independent(x=F(3, 16, 16, uniform=[-2, 2]), opset=13)
def mobilenet(g, x):
    x = g.Clip(g.Conv(x, g.w(8, 3, 3, 3), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), F32(0), F32(6))
    deep = g.Conv(x, g.w(8, 1, 3, 3), group=8, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    # Squeeze and excite, with the hard swish of the third version.
    pooled = g.ReduceMean(deep, axes=[2, 3], keepdims=1)
    gate = g.HardSigmoid(g.Conv(g.Relu(g.Conv(pooled, g.w(2, 8, 1, 1))), g.w(8, 2, 1, 1)), alpha=1 / 6)
    point = g.Conv(g.Mul(deep, gate), g.w(8, 8, 1, 1))
    pooled = g.ReduceMean(g.Add(point, x), axes=[2, 3], keepdims=0)
    return dense(g, g.Mul(pooled, g.HardSigmoid(pooled, alpha=1 / 6)), 8, 5)


@independent(x=F(3, "height", "width", uniform=[-2, 2]), dims={"height": [8, 12], "width": [8, 16]})
def fully_convolutional(g, x):
    down = g.Relu(g.Conv(x, g.w(4, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]))
    up = g.Resize(down, None, np.array([1, 1, 2, 2], F32), mode="linear", coordinate_transformation_mode="half_pixel")
    return g.Sigmoid(g.Conv(g.Concat(up, x, axis=1), g.w(1, 7, 1, 1)))


@independent(x=F(3, "height", "width", uniform=[-2, 2]), dims={"height": [8, 12], "width": [8, 16]})
def unet_resized_by_shape(g, x):
    down = g.Relu(g.Conv(g.AveragePool(x, kernel_shape=[2, 2], strides=[2, 2]), g.w(4, 3, 3, 3), pads=[1, 1, 1, 1]))
    spatial = g.Slice(g.Shape(x), ints(2), ints(4), ints(0))
    front = g.Slice(g.Shape(down), ints(0), ints(2), ints(0))
    up = g.Resize(down, None, None, g.Concat(front, spatial, axis=0), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    return g.Conv(g.Concat(x, up, axis=1), g.w(2, 7, 3, 3), pads=[1, 1, 1, 1])


@independent(x=F(8, "length"), dims={"length": [9, 14]})
def conv_1d_and_pools(g, x):
    y = g.Relu(g.Conv(x, g.w(6, 8, 3), g.w(6), pads=[1, 1]))
    y = g.GlobalMaxPool(g.LpPool(g.Pad(y, ints(0, 0, 1, 0, 0, 1), F32(0)), kernel_shape=[2], p=2))
    return g.Squeeze(y, ints(2))


@independent(x=F(4, 6, 6, uniform=[-2, 2]))
def transposed_convolution(g, x):
    y = g.ConvTranspose(x, g.w(4, 3, 2, 2), strides=[2, 2])
    return g.InstanceNormalization(y, g.w(3), g.w(3)), g.DepthToSpace(x, blocksize=2), g.SpaceToDepth(x, blocksize=2)


@independent(x=F(8, 4, 4, uniform=[-2, 2]))
def group_norm_by_reshape(g, x):
    # As torch.onnx.export gives GroupNorm.
    groups = g.Reshape(x, ints(0, 2, -1))
    normed = g.InstanceNormalization(groups, np.ones(2, F32), np.zeros(2, F32))
    back = g.Reshape(normed, g.Shape(x))
    return g.Add(g.Mul(back, g.w(8, 1, 1)), g.w(8, 1, 1))


@independent(x=F(8, 4, 4, uniform=[-2, 2]), opset=21, out=[("float32", ["N", 8, 4, 4])] * 2)
def group_normalization(g, x):
    return g.GroupNormalization(x, g.w(8), g.w(8), num_groups=4), g.LRN(x, size=3)


@independent(x=F(8, 4, 4, uniform=[-2, 2]))
def channel_shuffle(g, x):
    split = g.Reshape(x, ints(0, 2, 4, 4, 4))
    return g.Reshape(g.Transpose(split, perm=[0, 2, 1, 3, 4]), ints(0, -1, 4, 4))


@independent(x=F(3, 8, 8, uniform=[-2, 2]))
def vision_transformer(g, x):
    patches = g.Conv(x, g.w(8, 3, 4, 4), strides=[4, 4])
    count = g.Gather(g.Shape(patches), np.array(0, I64), axis=0)
    flat = g.Reshape(patches, g.Concat(g.Unsqueeze(count, ints(0)), ints(8), ints(-1), axis=0))
    tokens = g.Transpose(flat, perm=[0, 2, 1])
    # The class token, spread over the rows by Expand.
    token = g.Expand(g.w(1, 1, 8), g.Concat(g.Unsqueeze(count, ints(0)), ints(-1 + 2), ints(8), axis=0))
    tokens = g.Add(g.Concat(token, tokens, axis=1), g.w(1, 5, 8))
    tokens = attention(g, tokens, 8, 2)
    first = g.Gather(tokens, np.array(0, I64), axis=1)
    return dense(g, first, 8, 4)


def heads_of(g: Graph, x: str, width: int, heads: int, chain: bool) -> str:
    """[N, length, width] as [N, heads, length, width / heads]; with a chain of shapes, or with zeros."""
    if chain:
        batch = g.Unsqueeze(g.Gather(g.Shape(x), np.array(0, I64), axis=0), ints(0))
        length = g.Unsqueeze(g.Gather(g.Shape(x), np.array(1, I64), axis=0), ints(0))
        target = g.Concat(batch, length, ints(heads), ints(width // heads), axis=0)
    else:
        target = ints(0, 0, heads, width // heads)
    return g.Transpose(g.Reshape(x, target), perm=[0, 2, 1, 3])


def attention(g: Graph, x: str, width: int, heads: int, mask: str | None = None, chain: bool = True) -> str:
    """Self-attention with a residual."""
    query, key, value = (heads_of(g, linear(g, x, width, width), width, heads, chain) for _ in range(3))
    scores = g.Div(g.MatMul(query, g.Transpose(key, perm=[0, 1, 3, 2])), F32((width / heads) ** 0.5))
    if mask:
        scores = g.Add(scores, mask)
    mixed = g.Transpose(g.MatMul(g.Softmax(scores, axis=-1), value), perm=[0, 2, 1, 3])
    if chain:
        batch = g.Unsqueeze(g.Gather(g.Shape(mixed), np.array(0, I64), axis=0), ints(0))
        length = g.Unsqueeze(g.Gather(g.Shape(mixed), np.array(1, I64), axis=0), ints(0))
        back = g.Reshape(mixed, g.Concat(batch, length, ints(width), axis=0))
    else:
        back = g.Reshape(mixed, ints(0, 0, width))
    return g.Add(x, linear(g, back, width, width))


def extended_mask(g: Graph, mask: str) -> str:
    """What BERT adds to the scores."""
    spread = g.Unsqueeze(g.Unsqueeze(mask, ints(1)), ints(2))
    return g.Mul(g.Sub(F32(1), g.Cast(spread, to=TensorProto.FLOAT)), F32(-10000))


def embedded(g: Graph, ids: str, kinds: str | None, width: int, vocabulary: int = 20) -> str:
    """Words, places (sliced to the length) and segments."""
    length = g.Unsqueeze(g.Gather(g.Shape(ids), np.array(1, I64), axis=0), ints(0))
    places = g.Slice(np.arange(32, dtype=I64).reshape(1, 32), ints(0), length, ints(1), ints(1))
    x = g.Gather(g.w(vocabulary, width, scale=1), ids)
    if kinds:
        x = g.Add(x, g.Gather(g.w(2, width, scale=1), kinds))
    x = g.Add(x, g.Gather(g.w(32, width, scale=1), places))
    return g.LayerNormalization(x, g.w(width), g.w(width), axis=-1, epsilon=1e-12)


TOKENS = {"dims": {"length": [3, 5, 9]}}


@independent(**TOKENS, input_ids=I("length", high=20), attention_mask=M("length"), token_type_ids=I("length", high=2))
def bert_classifier(g, ids, mask, kinds):
    x = embedded(g, ids, kinds, 16)
    added = extended_mask(g, mask)
    for _ in range(2):
        x = g.LayerNormalization(attention(g, x, 16, 4, added), g.w(16), g.w(16), axis=-1)
        inner = linear(g, x, 16, 32)
        inner = g.Mul(g.Mul(inner, g.Add(g.Erf(g.Div(inner, F32(2**0.5))), F32(1))), F32(0.5))
        x = g.LayerNormalization(g.Add(x, linear(g, inner, 32, 16)), g.w(16), g.w(16), axis=-1)
    pooled = g.Tanh(dense(g, g.Gather(x, np.array(0, I64), axis=1), 16, 16))
    return dense(g, pooled, 16, 2)


@independent(**TOKENS, input_ids=I("length", high=20), attention_mask=M("length"))
def sentence_encoder_mean_pooling(g, ids, mask):
    x = attention(g, embedded(g, ids, None, 16), 16, 2, extended_mask(g, mask), chain=False)
    weight = g.Cast(g.Expand(g.Unsqueeze(mask, ints(-1)), g.Shape(x)), to=TensorProto.FLOAT)
    total = g.ReduceSum(g.Mul(x, weight), ints(1), keepdims=0)
    count = g.Clip(g.ReduceSum(weight, ints(1), keepdims=0), F32(1e-9))
    pooled = g.Div(total, count)
    norm = g.ReduceL2(pooled, axes=[1], keepdims=1)
    return g.Div(pooled, g.Expand(g.Clip(norm, F32(1e-12)), g.Shape(pooled))), x


@independent(**TOKENS, input_ids=I("length", high=20))
def mask_from_padding(g, ids):
    # Roberta: the mask and the places come from the ids themselves.
    real = g.Cast(g.Not(g.Equal(ids, np.array(1, I64))), to=TensorProto.INT32)
    places = g.Add(g.Mul(g.Cast(g.CumSum(real, np.array(1, np.int32)), to=TensorProto.INT64), g.Cast(real, to=TensorProto.INT64)), np.array(1, I64))
    x = g.Add(g.Gather(g.w(20, 8), ids), g.Gather(g.w(32, 8), places))
    return attention(g, x, 8, 2, extended_mask(g, real))


@independent(**TOKENS, input_ids=I("length", high=20), attention_mask=M("length"))
def gpt(g, ids, mask):
    x = embedded(g, ids, None, 16)
    length = g.Gather(g.Shape(ids), np.array(1, I64), axis=0)
    places = g.Range(np.array(0, I64), length, np.array(1, I64))
    causal = g.LessOrEqual(g.Unsqueeze(places, ints(0)), g.Unsqueeze(places, ints(1)))
    seen = g.And(g.Unsqueeze(g.Unsqueeze(causal, ints(0)), ints(0)), g.Cast(g.Unsqueeze(g.Unsqueeze(mask, ints(1)), ints(1)), to=TensorProto.BOOL))
    added = g.Where(seen, F32(0), F32(-1e9))
    x = attention(g, x, 16, 2, added)
    return g.MatMul(g.LayerNormalization(x, g.w(16), g.w(16), axis=-1), g.w(16, 20))


@independent(**TOKENS, input_ids=I("length", high=20))
def gpt_trilu_last_token(g, ids):
    x = embedded(g, ids, None, 8)
    length = g.Shape(ids, start=1, end=2)
    square = g.ConstantOfShape(g.Concat(length, length, axis=0), value=helper.make_tensor("value", TensorProto.FLOAT, [1], [-1e9]))
    x = attention(g, x, 8, 2, g.Trilu(square, np.array(1, I64), upper=1))
    last = g.Gather(x, np.array(-1, I64), axis=1)
    return g.ArgMax(g.MatMul(last, g.w(8, 20)), axis=1, keepdims=0)


@independent(**TOKENS, input_ids=I("length", high=20), attention_mask=M("length"))
def last_token_of_each_row(g, ids, mask):
    # GPT's classifier: the last token that isn't padding, by arange and GatherND.
    x = attention(g, embedded(g, ids, None, 8), 8, 2, extended_mask(g, mask))
    last = g.Sub(g.ReduceSum(mask, ints(1), keepdims=0), np.array(1, I64))
    count = g.Gather(g.Shape(ids), np.array(0, I64), axis=0)
    row = g.Range(np.array(0, I64), count, np.array(1, I64))
    where = g.Concat(g.Unsqueeze(row, ints(1)), g.Unsqueeze(last, ints(1)), axis=1)
    return dense(g, g.GatherND(x, where), 8, 2)


@independent(**TOKENS, input_ids=I("length", high=20), where=I(1, high=3))
def gather_nd_with_batch(g, ids, where):
    return g.GatherND(g.Gather(g.w(20, 8), ids), where, batch_dims=1)


@independent(**TOKENS, input_ids=I("length", high=20), where=I(2, high=3))
def gather_elements_expanded(g, ids, where):
    x = g.Gather(g.w(20, 4), ids)
    index = g.Expand(g.Unsqueeze(where, ints(2)), ints(1, 2, 4))
    return g.GatherElements(x, index, axis=1)


@independent(**TOKENS, x=F("length", 8))
def rotary(g, x):
    length = g.Squeeze(g.Shape(x, start=1, end=2), ints(0))
    places = g.Cast(g.Range(np.array(0, I64), length, np.array(1, I64)), to=TensorProto.FLOAT)
    angles = g.Einsum(places, (10.0 ** -np.arange(4)).astype(F32), equation="i,j->ij")
    both = g.Unsqueeze(g.Concat(angles, angles, axis=-1), ints(0))
    left, right = g.Slice(x, ints(0), ints(4), ints(2)), g.Slice(x, ints(4), ints(8), ints(2))
    turned = g.Concat(g.Neg(right), left, axis=-1)
    return g.Add(g.Mul(x, g.Cos(both)), g.Mul(turned, g.Sin(both)))


@independent(x=F(6, 8), opset=14)
def lstm_time_first(g, x):
    y = g.Transpose(x, perm=[1, 0, 2])
    out, last, _ = g.LSTM(y, g.w(1, 16, 8), g.w(1, 16, 4), g.w(1, 32), outs=3, hidden_size=4)
    return dense(g, g.Squeeze(last, ints(0)), 4, 2), g.Transpose(g.Squeeze(out, ints(1)), perm=[1, 0, 2])


@independent(**TOKENS, x=F("length", 8))
def lstm_bidirectional_zero_state(g, x):
    count = g.Unsqueeze(g.Gather(g.Shape(x), np.array(0, I64), axis=0), ints(0))
    state = g.ConstantOfShape(g.Concat(ints(2), count, ints(4), axis=0))
    y = g.Transpose(x, perm=[1, 0, 2])
    out, last, _ = g.LSTM(y, g.w(2, 16, 8), g.w(2, 16, 4), g.w(2, 32), None, state, state, outs=3, hidden_size=4, direction="bidirectional")
    joined = g.Reshape(g.Transpose(out, perm=[0, 2, 1, 3]), ints(0, 0, -1))
    return g.Transpose(joined, perm=[1, 0, 2]), g.Concat(g.Gather(last, np.array(0, I64), axis=0), g.Gather(last, np.array(1, I64), axis=0), axis=1)


@independent(**TOKENS, x=F("length", 8), opset=14)
def gru(g, x):
    y = g.Transpose(x, perm=[1, 0, 2])
    out, last = g.GRU(y, g.w(1, 12, 8), g.w(1, 12, 4), g.w(1, 24), outs=2, hidden_size=4, linear_before_reset=1)
    return g.Squeeze(last, ints(0))


@independent(**TOKENS, x=F("length", 8), lengths=I(low=1, high=4, dtype="int32"))
def rnn_sequence_lengths(g, x, lengths):
    y = g.Transpose(x, perm=[1, 0, 2])
    out, last = g.RNN(y, g.w(1, 4, 8), g.w(1, 4, 4), g.w(1, 8), lengths, outs=2, hidden_size=4)
    return g.Squeeze(last, ints(0))


@independent(x=F(6, 8), state=F(4), cell=F(4))
def lstm_state_as_input(g, x, state, cell):
    y = g.Transpose(x, perm=[1, 0, 2])
    _, last, kept = g.LSTM(y, g.w(1, 16, 8), g.w(1, 16, 4), None, None, g.Unsqueeze(state, ints(0)), g.Unsqueeze(cell, ints(0)), outs=3, hidden_size=4)
    return g.Squeeze(last, ints(0)), g.Squeeze(kept, ints(0))


@independent(x=F(8))
def shape_chain_flatten(g, x):
    # torch: x.view(x.size(0), 2, -1).flatten(1)
    count = g.Gather(g.Shape(x), np.array(0, I64), axis=0)
    y = g.Reshape(x, g.Concat(g.Unsqueeze(count, ints(0)), ints(2), ints(-1), axis=0))
    y = g.Softmax(y, axis=-1)
    again = g.Gather(g.Shape(y), np.array(0, I64), axis=0)
    return g.Reshape(y, g.Concat(g.Unsqueeze(again, ints(0)), ints(-1), axis=0))


@independent(x=F(4, 6))
def batch_times_time_and_back(g, x):
    # Time distributed: (N * 4, 6) and back.
    shape = g.Shape(x)
    rows = g.Reshape(x, ints(-1, 6))
    y = g.Relu(dense(g, rows, 6, 3))
    front = g.Slice(shape, ints(0), ints(2), ints(0))
    return g.Reshape(y, g.Concat(front, ints(3), axis=0))


@independent(x=F(4, 6))
def batch_times_time_and_back_minus_one(g, x):
    rows = g.Reshape(x, ints(-1, 6))
    return g.Reshape(g.Softmax(dense(g, rows, 6, 3), axis=-1), ints(-1, 4, 3))


@independent(x=F(2, 3, 8, 8, uniform=[-2, 2]))
def frames_as_batch(g, x):
    frames = g.Reshape(x, ints(-1, 3, 8, 8))
    y = g.Flatten(g.GlobalAveragePool(g.Relu(g.Conv(frames, g.w(4, 3, 3, 3)))))
    return g.ReduceMean(g.Reshape(y, ints(-1, 2, 4)), axes=[1], keepdims=0)


@independent(x=F(4, 6))
def heads_folded_into_batch(g, x):
    # As fairseq does attention: (N * heads, length, width).
    y = g.Transpose(x, perm=[1, 0, 2])
    count = g.Gather(g.Shape(y), np.array(1, I64), axis=0)
    times = g.Unsqueeze(g.Mul(count, np.array(2, I64)), ints(0))
    folded = g.Transpose(g.Reshape(y, g.Concat(ints(4), times, ints(3), axis=0)), perm=[1, 0, 2])
    scores = g.Softmax(g.MatMul(folded, g.Transpose(folded, perm=[0, 2, 1])), axis=-1)
    mixed = g.Transpose(g.MatMul(scores, folded), perm=[1, 0, 2])
    back = g.Reshape(mixed, g.Concat(ints(4), g.Unsqueeze(count, ints(0)), ints(6), axis=0))
    return g.Transpose(back, perm=[1, 0, 2])


@independent(x=F(4, 6), y=F(5, 6))
def einsums(g, x, y):
    scores = g.Einsum(x, y, equation="bid,bjd->bij")
    return g.Einsum(g.Softmax(scores, axis=-1), y, equation="b i j, b j d -> b i d"), g.Einsum(x, g.w(6, 3), equation="...d,dk->...k")


@independent(x=F(4, 6), y=F(6, 3))
def matmul_of_batches(g, x, y):
    return g.MatMul(x, y), g.MatMul(g.w(2, 4), x)


@independent(x=F(6))
def matmul_as_column(g, x):
    column = g.Unsqueeze(x, ints(2))
    return g.Squeeze(g.MatMul(g.w(3, 6), column), ints(2)), g.MatMul(column, g.Unsqueeze(x, ints(1)))


@independent(x=F(6))
def transposed_and_back(g, x):
    columns = g.Transpose(x, perm=[1, 0])
    y = g.MatMul(g.w(3, 6), columns)
    return g.Transpose(g.Softmax(g.Add(y, g.w(3, 1)), axis=0), perm=[1, 0])


@independent(x=F(6))
def broadcasts(g, x):
    wide = g.Add(g.Unsqueeze(x, ints(2)), g.Unsqueeze(x, ints(1)))
    y = g.Mul(g.Add(wide, g.w(1, 6, 6)), g.w(6, 1))
    return g.ReduceMax(y, axes=[1, 2], keepdims=0), g.Max(x, g.w(6), F32(0.1)), g.Mean(x, g.w(1, 6))


@independent(x=F(6))
def tops_and_sorts_within_a_row(g, x):
    values, indices = g.TopK(x, ints(3), outs=2, axis=1)
    return values, indices, g.ArgMin(x, axis=-1, keepdims=0), g.CumSum(x, np.array(1, I64)), g.Hardmax(x, axis=1)


@independent(x=F(6))
def slices_and_pads(g, x):
    y = g.Slice(x, ints(4), ints(-(2**63)), ints(1), ints(-1))
    y = g.Pad(y, ints(0, 1, 0, 2), F32(7))
    a, b = g.Split(y, outs=2, axis=1)
    return g.Concat(b, a, axis=1), g.Tile(x, ints(1, 2)), g.Pad(x, ints(0, 2, 0, 1), mode="reflect"), g.Pad(x, ints(0, 0, 0, 3), mode="edge")


@independent(x=F(6), opset=9)
def slices_opset_9(g, x):
    y = g.Slice(x, axes=[1], starts=[1], ends=[4])
    a, b = g.Split(g.Pad(y, pads=[0, 1, 0, 2]), outs=2, axis=1, split=[2, 4])
    return g.Unsqueeze(g.Concat(b, a, axis=1), axes=[1]), g.ReduceSum(x, axes=[1], keepdims=0)


@independent(x=F(3, 6))
def full_slices_of_rows(g, x):
    y = g.Slice(x, ints(0, 1), ints(2**63 - 1, 3), ints(0, 1), ints(1, 1))
    return g.Slice(y, ints(0), ints(np.iinfo(np.int32).max), ints(0))


@independent(x=I(3, high=12))
def embeddings_summed(g, x):
    table = g.w(12, 5)
    return g.ReduceSum(g.Gather(table, x), ints(1), keepdims=0), g.Gather(table, g.Mod(x, np.array(4, I64)))


@independent(user=I(high=30), item=I(1, high=40))
def recommender(g, user, item):
    left = g.Gather(g.w(30, 6), user)
    right = g.Squeeze(g.Gather(g.w(40, 6), item), ints(1))
    return g.Sigmoid(g.ReduceSum(g.Mul(left, right), ints(-1), keepdims=1))


@independent(numbers=F(4), kind=I(1, high=5), flag=B(2), name=S(1))
def inputs_of_all_types(g, numbers, kind, flag, name):
    hot = g.OneHot(g.Squeeze(kind, ints(1)), np.array(5, I64), np.array([0, 1], F32), axis=-1)
    known = g.ml("LabelEncoder", name, keys_strings=["red", "green", "blue"], values_floats=[1.0, 2.0, 3.0], default_float=-1.0)
    return dense(g, g.Concat(numbers, hot, g.Cast(flag, to=TensorProto.FLOAT), known, axis=1), 12, 2), name


@independent(x=F(6), y=F(6), pick=B(1))
def where_and_logic(g, x, y, pick):
    z = g.Where(pick, x, y)
    near = g.Or(g.Greater(z, F32(0)), g.And(g.Less(x, y), g.Xor(pick, g.IsNaN(x))))
    return z, near, g.Where(near, g.Round(z), g.Sign(z)), g.Where(near, F32(1), F32(-1))


@independent(x=F(6, normal=[0.5, 3]))
def static_quantization(g, x):
    scale, zero = F32(0.05), np.uint8(128)
    q = g.QuantizeLinear(x, scale, zero)
    w, ws = g.random.integers(-127, 128, (6, 4)).astype(np.int8), F32(0.01)
    plain = g.MatMul(g.DequantizeLinear(q, scale, zero), g.DequantizeLinear(w, ws, np.int8(0)))
    whole = g.MatMulInteger(q, w, zero)
    return g.DequantizeLinear(g.QuantizeLinear(plain, F32(0.02), zero), F32(0.02), zero), g.Mul(g.Cast(whole, to=TensorProto.FLOAT), F32(0.0005))


@independent(x=F(3, 8, 8, uniform=[-2, 2]))
def static_quantization_conv(g, x):
    scale, zero = F32(0.02), np.uint8(128)
    w = g.random.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    ws = np.full(4, 0.01, F32)
    q = g.QuantizeLinear(x, scale, zero)
    y = g.QLinearConv(q, scale, zero, w, ws, np.zeros(4, np.int8), F32(0.05), zero)
    weights = g.DequantizeLinear(w, ws, np.zeros(4, np.int8), axis=0)
    z = g.Conv(g.DequantizeLinear(q, scale, zero), weights)
    return g.DequantizeLinear(y, F32(0.05), zero), z


@independent(x=F(6), why="the scale of every row is its own")
def per_row_quantization(g, x):
    largest = g.ReduceMax(g.Abs(x), axes=[1], keepdims=1)
    scale = g.Div(g.Max(largest, F32(1e-6)), F32(127))
    q = g.Clip(g.Round(g.Div(x, scale)), F32(-127), F32(127))
    return g.Mul(g.MatMul(q, np.round(g.w(6, 3) * 20)), scale)


@independent(x=F(6))
def if_on_a_constant(g, x):
    then = g.body([], lambda s: [(s.Add(x, F32(1)), "float32", ["N", 6])])
    other = g.body([], lambda s: [(s.ReduceMean(x, axes=[0], keepdims=1), "float32", ["M", 6])])
    return g.If(np.array(True), then_branch=then, else_branch=other)


@independent(x=F("width"), dims={"width": [4, 6]}, out=[("float32", ["N", "width"])])
def if_on_a_rows_length(g, x):
    wide = g.Greater(g.Gather(g.Shape(x), np.array(1, I64)), np.array(5, I64))
    then = g.body([], lambda s: [(s.Neg(x), "float32", ["N", "width"])])
    other = g.body([], lambda s: [(s.Softmax(x, axis=1), "float32", ["N", "width"])])
    return g.If(wide, then_branch=then, else_branch=other)


@independent(x=F(6), out=[("float32", ["N", 6])])
def loop_of_fixed_rounds(g, x):
    body = g.body(
        [("round", "int64", []), ("go", "bool", []), ("state", "float32", ["N", 6])],
        lambda s, _, go, state: [(go, "bool", []), (s.Tanh(s.MatMul(state, g.w(6, 6))), "float32", ["N", 6])],
    )
    return g.Loop(np.array(4, I64), None, x, body=body)


@independent(**TOKENS, x=F("length", 6), out=[("float32", ["N", 3])])
def scan_over_time(g, x):
    state = g.Expand(np.zeros((1, 3), F32), g.Concat(g.Shape(x, start=0, end=1), ints(3), axis=0))
    body = g.body(
        [("state", "float32", ["N", 3]), ("step", "float32", ["N", 6])],
        lambda s, state, step: [(s.Tanh(s.Add(s.MatMul(step, g.w(6, 3)), state)), "float32", ["N", 3])],
    )
    return g.Scan(state, x, body=body, num_scan_inputs=1, scan_input_axes=[1])


@independent(**TOKENS, x=F("length", 6), out=[("float32", ["N", "length", 3])])
def scan_with_outputs_per_step(g, x):
    def step(s, state, step):
        new = s.Add(s.MatMul(step, g.w(6, 3)), state)
        return [(new, "float32", ["N", 3]), (s.Relu(new), "float32", ["N", 3])]

    state = g.ConstantOfShape(g.Concat(g.Shape(x, start=0, end=1), ints(3), axis=0))
    body = g.body([("state", "float32", ["N", 3]), ("step", "float32", ["N", 6])], step)
    _, out = g.Scan(state, x, outs=2, body=body, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1])
    return out


@independent(x=F(6), out=[("float32", ["N", 3])])
def scan_over_a_constant(g, x):
    # As skl2onnx gives the distances of k-NN: each step is one row of the training set.
    body = g.body([("x", "float32", ["N", 6]), ("point", "float32", [6])], lambda s, x, point: [(s.Identity(x), "float32", ["N", 6]), (s.ReduceSumSquare(s.Sub(x, point), axes=[1], keepdims=0), "float32", ["N"])])
    _, distances = g.Scan(x, g.w(3, 6), outs=2, body=body, num_scan_inputs=1)
    return g.Transpose(distances, perm=[1, 0])


@independent(x=F(6), out=[("float32", ["N", 5])])
def scan_over_rows_without_state(g, x):
    # Rows apart, although the scan goes along them: one row gives one row.
    body = g.body([("row", "float32", [6])], lambda s, row: [(s.MatMul(row, g.w(6, 5)), "float32", [5])])
    return g.Scan(x, body=body, num_scan_inputs=1)


@independent(x=F(6))
def scatter_into_columns(g, x):
    count = g.Shape(x, start=0, end=1)
    index = g.Expand(np.array([[1, 3]], I64), g.Concat(count, ints(2), axis=0))
    return g.ScatterElements(x, index, g.Expand(np.zeros((1, 2), F32), g.Concat(count, ints(2), axis=0)), axis=1)


@independent(x=F(3, 8, 8, uniform=[-2, 2]))
def image_preprocessing(g, x):
    y = g.Div(g.Sub(x, np.array([0.485, 0.456, 0.406], F32).reshape(1, 3, 1, 1)), np.array([0.229, 0.224, 0.225], F32).reshape(3, 1, 1))
    return g.Resize(y, None, None, g.Concat(g.Shape(y, start=0, end=2), ints(12, 12), axis=0), mode="cubic"), g.Transpose(y, perm=[0, 2, 3, 1])


@independent(x=I(8, 8, 3, high=256, dtype="uint8"))
def channels_last_bytes(g, x):
    y = g.Transpose(g.Cast(x, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    return g.Flatten(g.GlobalMaxPool(g.Conv(g.Mul(y, F32(1 / 255)), g.w(4, 3, 3, 3))))


@independent(x=F(6, dtype="float64", normal=[0.1, 10]))
def doubles(g, x):
    w = g.w(6, 2).astype(np.float64)
    return g.Cast(g.Exp(g.Neg(g.Abs(g.MatMul(x, w)))), to=TensorProto.FLOAT)


@independent(x=F(6, dtype="float16", uniform=[-2, 2]))
def halves(g, x):
    return g.Cast(g.Gemm(g.Cast(x, to=TensorProto.FLOAT), g.w(6, 2)), to=TensorProto.FLOAT16)


@independent(x=S(2), opset=20)
def strings(g, x):
    equal = g.Equal(x, np.array(["red"], object))
    return g.StringConcat(x, np.array("!", object)), equal, g.RegexFullMatch(x, pattern="[a-z]+")


@independent(text=S(1, choices=("a b c", "b b", "", "c a a d", "unknown words here")))
def tfidf_by_hand(g, text):
    codes = g.ml("LabelEncoder", text, keys_strings=["a b c", "b b", ""], values_int64s=[1, 2, 3], default_int64=0)
    return g.TfIdfVectorizer(codes, max_gram_length=1, min_gram_length=1, max_skip_count=0, mode="TF", ngram_counts=[0], ngram_indexes=[0, 1, 2], pool_int64s=[1, 2, 3])


@independent(x=F(6))
def optional_bias_as_input(g, x):
    return g.Gemm(x, g.w(6, 3)), g.Clip(x, None, F32(1))


@independent(x=F(5, 4, uniform=[-1, 1]), grid=F(5, 4, 2, uniform=[-1, 1]))
def grid_sample(g, x, grid):
    return g.GridSample(g.Unsqueeze(x, ints(1)), grid, mode="linear" if g.opset >= 20 else "bilinear", padding_mode="zeros", align_corners=0)


@independent(x=F(6), rows_are=I(1), opset=13)
def constants_by_nodes(g, x, other):
    one = g.Constant(value=helper.make_tensor("v", TensorProto.FLOAT, [1, 6], list(range(6))))
    shape = g.Constant(value_ints=[-1, 2, 3])
    y = g.Reshape(g.Add(x, one), shape)
    return g.Squeeze(g.ReduceL1(y, axes=[2]), g.Constant(value_ints=[2])), g.Add(g.Cast(other, to=TensorProto.FLOAT), g.Constant(value_float=0.5))


@independent(x=F(6))
def zeros_like(g, x):
    zeros = g.ConstantOfShape(g.Shape(x))
    ones = g.Expand(np.ones((1, 1), F32), g.Shape(x))
    return g.Concat(zeros, x, ones, axis=1)


@independent(x=F(6), why="the range is over the row's places, and no axis of rows")
def range_within_a_row(g, x):
    length = g.Squeeze(g.Shape(x, start=1, end=2), ints(0))
    return g.Mul(x, g.Cast(g.Range(np.array(0, I64), length, np.array(1, I64)), to=TensorProto.FLOAT))


@independent(x=F(4, 6), out=[("float32", ["N", 4, 6])])
def microsoft_operators(g, x):
    y = g.microsoft("FusedMatMul", x, g.w(6, 6), alpha=0.5)
    y = g.microsoft("Gelu", g.microsoft("BiasGelu", y, g.w(6)))
    y = g.microsoft("SkipLayerNormalization", x, y, g.w(6), g.w(6))
    return g.microsoft("QuickGelu", y, alpha=1.7)


@independent(x=F(1, 8, 8, uniform=[0, 1]))
def lenet_max_pool(g, x):
    y = g.MaxPool(g.Relu(g.Conv(x, g.w(4, 1, 3, 3), auto_pad="SAME_UPPER")), kernel_shape=[2, 2], strides=[2, 2])
    flat = g.Reshape(y, ints(-1, 64))
    return g.LogSoftmax(dense(g, flat, 64, 10), axis=-1)


@independent(x=F(8), why="axis 1 as Softmax's old default: everything behind the rows", opset=12)
def old_softmax_flattens(g, x):
    return g.Softmax(g.Reshape(x, ints(0, 2, 4)), axis=1)


@independent(x=F(8))
def multi_head_outputs(g, x):
    trunk = g.Relu(dense(g, x, 8, 8))
    return dense(g, trunk, 8, 1), g.ArgMax(dense(g, trunk, 8, 3), axis=1, keepdims=1), trunk


@independent(x=F(2, 2, 6))
def deep_broadcast_matmul(g, x):
    return g.MatMul(x, g.w(2, 6, 3)), g.MatMul(g.w(2, 3, 2), x), g.MatMul(x, g.w(6))


@independent(x=F(6), y=F(6))
def cosine_similarity(g, x, y):
    dot = g.ReduceSum(g.Mul(x, y), ints(1), keepdims=0)
    norms = g.Mul(g.ReduceL2(x, axes=[1], keepdims=0), g.ReduceL2(y, axes=[1], keepdims=0))
    return g.Div(dot, g.Max(norms, F32(1e-8)))


@independent(x=F(10))
def autoencoder_with_sampling_removed(g, x):
    code = dense(g, g.Softplus(dense(g, x, 10, 6)), 6, 4)
    mean, spread = g.Split(code, ints(2, 2), outs=2, axis=1)
    return g.Add(mean, g.Exp(g.Mul(spread, F32(0.5)))), g.Sigmoid(dense(g, mean, 2, 10))


@independent(x=F(5, normal=[0.5, 2]))
def deep_and_cross(g, x):
    y = x
    for _ in range(3):
        y = g.Add(g.Mul(x, dense(g, y, 5, 1)), y)
    return y


@independent(**TOKENS, ids=I("length", high=20), weights=F("length", uniform=[0, 1]))
def weighted_bag_of_words(g, ids, weights):
    x = g.Gather(g.w(20, 4), ids)
    share = g.Div(weights, g.ReduceSum(weights, ints(1), keepdims=1))
    return g.Squeeze(g.MatMul(g.Unsqueeze(share, ints(1)), x), ints(1))


@independent(x=F(6, uniform=[-3, 3]))
def bucketized(g, x):
    over = g.Cast(g.GreaterOrEqual(g.Unsqueeze(x, ints(2)), np.array([-1, 0, 1], F32)), to=TensorProto.INT64)
    return g.Gather(g.w(4, 2), g.ReduceSum(over, ints(2), keepdims=0))


@independent(x=F(3, 4), y=F(4))
def attention_pooling(g, x, y):
    share = g.Softmax(g.Squeeze(g.MatMul(x, g.Unsqueeze(y, ints(2))), ints(2)), axis=1)
    return g.ReduceSum(g.Mul(x, g.Unsqueeze(share, ints(-1))), ints(1), keepdims=0)


def row_numbers(g: Graph, x: str) -> str:
    """The rows' numbers as [N, 1, 1, 1]."""
    count = g.Gather(g.Shape(x), np.array(0, I64), axis=0)
    return g.Unsqueeze(g.Range(np.array(0, I64), count, np.array(1, I64)), ints(1, 2, 3))


@independent(**TOKENS, x=F("length", 4), mask=M("length"), why="mask[row, place] as TorchScript's exporter writes it: by places in the flattened mask")
def mask_by_flat_index(g, x, mask):
    length = g.Gather(g.Shape(mask), np.array(1, I64), axis=0)
    places = g.Range(np.array(0, I64), length, np.array(1, I64))
    flat = g.Add(g.Mul(row_numbers(g, mask), length), places)
    seen = g.Gather(g.Reshape(g.Cast(mask, to=TensorProto.BOOL), ints(-1)), flat, axis=0)
    scores = g.Unsqueeze(g.MatMul(x, g.Transpose(x, perm=[0, 2, 1])), ints(1))
    shares = g.Softmax(g.Where(seen, scores, F32(-1e9)), axis=-1)
    return g.MatMul(g.Squeeze(shares, ints(1)), x)


@independent(**TOKENS, mask=M("length"), why="mask[row, place] as dynamo's exporter writes it: the tuples' shape is that of a maximum that nobody reads")
def mask_by_tuples(g, mask):
    length = g.Squeeze(g.Shape(mask, start=1, end=2), ints(0))
    places = g.Unsqueeze(g.Range(np.array(0, I64), length, np.array(1, I64)), ints(0, 1, 2))
    rows = row_numbers(g, mask)
    shape = g.Shape(g.Max(rows, places))
    tuples = g.Concat(g.Unsqueeze(g.Expand(rows, shape), ints(-1)), g.Unsqueeze(g.Expand(places, shape), ints(-1)), axis=-1)
    seen = g.GatherND(g.Cast(mask, to=TensorProto.BOOL), tuples)
    return g.Cast(g.Not(seen), to=TensorProto.FLOAT)


@hard("two inputs' axes have one name, and the exporter takes the length of either: independent where they are as long", **TOKENS, ids=I("length", high=20), mask=M("length"))
def view_by_another_inputs_length(g, ids, mask):
    same = g.Reshape(ids, g.Concat(ints(-1), g.Shape(mask, start=1, end=2), axis=0))
    return g.ReduceMean(g.Gather(g.w(20, 4), same), axes=[1], keepdims=0)
