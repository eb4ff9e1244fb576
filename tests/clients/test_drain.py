"""The shutdown of a server with active clients."""

import threading
import time
from pathlib import Path

import numpy as np

from load import Load
from protocols import Protocol
from server import Server

# Time in which a cluster's proxies observe that a pod is no longer ready, in seconds.
SPREAD_SECONDS = 1


def test_no_request_fails(models: Path):
    """Clients send requests until they have observed that the server is not ready."""
    server = Server("--model-path", models / "slow" / "1" / "model.onnx", "--model-name", "slow").until_ready()
    row = {"x": np.ones((1, 128), np.float32)}
    with Load(server, lambda client: client.infer("slow", row)) as load:
        server.wait_for(lambda: load.answers > 20, seconds=20)
        server.terminate()
        server.wait_for(lambda: not server.is_ready(), seconds=5)
        answers = load.answers
        time.sleep(SPREAD_SECONDS)
        assert load.answers > answers
    assert load.failures == []
    assert server.wait() == 0


def test_what_was_accepted_is_answered(models: Path):
    server = Server("--model-path", models / "slow" / "1" / "model.onnx", "--model-name", "slow", "--max-batch-size", "4").until_ready()
    answers, failures = [], []

    def ask(name: str) -> None:
        protocol = Protocol(name, server)
        try:
            answers.append(protocol.infer("slow", {"x": np.ones((4, 128), np.float32)}).as_numpy("y").shape)
        except Exception as error:
            failures.append(error)
        protocol.close()

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("http", "grpc") for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    server.terminate()
    for thread in threads:
        thread.join()
    assert failures == []
    assert answers == [(4, 128)] * 16
    assert server.wait() == 0
