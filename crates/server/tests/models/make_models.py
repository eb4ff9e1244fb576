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
