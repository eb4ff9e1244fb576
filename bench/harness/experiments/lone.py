"""One request at a time, relative to the same run without a server."""

import dataclasses

from harness import load, models
from harness.experiment import Experiment

_START = 2


def budget(settings, _peers):
    return settings.rounds * (2 * settings.seconds + _START)


def run(context):
    seconds = context.settings.seconds
    rows, _ = models.iris_rows()
    rounds = []
    for _ in range(context.settings.rounds):
        direct = context.direct_session(models.IRIS, threads=context.settings.processors, seconds=seconds)
        with context.serving_iris("springtide") as server:
            served = load.closed_loop(server.url, [server.peer.request(rows[:1])], connections=1, seconds=seconds)
        rounds.append({"direct": direct, "served": dataclasses.asdict(served)})
    return {"rounds": rounds}


EXPERIMENT = Experiment("lone", "a lone request against Session::run", budget, run)
