"""Mutation test of the proof: mutate.py VERDICT_BINARY CORPUS [--quick].

Takes graphs that the proof calls independent, makes each dependent by one edit, keeps the mutants that
ONNX Runtime shows to be dependent, and asks the proof again: it mustn't call one independent. A mutant
that doesn't load, or of which random batches show no dependence, is discarded."""

import argparse
import copy
import json
import multiprocessing
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, load, numpy_helper, shape_inference

import truth
import values
from check_proof import verdicts
from graph import INDEPENDENT

# Larger models take long to run.
LARGEST_MODEL = 120_000
# Longest time for one mutant.
LONGEST_SECONDS = 10.0
FLOAT = (TensorProto.FLOAT, TensorProto.DOUBLE)


class Edit:
    """A graph that is about to be edited at one place."""

    def __init__(self, model: ModelProto, random: np.random.Generator):
        self.model = copy.deepcopy(model)
        self.random = random
        self.opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)

    def constant(self, value: np.ndarray) -> str:
        """An initializer."""
        name = f"mutation_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def pick(self, choices):
        """One of them, or None of none."""
        choices = list(choices)
        return choices[self.random.integers(len(choices))] if choices else None

    def insert(self, build: Callable[[str, str], list[NodeProto]], types=FLOAT, ranks=None) -> str | None:
        """Puts nodes on an edge: `build(source, target)` gives them."""
        graph = self.model.graph
        known = shapes(self.model)
        edges = [
            (index, output)
            for index, node in enumerate(graph.node)
            for output in node.output
            if output and output in known and known[output][0] in types and (known[output][1] or 0) >= 1 and (ranks is None or known[output][1] in ranks)
        ]
        for given in graph.input:
            if given.name in known and known[given.name][0] in types and (known[given.name][1] or 0) >= 1 and (ranks is None or known[given.name][1] in ranks):
                edges.append((-1, given.name))
        chosen = self.pick(edges)
        if chosen is None:
            return None
        index, edge = chosen
        rank = known[edge][1]
        is_output = edge in {output.name for output in graph.output}
        inner = f"{edge}_before"
        if index < 0:
            nodes = build(edge, inner, rank)
            for node in graph.node:
                replace(node, edge, inner)
        else:
            producer = graph.node[index]
            producer.output[list(producer.output).index(edge)] = inner
            # Subgraphs and outputs keep reading the old name.
            nodes = build(inner, edge, rank)
        for offset, node in enumerate(nodes):
            graph.node.insert(index + 1 + offset, node)
        return f"{edge}{' (output)' if is_output else ''}"


