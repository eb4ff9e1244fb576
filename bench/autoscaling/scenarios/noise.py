"""A steady load with noise: the number of pods should be stable."""

import contextlib
import random
import time

from autoscaling import evaluate, traffic
from autoscaling.scenario import Scenario

#: The steady load, as a multiple of the capacity of a pod: the target of four pods, so that the noise exceeds
#: it in both directions.
TIMES = 3.0

#: Amplitude of the noise, and the seconds between its changes.
_SHARE, _EVERY = 0.2, 10

_SEED = 20260101


def budget(settings, _subjects):
    return settings.settle + settings.noise + 45


def rates(settle, noise, rate):
    """Pairs of a time and a rate: first steady, then with uniform noise."""
    chance = random.Random(_SEED)
    return [(0, rate)] + [
        (settle + at, rate * chance.uniform(1 - _SHARE, 1 + _SHARE)) for at in range(0, noise, _EVERY)
    ]


def run(context):
    """Both engines at the same time, each with its own load."""
    settings = context.settings
    changes = traffic.plan(rates(settings.settle, settings.noise, TIMES * context.capacity), settings.settle + settings.noise)
    figures, curves = {}, {}
    with contextlib.ExitStack() as stack:
        testbeds = [stack.enter_context(context.testbed(subject, "noise")) for subject in context.ours()]
        context.say("noise around a steady load")
        watched = [stack.enter_context(context.watched(testbed, changes)) for testbed in testbeds]
        time.sleep(settings.settle + settings.noise)
        for each in watched:
            record = each.record(each.load.until_over())
            context.keep("noise", each.testbed.subject.name, record)
            figures[each.testbed.subject.name] = judge(record, settings.settle)
            curves[each.testbed.subject.name] = evaluate.curves(record, every=2)
    return {"subjects": figures, "seconds": settings.noise, "settle": settings.settle, "curves": curves}


def judge(record, settle):
    """The figures of one engine. Pure."""
    points = evaluate.within(evaluate.wanted(record), record["begin"] + settle, record["load_end"])
    return {
        "changes_of_direction": evaluate.changes_of_direction(points),
        "least_pods": min(value for _, value in points),
        "most_pods": max(value for _, value in points),
        **evaluate.misses(record, record["begin"] + settle, record["load_end"]),
    }


SCENARIO = Scenario("noise", "±20 % of noise around a steady load", budget, run)
