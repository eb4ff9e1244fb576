"""Trains the example classifiers and writes them as ONNX, with held-out rows to check a server by.

    python3 -m venv /tmp/models && /tmp/models/bin/pip install -r requirements.txt
    /tmp/models/bin/python train.py

Running it again gives the same bytes: `sha256sum -c SHA256SUMS` says so.
"""

import argparse
import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 20240229

# Weights are rounded to multiples of 1/1024. Sums differ in their last bits between processors, and
# training carries that into the weights; trained in float64 and rounded, the files are the same everywhere.
WEIGHT_STEPS = 1024.0

# The oldest operator sets that these graphs need nothing newer than, so that old runtimes load them.
OPERATOR_SETS = {"": 17, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Example:
    """One classifier: which data, how wide, and how many held-out rows its test file keeps."""

    name: str
    dataset: object
    hidden: int
    epochs: int
    held_out: int
    written: int


EXAMPLES = (
    Example("iris", load_iris, hidden=64, epochs=300, held_out=45, written=45),
    # The same task, other weights: what a rolling change of the model goes to.
    Example("iris-v2", load_iris, hidden=128, epochs=150, held_out=45, written=45),
    Example("digits", load_digits, hidden=64, epochs=60, held_out=360, written=60),
)


def rounded(values: np.ndarray) -> np.ndarray:
    """The values as multiples of 1/1024, which float32 holds exactly."""
    return np.round(np.asarray(values) * WEIGHT_STEPS) / WEIGHT_STEPS


def train(example: Example, rows: np.ndarray, labels: np.ndarray):
    """Fits scaler and MLP, and rounds what they learned."""
    model = make_pipeline(
        StandardScaler(),
        # A tolerance of 0 that no epoch misses: always the same number of epochs.
        MLPClassifier((example.hidden,), max_iter=example.epochs, n_iter_no_change=example.epochs, tol=0.0, random_state=SEED),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, labels)
    scaler, network = model[0], model[1]
    scaler.mean_ = rounded(scaler.mean_)
    # A pixel that is white in every image has no spread; scikit-learn scales it by 1.
    scaler.scale_ = np.maximum(rounded(scaler.scale_), 1 / WEIGHT_STEPS)
    network.coefs_ = [rounded(weights) for weights in network.coefs_]
    network.intercepts_ = [rounded(bias) for bias in network.intercepts_]
    return model


def export(example: Example, model, width: int) -> ModelProto:
    """The ONNX model: `features` [rows, width] to `label` [rows] and `probabilities` [rows, classes]."""
    onnx_model = to_onnx(
        model,
        name=example.name,
        initial_types=[("features", FloatTensorType([None, width]))],
        # Without this the probabilities would be a list of maps instead of one tensor.
        options={"zipmap": False},
        target_opset=OPERATOR_SETS,
    )
    onnx_model.doc_string = ""
    return onnx_model


def held_out_json(example: Example, classes: list[str], rows: np.ndarray, labels: np.ndarray, predictions: np.ndarray, probabilities: np.ndarray) -> str:
    """The test file, one row a line; probabilities to 7 decimals, which is what float32 is good for."""

    def lines(table: np.ndarray) -> str:
        return ",\n    ".join(json.dumps([round(float(value), 7) for value in row]) for row in table)

    kept = slice(0, example.written)
    return (
        "{\n"
        f'  "classes": {json.dumps(classes)},\n'
        f'  "rows": [\n    {lines(rows[kept])}\n  ],\n'
        f'  "labels": {json.dumps(labels[kept].tolist())},\n'
        f'  "predictions": {json.dumps(predictions[kept].tolist())},\n'
        f'  "probabilities": [\n    {lines(probabilities[kept])}\n  ]\n'
        "}\n"
    )


def make(example: Example, folder: Path) -> str:
    """Trains, exports and checks one classifier; returns its line of SHA256SUMS."""
    data = example.dataset()
    rows, labels = data.data, data.target
    train_rows, test_rows, train_labels, test_labels = train_test_split(
        rows, labels, test_size=example.held_out, stratify=labels, random_state=SEED
    )
    content = export(example, train(example, train_rows, train_labels), rows.shape[1]).SerializeToString(deterministic=True)

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    predictions, probabilities = session.run(["label", "probabilities"], {"features": test_rows.astype(np.float32)})
    right = int((predictions == test_labels).sum())

    classes = [str(name) for name in data.target_names]
    (folder / f"{example.name}.onnx").write_bytes(content)
    (folder / f"{example.name}.test.json").write_text(
        held_out_json(example, classes, test_rows, test_labels, predictions, probabilities)
    )
    print(f"{example.name}: {right} of {len(test_labels)} held-out rows right, {len(content)} bytes")
    return f"{hashlib.sha256(content).hexdigest()}  {example.name}.onnx\n"


def main() -> None:
    """Writes every example and SHA256SUMS."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to (default: this script's)")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SHA256SUMS").write_text("".join(make(example, folder) for example in EXAMPLES))


if __name__ == "__main__":
    main()
