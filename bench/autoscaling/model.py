"""The served model: a small file whose rows use some milliseconds of processor time each."""

#: Features of a row, and number of classes.
FEATURES, CLASSES = 4, 3

#: A row becomes a matrix of this width, so that a row has the same cost in a batch of any size. The capacity
#: of a pod is then one number.
_WIDTH = 96

#: Products of that matrix with the same weights, in sequence.
ROUNDS = 150

_SEED = 20260101


def build(rounds=ROUNDS):
    """The model's bytes. The same versions of the packages give the same bytes."""
    # Only the environment of the benchmark has these packages. The other files need only Python.
    import numpy
    from onnx import TensorProto, checker, helper, numpy_helper

    chance = numpy.random.default_rng(_SEED)
    constants = {
        "spread": chance.standard_normal((FEATURES, _WIDTH * _WIDTH), dtype=numpy.float32),
        "matrix": numpy.array([-1, _WIDTH, _WIDTH], dtype=numpy.int64),
        "weights": chance.standard_normal((_WIDTH, _WIDTH), dtype=numpy.float32) / numpy.float32(_WIDTH**0.5),
        "row": numpy.array([-1, _WIDTH * _WIDTH], dtype=numpy.int64),
        "classes": chance.standard_normal((_WIDTH * _WIDTH, CLASSES), dtype=numpy.float32) / numpy.float32(_WIDTH),
    }
    nodes = [
        helper.make_node("MatMul", ["features", "spread"], ["wide"]),
        helper.make_node("Reshape", ["wide", "matrix"], ["state_0"]),
    ]
    for index in range(rounds):
        nodes += [
            helper.make_node("MatMul", [f"state_{index}", "weights"], [f"product_{index}"]),
            helper.make_node("Tanh", [f"product_{index}"], [f"state_{index + 1}"]),
        ]
    nodes += [
        helper.make_node("Reshape", [f"state_{rounds}", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "classes"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=-1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "busy",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", FEATURES])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", CLASSES]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString(deterministic=True)
