"""Mosec with ONNX Runtime."""

import os

import numpy
import onnxruntime
from mosec import Server, Worker


class Iris(Worker):
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["INTRA_OP_THREADS"])
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL_PATH"], options, providers=["CPUExecutionProvider"]
        )

    def forward(self, batch):
        rows = numpy.asarray([request["features"] for request in batch], dtype=numpy.float32)
        labels, probabilities = self._session.run(["label", "probabilities"], {"features": rows})
        return [
            {"prediction": int(label), "confidence": float(row.max())}
            for label, row in zip(labels, probabilities)
        ]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Iris, num=int(os.environ["WORKERS"]), max_batch_size=32, max_wait_time=1)
    server.run()
