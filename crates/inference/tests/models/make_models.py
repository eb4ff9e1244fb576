"""Makes the models that the tests run: python3 make_models.py (needs numpy, and onnx 1.16 or newer)."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

HERE = Path(__file__).parent

# Opset 17 and IR 8 are what ONNX Runtime 1.17, the oldest that is served, certainly knows.
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def save(path, nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
    path.write_bytes(model.SerializeToString(deterministic=True))


def tensor(name, element, shape):
    return helper.make_tensor_value_info(name, element, shape)


def raw(name, size, numbers):
    content = np.array(numbers, dtype="<f4").tobytes()
    return helper.make_tensor(name, FLOAT, [size, size], content, raw=True)


FLOAT = TensorProto.FLOAT

# Every type, given back as it came: rows of free length, and one scalar.
TYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
}
ports = [(name, element, ["rows", "columns"]) for name, element in TYPES.items()]
ports.append(("scalar", FLOAT, []))
save(
    HERE / "every_type.onnx",
    [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name, *_ in ports],
    [tensor(f"in_{name}", element, shape) for name, element, shape in ports],
    [tensor(f"out_{name}", element, shape) for name, element, shape in ports],
)

# Adds 1 as often as it is told, one run of the loop's body each: as long a run as a test wants.
body = helper.make_graph(
    [
        helper.make_node("Identity", ["condition"], ["go_on"]),
        helper.make_node("Add", ["before", "one"], ["after"]),
    ],
    "body",
    [
        tensor("iteration", TensorProto.INT64, []),
        tensor("condition", TensorProto.BOOL, []),
        tensor("before", FLOAT, []),
    ],
    [tensor("go_on", TensorProto.BOOL, []), tensor("after", FLOAT, [])],
)
save(
    HERE / "count.onnx",
    [helper.make_node("Loop", ["times", "", "zero"], ["sum"], body=body)],
    [tensor("times", TensorProto.INT64, [])],
    [tensor("sum", FLOAT, [])],
    [
        helper.make_tensor("zero", FLOAT, [], [0.0]),
        helper.make_tensor("one", FLOAT, [], [1.0]),
    ],
)

# What skl2onnx makes of a classifier by default: a map for each row. The tensor is beside it.
maps = helper.make_value_info(
    "maps",
    helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
    ),
)
save(
    HERE / "zipmap.onnx",
    [
        helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[5, 7]),
        helper.make_node("Neg", ["x"], ["negated"]),
    ],
    [tensor("x", FLOAT, ["rows", 2])],
    [maps, tensor("negated", FLOAT, ["rows", 2])],
)

# An output that is nothing, and one that is a sparse tensor.
optional = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, None))
save(
    HERE / "optional.onnx",
    [helper.make_node("Optional", [], ["y"], type=optional.optional_type.elem_type)],
    [tensor("x", FLOAT, [1])],
    [helper.make_value_info("y", optional)],
)
sparse = helper.make_sparse_tensor(
    helper.make_tensor("values", FLOAT, [1], [1.0]),
    helper.make_tensor("indices", TensorProto.INT64, [1], [2]),
    [2, 2],
)
save(
    HERE / "sparse.onnx",
    [helper.make_node("Constant", [], ["y"], sparse_value=sparse)],
    [tensor("x", FLOAT, [1])],
    [helper.make_value_info("y", helper.make_sparse_tensor_type_proto(FLOAT, [2, 2]))],
)

# Doesn't say so much as the rank of what it takes and gives.
save(
    HERE / "unranked.onnx",
    [helper.make_node("Neg", ["x"], ["y"])],
    [tensor("x", FLOAT, None)],
    [tensor("y", FLOAT, None)],
)

# Weights in a file of their own, 8 bytes that the test writes.
weights = TensorProto(name="weights", data_type=FLOAT, dims=[2])
weights.data_location = TensorProto.EXTERNAL
weights.external_data.add(key="location", value="weights.bin")
save(
    HERE / "external.onnx",
    [helper.make_node("Mul", ["x", "weights"], ["y"])],
    [tensor("x", FLOAT, ["rows", 2])],
    [tensor("y", FLOAT, ["rows", 2])],
    [weights],
)

# Two multiplications of matrices with weights inside, whose packed form sessions can share.
size = 64
ramp = [(index % 7 - 3) / 8 for index in range(size * size)]
save(
    HERE / "dense.onnx",
    [
        helper.make_node("MatMul", ["x", "first"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["y"]),
    ],
    [tensor("x", FLOAT, ["rows", size])],
    [tensor("y", FLOAT, ["rows", size])],
    [
        raw("first", size, ramp),
        raw("second", size, ramp[::-1]),
    ],
)

# The optimizer moves the transpositions together and transposes the weights in place.
save(
    HERE / "transposed.onnx",
    [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        helper.make_node("Add", ["turned", "weights"], ["sum"]),
        helper.make_node("Transpose", ["sum"], ["y"], perm=[1, 0]),
    ],
    [tensor("x", FLOAT, [32, 32])],
    [tensor("y", FLOAT, [32, 32])],
    [raw("weights", 32, ramp[: 32 * 32])],
)

# Gives no numbers but for inputs of 100 and more.
save(
    HERE / "not_a_number.onnx",
    [
        helper.make_node("Sub", ["x", "hundred"], ["lower"]),
        helper.make_node("Sqrt", ["lower"], ["root"]),
        helper.make_node("MatMul", ["root", "weights"], ["y"]),
    ],
    [tensor("x", FLOAT, ["rows", size])],
    [tensor("y", FLOAT, ["rows", size])],
    [raw("weights", size, ramp), helper.make_tensor("hundred", FLOAT, [], [100.0])],
)

# The case of letters, for which ONNX Runtime asks a locale of the operating system.
save(
    HERE / "letters.onnx",
    [
        helper.make_node(
            "StringNormalizer", ["text"], [case], case_change_action=case.upper(), is_case_sensitive=1, **locale
        )
        for case, locale in (("lower", {}), ("upper", {"locale": "en_US"}))
    ],
    [tensor("text", TensorProto.STRING, ["letters"])],
    [tensor(case, TensorProto.STRING, ["letters"]) for case in ("lower", "upper")],
)

# What a session is opened with to see whether an execution provider works.
save(
    HERE / "../../src/onnx/probe.onnx",
    [helper.make_node("Neg", ["x"], ["y"])],
    [tensor("x", FLOAT, [1])],
    [tensor("y", FLOAT, [1])],
)

# A table of five rows: what is looked up beyond it is refused.
save(
    HERE / "embedding.onnx",
    [helper.make_node("Gather", ["table", "ids"], ["y"], axis=0)],
    [tensor("ids", TensorProto.INT64, ["rows"])],
    [tensor("y", FLOAT, ["rows", 2])],
    [helper.make_tensor("table", FLOAT, [5, 2], np.arange(10, dtype=np.float32))],
)

# A classifier that looks its features up in the same table.
save(
    HERE / "looked_up_classifier.onnx",
    [
        helper.make_node("Cast", ["features"], ["ids"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["ids", "one"], ["id"]),
        helper.make_node("Gather", ["table", "id"], ["scores"], axis=0),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
    ],
    [tensor("features", FLOAT, ["rows", 1])],
    [tensor("probabilities", FLOAT, ["rows", 2])],
    [
        helper.make_tensor("table", FLOAT, [5, 2], np.linspace(-1, 1, 10, dtype=np.float32)),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
    ],
)

# A classifier with a tuned threshold: its label is 1 from a probability of 0.3 on.
save(
    HERE / "threshold.onnx",
    [
        helper.make_node("Softmax", ["features"], ["probabilities"], axis=-1),
        helper.make_node("Slice", ["probabilities", "one", "two", "one"], ["second"]),
        helper.make_node("Greater", ["second", "threshold"], ["over"]),
        helper.make_node("Cast", ["over"], ["column"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["column", "one"], ["label"]),
    ],
    [tensor("features", FLOAT, ["rows", 2])],
    [tensor("label", TensorProto.INT64, ["rows"]), tensor("probabilities", FLOAT, ["rows", 2])],
    [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("two", TensorProto.INT64, [1], [2]),
        helper.make_tensor("threshold", FLOAT, [1], [0.3]),
    ],
)
