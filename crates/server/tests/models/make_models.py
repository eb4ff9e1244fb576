"""Makes the models that the tests serve: python3 make_models.py (needs onnx 1.16 or newer).

The other models beside it are small rebuilds of what people reported at other projects; the tests that
serve them say what each is.
"""

from pathlib import Path

from onnx import TensorProto as T
from onnx import helper as h

HERE = Path(__file__).parent


def save(graph):
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    path = HERE / f"{graph.name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))


# y = x + the number of elements of the whole batch beyond a million, which no made-up row reaches.
save(
    h.make_graph(
        [
            h.make_node("Greater", ["x", "million"], ["beyond"]),
            h.make_node("NonZero", ["beyond"], ["places"]),
            h.make_node("Shape", ["places"], ["shape"]),
            h.make_node("Gather", ["shape", "one"], ["count"]),
            h.make_node("Cast", ["count"], ["shift"], to=T.FLOAT),
            h.make_node("Add", ["x", "shift"], ["y"]),
        ],
        "rare_dependence",
        [h.make_tensor_value_info("x", T.FLOAT, ["batch", 2])],
        [h.make_tensor_value_info("y", T.FLOAT, ["batch", 2])],
        [
            h.make_tensor("million", T.FLOAT, [], [1e6]),
            h.make_tensor("one", T.INT64, [], [1]),
        ],
    )
)

# Takes a list of tensors, which no request can carry.
sequence = h.make_tensor_sequence_value_info("list", T.FLOAT, None)
save(
    h.make_graph(
        [h.make_node("ConcatFromSequence", ["list"], ["y"], axis=0)],
        "takes_a_list",
        [sequence],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
    )
)

# Ends ONNX Runtime's process when it is loaded: a convolution of no groups.
save(
    h.make_graph(
        [h.make_node("ConvTranspose", ["x", "w"], ["y"], group=0)],
        "ends_the_process",
        [h.make_tensor_value_info("x", T.FLOAT, ["batch", 1, 4])],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
        [h.make_tensor("w", T.FLOAT, [1, 1, 2], [0.5, 0.5])],
    )
)

# Never ends: a loop whose condition stays true.
body = h.make_graph(
    [h.make_node("Identity", ["go"], ["again"]), h.make_node("Identity", ["h"], ["g"])],
    "body",
    [
        h.make_tensor_value_info("i", T.INT64, []),
        h.make_tensor_value_info("go", T.BOOL, []),
        h.make_tensor_value_info("h", T.FLOAT, None),
    ],
    [h.make_tensor_value_info("again", T.BOOL, []), h.make_tensor_value_info("g", T.FLOAT, None)],
)
save(
    h.make_graph(
        [h.make_node("Loop", ["", "true", "x"], ["y"], body=body)],
        "never_ends",
        [h.make_tensor_value_info("x", T.FLOAT, ["batch", 2])],
        [h.make_tensor_value_info("y", T.FLOAT, ["batch", 2])],
        [h.make_tensor("true", T.BOOL, [], [True])],
    )
)

# Takes an operator without an end on a few thousand numbers: pooling of all pairs of them by a window of a
# million, in one run of one kernel.
save(
    h.make_graph(
        [
            h.make_node("Unsqueeze", ["x", "first"], ["column"]),
            h.make_node("Unsqueeze", ["x", "second"], ["row"]),
            h.make_node("Mul", ["row", "column"], ["pairs"]),
            h.make_node("Unsqueeze", ["pairs", "images"], ["image"]),
            h.make_node(
                "MaxPool", ["image"], ["pooled"], kernel_shape=[1001, 1001], pads=[500, 500, 500, 500]
            ),
            h.make_node("ReduceMax", ["pooled"], ["y"], keepdims=0),
        ],
        "slow_kernel",
        [h.make_tensor_value_info("x", T.FLOAT, ["length"])],
        [h.make_tensor_value_info("y", T.FLOAT, [])],
        [
            h.make_tensor("first", T.INT64, [1], [0]),
            h.make_tensor("second", T.INT64, [1], [1]),
            h.make_tensor("images", T.INT64, [2], [0, 1]),
        ],
    )
)

