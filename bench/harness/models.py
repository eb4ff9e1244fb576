"""The served models."""

import json
import subprocess

from harness import places, process
from harness.progress import say

IRIS = places.MODELS / "iris.onnx"

#: Tokens of every text in requests of MiniLM.
MINILM_TOKENS = 64


def iris_rows():
    """Rows with their classes by the model."""
    held_out = json.loads((places.MODELS / "iris.test.json").read_text(encoding="utf-8"))
    return held_out["rows"], held_out["predictions"]


def minilm():
    """The path of all-MiniLM-L6-v2 from the client tests, a text encoder of 90 MB."""
    clients = places.REPOSITORY / "tests" / "clients"
    folder = places.WORK / "models"
    path = folder / "minilm" / "1" / "model.onnx"
    if not path.exists():
        say("MiniLM: making the model (a minute or two)")
        found = subprocess.run([places.REPOSITORY / "scripts" / "clients-venv"], stdout=subprocess.PIPE, text=True)
        if found.returncode != 0:
            raise process.Failed("the Python environment of the client tests can't be made")
        process.run("make MiniLM", [found.stdout.strip(), clients / "models.py", folder, "minilm"])
    return path


def minilm_tensors(lengths):
    """Its inputs for one text of each length; shorter ones are padded to the longest."""
    longest = max(lengths)
    # Tokens of whole words. They follow 1,996 others in the vocabulary of uncased BERT.
    tokens = [[1996 + place for place in range(length)] + [0] * (longest - length) for length in lengths]
    mask = [[1] * length + [0] * (longest - length) for length in lengths]
    return {"input_ids": tokens, "attention_mask": mask, "token_type_ids": [[0] * longest for _ in lengths]}
