"""Prometheus is killed under load: without readings, no pod may be removed."""

import contextlib
import time

from autoscaling import evaluate, traffic
from autoscaling.scenario import Scenario

#: The load, as a multiple of the capacity of a pod.
TIMES = 2.5

#: A short stabilization window. The default window alone would keep the pods during the outage, regardless of
#: the readings.
_PRESET = "Aggressive"

#: Approximate seconds until Prometheus responds again.
_RETURN = 15

_HEALTHY = "MetricsHealthy"


def budget(settings, _subjects):
    return settings.settle + settings.outage + settings.recovery + _RETURN + 45


def run(context):
    """Both engines at the same time."""
    settings = context.settings
    seconds = settings.settle + settings.outage + settings.recovery + _RETURN
    changes = traffic.plan([(0, TIMES * context.capacity)], seconds)
    figures, curves = {}, {}
    with contextlib.ExitStack() as stack:
        testbeds = [stack.enter_context(context.testbed(subject, "outage", behavior={"preset": _PRESET})) for subject in context.ours()]
        context.say("a steady load, and then no Prometheus")
        watched = [stack.enter_context(context.watched(testbed, changes)) for testbed in testbeds]
        began = time.time()
        time.sleep(settings.settle)
        earlier = [context.prometheus.series(each.testbed.namespace, began, time.time()) for each in watched]
        killed = time.time()
        with context.prometheus.killed():
            time.sleep(settings.outage)
        returned = time.time()
        context.prometheus.until_answering()
        requests = [each.load.until_over() for each in watched]
        for each, sent, series in zip(watched, requests, earlier):
            record = each.record(sent, series) | {"killed": killed, "returned": returned}
            context.keep("outage", each.testbed.subject.name, record)
            figures[each.testbed.subject.name] = judge(record)
            curves[each.testbed.subject.name] = evaluate.curves(record, every=2)
    return {"subjects": figures, "seconds": settings.outage, "preset": _PRESET, "curves": curves}


def judge(record):
    """The figures of one engine. Pure."""
    points, killed, returned = evaluate.wanted(record), record["killed"], record["returned"]
    before = evaluate.at_time(points, killed)
    unhealthy = _since(record, killed, "False")
    return {
        "pods_before": before,
        "fewest_pods": evaluate.fewest(points, killed, record["load_end"]),
        "unhealthy_after": unhealthy,
        "healthy_again_after": _since(record, returned, "True") if unhealthy is not None else None,
        "killed_at": killed - record["begin"],
        "returned_at": returned - record["begin"],
        **evaluate.misses(record, killed, returned),
    }


def _since(record, since, status):
    """Seconds from a time until MetricsHealthy has a status, or None if it wasn't observed."""
    for change in record["changes"]:
        if change["plural"] == "modelservices" and change["facts"] and change["at"] > since:
            if change["facts"]["conditions"].get(_HEALTHY, "").startswith(status):
                return change["at"] - since
    return None


SCENARIO = Scenario("outage", "Prometheus killed at the peak", budget, run)
