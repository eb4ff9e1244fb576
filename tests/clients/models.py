"""Writes the models that the client tests serve, as OUT_DIR/<name>/1/model.onnx.

    models.py OUT_DIR             # every model
    models.py OUT_DIR softmax     # only these

The same versions of the packages give the same bytes.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

import classifiers
import minilm

# The oldest version that these graphs work with, so that old runtimes load them.
OPERATOR_SET = 17
IR_VERSION = 8

# Triton's and ONNX's names of every element type of ONNX Runtime's tensors.
ELEMENT_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}

# Rounds of the model `slow`: tens of milliseconds on one core of any machine.
SLOW_ROUNDS = 6_000
SLOW_WIDTH = 128

# Rounds of the model `lookup`.
LOOKUP_ROUNDS = 2_000


def tensor(name: str, element: int, shape: Sequence[str | int]) -> ValueInfoProto:
    """An input or output. A named dimension has any length."""
    return helper.make_tensor_value_info(name, element, shape)


def constant(name: str, values) -> TensorProto:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(values), name)


def model(
    name: str,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Sequence[TensorProto] = (),
) -> ModelProto:
    """A checked model of one graph."""
    graph = helper.make_graph(list(nodes), name, list(inputs), list(outputs), list(constants))
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPERATOR_SET)], ir_version=IR_VERSION)
    checker.check_model(result)
    return result


def identity(datatype: str) -> Callable[[], ModelProto]:
    """`x` [batch, length], unchanged as `y`."""

    def build() -> ModelProto:
        element = ELEMENT_TYPES[datatype]
        shape = ["batch", "length"]
        return model(
            f"identity_{datatype.lower()}",
            [helper.make_node("Identity", ["x"], ["y"])],
            [tensor("x", element, shape)],
            [tensor("y", element, shape)],
        )

    return build


def sum_and_difference() -> ModelProto:
    """Two inputs, two outputs: `sum` = a + b and `difference` = a - b, each [batch, 4]."""
    shape = ["batch", 4]
    return model(
        "sum_and_difference",
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        [tensor("a", TensorProto.FLOAT, shape), tensor("b", TensorProto.FLOAT, shape)],
        [tensor("sum", TensorProto.FLOAT, shape), tensor("difference", TensorProto.FLOAT, shape)],
    )


def mixed() -> ModelProto:
    """Inputs and outputs of several types: `numbers` FP32 [batch, 3], `count` INT32 [batch, 1] and
    `name` BYTES [batch, 1] to `scaled` = numbers * count, `positive` = numbers > 0 and `same_name`."""
    return model(
        "mixed",
        [
            helper.make_node("Cast", ["count"], ["factor"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["numbers", "factor"], ["scaled"]),
            helper.make_node("Greater", ["numbers", "zero"], ["positive"]),
            helper.make_node("Identity", ["name"], ["same_name"]),
        ],
        [
            tensor("numbers", TensorProto.FLOAT, ["batch", 3]),
            tensor("count", TensorProto.INT32, ["batch", 1]),
            tensor("name", TensorProto.STRING, ["batch", 1]),
        ],
        [
            tensor("scaled", TensorProto.FLOAT, ["batch", 3]),
            tensor("positive", TensorProto.BOOL, ["batch", 3]),
            tensor("same_name", TensorProto.STRING, ["batch", 1]),
        ],
        [constant("zero", np.float32(0))],
    )


def softmax() -> ModelProto:
    """All axes are dynamic: `x` [batch, length] to its `softmax` [batch, length] and `mean` [batch]. Both
    depend on the whole row, so padding, truncation and mixing of rows are detected."""
    return model(
        "softmax",
        [
            helper.make_node("Softmax", ["x"], ["softmax"], axis=1),
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0),
        ],
        [tensor("x", TensorProto.FLOAT, ["batch", "length"])],
        [tensor("softmax", TensorProto.FLOAT, ["batch", "length"]), tensor("mean", TensorProto.FLOAT, ["batch"])],
    )


def fixed() -> ModelProto:
    """No axis is dynamic, so nothing can be batched: `x` [2, 3] to `y` = 2 * x."""
    return model(
        "fixed",
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [tensor("x", TensorProto.FLOAT, [2, 3])],
        [tensor("y", TensorProto.FLOAT, [2, 3])],
    )


def scalar() -> ModelProto:
    """Tensors without axes: `x` [] to `y` = 2 * x."""
    return model(
        "scalar",
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [tensor("x", TensorProto.DOUBLE, [])],
        [tensor("y", TensorProto.DOUBLE, [])],
    )


def loop(rounds: int, shape: Sequence[str | int], steps: Sequence[NodeProto]) -> tuple[NodeProto, TensorProto]:
    """The operator that applies the steps to `state`, resulting in `next_state`, a number of times, and
    the constant with that number. The loop begins with `begin` and returns `end`."""
    body = helper.make_graph(
        [*steps, helper.make_node("Identity", ["goes_on"], ["still_goes_on"])],
        "round",
        [
            tensor("number", TensorProto.INT64, []),
            tensor("goes_on", TensorProto.BOOL, []),
            tensor("state", TensorProto.FLOAT, shape),
        ],
        [tensor("still_goes_on", TensorProto.BOOL, []), tensor("next_state", TensorProto.FLOAT, shape)],
    )
    return helper.make_node("Loop", ["rounds", "", "begin"], ["end"], body=body), constant("rounds", np.int64(rounds))


def lookup() -> ModelProto:
    """`index` INT64 [batch, 1] to `value` FP32 [batch, 1] = 10 * index. An index from 10 on is a valid
    tensor that fails the run. A run takes some milliseconds, so concurrent requests share batches."""
    halve = helper.make_node("Mul", ["state", "half"], ["next_state"])
    # After this number of halvings, any index is 0.
    delay, rounds = loop(LOOKUP_ROUNDS, ["batch", 1], [halve])
    return model(
        "lookup",
        [
            helper.make_node("Cast", ["index"], ["begin"], to=TensorProto.FLOAT),
            delay,
            helper.make_node("Gather", ["table", "index"], ["found"]),
            helper.make_node("Squeeze", ["found", "last_axis"], ["row"]),
            helper.make_node("Add", ["row", "end"], ["value"]),
        ],
        [tensor("index", TensorProto.INT64, ["batch", 1])],
        [tensor("value", TensorProto.FLOAT, ["batch", 1])],
        [
            constant("table", np.arange(0, 100, 10, dtype=np.float32).reshape(10, 1)),
            constant("last_axis", np.array([2])),
            constant("half", np.float32(0.5)),
            rounds,
        ],
    )


def slow() -> ModelProto:
    """Much work for one row: `x` [batch, 128] to `y` [batch, 128]."""
    weights = np.random.default_rng(1).normal(scale=SLOW_WIDTH**-0.5, size=(SLOW_WIDTH, SLOW_WIDTH))
    shape = ["batch", SLOW_WIDTH]
    layer = [
        helper.make_node("MatMul", ["state", "weights"], ["product"]),
        helper.make_node("Tanh", ["product"], ["next_state"]),
    ]
    layers, rounds = loop(SLOW_ROUNDS, shape, layer)
    return model(
        "slow",
        [helper.make_node("Identity", ["x"], ["begin"]), layers, helper.make_node("Identity", ["end"], ["y"])],
        [tensor("x", TensorProto.FLOAT, shape)],
        [tensor("y", TensorProto.FLOAT, shape)],
        [constant("weights", weights.astype(np.float32)), rounds],
    )


def scale(factor: float) -> ModelProto:
    """`x` [batch, 1] to `y` = factor * x, so that a response shows the version of the model."""
    shape = ["batch", 1]
    return model(
        "scale",
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [tensor("x", TensorProto.FLOAT, shape)],
        [tensor("y", TensorProto.FLOAT, shape)],
        [constant("factor", np.float32(factor))],
    )


MODELS: dict[str, Callable[[], ModelProto]] = {
    **{f"identity_{datatype.lower()}": identity(datatype) for datatype in ELEMENT_TYPES},
    "sum_and_difference": sum_and_difference,
    "mixed": mixed,
    "softmax": softmax,
    "fixed": fixed,
    "scalar": scalar,
    "lookup": lookup,
    "slow": slow,
    "scale": lambda: scale(1),
    **classifiers.MODELS,
    "minilm": minilm.build,
}


def write(content: ModelProto, folder: Path, name: str, version: int = 1) -> Path:
    """Copies a model into the model directory `folder` of a server."""
    path = folder / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.SerializeToString(deterministic=True))
    return path


def main() -> None:
    """Writes the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="OUT_DIR")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)} (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - MODELS.keys():
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    for name in arguments.names or MODELS:
        write(MODELS[name](), arguments.folder, name)


if __name__ == "__main__":
    main()
