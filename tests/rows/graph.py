"""Builds ONNX graphs one operator at a time, and keeps what the corpus knows of each: whether its rows
are independent, why, and how to make rows for it."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

# The element types by the names of numpy, and of the sidecars.
TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}

INDEPENDENT = "independent"
DEPENDENT = "dependent"
# The rows are independent, but nobody expects a proof.
HARD = "unknown-ok"


@dataclass(frozen=True)
class Input:
    """An input: the rows' element type, their shape (names are free dimensions, shared by inputs), and
    the values that are valid (values.py)."""

    dtype: str
    shape: tuple
    values: dict = field(default_factory=dict)
    # What the graph declares for the rows' axis.
    rows: str | int | None = "N"

    def sidecar(self, name: str) -> dict:
        """The input as the sidecar has it."""
        return {"name": name, "dtype": self.dtype, "shape": list(self.shape), "values": self.values}


@dataclass
class Case:
    """A model of the corpus."""

    name: str
    truth: str
    why: str
    model: ModelProto
    inputs: list[dict]
    # Lengths that each free dimension may have.
    dims: dict[str, list[int]] = field(default_factory=dict)
    # Batches that show the dependence, where random rows seldom do: per batch and input, its rows.
    hints: list[dict] = field(default_factory=list)
    # Where the model comes from.
    family: str = "own"


class Graph:
    """A graph that grows: `graph.Relu(x)` adds a node and gives its output's name. Arrays among the
    inputs become initializers, None an absent optional input."""

    def __init__(self, name: str, opset: int = 17, outer: "Graph | None" = None):
        self.name = name
        self.opset = opset
        self.outer = outer
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.domains: dict[str, int] = {}
        self.random = outer.random if outer else np.random.default_rng(zlib.crc32(name.encode()))
        self.count = 0

    def fresh(self, stem: str) -> str:
        """A name that nothing else has."""
        top = self
        while top.outer:
            top = top.outer
        top.count += 1
        return f"{stem.lower()}_{top.count}"

    def constant(self, value) -> str:
        """An initializer's name."""
        name = self.fresh("const")
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value), name))
        return name

    def node(self, operator: str, *inputs, outs: int = 1, domain: str = "", version: int = 1, **attributes):
        """Adds a node; gives its output's name, or their names."""
        names = [self._input(value) for value in inputs]
        outputs = [self.fresh(operator) for _ in range(outs)]
        top = self
        while top.outer:
            top = top.outer
        if domain:
            top.domains[domain] = version
        self.nodes.append(helper.make_node(operator, names, outputs, domain=domain, **attributes))
        return outputs[0] if outs == 1 else outputs

    def _input(self, value) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else self.constant(value)

    def __getattr__(self, operator: str) -> Callable:
        if not operator[:1].isupper():
            raise AttributeError(operator)
        return lambda *inputs, **attributes: self.node(operator, *inputs, **attributes)

    def ml(self, operator: str, *inputs, **attributes):
        """A node of ai.onnx.ml."""
        return self.node(operator, *inputs, domain="ai.onnx.ml", version=3, **attributes)

    def microsoft(self, operator: str, *inputs, **attributes):
        """A node of com.microsoft."""
        return self.node(operator, *inputs, domain="com.microsoft", **attributes)

    def w(self, *shape: int, scale: float | None = None) -> np.ndarray:
        """Random weights."""
        fan_in = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        return self.random.normal(scale=scale or float(fan_in) ** -0.5, size=shape).astype(np.float32)

    def body(self, inputs: Sequence[tuple[str, str, Sequence | None]], build: Callable):
        """A subgraph: `build(graph, *names)` gives its outputs as (name, type, shape)."""
        inner = Graph(self.fresh("body"), self.opset, self)
        names = [inner.fresh(name) for name, _, _ in inputs]
        infos = [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, (_, dtype, shape) in zip(names, inputs)]
        outputs = []
        for name, dtype, shape in build(inner, *names):
            # An output has to be a node's own, and each one only once.
            outputs.append(helper.make_tensor_value_info(inner.Identity(name), TYPES[dtype], shape))
        return helper.make_graph(inner.nodes, inner.name, infos, outputs, inner.initializers)

    def model(self, inputs: dict[str, Input], outputs: Sequence[str], declared: dict | None = None, optional: Sequence[str] = ()) -> ModelProto:
        """The finished model. Outputs have the types that shape inference finds, or the declared."""
        infos = [helper.make_tensor_value_info(name, TYPES[given.dtype], [given.rows, *given.shape]) for name, given in inputs.items()]
        graph = helper.make_graph(self.nodes, self.name, infos, [], self.initializers)
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(*item) for item in self.domains.items())]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset < 20 else 10)
        inferred = {}
        try:
            inferred = {info.name: info for info in shape_inference.infer_shapes(model).graph.value_info}
        except Exception:  # noqa: BLE001: operators that it doesn't know
            pass
        for name in outputs:
            if declared and name in declared:
                dtype, shape = declared[name]
                model.graph.output.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))
            elif name in inferred:
                model.graph.output.append(inferred[name])
            else:
                raise ValueError(f"{self.name}: type of output {name} is unknown")
        return model


CASES: dict[str, Callable[[], Case]] = {}


def case(truth: str, why: str, *, opset: int = 17, dims: dict | None = None, out=None, hints: Sequence[dict] = (), label: str | None = None, family: str = "own", **inputs: Input):
    """Declares a model: the function adds its nodes to a graph, and gives the outputs' names.
    `out` is the outputs' (type, shape), where shape inference doesn't know an operator."""

    def declare(build: Callable) -> Callable:
        name = label or build.__name__
        if name in CASES:
            raise ValueError(f"there are two of {name}")

        def make() -> Case:
            graph = Graph(name, opset)
            outputs = build(graph, *inputs)
            outputs = [outputs] if isinstance(outputs, str) else list(outputs)
            # An input can't be an output, and each output is one value.
            outputs = [graph.Identity(o) if o in inputs or outputs.count(o) > 1 else o for o in outputs]
            declared = dict(zip(outputs, out)) if out else None
            model = graph.model(inputs, outputs, declared)
            sidecars = [given.sidecar(key) for key, given in inputs.items()]
            return Case(name, truth, why, model, sidecars, dims or {}, list(hints), family)

        CASES[name] = make
        return build

    return declare


def independent(why: str = "", **options):
    """Declares a model whose rows are independent."""
    return case(INDEPENDENT, why, **options)


def dependent(why: str, **options):
    """Declares a model with rows that depend on each other."""
    return case(DEPENDENT, why, **options)


def hard(why: str, **options):
    """Declares a model whose rows are independent, without a proof being expected."""
    return case(HARD, why, **options)


def F(*shape, dtype: str = "float32", rows: str | int | None = "N", **values) -> Input:
    """An input of floats; normal ones with many scales where nothing is said."""
    return Input(dtype, shape, values or {"normal": [0.1, 10.0]}, rows)


def I(*shape, low: int = 0, high: int = 10, dtype: str = "int64", rows: str | int | None = "N") -> Input:
    """An input of integers from low to high - 1."""
    return Input(dtype, shape, {"integers": [low, high]}, rows)


def B(*shape) -> Input:
    """An input of booleans."""
    return Input("bool", shape, {"integers": [0, 2]})


def S(*shape, choices=("red", "green", "blue", "", "a longer one")) -> Input:
    """An input of strings."""
    return Input("string", shape, {"choices": list(choices)})


def M(*shape, dtype: str = "int64") -> Input:
    """An input that masks: ones, then zeros."""
    return Input(dtype, shape, {"mask": True})
