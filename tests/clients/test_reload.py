"""New versions of a model in the model directory of a server with active clients."""

from pathlib import Path

import numpy as np

from load import Load
from models import scale, write
from protocols import Protocol
from server import Server

# Maximum time until a new version is served, in seconds.
NOTICE_SECONDS = 10

X = {"x": np.ones((1, 1), np.float32)}


def index(protocol: Protocol) -> dict[tuple[str, str], dict]:
    """The repository's entries by name and version."""
    return {(entry["name"], entry["version"]): entry for entry in protocol.client.get_model_repository_index()}


def put(directory: Path, factor: float, version: int) -> None:
    """Adds a version atomically."""
    staged = write(scale(factor), directory.parent / "staged", "scale", version).parent
    (directory / "scale").mkdir(exist_ok=True, parents=True)
    staged.rename(directory / "scale" / str(version))


def test_no_request_fails(tmp_path: Path):
    directory = tmp_path / "models"
    put(directory, 1, 1)
    with Server("--model-dir", directory, "--model-poll-seconds", "1") as server:
        protocol = Protocol("http", server)
        seen = set()

        def ask(client: Protocol) -> None:
            seen.add(float(client.infer("scale", X).as_numpy("y")[0, 0]))

        def until_serves(version: int) -> None:
            server.wait_for(lambda: protocol.infer("scale", X).as_numpy("y")[0, 0] == version, NOTICE_SECONDS)

        with Load(server, ask) as load:
            put(directory, 2, 2)
            until_serves(2)
            put(directory, 3, 3)
            until_serves(3)
            # A version with an invalid file.
            bad = directory / "scale" / "4"
            bad.mkdir()
            (bad / "model.onnx").write_bytes(b"no model")
            server.wait_for(lambda: index(protocol).get(("scale", "4"), {}).get("state") == "UNAVAILABLE", NOTICE_SECONDS)
            entry = index(protocol)[("scale", "4")]
            until_serves(3)
            answers = load.answers
            server.wait_for(lambda: load.answers > answers + 100, NOTICE_SECONDS)
        assert load.failures == []
        assert seen == {1.0, 2.0, 3.0}
        assert entry["reason"] and str(directory) not in entry["reason"]
        assert server.is_ready()
        protocol.close()


def test_a_model_comes_and_goes(tmp_path: Path):
    directory = tmp_path / "models"
    put(directory, 1, 1)
    with Server("--model-dir", directory, "--model-poll-seconds", "1") as server:
        protocol = Protocol("http", server)
        write(scale(5), tmp_path / "staged", "five")
        (tmp_path / "staged" / "five").rename(directory / "five")
        server.wait_for(lambda: protocol.client.is_model_ready("five"), NOTICE_SECONDS)
        assert protocol.infer("five", X).as_numpy("y")[0, 0] == 5
        (directory / "five").rename(tmp_path / "gone")
        server.wait_for(lambda: not protocol.client.is_model_ready("five"), NOTICE_SECONDS)
        protocol.refusal("not found", lambda: protocol.infer("five", X))
        assert protocol.infer("scale", X).as_numpy("y")[0, 0] == 1
        protocol.close()
