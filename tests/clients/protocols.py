"""One interface to both clients of tritonclient, so that a test can use both protocols."""

from collections.abc import Iterable, Mapping
from types import ModuleType

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from server import Server

# The names of errors.
CODES = {
    "http": {"invalid": "400", "not found": "404", "overloaded": "429", "failed": "500", "unsupported": "501"},
    "grpc": {
        "invalid": "StatusCode.INVALID_ARGUMENT",
        "not found": "StatusCode.NOT_FOUND",
        "overloaded": "StatusCode.RESOURCE_EXHAUSTED",
        "failed": "StatusCode.INTERNAL",
        "unsupported": "StatusCode.UNIMPLEMENTED",
    },
}

NAMES = tuple(CODES)


class Protocol:
    """A client for one protocol. Like those of tritonclient, it isn't thread-safe."""

    def __init__(self, name: str, server: Server):
        self.name = name
        self.module: ModuleType = {"http": tritonclient.http, "grpc": tritonclient.grpc}[name]
        address = {"http": server.http_address, "grpc": server.grpc_address}[name]
        self.client = self.module.InferenceServerClient(address)

    def close(self) -> None:
        """Closes the connection."""
        self.client.close()

    def inputs(self, arrays: Mapping[str, np.ndarray]) -> list:
        """The arrays as inputs of the client."""
        result = []
        for name, array in arrays.items():
            tensor = self.module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            result.append(tensor)
        return result

    def outputs(self, names: Iterable[str]) -> list:
        """The outputs to request."""
        return [self.module.InferRequestedOutput(name) for name in names]

    def infer(self, model: str, arrays: Mapping[str, np.ndarray], **options):
        """Runs a model with the client's defaults."""
        return self.client.infer(model, self.inputs(arrays), **options)

    def described(self, what: str, *arguments) -> dict | list:
        """The response of the client's method `get_…`, as JSON."""
        method = getattr(self.client, f"get_{what}")
        return method(*arguments) if self.name == "http" else method(*arguments, as_json=True)

    def statistics(self, model: str) -> dict:
        """The statistics of the only version of a model."""
        (result,) = self.described("inference_statistics", model)["model_stats"]
        return result

    def refusal(self, kind: str, call) -> str:
        """Expects an exception with the code of that kind. Returns its message."""
        with pytest.raises(InferenceServerException) as raised:
            call()
        assert raised.value.status() == CODES[self.name][kind], raised.value
        return raised.value.message()
