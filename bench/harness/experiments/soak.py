"""Memory during many requests of random shapes."""

import random

from harness import load, models, process, protocols
from harness.experiment import Experiment
from harness.experiments import minilm
from harness.progress import say

#: Number of different requests in the random selection.
_VARIETY = 256

#: Maximum rows of a request: the server's own limit.
_MOST_ROWS = 32

#: Maximum texts of a request.
_MOST_TEXTS = 4

#: Seconds of load between two readings of the memory.
_SEGMENT = 3

_CONNECTIONS = 16

#: Share of the requests for a text encoder, whose runs are thousands of times as long.
_TEXTS_PER_REQUEST = 1 / 1000

#: Requests per second in the time budget.
_ROWS_RATE, _TEXTS_RATE = 15_000, 25

_SEED = 20260101


def rows_budget(settings, _peers):
    return settings.soak_requests / _ROWS_RATE + _SEGMENT


def rows(context):
    """Random numbers of rows through /predict."""
    chance = random.Random(_SEED)
    known, _ = models.iris_rows()
    requests = [protocols.contract(chance.choices(known, k=chance.randint(1, _MOST_ROWS))) for _ in range(_VARIETY)]
    with context.serving_iris("springtide") as server:
        return _soak(server, server.url, requests, context.settings.soak_requests)


def texts_budget(settings, _peers):
    return settings.soak_requests * _TEXTS_PER_REQUEST / _TEXTS_RATE + _SEGMENT


def texts(context):
    """Random numbers and lengths of texts through the Open Inference Protocol."""
    chance = random.Random(_SEED)
    lengths = [[chance.randint(1, models.MINILM_TOKENS) for _ in range(chance.randint(1, _MOST_TEXTS))] for _ in range(_VARIETY)]
    requests = [protocols.open_inference_binary(models.minilm_tensors(texts)) for texts in lengths]
    with context.serving_model("minilm", models.minilm()) as server:
        url = f"http://127.0.0.1:{server.port}{minilm.PATH}"
        return _soak(server, url, requests, int(context.settings.soak_requests * _TEXTS_PER_REQUEST))


def _soak(server, url, requests, count):
    """Readings of the resident memory, each with the number of responses until then."""
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
    """The growth of the memory after the first tenth of the requests, as a share."""
    tenth = readings[-1]["requests"] / 10
    early = [reading["bytes"] for reading in readings if reading["requests"] <= tenth]
    settled = early[-1] if early else readings[0]["bytes"]
    return max(reading["bytes"] for reading in readings) / settled - 1


ROWS = Experiment("soak", "a million requests of random numbers of rows", rows_budget, rows)
TEXTS = Experiment("soak-texts", "MiniLM with random numbers and lengths of texts", texts_budget, texts, (models.minilm,))
