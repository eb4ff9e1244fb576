"""The command line: parts to measure, the plan, the runs, the table."""

import argparse
import datetime
import json
import os
import pathlib
import sys

from harness import thresholds, experiments, machine, peers, places, process, report, tools
from harness.choices import some_of
from harness.experiment import Context, Settings
from harness.progress import say

#: Processors that the servers and the client share.
PROCESSORS = 2

#: Share of the processors that other programs may use before the figures are unreliable.
_QUIET = 0.05


def main():
    """Measures the parts of the command line. The exit code is 1 if nothing could be measured."""
    try:
        return _measure(_arguments())
    except process.Failed as error:
        say(f"error: {error}")
        return 1


def _measure(arguments):
    process.adopt_orphans()
    processors = min(PROCESSORS, len(os.sched_getaffinity(0)))
    settings = _settings(arguments, processors)
    wanted = [experiment for experiment in experiments.ALL if experiment.name in arguments.only]
    context = _prepare(arguments, settings, wanted)
    # Not before: compilation may use all processors.
    process.bind_to(processors)
    description = machine.describe(processors) | {"busy_before": round(machine.busy_share(seconds=3), 3)}
    if description["busy_before"] > _QUIET:
        say(f"WARNING: others keep {description['busy_before']:.0%} of this machine busy: figures say little")
    budget = sum(experiment.budget(settings, len(context.installed)) for experiment in wanted)
    say(f"measuring: about {budget / 60:.0f} minutes")
    results = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": description,
        "settings": {"rounds": settings.rounds, "seconds": settings.seconds, "profile": settings.profile},
        "versions": {"checkout": peers.checkout_version(), "wrk": tools.wrk_version(), "vegeta": tools.VEGETA_VERSION},
        "peers": [_described(peer, context) for peer in peers.all_peers().values()],
        "missing": context.missing,
    }
    output = arguments.output or _default_output(arguments)
    for experiment in wanted:
        measured = experiment.attempt(context)
        if measured is not None:
            results[experiment.name] = measured
        # After each part, so that an interruption loses no results.
        _write(output, results)
    print(report.terminal(results))
    say(f"results: {output}")
    return 0


def _default_output(arguments):
    """A part of the benchmark, or a quick run, keeps the results of the last full run."""
    whole = arguments.only == _experiment_names() and arguments.peers == list(peers.all_peers())
    return places.RESULTS if whole and not arguments.quick else places.PARTIAL_RESULTS


def _arguments():
    names = _experiment_names()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a second each: shows that all of it works")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each figure")
    parser.add_argument("--seconds", type=int, default=4, help="length of each run")
    parser.add_argument("--only", type=some_of(names), default=names, help=f"some of: {','.join(names)}")
    every = list(peers.all_peers())
    parser.add_argument("--peers", type=some_of(every), default=every, help=f"some of: {','.join(every)}")
    parser.add_argument("--profile", default="dist", help="cargo profile of this repository's programs")
    parser.add_argument("--output", type=pathlib.Path, help="where the results go, as JSON")
    return parser.parse_args()


def _experiment_names():
    return [experiment.name for experiment in experiments.ALL]


def _settings(arguments, processors):
    quick = arguments.quick
    return Settings(
        rounds=1 if quick else arguments.rounds,
        seconds=1 if quick else arguments.seconds,
        soak_requests=20_000 if quick else 1_000_000,
        starts=3 if quick else 20,
        profile=arguments.profile,
        processors=processors,
    )


def _prepare(arguments, settings, wanted):
    """Installs, compiles and creates everything before the first measurement."""
    tools.ensure_wrk()
    for need in {need for experiment in wanted for need in experiment.needs}:
        try:
            need()
        except process.Failed as error:
            say(f"error: {error}")
    values = {"processors": settings.processors, "onnxruntime": peers.onnxruntime_library()}
    context = Context(settings, {}, peers.workspace_programs("springtide-bench", settings.profile), values, {})
    for name, peer in peers.all_peers().items():
        if name not in arguments.peers:
            context.missing[name] = thresholds.NOT_ASKED_FOR
            continue
        try:
            context.installed[name] = peers.install(peer, settings.profile)
        except process.Failed as error:
            context.give_up(name, error)
    return context


def _described(peer, context):
    installed = context.installed.get(peer.name)
    return {
        "name": peer.name,
        "title": peer.title,
        "role": peer.role,
        "version": installed.version if installed else "",
        "setup": peer.setup,
        "docs": peer.docs,
    }


def _write(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
