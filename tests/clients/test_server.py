"""Metadata of the server and its models."""

from pathlib import Path

import grpc
import pytest
import tritonclient.grpc

from models import ELEMENT_TYPES
from protocols import Protocol
from server import Server


def test_live_and_ready(protocol: Protocol):
    assert protocol.client.is_server_live()
    assert protocol.client.is_server_ready()
    assert protocol.client.is_model_ready("softmax")
    assert protocol.client.is_model_ready("softmax", "1")


def test_unknown_models_are_not_ready(protocol: Protocol):
    assert not protocol.client.is_model_ready("nothing")
    assert not protocol.client.is_model_ready("softmax", "2")


def test_server_metadata(protocol: Protocol):
    metadata = protocol.described("server_metadata")
    assert metadata["name"] == "springtide"
    assert metadata["version"].count(".") == 2
    assert {"binary_tensor_data", "model_configuration", "model_repository", "statistics"} <= set(metadata["extensions"])


def test_index_has_every_model(protocol: Protocol, models: Path):
    index = protocol.described("model_repository_index")
    if protocol.name == "grpc":
        index = index["models"]
    assert sorted(entry["name"] for entry in index) == sorted(folder.name for folder in models.iterdir())
    assert {(entry["version"], entry["state"], entry.get("reason", "")) for entry in index} == {("1", "READY", "")}


def shapes(ports: list[dict]) -> dict[str, tuple[str, list[int]]]:
    """Data type and shape of each input and output. 64-bit integers are strings in protobuf's JSON."""
    return {port["name"]: (port["datatype"], [int(length) for length in port["shape"]]) for port in ports}


def test_metadata_of_several_ports(protocol: Protocol):
    metadata = protocol.described("model_metadata", "mixed")
    assert metadata["name"] == "mixed"
    assert metadata["versions"] == ["1"]
    assert metadata["platform"] == "onnxruntime_onnx"
    assert shapes(metadata["inputs"]) == {"numbers": ("FP32", [-1, 3]), "count": ("INT32", [-1, 1]), "name": ("BYTES", [-1, 1])}
    assert shapes(metadata["outputs"]) == {
        "scaled": ("FP32", [-1, 3]),
        "positive": ("BOOL", [-1, 3]),
        "same_name": ("BYTES", [-1, 1]),
    }


@pytest.mark.parametrize("datatype", ELEMENT_TYPES)
def test_metadata_of_every_element_type(protocol: Protocol, datatype: str):
    metadata = protocol.described("model_metadata", f"identity_{datatype.lower()}", "1")
    assert shapes(metadata["inputs"]) == {"x": (datatype, [-1, -1])}
    assert shapes(metadata["outputs"]) == {"y": (datatype, [-1, -1])}


def test_metadata_of_fixed_shapes(protocol: Protocol):
    assert shapes(protocol.described("model_metadata", "fixed")["inputs"]) == {"x": ("FP32", [2, 3])}
    scalar = protocol.described("model_metadata", "scalar")["inputs"]
    assert [(port["name"], port["datatype"], list(port.get("shape", []))) for port in scalar] == [("x", "FP64", [])]


def config(protocol: Protocol, model: str) -> dict:
    """A model's configuration."""
    result = protocol.described("model_config", model)
    return result if protocol.name == "http" else result["config"]


def dims(ports: list[dict]) -> dict[str, tuple[str, list[int]]]:
    """Type and dimensions of each input and output."""
    return {port["name"]: (port["data_type"], [int(length) for length in port["dims"]]) for port in ports}


def test_config_of_a_model_that_batches(protocol: Protocol):
    """As in Triton, the dimensions are those of one row if `max_batch_size` isn't 0."""
    result = config(protocol, "mixed")
    assert result["name"] == "mixed"
    assert result["platform"] == "onnxruntime_onnx"
    assert result["max_batch_size"] == 32
    assert dims(result["input"]) == {"numbers": ("TYPE_FP32", [3]), "count": ("TYPE_INT32", [1]), "name": ("TYPE_STRING", [1])}
    assert dims(result["output"]) == {"scaled": ("TYPE_FP32", [3]), "positive": ("TYPE_BOOL", [3]), "same_name": ("TYPE_STRING", [1])}


def test_config_of_a_model_that_does_not_batch(protocol: Protocol):
    result = config(protocol, "fixed")
    assert result.get("max_batch_size", 0) == 0
    assert dims(result["input"]) == {"x": ("TYPE_FP32", [2, 3])}


def test_probes_need_no_client(server: Server):
    for path in ("/health", "/ready", "/v2/health/live", "/v2/health/ready", "/v2/models/softmax/ready", "/v2/models/softmax/versions/1/ready"):
        assert server.request("GET", path).status == 200, path
    assert server.request("GET", "/v2/models/nothing/ready").status != 200


def test_one_port_speaks_both(server: Server):
    with tritonclient.grpc.InferenceServerClient(server.http_address) as client:
        assert client.is_model_ready("softmax")


def test_health_service_of_grpc(server: Server):
    """gRPC probes of Kubernetes use grpc.health.v1. Its HealthCheckResponse has the field status = 1 with
    SERVING = 1."""
    for address in (server.http_address, server.grpc_address):
        with grpc.insecure_channel(address) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert check(b"", timeout=10) == b"\x08\x01"
