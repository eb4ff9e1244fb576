"""Error messages for clients with invalid requests."""

import gzip

import numpy as np
import pytest
import tritonclient.http
from tritonclient.utils import InferenceServerException

from protocols import Protocol
from server import Server

ROW = {"features": np.zeros((1, 4), np.float32)}


def test_unknown_model(protocol: Protocol):
    message = protocol.refusal("not found", lambda: protocol.infer("nothing", ROW))
    assert "nothing" in message
    for what in ("model_metadata", "model_config", "inference_statistics"):
        assert "nothing" in protocol.refusal("not found", lambda: protocol.described(what, "nothing"))


def test_unknown_version(protocol: Protocol):
    message = protocol.refusal("not found", lambda: protocol.infer("logistic_numbers", ROW, model_version="7"))
    assert "logistic_numbers" in message and "7" in message


@pytest.mark.parametrize("version", ["0", "-1", "one"])
def test_what_is_no_version(protocol: Protocol, version: str):
    assert protocol.refusal("not found", lambda: protocol.infer("logistic_numbers", ROW, model_version=version))


def test_wrong_datatype(protocol: Protocol):
    message = protocol.refusal("invalid", lambda: protocol.infer("logistic_numbers", {"features": np.zeros((1, 4), np.int64)}))
    assert all(word in message for word in ("features", "FP32", "INT64"))


@pytest.mark.parametrize("shape", [(1, 3), (4,), (1, 4, 1)])
def test_wrong_shape(protocol: Protocol, shape: tuple[int, ...]):
    message = protocol.refusal("invalid", lambda: protocol.infer("logistic_numbers", {"features": np.zeros(shape, np.float32)}))
    assert "features" in message and "4" in message


def test_missing_and_unknown_input(protocol: Protocol):
    array = np.zeros((1, 4), np.float32)
    assert "b" in protocol.refusal("invalid", lambda: protocol.infer("sum_and_difference", {"a": array}))
    message = protocol.refusal("invalid", lambda: protocol.infer("sum_and_difference", {"a": array, "b": array, "surplus": array}))
    assert "surplus" in message


def test_an_input_twice(protocol: Protocol):
    inputs = protocol.inputs({"a": np.zeros((1, 4), np.float32)}) * 2
    assert "a" in protocol.refusal("invalid", lambda: protocol.client.infer("sum_and_difference", inputs))


def test_no_rows(protocol: Protocol):
    message = protocol.refusal("invalid", lambda: protocol.infer("logistic_numbers", {"features": np.zeros((0, 4), np.float32)}))
    assert "rows" in message


def test_rows_that_differ(protocol: Protocol):
    arrays = {"a": np.zeros((1, 4), np.float32), "b": np.zeros((2, 4), np.float32)}
    assert "b" in protocol.refusal("invalid", lambda: protocol.infer("sum_and_difference", arrays))


def test_unknown_output(protocol: Protocol):
    message = protocol.refusal("invalid", lambda: protocol.infer("logistic_numbers", ROW, outputs=protocol.outputs(["surplus"])))
    assert "surplus" in message


def test_too_many_rows(protocol: Protocol):
    message = protocol.refusal("invalid", lambda: protocol.infer("logistic_numbers", {"features": np.zeros((33, 4), np.float32)}))
    assert all(word in message for word in ("features", "[33, 4]", "32 rows"))


def test_strings_that_are_no_text(protocol: Protocol):
    for value in (b"\xff\xfe", b"a\x00b"):
        message = protocol.refusal("invalid", lambda: protocol.infer("identity_bytes", {"x": np.array([[value]], object)}))
        assert "x" in message


def test_an_id_beyond_the_table(protocol: Protocol):
    message = protocol.refusal("invalid", lambda: protocol.infer("lookup", {"index": np.array([[99]], np.int64)}))
    assert message and "/" not in message


def test_long_ids(protocol: Protocol):
    assert "id" in protocol.refusal("invalid", lambda: protocol.infer("logistic_numbers", ROW, request_id="x" * 10_000))


