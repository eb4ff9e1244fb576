"""Ray Serve with ONNX Runtime."""

import os
import signal
import sys

import numpy
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Iris:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["INTRA_OP_THREADS"])
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL_PATH"], options, providers=["CPUExecutionProvider"]
        )

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)
    async def run(self, batch):
        rows = numpy.asarray(batch, dtype=numpy.float32)
        labels, probabilities = self._session.run(["label", "probabilities"], {"features": rows})
        return [
            {"prediction": int(label), "confidence": float(row.max())}
            for label, row in zip(labels, probabilities)
        ]

    async def __call__(self, request: Request):
        return await self.run((await request.json())["features"])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ray.init(
        address="local",
        num_cpus=int(os.environ["PROCESSORS"]),
        include_dashboard=False,
        configure_logging=False,
        _node_ip_address="127.0.0.1",
    )
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    serve.run(Iris.bind(), route_prefix="/predict")
    signal.pause()