# Wants 4 GiB when it is loaded or runs: a tensor of constants. Where memory isn't overcommitted, the system would
# refuse a much larger one at once, and nothing would be taken.
save(
    h.make_graph(
        [
            h.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            h.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
            h.make_node("Add", ["x", "zero"], ["y"]),
        ],
        "takes_all_memory",
        [h.make_tensor_value_info("x", T.FLOAT, ["batch", 2])],
        [h.make_tensor_value_info("y", T.FLOAT, ["batch", 2])],
        [h.make_tensor("shape", T.INT64, [2], [1 << 15, 1 << 15])],
    )
)

# Doubles a tensor 40 times when it runs: a loop of few rounds that grows.
body = h.make_graph(
    [h.make_node("Identity", ["go"], ["again"]), h.make_node("Concat", ["h", "h"], ["g"], axis=1)],
    "body",
    [
        h.make_tensor_value_info("i", T.INT64, []),
        h.make_tensor_value_info("go", T.BOOL, []),
        h.make_tensor_value_info("h", T.FLOAT, None),
    ],
    [h.make_tensor_value_info("again", T.BOOL, []), h.make_tensor_value_info("g", T.FLOAT, None)],
)
save(
    h.make_graph(
        [
            h.make_node("Loop", ["rounds", "", "x"], ["grown"], body=body),
            h.make_node("ReduceMax", ["grown"], ["y"], axes=[1]),
        ],
        "grows",
        [h.make_tensor_value_info("x", T.FLOAT, ["batch", 2])],
        [h.make_tensor_value_info("y", T.FLOAT, ["batch", 1])],
        [h.make_tensor("rounds", T.INT64, [], [40])],
    )
)

# Divides 64-bit integers in a branch and 32-bit ones in a loop.
def branch(name, first, second):
    return h.make_graph(
        [
            h.make_node(first, ["total", "parts"], [f"{name}_{first}"]),
            h.make_node(second, ["total", "parts"], [f"{name}_{second}"]),
        ],
        name,
        [],
        [
            h.make_tensor_value_info(f"{name}_Div", T.INT64, None),
            h.make_tensor_value_info(f"{name}_Mod", T.INT64, None),
        ],
    )


body = h.make_graph(
    [
        h.make_node("Identity", ["go"], ["again"]),
        h.make_node("Div", ["before", "parts_32"], ["after"]),
        h.make_node("Mod", ["before", "parts_32"], ["rest"]),
    ],
    "body",
    [
        h.make_tensor_value_info("i", T.INT64, []),
        h.make_tensor_value_info("go", T.BOOL, []),
        h.make_tensor_value_info("before", T.INT32, None),
    ],
    [
        h.make_tensor_value_info("again", T.BOOL, []),
        h.make_tensor_value_info("after", T.INT32, None),
        h.make_tensor_value_info("rest", T.INT32, None),
    ],
)
save(
    h.make_graph(
        [
            h.make_node(
                "If",
                ["pick"],
                ["quotient", "remainder"],
                then_branch=branch("one", "Div", "Mod"),
                else_branch=branch("other", "Mod", "Div"),
            ),
            h.make_node("Loop", ["once", "", "total_32"], ["quotient_32", "remainder_32"], body=body),
        ],
        "divisions_within",
        [
            h.make_tensor_value_info("pick", T.BOOL, []),
            h.make_tensor_value_info("total", T.INT64, [1]),
            h.make_tensor_value_info("parts", T.INT64, [1]),
            h.make_tensor_value_info("total_32", T.INT32, [1]),
            h.make_tensor_value_info("parts_32", T.INT32, [1]),
        ],
        [
            h.make_tensor_value_info("quotient", T.INT64, [1]),
            h.make_tensor_value_info("remainder", T.INT64, [1]),
            h.make_tensor_value_info("quotient_32", T.INT32, [1]),
            h.make_tensor_value_info("remainder_32", T.INT32, [1, 1]),
        ],
        [h.make_tensor("once", T.INT64, [], [1])],
    )
)
