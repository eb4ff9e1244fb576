"""Parameters and definition of a scenario."""

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable

from autoscaling import testbed as testbeds
from autoscaling import traffic
from autoscaling.recorder import Recorder
from harness import process
from harness.progress import say


@dataclasses.dataclass(frozen=True)
class Settings:
    """Durations of the measurement, in seconds unless stated otherwise."""

    #: Number of steps of each subject.
    rounds: int
    #: Load of each step.
    step: int
    #: Steady load before a disturbance or an evaluation.
    settle: int
    noise: int
    #: Time after the load has fallen to zero.
    quiet: int
    #: Time without Prometheus.
    outage: int
    #: Time after the return of Prometheus.
    recovery: int
    #: Number of switches in each direction.
    switches: int


#: Durations for a full run.
WHOLE = Settings(rounds=5, step=75, settle=90, noise=900, quiet=480, outage=300, recovery=75, switches=10)

#: Durations for a test of every part.
QUICK = Settings(rounds=1, step=60, settle=45, noise=60, quiet=60, outage=45, recovery=45, switches=1)


@dataclasses.dataclass
class Context:
    """The environment of a measurement."""

    settings: Settings
    cluster: object
    prometheus: object
    inputs: testbeds.Inputs
    subjects: list[testbeds.Subject]
    #: Folder of the raw records.
    folder: pathlib.Path
    #: Predictions per second of one pod.
    capacity: float = 0.0
    #: Planned end, by the monotonic clock.
    done_by: float = 0.0

    def ours(self):
        """The subjects of Springtide."""
        return [subject for subject in self.subjects if subject.side == "springtide"]

    def say(self, text):
        """Prints a line of progress with the remaining time."""
        say(f"{text} (about {max(0, self.done_by - time.monotonic()) / 60:.0f} min left)")

    @contextlib.contextmanager
    def testbed(self, subject, purpose, **options):
        """A ready testbed, while the block runs."""
        with testbeds.made(self.cluster, self.inputs, subject, purpose, **options) as testbed:
            testbed.until_ready()
            testbed.until_reading()
            yield testbed

    @contextlib.contextmanager
    def watched(self, testbed, changes):
        """Load on a testbed, and a record of the results. `changes` is a plan of the traffic."""
        with Recorder(self.cluster, testbed.namespace).recording() as recorder:
            with traffic.running(testbed.namespace, testbed.address, changes) as load:
                yield Watched(self, testbed, recorder, load)

    def keep(self, scenario, name, record):
        """Writes a raw record, so that it can be evaluated again."""
        path = self.folder / scenario / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record), encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Watched:
    """A testbed under load."""

    context: Context
    testbed: testbeds.Testbed
    recorder: Recorder
    load: traffic.Traffic

    def record(self, requests, earlier=None):
        """The record so far, see evaluate.py. `earlier` has the series that Prometheus has lost since."""
        if not requests:
            raise process.Failed(f"{self.testbed.namespace}: no request was sent")
        begin, end = requests[0].at, time.time()
        namespace, prometheus = self.testbed.namespace, self.context.prometheus
        series = prometheus.series(namespace, begin - 10, end)
        for name, points in (earlier or {}).items():
            series[name] = points + [point for point in series.get(name, []) if not points or point[0] > points[-1][0]]
        return {
            "subject": self.testbed.subject.name,
            "begin": begin,
            "load_end": requests[-1].at,
            "end": end,
            "requests": [[request.at, request.milliseconds, request.status, request.good] for request in requests],
            "changes": list(self.recorder.changes),
            "series": series,
            "load": prometheus.load(namespace, begin - 10, end),
            "arrived": prometheus.arrived(namespace, begin - 10, end),
        }


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One part of the benchmark."""

    name: str
    title: str
    #: Duration in seconds, by the settings and the number of subjects.
    budget: Callable[[Settings, int], float]
    #: Measures, and returns its figures.
    run: Callable[[Context], dict]
