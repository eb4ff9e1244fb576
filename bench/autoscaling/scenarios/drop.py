"""The load falls to zero: pods are removed late and slowly."""

import contextlib
import time

from autoscaling import evaluate, traffic
from autoscaling.scenario import Scenario

#: The load before, as a multiple of the capacity of a pod: several pods above the minimum.
TIMES = 3.5


def budget(settings, _subjects):
    return settings.settle + settings.quiet + 45


def run(context):
    """Both engines at the same time."""
    settings = context.settings
    changes = traffic.plan([(0, TIMES * context.capacity)], settings.settle)
    figures, curves = {}, {}
    with contextlib.ExitStack() as stack:
        testbeds = [stack.enter_context(context.testbed(subject, "drop")) for subject in context.ours()]
        context.say("load that falls to zero")
        watched = [stack.enter_context(context.watched(testbed, changes)) for testbed in testbeds]
        time.sleep(settings.settle)
        requests = [each.load.until_over() for each in watched]
        time.sleep(settings.quiet)
        for each, sent in zip(watched, requests):
            record = each.record(sent)
            context.keep("drop", each.testbed.subject.name, record)
            figures[each.testbed.subject.name] = judge(record)
            curves[each.testbed.subject.name] = evaluate.curves(record, every=2)
    return {"subjects": figures, "seconds": settings.quiet, "curves": curves}


def judge(record):
    """The figures of one engine. Pure."""
    points = evaluate.wanted(record)
    steps = evaluate.steps_down(points, record["load_end"])
    return {
        "pods_at_the_end_of_the_load": evaluate.at_time(points, record["load_end"]),
        "steps": steps,
        "too_many_in_a_minute": evaluate.fastest_minute(steps),
        "load_seconds": record["load_end"] - record["begin"],
    }


SCENARIO = Scenario("drop", "load that falls to zero", budget, run)
