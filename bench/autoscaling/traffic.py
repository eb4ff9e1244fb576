"""Load from Locust, into the cluster through a node port: bounded in its rate and in its time."""

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

from autoscaling import places
from harness import process

#: Seconds between two requests of a user: many users, each with a connection of its own.
PACE = 5

#: Of eleven requests of the steady user ten are predictions.
PREDICTIONS = 10 / 11

#: Seconds that a user may take for its last request.
_LAST_REQUEST = 12

#: Seconds that Locust may take to begin.
_START = 20


@dataclasses.dataclass(frozen=True)
class Request:
    """One prediction, as its client saw it."""

    #: When it was sent, in seconds since the epoch.
    at: float
    milliseconds: float
    #: HTTP's status; 0 where there was no answer.
    status: int
    #: Whether the answer was a prediction.
    good: bool


def users(predictions_per_second):
    """How many paced users send that many predictions a second."""
    return round(predictions_per_second / PREDICTIONS * PACE)


def plan(changes, seconds):
    """Of pairs of a time and a rate, the plan of the users' number, which ends after that many seconds."""
    return [[at, users(rate)] for at, rate in changes] + [[seconds, 0]]


class Traffic:
    """A Locust that runs, or has run."""

    def __init__(self, child, record, stop, log, seconds):
        self._child = child
        self._stop = stop
        self._record = record
        self._log = log
        self._seconds = seconds

    def until_over(self):
        """Waits until the plan is done, and returns the predictions that were asked for."""
        try:
            self._child.wait(self._seconds + _START + _LAST_REQUEST + 10)
        except subprocess.TimeoutExpired as error:
            raise process.Failed(f"Locust does not end (its log is {self._log})") from error
        # 1: requests failed, which is counted.
        if self._child.returncode not in (0, 1):
            raise process.Failed(f"Locust ends with exit code {self._child.returncode} (its log is {self._log})")
        return read(self._record)

    def stop(self):
        """Ends the load before its time, and returns the predictions that were asked for."""
        # With a shape, Locust heeds no SIGTERM.
        self._stop.touch()
        return self.until_over()


@contextlib.contextmanager
def running(title, address, changes, *, user="Paced"):
    """Load on an address while the block runs, or until its plan is done: [[seconds, users], …, [seconds, 0]]."""
    folder = places.WORK / "load" / title
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(changes), encoding="utf-8")
    record, stop, log = folder / "requests.csv", folder / "stop", process.log_of(f"locust {title}")
    stop.unlink(missing_ok=True)
    command = [pathlib.Path(sys.prefix) / "bin" / "locust", "--locustfile", places.LOAD / "shaped.py", user, "--headless"]
    command += ["--host", f"http://{address}", "--only-summary", "--stop-timeout", str(_LAST_REQUEST)]
    environment = os.environ | {"PACE": str(PACE), "PLAN": str(folder / "plan.json"), "RECORD": str(record), "STOP": str(stop)}
    with open(log, "wb") as output:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    _children.add(child)
    try:
        yield Traffic(child, record, stop, log, changes[-1][0])
    finally:
        _kill(child)
        _children.discard(child)


#: Every Locust that runs.
_children = set()


def kill_all():
    """Ends all load at once; whoever waits for its end sees a failure."""
    for child in list(_children):
        _kill(child)


def _kill(child):
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def read(record):
    """The predictions in a record, in the order of their sending."""
    with open(record, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row[1] == "/predict"]
    return sorted((Request(float(at), float(ms), int(status), good == "1") for at, _, ms, status, good in rows), key=lambda r: r.at)
