"""What every scenario is given, and how one is described."""

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
    """How long to measure, in seconds where nothing else is said."""

    #: Steps of each subject, a number.
    rounds: int
    #: Load of each step.
    step: int
    #: Steady load before anything is judged or disturbed.
    settle: int
    noise: int
    #: Quiet after the load has fallen to zero.
    quiet: int
    #: Without Prometheus.
    outage: int
    #: With Prometheus again.
    recovery: int
    #: Switches there and back, a number.
    switches: int


#: What the thresholds need.
WHOLE = Settings(rounds=5, step=75, settle=90, noise=900, quiet=480, outage=300, recovery=75, switches=10)

#: What shows that every part works.
QUICK = Settings(rounds=1, step=60, settle=45, noise=60, quiet=60, outage=45, recovery=45, switches=1)


@dataclasses.dataclass
class Context:
    """What is there to measure with."""

    settings: Settings
    cluster: object
    prometheus: object
    inputs: testbeds.Inputs
    subjects: list[testbeds.Subject]
    #: Folder of the raw records.
    folder: pathlib.Path
    #: Predictions per second that one pod gives.
    capacity: float = 0.0
    #: By the monotonic clock, when everything should be done.
    done_by: float = 0.0

    def ours(self):
        """The subjects that are ours."""
        return [subject for subject in self.subjects if subject.side == "springtide"]

    def say(self, text):
        """A line of progress with the time that is left."""
        say(f"{text} (about {max(0, self.done_by - time.monotonic()) / 60:.0f} min left)")

    @contextlib.contextmanager
    def testbed(self, subject, purpose, **options):
        """A testbed that is ready, while the block runs."""
        with testbeds.made(self.cluster, self.inputs, subject, purpose, **options) as testbed:
            testbed.until_ready()
            testbed.until_reading()
            yield testbed

    @contextlib.contextmanager
    def watched(self, testbed, changes):
        """Load on a testbed, and a record of what becomes of it. `changes` is a plan of the traffic."""
        with Recorder(self.cluster, testbed.namespace).recording() as recorder:
            with traffic.running(testbed.namespace, testbed.address, changes) as load:
                yield Watched(self, testbed, recorder, load)

    def keep(self, scenario, name, record):
        """Writes a raw record, so that it can be judged again."""
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
        """Everything so far, see evaluate.py. `earlier` has the series that Prometheus has since lost."""
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
    #: Seconds that it takes, by the settings and the number of subjects.
    budget: Callable[[Settings, int], float]
    #: Measures, and returns its figures.
    run: Callable[[Context], dict]
