"""Memory under many requests of random shapes."""

import random

from harness import load, models, process, protocols
from harness.experiment import Experiment
from harness.experiments import minilm
from harness.progress import say

#: Different requests that are chosen from at random.
_VARIETY = 256

#: Most rows of a request, the server's own limit.
_MOST_ROWS = 32

#: Seconds of load between two readings of the memory.
_SEGMENT = 3

_CONNECTIONS = 16

#: Share of the requests for a text encoder, whose runs take thousands of times as long.
_TEXTS_PER_REQUEST = 1 / 1000

#: Requests a second that the budget counts with.
_ROWS_RATE, _TEXTS_RATE = 15_000, 25

_SEED = 20260101


def budget(settings, _peers):
    return settings.soak_requests / _ROWS_RATE + settings.soak_requests * _TEXTS_PER_REQUEST / _TEXTS_RATE + 10


def run(context):
    """Random numbers of rows through /predict, then random numbers and lengths of texts through the
    Open Inference Protocol."""
    chance = random.Random(_SEED)
    rows, _ = models.iris_rows()
    batches = [protocols.contract(chance.choices(rows, k=chance.randint(1, _MOST_ROWS))) for _ in range(_VARIETY)]
    with context.serving_iris("springtide") as server:
        iris = _soak(server, server.url, batches, context.settings.soak_requests)
    texts = [
        protocols.open_inference_binary(
            models.minilm_tensors([chance.randint(1, models.MINILM_TOKENS) for _ in range(chance.randint(1, 4))])
        )
        for _ in range(_VARIETY)
    ]
    with context.serving_model("minilm", models.minilm()) as server:
        url = f"http://127.0.0.1:{server.port}{minilm.PATH}"
        encoder = _soak(server, url, texts, int(context.settings.soak_requests * _TEXTS_PER_REQUEST))
    return {"iris": iris, "minilm": encoder}


def _soak(server, url, requests, count):
    """Readings of the resident memory, each with the requests that were answered until then."""
    sent, readings = 0, []
    while sent < count:
        result = load.closed_loop(url, requests, connections=_CONNECTIONS, seconds=_SEGMENT)
        if result.refused or result.broken:
            raise process.Failed(f"{result.refused} requests were refused and {result.broken} broke")
        if not result.requests:
            raise process.Failed("no request was answered")
        sent += result.requests
        readings.append({"requests": sent, "bytes": server.program.resident_bytes()})
    say(f"  {sent:,} requests, {readings[0]['bytes'] / 1e6:.0f} MB, then {readings[-1]['bytes'] / 1e6:.0f} MB")
    return readings


def growth(readings):
    """How much the memory grew after the first tenth of the requests, as a share."""
    tenth = readings[-1]["requests"] / 10
    early = [reading["bytes"] for reading in readings if reading["requests"] <= tenth]
    settled = early[-1] if early else readings[0]["bytes"]
    return max(reading["bytes"] for reading in readings) / settled - 1


EXPERIMENT = Experiment("soak", "a million requests of random shapes", budget, run)
