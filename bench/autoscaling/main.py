"""The command line: parts to measure, the plan, the scenarios, the table."""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import signal
import sys
import time

from autoscaling import testbed as testbeds
from autoscaling import capacity, environment, kubernetes, model, places, report, scenarios, traffic
from autoscaling.prometheus import Prometheus
from autoscaling.scenario import QUICK, WHOLE, Context
from harness import machine, peers, process
from harness.choices import some_of
from harness.progress import say

#: Share of the processors that other programs may use before the figures are unreliable. The idle cluster
#: itself uses about a quarter of two.
_QUIET = 0.35


def main():
    """Measures the parts of the command line. The exit code is 1 if a part could not be measured."""
    arguments = _arguments()
    try:
        if not environment.is_inside():
            environment.install()
            environment.enter(sys.argv[1:])
        for number in (signal.SIGINT, signal.SIGTERM):
            # Also in the background of a shell, where interrupts are ignored.
            signal.signal(number, signal.default_int_handler)
        return _measure(arguments)
    except process.Failed as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; what was made is removed")
        return 130


def _arguments():
    names = [scenario.name for scenario in scenarios.ALL]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look at every part; its figures say little")
    parser.add_argument("--rounds", type=int, help="steps of each subject (5)")
    parser.add_argument("--only", type=some_of(names), default=names, help=f"some of: {','.join(names)}")
    engines = ["hpa", "keda"]
    parser.add_argument("--engines", type=some_of(engines), default=engines, help=f"one of: {','.join(engines)}")
    parser.add_argument("--targets", type=json.loads, default=testbeds.TARGETS, help="spec.autoscaling.targets of ours, in JSON")
    return parser.parse_args()


def _measure(arguments):
    settings = QUICK if arguments.quick else WHOLE
    if arguments.rounds:
        settings = dataclasses.replace(settings, rounds=arguments.rounds)
    subjects = [subject for subject in testbeds.SUBJECTS if subject.engine.lower() in arguments.engines]
    chosen = [scenario for scenario in scenarios.ALL if scenario.name in arguments.only]
    folder = places.QUICK_WORK if arguments.quick else places.WORK
    with kubernetes.connected() as cluster:
        prometheus = Prometheus(cluster)
        context = Context(settings, cluster, prometheus, testbeds.Inputs(model.build(), "", arguments.targets), subjects, folder)
        with _nothing_left(cluster, prometheus):
            run = _prepare(context, chosen)
            measured = [_attempt(context, scenario, run) for scenario in chosen]
    results = gather(folder)
    print(report.terminal(results))
    say(f"results: {folder / 'results.json'}")
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if all(measured) else 1


@contextlib.contextmanager
def _nothing_left(cluster, prometheus):
    """Removes what earlier runs have left in the cluster, before and after the block."""
    testbeds.delete_all(cluster)
    prometheus.bring_back()
    try:
        yield
    finally:
        say("removing what was made")
        traffic.kill_all()
        prometheus.bring_back()
        testbeds.delete_all(cluster)


def _prepare(context, chosen):
    """The values that all scenarios share: the machine, and the capacity of one pod."""
    context.prometheus.until_answering()
    busy = machine.busy_share(seconds=5)
    if busy > _QUIET:
        say(f"WARNING: {busy:.0%} of this machine is busy: figures say little")
    settings, subjects = context.settings, len(context.subjects)
    budget = sum(scenario.budget(settings, subjects) for scenario in chosen)
    context.done_by = time.monotonic() + budget + capacity.budget()
    context.say("what one pod can do")
    context.capacity, image = capacity.measure(context)
    context.inputs = dataclasses.replace(context.inputs, image=image)
    say(f"  {context.capacity:.1f} predictions a second")
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "checkout": peers.checkout_version(),
        "capacity": context.capacity,
        "targets": context.inputs.targets,
        "machine": machine.describe(os.cpu_count()) | {"busy_before": round(busy, 3)},
        "cluster": cluster_version(context.cluster),
    }


def cluster_version(cluster):
    """The version of Kubernetes."""
    return cluster.get("/version")["gitVersion"]


def _attempt(context, scenario, run):
    """Runs a scenario and writes its figures. Returns whether it could be measured."""
    say(scenario.title)
    try:
        figures = scenario.run(context)
    except Exception as error:  # After any failure, the other parts are measured.
        say(f"{scenario.title}: not measured: {type(error).__name__}: {error}")
        return False
    path = context.folder / f"{scenario.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run": run, **figures}), encoding="utf-8")
    return True


def gather(folder):
    """The figures of every measured scenario, each with its run."""
    found = {}
    for scenario in scenarios.ALL:
        path = folder / f"{scenario.name}.json"
        if path.exists():
            found[scenario.name] = json.loads(path.read_text(encoding="utf-8"))
    return found