def test_shared_memory_is_not_served(protocol: Protocol):
    tensor = protocol.module.InferInput("features", [1, 4], "FP32")
    tensor.set_shared_memory("region", 16)
    assert "shared memory" in protocol.refusal("unsupported", lambda: protocol.client.infer("logistic_numbers", [tensor]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xff",
        b'{"inputs": 3}',
        b'{"inputs": [{"name": "features"}]}',
        b'{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP99", "data": [1, 2, 3, 4]}]}',
        b'{"inputs": [{"name": "features", "shape": [1, -4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}',
        b'{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3]}]}',
        b'{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, "4"]}]}',
        b'{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, NaN]}]}',
        b'{"inputs": [{"name": "features", "shape": [4611686018427387904, 4], "datatype": "FP32", "data": []}]}',
        b'{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": ' + b"[" * 50_000,
    ],
    ids=lambda body: body[-40:].decode(errors="replace"),
)
def test_bodies_that_are_no_request(server: Server, body: bytes):
    response = server.post("/v2/models/logistic_numbers/infer", body)
    assert response.status == 400, response.data
    # The field that tritonclient reads.
    assert isinstance(response.json()["error"], str) and response.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1000000", "18446744073709551616"])
def test_lengths_of_the_header_that_can_not_be(server: Server, length: str):
    body = b'{"inputs": []}'
    response = server.post("/v2/models/logistic_numbers/infer", body, **{"Inference-Header-Content-Length": length})
    assert response.status == 400, response.data
    assert "inference-header-content-length" in response.json()["error"].lower()


def test_binary_data_that_is_too_short(server: Server):
    header = b'{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}]}'
    response = server.post("/v2/models/logistic_numbers/infer", header + b"\0" * 12, **{"Inference-Header-Content-Length": str(len(header))})
    assert response.status == 400, response.data
    assert "features" in response.json()["error"]


def test_too_large(server: Server):
    """A body that is larger than any request of the model is not read."""
    response = server.post("/v2/models/logistic_numbers/infer", b" " * (1 << 27))
    assert response.status == 413
    assert response.json()["error"]


def test_a_bomb_of_compression(server: Server):
    body = gzip.compress(b" " * (1 << 24))
    response = server.post("/v2/models/logistic_numbers/infer", body, **{"Content-Encoding": "gzip"})
    assert response.status == 413


NOT_FINITE = np.array([[np.nan, np.inf, -np.inf]], np.float32)


def test_not_finite_numbers_in_binary_tensors_are_numbers_like_others(protocol: Protocol):
    np.testing.assert_array_equal(protocol.infer("identity_fp32", {"x": NOT_FINITE}).as_numpy("y"), NOT_FINITE)


def test_not_finite_numbers_have_no_json(server: Server):
    with tritonclient.http.InferenceServerClient(server.http_address) as client:
        tensor = tritonclient.http.InferInput("x", [1, 3], "FP32")
        output = tritonclient.http.InferRequestedOutput("y", binary_data=False)
        # Python's json writes NaN and Infinity, which are not valid JSON.
        tensor.set_data_from_numpy(NOT_FINITE, binary_data=False)
        with pytest.raises(InferenceServerException) as raised:
            client.infer("identity_fp32", [tensor])
        assert raised.value.status() == "400"
        assert "NaN" in raised.value.message()
        tensor.set_data_from_numpy(NOT_FINITE)
        with pytest.raises(InferenceServerException) as raised:
            client.infer("identity_fp32", [tensor], outputs=[output])
        assert raised.value.status() == "422"
        assert "binary" in raised.value.message()


def test_unknown_compression(server: Server):
    response = server.post("/v2/models/logistic_numbers/infer", b"{}", **{"Content-Encoding": "br"})
    assert response.status == 415


def test_unknown_paths_and_methods(server: Server):
    assert server.request("GET", "/v2/nothing").status == 404
    assert server.request("GET", "/v2/models/logistic_numbers/infer").status == 405


def test_models_are_not_loaded_by_request(protocol: Protocol):
    """The model directory determines the served models, not a client."""
    for call in (protocol.client.load_model, protocol.client.unload_model):
        assert protocol.refusal("unsupported", lambda: call("logistic_numbers"))
    assert protocol.client.is_model_ready("logistic_numbers")
