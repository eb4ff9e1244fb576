"""An image classifier with the files that transformers writes: image in, class out."""

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from server import Server

SIDE = 32
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
LABELS = ["ant", "bee", "cat", "dog", "eel"]
TOLERANCE = 1e-5


def network() -> bytes:
    """A convolution with random weights: logits of five classes for `pixel_values` [N, 3, 32, 32]."""
    random = np.random.default_rng(0)
    weights = {"kernel": random.normal(0, 0.3, (8, 3, 5, 5)), "classes": random.normal(0, 1, (8, 5)), "bias": np.zeros(5)}
    nodes = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["features"], strides=[3, 3]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "classes", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "images",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def png(pixels: np.ndarray) -> bytes:
    """A file of RGB pixels (https://www.w3.org/TR/png-3/)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PIXELS = np.random.default_rng(1).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
FILES = [png(pixels) for pixels in PIXELS]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the model."""
    folder: Path = tmp_path_factory.mktemp("images")
    (folder / "model.onnx").write_bytes(network())
    size = {"height": SIDE, "width": SIDE}
    preparation = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": size, "resample": 2}
    preparation |= {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    config = {"architectures": ["ViTForImageClassification"], "id2label": dict(enumerate(LABELS))}
    (folder / "config.json").write_text(json.dumps(config))
    with Server("--model-path", folder / "model.onnx", "--model-name", "images") as server:
        yield server.until_ready()


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """Probabilities by ONNX Runtime itself."""
    session = onnxruntime.InferenceSession(network(), providers=["CPUExecutionProvider"])
    scaled = (PIXELS / 255 - MEAN) / STD
    (logits,) = session.run(None, {"pixel_values": scaled.transpose(0, 3, 1, 2).astype(np.float32)})
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def check(answer: dict, expected: np.ndarray) -> None:
    """One answer with all probabilities."""
    assert answer["prediction"] == LABELS[expected.argmax()]
    np.testing.assert_allclose(answer["confidence"], expected.max(), atol=TOLERANCE)
    np.testing.assert_allclose([answer["probabilities"][label] for label in LABELS], expected, atol=TOLERANCE)


def test_a_file(serving: Server, expected: np.ndarray):
    path = "/predict?probabilities=true&request_id=r"
    response = serving.request("POST", path, body=FILES[0], headers={"Content-Type": "image/png"})
    assert response.status == 200, response.data
    check(response.json(), expected[0])
    assert response.json()["request_id"] == "r"


def test_base64_alone_and_in_a_list(serving: Server, expected: np.ndarray):
    texts = [base64.b64encode(file).decode() for file in FILES]
    check(serving.post("/predict", {"image": texts[1], "probabilities": True}).json(), expected[1])
    answer = serving.post("/predict", {"image": texts, "probabilities": True, "top_k": 1}).json()
    assert answer["prediction"] == [LABELS[best] for best in expected.argmax(axis=1)]
    assert [list(row) for row in answer["probabilities"]] == [[label] for label in answer["prediction"]]
    instances = [{"image": {"b64": text}} for text in texts]
    predictions = serving.post("/v1/models/images:predict", {"instances": instances}).json()["predictions"]
    assert predictions == answer["prediction"]


def test_a_form(serving: Server, expected: np.ndarray):
    fields = {"file": ("one.png", FILES[2], "image/png"), "probabilities": "true"}
    check(serving.pool.request("POST", serving.url("/predict"), fields=fields).json(), expected[2])


def test_what_is_no_image_is_refused(serving: Server):
    huge = bytearray(FILES[0])
    huge[16:24] = struct.pack(">II", 100_000, 100_000)
    for body in (b"", b"no image", FILES[0][:60], bytes(huge), FILES[0][:-20]):
        response = serving.request("POST", "/predict", body=body, headers={"Content-Type": "image/png"})
        assert response.status == 422, response.data
        assert response.json()["error"]["field"] == "image"
    response = serving.post("/predict", {"image": [base64.b64encode(FILES[0]).decode(), "aGk="]})
    assert response.json()["error"]["field"] == "image[1]"
    response = serving.post("/predict", {"features": [1]})
    assert response.json()["error"]["field"] == "image"
