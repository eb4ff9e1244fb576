"""What torch.onnx.export makes of tiny models with random weights, by TorchScript and by dynamo, with
dynamic axes: exports/NAME.onnx.gz, with the sidecar's beginning beside it. PyTorch is no dependency of
these tests, so the files were made once (exports/README.md) and are kept here. ROWS_EXPORTS names
another folder of such files."""

import gzip
import json
import os
from pathlib import Path

from graph import CASES, Case

FOLDER = Path(os.environ.get("ROWS_EXPORTS") or Path(__file__).parent / "exports")


def declare(path: Path) -> None:
    """Declares one export."""
    name = path.name.removesuffix(".onnx.gz")

    def make() -> Case:
        about = json.loads((path.parent / f"{name}.json").read_text())
        return Case(name, about["truth"], "exported by PyTorch", gzip.decompress(path.read_bytes()), about["inputs"], about["dims"], family="torch")

    CASES[name] = make


for exported in sorted(FOLDER.glob("*.onnx.gz")):
    declare(exported)
