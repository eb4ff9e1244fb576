"""The engine is changed under load, there and back: one autoscaler at a time, no fewer pods, no failed
request."""

import time

from autoscaling import evaluate, traffic
from autoscaling.scenario import Scenario
from harness.process import Failed

#: The load, as a multiple of the capacity of a pod.
TIMES = 1.5

#: Maximum seconds of a switch, and the seconds until the next one.
_LIMIT, _PAUSE = 60, 5

#: Seconds of a switch in the time budget.
_USUAL = 8


def budget(settings, _subjects):
    return settings.settle + 2 * settings.switches * (_USUAL + _PAUSE) + 45


def run(context):
    """One ModelService, from HPA to KEDA and back."""
    settings = context.settings
    # The load has the maximum duration of the slowest switches, and is ended before.
    seconds = settings.settle + 2 * settings.switches * (_LIMIT + _PAUSE)
    changes = traffic.plan([(0, TIMES * context.capacity)], seconds)
    subject = next(subject for subject in context.ours())
    switches = []
    with context.testbed(subject, "switch") as testbed, context.watched(testbed, changes) as watched:
        time.sleep(settings.settle)
        others = {"HPA": "KEDA", "KEDA": "HPA"}
        engine = subject.engine
        for _ in range(2 * settings.switches):
            engine = others[engine]
            switches.append(_switch(context, testbed, watched.recorder, engine))
            time.sleep(_PAUSE)
        record = watched.record(watched.load.stop())
    context.keep("switch", subject.name, record | {"switches": switches})
    return {"subjects": {subject.name: judge(record | {"switches": switches})}, "curves": {subject.name: evaluate.curves(record)}}


def _switch(context, testbed, recorder, engine):
    begin = time.time()
    context.cluster.merge(testbed.path("modelservices"), {"spec": {"autoscaling": {"engine": engine}}})
    while not _is_done(recorder, engine):
        if time.time() - begin > _LIMIT:
            raise Failed(f"engine {engine} has not taken over within {_LIMIT} s")
        time.sleep(0.1)
    return {"to": engine, "begin": begin, "end": time.time()}


def _is_done(recorder, engine):
    """Whether the autoscaler of that engine, for KEDA with its HPA, is the only one, and the ModelService
    reports it."""
    hpas, objects = recorder.latest("horizontalpodautoscalers"), recorder.latest("scaledobjects")
    current = [service["current"] for service in recorder.latest("modelservices").values()]
    made = len(hpas) == 1 and len(objects) == (engine == "KEDA") and any(name.startswith("keda-hpa-") for name in hpas) == (engine == "KEDA")
    return made and all(each.get("AutoscalingReady") for each in current)


def judge(record):
    """The figures of all switches. Pure."""
    points = evaluate.wanted(record)
    switches = [
        {
            "to": each["to"],
            "seconds": each["end"] - each["begin"],
            "pods_before": evaluate.at_time(points, each["begin"]),
            "fewest_pods": evaluate.fewest(points, each["begin"], each["end"] + _PAUSE),
        }
        for each in record["switches"]
    ]
    return {
        "switches": switches,
        "most_autoscalers": most_autoscalers(record["changes"]),
        # Without the requests before, while pods are created for the load.
        **evaluate.misses(record, record["switches"][0]["begin"], record["end"]),
    }


def most_autoscalers(changes):
    """The maximum number at any time. A ScaledObject and its own HPA are one."""
    present, most = set(), 0
    for change in changes:
        if change["plural"] in ("horizontalpodautoscalers", "scaledobjects"):
            name = change["name"].removeprefix("keda-hpa-")
            keda = change["plural"] == "scaledobjects" or name != change["name"]
            key = ("KEDA" if keda else "HPA", change["plural"], name)
            present.discard(key) if change["facts"] is None else present.add(key)
            most = max(most, len({engine for engine, _, _ in present}))
    return most


SCENARIO = Scenario("switch", "the engine changed under load", budget, run)
