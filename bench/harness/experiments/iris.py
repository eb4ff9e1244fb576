"""The iris model with one row per request, on every server in turn."""

import dataclasses

from harness import load, models
from harness.experiment import FAULTS, Experiment
from harness.progress import say

CONNECTIONS = (1, 8, 64)

#: Seconds of warm-up of a server, for batchers that learn from load.
_WARM_UP = 1

#: Seconds from a start to the first response, as a mean of the peers.
_START = 5


def budget(settings, peers):
    return settings.rounds * peers * (_START + _WARM_UP + len(CONNECTIONS) * settings.seconds)


def run(context):
    """Each round starts every server once, so that a drift of the machine affects all of them."""
    rows, _ = models.iris_rows()
    cells = {}
    for number in range(1, context.settings.rounds + 1):
        for name in list(context.installed):
            try:
                measured = _measure(context, name, rows[0])
            except FAULTS as error:
                context.give_up(name, error)
                continue
            for connections, result in measured.items():
                cells.setdefault(name, {}).setdefault(str(connections), []).append(dataclasses.asdict(result))
            rates = ", ".join(f"{result.rate:,.0f}" for result in measured.values())
            say(f"  round {number}: {name}: {rates} requests/s at {', '.join(map(str, CONNECTIONS))} connections")
    for name in context.missing:
        cells.pop(name, None)
    return cells


def _measure(context, name, row):
    with context.serving_iris(name) as server:
        requests = [server.peer.request([row])]
        load.closed_loop(server.url, requests, connections=8, seconds=_WARM_UP)
        return {
            connections: load.closed_loop(
                server.url, requests, connections=connections, seconds=context.settings.seconds
            )
            for connections in CONNECTIONS
        }


EXPERIMENT = Experiment("iris", "iris through every server, closed loop", budget, run)
