"""Requests of all shapes: several inputs, any axes, IDs, compression, asyncio."""

import asyncio
import json
import queue

import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from protocols import Protocol
from server import Server

TOLERANCE = 1e-5
MIXED = {
    "numbers": np.array([[1, -2, 3], [-4, 5, 0]], np.float32),
    "count": np.array([[2], [3]], np.int32),
    "name": np.array([["ein"], ["zwei"]], object),
}


def test_several_inputs_and_outputs(protocol: Protocol):
    result = protocol.infer("mixed", MIXED)
    np.testing.assert_array_equal(result.as_numpy("scaled"), [[2, -4, 6], [-12, 15, 0]])
    np.testing.assert_array_equal(result.as_numpy("positive"), [[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(result.as_numpy("same_name"), [[b"ein"], [b"zwei"]])


def test_inputs_go_by_name(protocol: Protocol):
    arrays = {"b": np.full((1, 4), 1, np.float32), "a": np.full((1, 4), 10, np.float32)}
    result = protocol.infer("sum_and_difference", arrays)
    np.testing.assert_array_equal(result.as_numpy("difference"), np.full((1, 4), 9))


def test_only_the_outputs_that_are_asked_for(protocol: Protocol):
    result = protocol.infer("mixed", MIXED, outputs=protocol.outputs(["positive"]))
    assert result.as_numpy("positive").shape == (2, 3)
    assert result.as_numpy("scaled") is None
    assert result.as_numpy("same_name") is None


def test_outputs_in_the_order_of_asking(protocol: Protocol):
    result = protocol.infer("mixed", MIXED, outputs=protocol.outputs(["same_name", "scaled"]))
    response = result.get_response()
    outputs = response["outputs"] if protocol.name == "http" else response.outputs
    names = [output["name"] if protocol.name == "http" else output.name for output in outputs]
    assert names == ["same_name", "scaled"]


def test_json_and_binary_tensors_in_one_request(server: Server):
    inputs = []
    for name, array in MIXED.items():
        tensor = tritonclient.http.InferInput(name, list(array.shape), {"numbers": "FP32", "count": "INT32", "name": "BYTES"}[name])
        tensor.set_data_from_numpy(array, binary_data=name != "count")
        inputs.append(tensor)
    outputs = [tritonclient.http.InferRequestedOutput(name, binary_data=name == "positive") for name in ("scaled", "positive", "same_name")]
    with tritonclient.http.InferenceServerClient(server.http_address) as client:
        result = client.infer("mixed", inputs, outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("scaled"), [[2, -4, 6], [-12, 15, 0]])
    np.testing.assert_array_equal(result.as_numpy("positive"), [[True, False, True], [False, True, False]])
    assert result.as_numpy("same_name").tolist() == [["ein"], ["zwei"]]


def test_any_length(protocol: Protocol, in_process):
    random = np.random.default_rng(2)
    for shape in ((1, 1), (3, 1), (1, 2000), (32, 7)):
        x = random.normal(size=shape).astype(np.float32)
        result, expected = protocol.infer("softmax", {"x": x}), in_process("softmax", x=x)
        for name in ("softmax", "mean"):
            np.testing.assert_allclose(result.as_numpy(name), expected[name], atol=TOLERANCE)


def test_shapes_without_a_batch(protocol: Protocol):
    result = protocol.infer("fixed", {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})
    np.testing.assert_array_equal(result.as_numpy("y"), [[0, 2, 4], [6, 8, 10]])
    result = protocol.infer("scalar", {"x": np.array(21.0)}).as_numpy("y")
    assert (result.shape, float(result)) == ((), 42.0)


def test_an_id_comes_back(protocol: Protocol):
    def identifier(result) -> str:
        response = result.get_response()
        return response.get("id", "") if protocol.name == "http" else response.id

    x = {"x": np.ones((1, 1), np.float32)}
    assert identifier(protocol.infer("scale", x, request_id="grün-1")) == "grün-1"
    assert identifier(protocol.infer("scale", x)) == ""


def test_answers_name_the_model(protocol: Protocol):
    for version in ("", "1"):
        response = protocol.infer("scale", {"x": np.ones((1, 1), np.float32)}, model_version=version).get_response()
        names = (response["model_name"], response["model_version"]) if protocol.name == "http" else (response.model_name, response.model_version)
        assert names == ("scale", "1")


@pytest.mark.parametrize("request_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_algorithm", [None, "gzip", "deflate"])
def test_http_compression(server: Server, in_process, request_algorithm: str | None, response_algorithm: str | None):
    x = np.tile(np.arange(100, dtype=np.float32), (16, 10))
    with tritonclient.http.InferenceServerClient(server.http_address) as client:
        tensor = tritonclient.http.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        result = client.infer(
            "softmax",
            [tensor],
            request_compression_algorithm=request_algorithm,
            response_compression_algorithm=response_algorithm,
        )
    np.testing.assert_allclose(result.as_numpy("softmax"), in_process("softmax", x=x)["softmax"], atol=TOLERANCE)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_answers_really_are_compressed(server: Server, algorithm: str):
    body = {"inputs": [{"name": "x", "shape": [1, 4000], "datatype": "INT32", "data": [7] * 4000}]}
    options = {"body": json.dumps(body).encode(), "decode_content": False}
    response = server.request("POST", "/v2/models/identity_int32/infer", headers={"Accept-Encoding": algorithm}, **options)
    assert response.status == 200
    assert response.headers["Content-Encoding"] == algorithm
    assert len(response.data) < 1000
    plain = server.request("POST", "/v2/models/identity_int32/infer", **options)
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_grpc_compression(server: Server, in_process, algorithm: str):
    x = np.tile(np.arange(100, dtype=np.float32), (16, 10))
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        tensor = tritonclient.grpc.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        result = client.infer("softmax", [tensor], compression_algorithm=algorithm)
    np.testing.assert_allclose(result.as_numpy("softmax"), in_process("softmax", x=x)["softmax"], atol=TOLERANCE)


def test_parameters_are_no_hindrance(protocol: Protocol):
    """Clients may send sequence IDs, priorities, timeouts and their own parameters."""
    result = protocol.infer(
        "scale", {"x": np.ones((1, 1), np.float32)}, priority=1, timeout=5_000_000, parameters={"tenant": "a", "count": 3, "flag": True}
    )
    np.testing.assert_array_equal(result.as_numpy("y"), [[1]])


def test_asynchronous_requests(protocol: Protocol):
    """The client's interface for several concurrent requests."""
    client, count = protocol.client, 20
    if protocol.name == "http":
        pending = [client.async_infer("scale", protocol.inputs({"x": np.full((1, 1), n, np.float32)})) for n in range(count)]
        results = [request.get_result() for request in pending]
    else:
        done: queue.Queue = queue.Queue()
        for n in range(count):
            inputs = protocol.inputs({"x": np.full((1, 1), n, np.float32)})
            client.async_infer("scale", inputs, callback=lambda result, error, n=n: done.put((n, result, error)))
        answers = sorted((done.get(timeout=10) for _ in range(count)), key=lambda answer: answer[0])
        assert [error for _, _, error in answers] == [None] * count
        results = [result for _, result, _ in answers]
    assert [float(result.as_numpy("y")[0, 0]) for result in results] == list(range(count))


def test_a_stream_of_requests(server: Server):
    done: queue.Queue = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        client.start_stream(lambda result, error: done.put((result, error)))
        for n in range(20):
            tensor = tritonclient.grpc.InferInput("x", [1, 1 + n // 19], "FP32")
            tensor.set_data_from_numpy(np.full((1, 1 + n // 19), n, np.float32))
            client.async_stream_infer("scale", [tensor], request_id=str(n))
        answers = [done.get(timeout=10) for _ in range(20)]
        client.stop_stream()
    errors = [error for _, error in answers if error]
    # The last request has one column too many, which doesn't end the stream.
    assert len(errors) == 1 and "x" in errors[0].message()
    values = {result.get_response().id: float(result.as_numpy("y")[0, 0]) for result, error in answers if not error}
    assert values == {str(n): float(n) for n in range(19)}


@pytest.mark.parametrize("name", ["http", "grpc"])
def test_asyncio(server: Server, in_process, name: str):
    module = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}[name]
    address = {"http": server.http_address, "grpc": server.grpc_address}[name]

    async def ask(client, x: np.ndarray) -> np.ndarray:
        tensor = module.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        return (await client.infer("softmax", [tensor])).as_numpy("softmax")

    async def run() -> None:
        async with module.InferenceServerClient(address) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("softmax")
            await client.get_server_metadata()
            await client.get_model_metadata("softmax")
            await client.get_model_config("softmax")
            await client.get_model_repository_index()
            await client.get_inference_statistics("softmax")
            random = np.random.default_rng(3)
            inputs = [random.normal(size=(1 + n % 3, 5 + n % 4)).astype(np.float32) for n in range(40)]
            for x, result in zip(inputs, await asyncio.gather(*(ask(client, x) for x in inputs))):
                np.testing.assert_allclose(result, in_process("softmax", x=x)["softmax"], atol=TOLERANCE)

    asyncio.run(run())
