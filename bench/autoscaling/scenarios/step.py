"""A step from no load to four times the capacity of a pod: the time until a new pod serves, the effect on
clients until then, and whether clients with kept connections reach the new pods."""

import time

from autoscaling import testbed as testbeds
from autoscaling import evaluate, traffic
from autoscaling.prometheus import SCRAPE_SECONDS
from autoscaling.scenario import Scenario

#: The load, as a multiple of the capacity of a pod.
TIMES = 4

#: Seconds from one subject's load to the next one's, in which pods are removed and those of the next round
#: are created.
_BETWEEN = 20


def budget(settings, subjects):
    return settings.rounds * subjects * (settings.step + _BETWEEN) + 90


def run(context):
    """Rounds in which every subject has the step once, in sequence. All subjects are idle with their
    minimum replicas until their turn."""
    waiting = {subject.name: _make(context, subject, 1) for subject in context.subjects}
    figures = {subject.name: [] for subject in context.subjects}
    records = {subject.name: [] for subject in context.subjects}
    for number in range(1, context.settings.rounds + 1):
        # The order rotates.
        turn = (number - 1) % len(context.subjects)
        for subject in context.subjects[turn:] + context.subjects[:turn]:
            context.say(f"step {number} of {context.settings.rounds}: {subject.title}")
            testbed = waiting[subject.name]
            testbed.until_ready()
            testbed.until_reading()
            record = _step(context, testbed)
            context.keep("step", f"{subject.name}-{number}", record)
            figures[subject.name].append(judge(record, context.settings.step, context.inputs.targets.get("loadPercent")))
            records[subject.name].append(evaluate.curves(record))
            context.cluster.delete(f"/api/v1/namespaces/{testbed.namespace}")
            if number < context.settings.rounds:
                waiting[subject.name] = _make(context, subject, number + 1)
            time.sleep(_BETWEEN - 5)
    middle = {name: _median_round(rounds) for name, rounds in figures.items()}
    return {"rounds": figures, "seconds": context.settings.step, "curves": {name: records[name][middle[name]] for name in records}}


def _make(context, subject, number):
    return testbeds.make(context.cluster, context.inputs, subject, f"step-{number}")


def _step(context, testbed):
    changes = traffic.plan([[0, TIMES * context.capacity]], context.settings.step)
    with context.watched(testbed, changes) as watched:
        requests = watched.load.until_over()
        # Until the last samples are scraped.
        time.sleep(SCRAPE_SECONDS)
        return watched.record(requests)


def judge(record, seconds, load_target):
    """The figures of one step. `load_target` is Springtide's loadPercent, if it has one. Pure."""
    begin = record["begin"]
    target = load_target if record["subject"].startswith("springtide") else None
    wanted = evaluate.within(evaluate.wanted(record), begin, begin + seconds)
    return {
        "stages": evaluate.stages(record, target),
        **evaluate.misses(record, begin, begin + seconds),
        "shares": sorted(evaluate.shares(record | {"end": record["load_end"]}).values()),
        "most_pods": max(value for _, value in wanted),
        "pod_seconds": evaluate.pod_seconds(record, begin, begin + seconds),
    }


def _median_round(rounds):
    """The index of the round with the median time to the first new pod."""
    times = [figures["stages"]["total"] if figures["stages"] else float("inf") for figures in rounds]
    return sorted(range(len(times)), key=lambda index: times[index])[(len(times) - 1) // 2]


SCENARIO = Scenario("step", "from idle to four times what one pod can do", budget, run)
