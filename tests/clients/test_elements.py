"""Every element type in requests and responses, in all forms of the protocols."""

import json

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2

from models import ELEMENT_TYPES
from protocols import Protocol
from server import Server

# Extremes and values between them that a conversion through another type would change.
VALUES = {
    "BOOL": np.array([[True, False, True]]),
    **{
        name: np.array([[np.iinfo(kind).min, 1, np.iinfo(kind).max]], kind)
        for name, kind in {
            "UINT8": np.uint8,
            "UINT16": np.uint16,
            "UINT32": np.uint32,
            "UINT64": np.uint64,
            "INT8": np.int8,
            "INT16": np.int16,
            "INT32": np.int32,
            "INT64": np.int64,
        }.items()
    },
    "FP16": np.array([[-65504, 6e-8, 1 / 3]], np.float16),
    "BF16": np.array([[-3e38, 1e-38, 1 / 3]], ml_dtypes.bfloat16),
    "FP32": np.array([[-3.4028235e38, 1e-45, 1 / 3]], np.float32),
    "FP64": np.array([[-1.7976931348623157e308, 5e-324, 1 / 3]], np.float64),
    "BYTES": np.array([["", "Grüße, 世界 🌍", "\"\\\n\t\u0001"]], object),
}

# Types without JSON or typed contents in tritonclient and the protocol.
BINARY_ONLY = ("FP16", "BF16")

datatypes = pytest.mark.parametrize("datatype", ELEMENT_TYPES)
typed = pytest.mark.parametrize("datatype", [name for name in ELEMENT_TYPES if name not in BINARY_ONLY])
through = pytest.mark.parametrize("binary_input, binary_output", [(True, True), (True, False), (False, True), (False, False)])


def same(result, sent: np.ndarray) -> None:
    """Asserts that the response is bitwise equal to the request."""
    got = result.as_numpy("y")
    expected = np.vectorize(str.encode, otypes=[object])(sent) if sent.dtype == object else sent
    # Strings of JSON are strings.
    if got.dtype == object:
        got = np.vectorize(lambda value: value.encode() if isinstance(value, str) else value, otypes=[object])(got)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tolist() == expected.tolist()


@datatypes
def test_the_defaults(protocol: Protocol, datatype: str):
    same(protocol.infer(f"identity_{datatype.lower()}", {"x": VALUES[datatype]}), VALUES[datatype])


@typed
@through
def test_json_and_binary(server: Server, datatype: str, binary_input: bool, binary_output: bool):
    value = VALUES[datatype]
    tensor = tritonclient.http.InferInput("x", list(value.shape), datatype)
    tensor.set_data_from_numpy(value, binary_data=binary_input)
    output = tritonclient.http.InferRequestedOutput("y", binary_data=binary_output)
    with tritonclient.http.InferenceServerClient(server.http_address) as client:
        result = client.infer(f"identity_{datatype.lower()}", [tensor], outputs=[output])
    parameters = result.get_output("y").get("parameters", {})
    assert ("binary_data_size" in parameters) == binary_output
    same(result, value)


@typed
def test_typed_contents(server: Server, datatype: str):
    """gRPC has typed fields besides the raw contents that tritonclient sends."""
    value = VALUES[datatype]
    request = service_pb2.ModelInferRequest(model_name=f"identity_{datatype.lower()}")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=value.shape)
    getattr(tensor.contents, contents_field(datatype)).extend(
        [element.encode() for element in value.ravel()] if datatype == "BYTES" else value.ravel().tolist()
    )
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        response = client._client_stub.ModelInfer(request)
    same(tritonclient.grpc.InferResult(response), value)


def contents_field(datatype: str) -> str:
    """The field of InferTensorContents for a type."""
    if datatype in ("INT8", "INT16", "INT32"):
        return "int_contents"
    if datatype in ("UINT8", "UINT16", "UINT32"):
        return "uint_contents"
    fields = {"BOOL": "bool", "INT64": "int64", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}
    return f"{fields[datatype]}_contents"


@datatypes
def test_rows_without_elements(protocol: Protocol, datatype: str):
    value = np.empty((2, 0), VALUES[datatype].dtype)
    assert protocol.infer(f"identity_{datatype.lower()}", {"x": value}).as_numpy("y").shape == (2, 0)


def test_nested_json(server: Server):
    """JSON may have the shape of the tensor, or be flat."""
    for data in ([[1, 2], [3, 4]], [1, 2, 3, 4]):
        body = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "INT32", "data": data}]}
        response = server.post("/v2/models/identity_int32/infer", body)
        assert response.status == 200, response.data
        (output,) = response.json()["outputs"]
        assert output == {"name": "y", "datatype": "INT32", "shape": [2, 2], "data": [1, 2, 3, 4]}


def test_half_precision_in_json(server: Server):
    """16-bit floats are numbers in JSON, although tritonclient doesn't send them."""
    for datatype in BINARY_ONLY:
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": datatype, "data": [0.5, -2]}]}
        response = server.post(f"/v2/models/identity_{datatype.lower()}/infer", body)
        assert response.status == 200, response.data
        assert response.json()["outputs"][0]["data"] == [0.5, -2]


def test_raw_binary_request(server: Server):
    """Triton's short form without JSON: the bytes of the only input, as one row."""
    value = np.array([[1.5, -2.5, 3.5]], np.float32)
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"}
    response = server.post("/v2/models/identity_fp32/infer", value.tobytes(), **headers)
    assert response.status == 200, response.data
    length = int(response.headers["Inference-Header-Content-Length"])
    (output,) = json.loads(response.data[:length])["outputs"]
    assert output == {"name": "y", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}
    assert response.data[length:] == value.tobytes()


def test_raw_binary_request_for_several_inputs(server: Server):
    response = server.post("/v2/models/sum_and_difference/infer", b"\0" * 32, **{"Inference-Header-Content-Length": "0"})
    assert response.status == 400
    assert "input" in response.json()["error"]
