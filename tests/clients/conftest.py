"""Fixtures: one server with every model, clients of both protocols, and the same models in this process
for comparison."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from protocols import NAMES, Protocol
from server import Server


@pytest.fixture(scope="session")
def models() -> Path:
    """The model directory that models.py wrote."""
    return Path(os.environ["SPRINGTIDE_CLIENT_MODELS"])


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Server]:
    """A server with every model."""
    with Server("--model-dir", models, "--model-poll-seconds", "0") as server:
        yield server


@pytest.fixture(scope="session", params=NAMES)
def protocol(request: pytest.FixtureRequest, server: Server) -> Iterator[Protocol]:
    """Clients of that server: the test runs once for each protocol."""
    protocol = Protocol(request.param, server)
    yield protocol
    protocol.close()


@pytest.fixture(scope="session")
def in_process(models: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Runs a model in ONNX Runtime directly: `in_process(model, **inputs)` gives its outputs by name."""

    @cache
    def session(name: str) -> onnxruntime.InferenceSession:
        path = models / name / "1" / "model.onnx"
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        outputs = [output.name for output in session(name).get_outputs()]
        return dict(zip(outputs, session(name).run(outputs, inputs)))

    return run
