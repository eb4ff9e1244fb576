"""More requests than the server can process."""

import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from metrics import Growth
from protocols import CODES, NAMES, Protocol
from server import Server

CLIENTS = 24
X = {"x": np.ones((1, 128), np.float32)}


@pytest.fixture
def narrow(models: Path):
    """A server with a small queue: one row runs, two wait."""
    options = ["--workers", "1", "--max-batch-size", "1", "--max-queue-rows", "2"]
    with Server("--model-path", models / "slow" / "1" / "model.onnx", "--model-name", "slow", *options) as server:
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_what_is_too_much_is_refused_at_once(narrow: Server, name: str):
    outcomes, refusal_seconds = Counter(), []
    begin = threading.Barrier(CLIENTS)

    def ask() -> None:
        protocol = Protocol(name, narrow)
        protocol.client.is_server_live()
        begin.wait()
        started = time.monotonic()
        try:
            protocol.infer("slow", X)
            outcomes["answered"] += 1
        except InferenceServerException as error:
            refusal_seconds.append(time.monotonic() - started)
            outcomes[error.status()] += 1
        protocol.close()

    with Growth(narrow) as metrics:
        threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    overloaded = CODES[name]["overloaded"]
    assert set(outcomes) == {"answered", overloaded}
    assert outcomes["answered"] >= 3
    assert metrics.of("ml_requests_total", status="success") == outcomes["answered"]
    assert metrics.of("ml_requests_total", status="rejected") == outcomes[overloaded]
    assert metrics.of("ml_requests_dropped_total") == outcomes[overloaded]
    # The clients share the processors of this machine. Most rejections are fast nevertheless.
    assert sorted(refusal_seconds)[len(refusal_seconds) // 2] < 1
    assert narrow.is_ready()


def test_refusals_say_when_to_come_again(narrow: Server):
    responses = []
    body = {"inputs": [{"name": "x", "shape": [1, 128], "datatype": "FP32", "data": [1] * 128}]}
    threads = [threading.Thread(target=lambda: responses.append(narrow.post("/v2/models/slow/infer", body))) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [response for response in responses if response.status != 200]
    assert refused
    for response in refused:
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 1
        assert "overload" in response.json()["error"]