def replace(node: NodeProto, old: str, new: str) -> None:
    """Reads another value."""
    for position, name in enumerate(node.input):
        if name == old:
            node.input[position] = new
    for attribute in node.attribute:
        for graph in ([attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs):
            for inner in graph.node:
                replace(inner, old, new)


def shapes(model: ModelProto) -> dict[str, tuple[int, int | None]]:
    """Element type and number of axes of each value that shape inference knows."""
    try:
        inferred = shape_inference.infer_shapes(model)
    except Exception:  # noqa: BLE001
        inferred = model
    known = {}
    for info in (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input):
        tensor = info.type.tensor_type
        if tensor.elem_type:
            known[info.name] = (tensor.elem_type, len(tensor.shape.dim) if tensor.HasField("shape") else None)
    return known


def node(*arguments, **options) -> NodeProto:
    """A node of an edit."""
    return helper.make_node(*arguments, **options)


# ---- insertions: something over the rows on a random edge


def softmax(e: Edit):
    return e.insert(lambda a, b, rank: [node("Softmax", [a], [b], axis=0)], (TensorProto.FLOAT,))


def reduced_scale(e: Edit):
    operator = e.pick(["ReduceMax", "ReduceMin", "ReduceProd"])
    combine = e.pick(["Add", "Mul", "Sub", "Min", "Max"])
    if e.opset >= 18:
        axes = [e.constant(np.array([0]))] if e.random.random() < 0.5 else []
        return e.insert(lambda a, b, rank: [node(operator, [a, *axes], [f"{a}_r"], keepdims=1), node(combine, [a, f"{a}_r"], [b])], (TensorProto.FLOAT,))
    axes = {"axes": [0]} if e.random.random() < 0.5 else {}
    return e.insert(lambda a, b, rank: [node(operator, [a], [f"{a}_r"], keepdims=1, **axes), node(combine, [a, f"{a}_r"], [b])], (TensorProto.FLOAT,))


def minus_mean(e: Edit):
    def build(a, b, rank):
        axis = e.pick([0, -rank])
        if e.opset >= 18:
            return [node("ReduceMean", [a, e.constant(np.array([axis]))], [f"{a}_m"], keepdims=1), node("Sub", [a, f"{a}_m"], [b])]
        return [node("ReduceMean", [a], [f"{a}_m"], axes=[axis], keepdims=1), node("Sub", [a, f"{a}_m"], [b])]

    return e.insert(build)


def cumulated(e: Edit):
    axis = e.constant(np.array(0))
    return e.insert(lambda a, b, rank: [node("CumSum", [a, axis], [b])]) if e.opset >= 11 else None


def quantized(e: Edit):
    if e.opset < 11:
        return None
    return e.insert(lambda a, b, rank: [node("DynamicQuantizeLinear", [a], [f"{a}_q", f"{a}_s", f"{a}_z"]), node("DequantizeLinear", [f"{a}_q", f"{a}_s", f"{a}_z"], [b])], (TensorProto.FLOAT,))


def reversed_rows(e: Edit):
    if e.opset < 10:
        return None
    start, end, axis, step = (e.constant(np.array([value])) for value in (-1, -(2**63), 0, -1))
    return e.insert(lambda a, b, rank: [node("Slice", [a, start, end, axis, step], [b])], (*FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.INT32))


def row_zero(e: Edit):
    index = e.constant(np.array([e.pick([0, -1])]))
    return e.insert(lambda a, b, rank: [node("Gather", [a, index], [f"{a}_0"], axis=0), node(e.pick(["Add", "Sub"]), [a, f"{a}_0"], [b])])


def row_zero_for_all(e: Edit):
    index = e.constant(np.array([0]))

    def build(a, b, rank):
        return [node("Shape", [a], [f"{a}_shape"]), node("Gather", [a, index], [f"{a}_0"], axis=0), node("Expand", [f"{a}_0", f"{a}_shape"], [b])]

    return e.insert(build, (*FLOAT, TensorProto.INT64, TensorProto.STRING)) if e.opset >= 8 else None


def shifted(e: Edit):
    if e.opset < 13:
        return None
    end, axis, start = e.constant(np.array([-1])), e.constant(np.array([0])), e.constant(np.array([0]))

    def build(a, b, rank):
        pads = e.constant(np.array([1] + [0] * (2 * rank - 1)))
        return [node("Pad", [a, pads], [f"{a}_pad"], mode="constant"), node("Slice", [f"{a}_pad", start, end, axis], [b])]

    return e.insert(build)


def mixing_reshape(e: Edit):
    if e.opset < 13:
        return None

    def build(a, b, rank):
        flat, front = e.constant(np.array([-1])), e.constant(np.array([[1, -1]]).reshape(-1))
        return [node("Shape", [a], [f"{a}_shape"]), node("Reshape", [a, front], [f"{a}_flat"]), node("Softmax", [f"{a}_flat"], [f"{a}_soft"], axis=1), node("Reshape", [f"{a}_soft", f"{a}_shape"], [b])]

    return e.insert(build, (TensorProto.FLOAT,))


def transposed_reshape(e: Edit):
    """A transposition whose shape is put back by Reshape, so that elements change their rows."""

    def build(a, b, rank):
        perm = list(range(rank))
        other = e.pick(range(1, rank))
        perm[0], perm[other] = perm[other], perm[0]
        return [node("Shape", [a], [f"{a}_shape"]), node("Transpose", [a], [f"{a}_t"], perm=perm), node("Reshape", [f"{a}_t", f"{a}_shape"], [b])]

    return e.insert(build, (*FLOAT, TensorProto.INT64), ranks=(2, 3, 4))


def number_of_rows(e: Edit):
    index = e.constant(np.array(0))

    def build(a, b, rank):
        return [node("Shape", [a], [f"{a}_shape"]), node("Gather", [f"{a}_shape", index], [f"{a}_n"], axis=0), node("Cast", [f"{a}_n"], [f"{a}_f"], to=TensorProto.FLOAT), node(e.pick(["Add", "Div", "Mul"]), [a, f"{a}_f"], [b])]

    return e.insert(build, (TensorProto.FLOAT,))


def normalised_columns(e: Edit):
    return e.insert(lambda a, b, rank: [node("LpNormalization", [a], [b], axis=0, p=2)], (TensorProto.FLOAT,))


def with_all_rows(e: Edit):
    """x @ x.T @ x"""
    return e.insert(lambda a, b, rank: [node("Transpose", [a], [f"{a}_t"], perm=[1, 0]), node("MatMul", [a, f"{a}_t"], [f"{a}_mm"]), node("MatMul", [f"{a}_mm", a], [b])], ranks=(2,))


def batch_norm_of_columns(e: Edit):
    if e.opset < 17:
        return None

    def build(a, b, rank):
        one = e.constant(np.array([1], np.float32))
        return [node("LayerNormalization", [a, one], [b], axis=0)]

    return e.insert(build, (TensorProto.FLOAT,))


def sorted_rows(e: Edit):
    if e.opset < 15:
        return None
    return e.insert(lambda a, b, rank: [node("Shape", [a], [f"{a}_n"], start=0, end=1), node("TopK", [a, f"{a}_n"], [b, f"{a}_i"], axis=0)])


def any_row_decides(e: Edit):
    """Another value for all where one element is large."""

    def build(a, b, rank):
        zero = e.constant(np.array(0.5, np.float32))
        reduce = node("ReduceMax", [a], [f"{a}_max"], keepdims=0)
        return [reduce, node("Greater", [f"{a}_max", zero], [f"{a}_any"]), node("Neg", [a], [f"{a}_neg"]), node("Where", [f"{a}_any", f"{a}_neg", a], [b])]

    return e.insert(build, (TensorProto.FLOAT,)) if e.opset >= 9 else None


def branch_for_all(e: Edit):
    def build(a, b, rank):
        zero = e.constant(np.array(0.5, np.float32))
        info = helper.make_tensor_value_info
        then = helper.make_graph([node("Neg", [a], [f"{b}_then"])], "then", [], [info(f"{b}_then", TensorProto.FLOAT, None)])
        other = helper.make_graph([node("Identity", [a], [f"{b}_else"])], "else", [], [info(f"{b}_else", TensorProto.FLOAT, None)])
        return [node("ReduceMax", [a], [f"{a}_max"], keepdims=0), node("Greater", [f"{a}_max", zero], [f"{a}_any"]), node("If", [f"{a}_any"], [b], then_branch=then, else_branch=other)]

    return e.insert(build, (TensorProto.FLOAT,)) if e.opset >= 11 else None


# ---- changes of what is there


def nodes_of(graph: GraphProto):
    """Every node, those of subgraphs, too."""
    for item in graph.node:
        yield item
        for attribute in item.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from nodes_of(attribute.g)


def changed_axis(e: Edit):
    """An attribute `axis` or `axes` that is the rows' now."""
    places = [(n, a) for n in nodes_of(e.model.graph) for a in n.attribute if a.name == "axis" and a.i != 0 or a.name == "axes" and 0 not in a.ints]
    chosen = e.pick(places)
    if chosen is None:
        return None
    item, attribute = chosen
    if attribute.name == "axis":
        attribute.i = 0
    else:
        attribute.ints[e.random.integers(len(attribute.ints))] = 0
    return f"{item.op_type} {item.name} {attribute.name}"


def added_axis(e: Edit):
    """Softmax, Concat, ReduceX and the like without an axis, or with another."""
    places = [n for n in nodes_of(e.model.graph) if n.op_type in ("Softmax", "LogSoftmax", "ArgMax", "ArgMin", "Hardmax", "TopK", "LpNormalization", "Concat", "Gather", "CumSum", "LayerNormalization", "Flatten")]
    item = e.pick(places)
    if item is None:
        return None
    for attribute in list(item.attribute):
        if attribute.name == "axis":
            item.attribute.remove(attribute)
    item.attribute.append(helper.make_attribute("axis", e.pick([0, 0, 1, -2])))
    return f"{item.op_type} {item.name}"


def dropped_axes(e: Edit):
    """A reduction over everything."""
    places = [n for n in nodes_of(e.model.graph) if n.op_type.startswith("Reduce")]
    item = e.pick(places)
    if item is None:
        return None
    for attribute in list(item.attribute):
        if attribute.name in ("axes", "keepdims"):
            item.attribute.remove(attribute)
    del item.input[1:]
    return f"{item.op_type} {item.name}"


def changed_perm(e: Edit):
    """A transposition with two axes exchanged."""
    item = e.pick(n for n in nodes_of(e.model.graph) if n.op_type == "Transpose" and any(a.name == "perm" for a in n.attribute))
    if item is None:
        return None
    perm = next(a for a in item.attribute if a.name == "perm").ints
    if len(perm) < 2:
        return None
    left, right = e.random.choice(len(perm), 2, replace=False)
    perm[left], perm[right] = perm[right], perm[left]
    return f"{item.op_type} {item.name} {list(perm)}"


def changed_constant(e: Edit):
    """One element of an integer constant: a shape, axes, starts, an index."""
    small = [i for i in e.model.graph.initializer if i.data_type in (TensorProto.INT64, TensorProto.INT32) and 1 <= int(np.prod(i.dims)) <= 8 and len(i.dims) <= 1]
    attributes = [a.t for n in nodes_of(e.model.graph) if n.op_type == "Constant" for a in n.attribute if a.name == "value" and a.t.data_type in (TensorProto.INT64, TensorProto.INT32) and len(a.t.dims) <= 1 and 1 <= int(np.prod(a.t.dims)) <= 8]
    tensor = e.pick([*small, *attributes])
    if tensor is None:
        return None
    value = numpy_helper.to_array(tensor).copy().reshape(-1)
    place = e.random.integers(len(value))
    old = int(value[place])
    value[place] = e.pick([0, 1, -1, 2, *((old + 1, old - 1) if abs(old) < 2**30 else ())])
    name, dims = tensor.name, list(tensor.dims)
    tensor.CopyFrom(numpy_helper.from_array(value.reshape(dims), name))
    return f"constant {name}: {value.tolist()}"


def swapped_constant(e: Edit):
    """Two elements of a shape or of pads change places."""
    tensors = [i for i in e.model.graph.initializer if i.data_type == TensorProto.INT64 and len(i.dims) == 1 and 2 <= i.dims[0] <= 8]
    tensor = e.pick(tensors)
    if tensor is None:
        return None
    value = numpy_helper.to_array(tensor).copy()
    left, right = e.random.choice(len(value), 2, replace=False)
    value[[left, right]] = value[[right, left]]
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return f"constant {tensor.name}: {value.tolist()}"


def training(e: Edit):
    """Batch normalisation that learns."""
    item = e.pick(n for n in nodes_of(e.model.graph) if n.op_type == "BatchNormalization")
    if item is None or e.opset < 14:
        return None
    item.output.extend([f"{item.output[0]}_mean", f"{item.output[0]}_var"])
    item.attribute.append(helper.make_attribute("training_mode", 1))
    return item.name


def changed_equation(e: Edit):
    """An einsum that sums or exchanges other letters."""
    item = e.pick(n for n in nodes_of(e.model.graph) if n.op_type == "Einsum")
    if item is None:
        return None
    attribute = item.attribute[0]
    equation = attribute.s.decode()
    letters = sorted({c for c in equation if c.isalpha()})
    left, right = e.random.choice(letters, 2, replace=False)
    side = equation.split("->")
    side[0] = side[0].translate(str.maketrans({left: right, right: left})) if e.random.random() < 0.5 else side[0].replace(left, right, 1)
    attribute.s = "->".join(side).encode()
    return attribute.s.decode()


def swapped_inputs(e: Edit):
    """A node with two of its inputs exchanged."""
    item = e.pick(n for n in nodes_of(e.model.graph) if len(n.input) >= 2 and n.op_type in ("MatMul", "Gather", "Gemm", "GatherElements", "GatherND", "Where", "OneHot", "Scan"))
    if item is None:
        return None
    item.input[0], item.input[1] = item.input[1], item.input[0]
    return f"{item.op_type} {item.name}"


def other_source(e: Edit):
    """A node reads another value of its graph."""
    graph = e.model.graph
    index = e.random.integers(len(graph.node))
    item = graph.node[index]
    known = shapes(e.model)
    before = [o for n in graph.node[:index] for o in n.output] + [i.name for i in graph.input] + [i.name for i in graph.initializer]
    if not item.input:
        return None
    place = e.random.integers(len(item.input))
    old = item.input[place]
    choices = [name for name in before if name != old and (old not in known or name not in known or known[name][0] == known[old][0])]
    new = e.pick(choices)
    if new is None:
        return None
    item.input[place] = new
    return f"{item.op_type} {item.name} reads {new}"


def scan_axis(e: Edit):
    """Scan goes along other axes, or the other way."""
    item = e.pick(n for n in nodes_of(e.model.graph) if n.op_type == "Scan")
    if item is None:
        return None
    for attribute in list(item.attribute):
        if attribute.name in ("scan_input_axes", "scan_output_axes", "scan_output_directions"):
            item.attribute.remove(attribute)
    inputs = next(a.i for a in item.attribute if a.name == "num_scan_inputs")
    body = next(a.g for a in item.attribute if a.name == "body")
    outputs = len(body.output) - (len(item.input) - inputs)
    what = e.pick(["scan_input_axes", "scan_output_axes", "scan_output_directions", "scan_input_directions"])
    if outputs < 1 and "output" in what:
        return None
    item.attribute.append(helper.make_attribute(what, [e.pick([0, 1]) if "axes" in what else 1] * (inputs if "input" in what else outputs)))
    return f"Scan {item.name} {what}"


def other_flag(e: Edit):
    """transA, transB, batch_dims, keepdims, time axes: an integer attribute with another value."""
    places = [(n, a) for n in nodes_of(e.model.graph) for a in n.attribute if a.name in ("transA", "transB", "batch_dims", "keepdims", "batch_axis", "time_axis", "exclusive", "reverse", "noop_with_empty_axes", "layout", "allowzero", "start", "end", "select_last_index", "blocksize", "num_groups", "direction", "axis")]
    gemms = [n for n in nodes_of(e.model.graph) if n.op_type == "Gemm"]
    if gemms and e.random.random() < 0.3:
        item = e.pick(gemms)
        item.attribute.append(helper.make_attribute("transA", 1))
        return f"Gemm {item.name} transA"
    chosen = e.pick(places)
    if chosen is None or chosen[1].type != AttributeProto.INT:
        return None
    item, attribute = chosen
    attribute.i = e.pick([0, 1, 2, 1 - attribute.i])
    return f"{item.op_type} {item.name} {attribute.name}={attribute.i}"


INSERTIONS = [softmax, reduced_scale, minus_mean, cumulated, quantized, reversed_rows, row_zero, row_zero_for_all, shifted, mixing_reshape, transposed_reshape, number_of_rows, normalised_columns, with_all_rows, batch_norm_of_columns, sorted_rows, any_row_decides, branch_for_all]
CHANGES = [changed_axis, added_axis, dropped_axes, changed_perm, changed_constant, swapped_constant, training, changed_equation, swapped_inputs, other_source, scan_axis, other_flag]


def relaxed(model: ModelProto) -> ModelProto:
    """Without the declared shapes of what the edit may have changed."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.type.WhichOneof("value") == "tensor_type":
            output.type.tensor_type.ClearField("shape")
    return model


def dependent(content: bytes, sidecar: dict, seed: int, mixes: int) -> str | None:
    """What shows the dependence of a mutant, or None."""
    try:
        session = truth.session(content)
    except Exception:  # noqa: BLE001
        return None
    random = np.random.default_rng(seed)
    for _ in range(2):
        pool = values.rows(sidecar, 10, random)
        alone = [truth.run(session, truth.take(pool, [row])) for row in range(10)]
        valid = [row for row in range(10) if alone[row] is not None]
        if len(valid) < 2:
            return None
        for _ in range(mixes // 2):
            indices = random.choice(valid, random.integers(2, 7))
            # A mutant that fails in a batch is refused by the server's trial, and nobody gets a wrong answer.
            batch = truth.take(pool, indices)
            if truth.run(session, batch) is None:
                continue
            if found := truth.difference(session, batch, [alone[index] for index in indices]):
                return found
    return None


def mutant(path: Path, sidecar: dict, seed: int) -> tuple[str, str, str, bytes] | None:
    """One edit of a model: its kind, what it did, what shows the dependence, and the mutant; None where
    the edit doesn't fit, or nothing shows a dependence."""
    random = np.random.default_rng(seed)
    kinds = INSERTIONS if random.random() < 0.4 else CHANGES
    kind = kinds[random.integers(len(kinds))]
    edit = Edit(load(path), random)
    try:
        what = kind(edit)
        content = relaxed(edit.model).SerializeToString() if what else b""
    except Exception:  # noqa: BLE001: not every edit fits every graph
        return None
    found = dependent(content, sidecar, seed, 24) if what else None
    return (kind.__name__, what, found, content) if found else None


def work(connection, paths: dict[str, Path], sidecars: dict[str, dict]) -> None:
    """Makes the mutants that the other end asks for."""
    while True:
        name, seed = connection.recv()
        connection.send(mutant(paths[name], sidecars[name], seed))


class Worker:
    """A process that makes mutants: some end ONNX Runtime, and some never end."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.process = None

    def mutant(self, name: str, seed: int):
        """A mutant, or None where there is none, the process ended, or it took too long."""
        if self.process is None:
            self.connection, other = multiprocessing.Pipe()
            self.process = multiprocessing.Process(target=work, args=(other, *self.arguments), daemon=True)
            self.process.start()
            other.close()
        try:
            self.connection.send((name, seed))
            if self.connection.poll(LONGEST_SECONDS):
                return self.connection.recv()
        except (EOFError, OSError):
            pass
        self.end()
        return None

    def end(self) -> None:
        """Ends the process."""
        if self.process:
            self.process.kill()
            self.process.join()
            self.process = None


def main() -> None:
    """Makes the mutants and asks the proof; exits 1 where one is called independent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path, metavar="VERDICT_BINARY")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--quick", action="store_true", help="fewer mutants, in less than a minute")
    parser.add_argument("--mutants", type=int, help="mutants that survive (default 400, quick 120)")
    parser.add_argument("--seconds", type=float, help="longest time for making them (default 1500, quick 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep mutants that are called independent here")
    arguments = parser.parse_args()
    wanted = arguments.mutants or (120 if arguments.quick else 400)
    deadline = time.monotonic() + (arguments.seconds or (40 if arguments.quick else 1500))

    paths = {path.stem: path for path in sorted(arguments.corpus.glob("*.onnx")) if path.stat().st_size <= LARGEST_MODEL}
    sidecars = {name: json.loads((arguments.corpus / f"{name}.json").read_text()) for name in paths}
    said = verdicts(arguments.binary, list(paths.values()))
    proven = [name for name in paths if said[name]["verdict"] == "Independent" and sidecars[name]["inputs"] and sidecars[name]["truth"] == INDEPENDENT]
    random = np.random.default_rng(arguments.seed)
    tried, counts, wrong, made = 0, Counter(), [], {}
    worker = Worker(paths, sidecars)
    with tempfile.TemporaryDirectory() as folder:
        while len(made) < wanted and time.monotonic() < deadline and proven:
            name = proven[random.integers(len(proven))]
            tried += 1
            if result := worker.mutant(name, int(random.integers(2**31))):
                kind, what, found, content = result
                label = f"{name}__{kind}_{tried}"
                path = Path(folder) / f"{label}.onnx"
                path.write_bytes(content)
                made[label] = (path, what, found)
                counts[kind] += 1
        worker.end()
        answers = verdicts(arguments.binary, [path for path, _, _ in made.values()])
        for label, (path, what, found) in made.items():
            if answers[label]["verdict"] not in ("Dependent", "Unknown"):
                wrong.append(label)
                print(f"WRONG {label}: {answers[label]['verdict']}: {what}: {found}")
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / path.name).write_bytes(path.read_bytes())
    print(dict(counts.most_common()))
    print(f"{len(made)} mutants of {tried} edits are dependent, {len(proven)} graphs proven; {len(wrong)} called independent")
    # No test that can't fail: too few mutants are a failure, too.
    sys.exit(1 if wrong or len(made) < wanted / 2 else 0)


if __name__ == "__main__":
    main()
