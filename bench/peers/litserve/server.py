"""LitServe with ONNX Runtime."""

import os

import litserve
import numpy
import onnxruntime


class Iris(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["INTRA_OP_THREADS"])
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL_PATH"], options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request):
        return numpy.asarray(request["features"], dtype=numpy.float32)

    def predict(self, rows):
        labels, probabilities = self._session.run(
            ["label", "probabilities"], {"features": numpy.asarray(rows)}
        )
        return list(zip(labels.tolist(), probabilities.max(axis=1).tolist()))

    def encode_response(self, output):
        prediction, confidence = output
        return {"prediction": prediction, "confidence": confidence}


if __name__ == "__main__":
    server = litserve.LitServer(
        Iris(max_batch_size=32, batch_timeout=0.005),
        accelerator="cpu",
        workers_per_device=int(os.environ["WORKERS"]),
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(os.environ["API_SERVERS"]),
        log_level="warning",
        generate_client_file=False,
    )
