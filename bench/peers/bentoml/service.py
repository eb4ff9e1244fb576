"""BentoML with ONNX Runtime."""

import os

import bentoml
import numpy
import onnxruntime


@bentoml.service(
    workers=int(os.environ["WORKERS"]),
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},
    metrics={"enabled": True},
)
class Iris:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["INTRA_OP_THREADS"])
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL_PATH"], options, providers=["CPUExecutionProvider"]
        )

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def predict(self, features: list[list[float]]) -> list[dict]:
        rows = numpy.asarray(features, dtype=numpy.float32)
        labels, probabilities = self._session.run(["label", "probabilities"], {"features": rows})
        return [
            {"prediction": int(label), "confidence": float(row.max())}
            for label, row in zip(labels, probabilities)
        ]
