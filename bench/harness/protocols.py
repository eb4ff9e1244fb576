"""Requests for rows of the iris model in each protocol, and the classes in the responses."""

import dataclasses
import json
import struct


@dataclasses.dataclass(frozen=True)
class Request:
    """A POST request."""

    body: bytes
    content_type: str = "application/json"
    #: Length of the JSON before the raw tensors, for the binary extension of the Open Inference
    #: Protocol.
    header_length: int | None = None

    def headers(self):
        headers = {"Content-Type": self.content_type}
        if self.header_length is not None:
            headers["Inference-Header-Content-Length"] = str(self.header_length)
        return headers


def contract(rows):
    """The request of /predict: a single row, or a list of several."""
    return Request(json.dumps({"features": rows[0] if len(rows) == 1 else rows}).encode())


def contract_classes(answer):
    predicted = json.loads(answer)["prediction"]
    return predicted if isinstance(predicted, list) else [predicted]


def open_inference(rows):
    """The request of /v2/models/iris/infer in JSON."""
    flat = [number for row in rows for number in row]
    tensor = {"name": "features", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": flat}
    return Request(json.dumps({"inputs": [tensor]}).encode())


def open_inference_classes(answer):
    outputs = {output["name"]: output for output in json.loads(answer)["outputs"]}
    probabilities = outputs["probabilities"]
    return _classes(probabilities["data"], probabilities["shape"][-1])


def furnace(rows):
    """The request of furnace's /predict."""
    return Request(json.dumps({"input": rows[0]} if len(rows) == 1 else {"inputs": rows}).encode())


def furnace_classes(answer):
    answer = json.loads(answer)
    rows = [answer["output"]] if "output" in answer else answer["outputs"]
    return [_largest(row) for row in rows]


def bentoml(rows):
    """The request of a batchable BentoML endpoint: a list of rows under the name of the argument."""
    return Request(json.dumps({"features": rows}).encode())


def bentoml_classes(answer):
    return [row["prediction"] for row in json.loads(answer)]


def open_inference_binary(tensors):
    """A request of INT64 tensors in the binary extension of the Open Inference Protocol.

    `tensors` are names with rows of numbers. Outputs are asked for in binary too.
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
    """
    inputs, raw = [], b""
    for name, rows in tensors.items():
        flat = [number for row in rows for number in row]
        data = struct.pack(f"<{len(flat)}q", *flat)
        inputs.append(
            {
                "name": name,
                "shape": [len(rows), len(rows[0])],
                "datatype": "INT64",
                "parameters": {"binary_data_size": len(data)},
            }
        )
        raw += data
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return Request(header + raw, "application/octet-stream", len(header))


def _classes(numbers, width):
    return [_largest(numbers[start : start + width]) for start in range(0, len(numbers), width)]


def _largest(row):
    return max(range(len(row)), key=row.__getitem__)


#: The protocols by their names in the files of peers: the request for rows, and the classes in a response.
BY_NAME = {
    "contract": (contract, contract_classes),
    "open-inference": (open_inference, open_inference_classes),
    "furnace": (furnace, furnace_classes),
    "bentoml": (bentoml, bentoml_classes),
    "any-answer": (contract, None),
}
