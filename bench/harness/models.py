"""The models that are served."""

import json

from harness import places

IRIS = places.MODELS / "iris.onnx"


def iris_rows():
    """Rows with the classes that the model gives them."""
    held_out = json.loads((places.MODELS / "iris.test.json").read_text(encoding="utf-8"))
    return held_out["rows"], held_out["predictions"]
