"""The duration of a start, and the memory of an idle server."""

import time

from harness import models
from harness.experiment import Experiment

#: Seconds without load before memory is read.
_CALM = 2


def budget(settings, _peers):
    return settings.starts * 0.5 + _CALM


def run(context):
    """Milliseconds from the start of the process to the first 200 of /ready, after the warm-up, and the
    resident memory before any request."""
    starts = []
    for _ in range(context.settings.starts):
        with context.serving_model("iris", models.IRIS) as server:
            starts.append(server.ready_after * 1000)
    with context.serving_model("iris", models.IRIS) as server:
        time.sleep(_CALM)
        resident = server.program.resident_bytes()
    return {"starts_ms": starts, "idle_bytes": resident}


EXPERIMENT = Experiment("start", "start to ready, and idle memory", budget, run)
