"""Requests in shared batches: correct responses, exact counts, and invalid requests that don't affect
others."""

import asyncio
from collections.abc import Sequence

import numpy as np
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from metrics import Growth
from protocols import Protocol
from server import Server

TOLERANCE = 1e-5


def at_once(server: Server, model: str, requests: Sequence[dict[str, np.ndarray]]) -> list:
    """Sends all requests at the same time. Returns the responses, or the exceptions in their places."""

    async def infer(client, arrays: dict[str, np.ndarray]):
        inputs = []
        for name, array in arrays.items():
            tensor = tritonclient.grpc.aio.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            inputs.append(tensor.set_data_from_numpy(array))
        return await client.infer(model, inputs)

    async def run() -> list:
        async with tritonclient.grpc.aio.InferenceServerClient(server.grpc_address) as client:
            await client.is_server_live()
            return await asyncio.gather(*(infer(client, arrays) for arrays in requests), return_exceptions=True)

    return asyncio.run(run())


class Statistics:
    """The growth of a model's statistics within a `with` block."""

    def __init__(self, protocol: Protocol, model: str):
        self.read = lambda: protocol.statistics(model)

    def __enter__(self) -> "Statistics":
        self.before = self.read()
        return self

    def __exit__(self, *_) -> None:
        self.after = self.read()

    def of(self, *path: str) -> int:
        """The growth of a number. Protobuf's JSON omits zeros and writes 64-bit integers as text."""

        def number(statistics: dict) -> int:
            for key in path:
                statistics = statistics.get(key, {})
            return int(statistics or 0)

        return number(self.after) - number(self.before)

    def batches(self) -> dict[int, int]:
        """The number of batches of each size."""

        def counts(statistics: dict) -> dict[int, int]:
            return {int(batch["batch_size"]): int(batch["compute_infer"]["count"]) for batch in statistics.get("batch_stats", [])}

        before = counts(self.before)
        grown = {size: count - before.get(size, 0) for size, count in counts(self.after).items()}
        return {size: count for size, count in grown.items() if count}


def test_shapes_batch_apart(server: Server, in_process):
    random = np.random.default_rng(4)
    requests = [{"x": random.normal(size=(1 + n % 4, 3 + n % 5)).astype(np.float32)} for n in range(200)]
    for request, result in zip(requests, at_once(server, "softmax", requests), strict=True):
        expected = in_process("softmax", **request)
        for name in ("softmax", "mean"):
            np.testing.assert_allclose(result.as_numpy(name), expected[name], atol=TOLERANCE)


def test_requests_that_come_together_run_together(server: Server, protocol: Protocol, in_process):
    random = np.random.default_rng(5)
    requests = [{"x": random.normal(size=(1 + n % 2, 128)).astype(np.float32)} for n in range(30)]
    rows = sum(len(request["x"]) for request in requests)
    with Statistics(protocol, "slow") as grown, Growth(server) as metrics:
        results = at_once(server, "slow", requests)
    for request, result in zip(requests, results, strict=True):
        np.testing.assert_allclose(result.as_numpy("y"), in_process("slow", **request)["y"], atol=TOLERANCE)

    batches = grown.batches()
    assert grown.of("execution_count") == sum(batches.values()) < len(requests)
    assert max(batches) <= 32
    assert grown.of("inference_count") == rows == sum(size * count for size, count in batches.items())
    assert grown.of("inference_stats", "success", "count") == len(requests)
    assert grown.of("inference_stats", "queue", "count") == len(requests)
    assert grown.of("inference_stats", "fail", "count") == 0

    assert metrics.of("ml_batch_size_count", model="slow") == sum(batches.values())
    assert metrics.of("ml_batch_size_sum", model="slow") == rows
    assert metrics.of("ml_queue_seconds_count", model="slow") == len(requests)
    assert metrics.of("ml_compute_seconds_count", model="slow") == sum(batches.values())


def test_statistics_are_exact(protocol: Protocol):
    with Statistics(protocol, "sum_and_difference") as grown:
        for rows in (1, 1, 5, 32):
            array = np.ones((rows, 4), np.float32)
            protocol.infer("sum_and_difference", {"a": array, "b": array})
    assert grown.of("inference_count") == 39
    assert grown.of("execution_count") == 4
    assert grown.of("inference_stats", "success", "count") == 4
    assert grown.of("inference_stats", "success", "ns") >= grown.of("inference_stats", "compute_infer", "ns") > 0
    assert grown.batches() == {1: 2, 5: 1, 32: 1}


def test_a_poison_request_fails_alone(server: Server, protocol: Protocol):
    indices = [n % 10 for n in range(60)]
    indices[30] = 10
    with Statistics(protocol, "lookup") as grown, Growth(server) as metrics:
        results = at_once(server, "lookup", [{"index": np.array([[index]], np.int64)} for index in indices])
    for index, result in zip(indices, results, strict=True):
        if index == 10:
            assert isinstance(result, InferenceServerException), result
            assert result.status() == "StatusCode.INVALID_ARGUMENT"
        else:
            assert float(result.as_numpy("value")[0, 0]) == 10 * index
    assert grown.of("inference_stats", "success", "count") == 59
    assert grown.of("inference_stats", "fail", "count") == 1
    assert metrics.of("ml_requests_total", model="lookup", status="success") == 59
    assert metrics.of("ml_requests_total", model="lookup", status="invalid") == 1


def test_metrics_count_what_clients_saw(server: Server, protocol: Protocol):
    right, wrong = {"x": np.ones((1, 1), np.float32)}, {"x": np.ones((1, 2), np.float32)}
    with Growth(server) as metrics:
        for _ in range(7):
            protocol.infer("scale", right)
        for _ in range(3):
            protocol.refusal("invalid", lambda: protocol.infer("scale", wrong))
        for _ in range(2):
            protocol.refusal("not found", lambda: protocol.infer("nothing", right))
    assert metrics.of("ml_requests_received_total", model="scale") == 10
    assert metrics.of("ml_requests_total", model="scale", status="success") == 7
    assert metrics.of("ml_requests_total", model="scale", status="invalid") == 3
    # Rejections are fast. With them, the others would appear fast.
    assert metrics.of("ml_request_latency_seconds_count", model="scale") == 7
    assert metrics.of("ml_requests_total") == metrics.of("ml_requests_received_total") == 12
    assert metrics.of("ml_requests_total", model="", status="invalid") == 2
    assert metrics.after.total("ml_active_requests") == 0
    assert metrics.after.total("ml_queue_size") == 0
