"""Models of scikit-learn, over the Open Inference Protocol and over /predict."""

from pathlib import Path

import numpy as np
import pytest

from classifiers import IRIS
from protocols import Protocol
from server import Server

ROWS = IRIS.data[::10].astype(np.float32)
TOLERANCE = 1e-5

classifiers = pytest.mark.parametrize("model", ["logistic_numbers", "logistic_names", "forest_numbers", "forest_names"])
zipmaps = pytest.mark.parametrize("model", ["logistic_zipmap_numbers", "logistic_zipmap_names"])


def labels(array: np.ndarray) -> list:
    """Labels as Python objects."""
    return [label.decode() if isinstance(label, bytes) else label for label in array.tolist()]


@classifiers
def test_labels_and_probabilities(protocol: Protocol, in_process, model: str):
    result, expected = protocol.infer(model, {"features": ROWS}), in_process(model, features=ROWS)
    assert labels(result.as_numpy("label")) == labels(expected["label"])
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected["probabilities"], atol=TOLERANCE)


@classifiers
def test_predict(models: Path, in_process, model: str):
    expected = in_process(model, features=ROWS)
    with Server("--model-path", models / model / "1" / "model.onnx") as server:
        answer = server.post("/predict", {"features": ROWS.tolist(), "request_id": "r"}).json()
        assert answer["prediction"] == labels(expected["label"])
        assert answer["request_id"] == "r"
        np.testing.assert_allclose(answer["confidence"], expected["probabilities"].max(axis=1), atol=TOLERANCE)
        answer = server.post("/predict", {"features": ROWS[0].tolist()}).json()
        assert answer["prediction"] == labels(expected["label"])[0]
        assert answer["batch_size"] == 1
        assert answer["latency_ms"] > 0


@zipmaps
def test_lists_of_maps_come_as_tensors(protocol: Protocol, in_process, model: str):
    """The protocol has tensors only, so the probabilities of a `zipmap` export are served as one."""
    metadata = protocol.described("model_metadata", model)
    assert [output["name"] for output in metadata["outputs"]] == ["output_label", "output_probability"]
    maps = in_process(model, features=ROWS)
    result = protocol.infer(model, {"features": ROWS})
    assert labels(result.as_numpy("output_label")) == labels(maps["output_label"])
    expected = [list(row.values()) for row in maps["output_probability"]]
    np.testing.assert_allclose(result.as_numpy("output_probability"), expected, atol=TOLERANCE)


@zipmaps
def test_predict_reads_lists_of_maps(models: Path, in_process, model: str):
    expected = in_process(model, features=ROWS[:1])
    with Server("--model-path", models / model / "1" / "model.onnx") as server:
        answer = server.post("/predict", {"features": ROWS[0].tolist()}).json()
        assert answer["prediction"] == labels(expected["output_label"])[0]
        confidence = expected["output_probability"][0][answer["prediction"]]
        assert abs(answer["confidence"] - confidence) < TOLERANCE


def test_predict_gives_a_regressors_numbers(models: Path, in_process):
    expected = in_process("regressor", features=ROWS)["variable"][:, 0]
    with Server("--model-path", models / "regressor" / "1" / "model.onnx", "--model-name", "widths") as server:
        answer = server.post("/predict", {"features": ROWS.tolist()}).json()
        np.testing.assert_allclose(answer["prediction"], expected, atol=TOLERANCE)
        assert answer["confidence"] == [None] * len(ROWS)
        answer = server.post("/v1/models/widths:predict", {"instances": ROWS.tolist()}).json()
        np.testing.assert_allclose(answer["predictions"], expected, atol=TOLERANCE)


def test_regressor(protocol: Protocol, in_process):
    result = protocol.infer("regressor", {"features": ROWS})
    np.testing.assert_allclose(result.as_numpy("variable"), in_process("regressor", features=ROWS)["variable"], atol=TOLERANCE)
