"""Load from Locust, through a node port of the cluster, bounded in rate and time."""

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

#: Seconds between two requests of a user: many users, each with its own connection.
PACE = 5

#: Ten of eleven requests of the steady user are predictions.
PREDICTIONS = 10 / 11

#: Maximum seconds of a user's last request.
_LAST_REQUEST = 12

#: Maximum seconds until Locust begins.
_START = 20


@dataclasses.dataclass(frozen=True)
class Request:
    """One prediction, as its client observed it."""

    #: When it was sent, in seconds since the epoch.
    at: float
    milliseconds: float
    #: HTTP status. 0 without a response.
    status: int
    #: Whether the response was a prediction.
    good: bool


def users(predictions_per_second):
    """Number of paced users for this number of predictions per second."""
    return round(predictions_per_second / PREDICTIONS * PACE)


def plan(changes, seconds):
    """The plan of the number of users for pairs of a time and a rate. It ends after this number of
    seconds."""
    return [[at, users(rate)] for at, rate in changes] + [[seconds, 0]]


class Traffic:
    """A Locust process that runs or has ended."""

    def __init__(self, child, record, stop, log, seconds):
        self._child = child
        self._stop = stop
        self._record = record
        self._log = log
        self._seconds = seconds

    def until_over(self):
        """Waits until the end of the plan, and returns the requested predictions."""
        try:
            self._child.wait(self._seconds + _START + _LAST_REQUEST + 10)
        except subprocess.TimeoutExpired as error:
            raise process.Failed(f"Locust does not end (its log is {self._log})") from error
        # 1: requests failed, which is counted.
        if self._child.returncode not in (0, 1):
            raise process.Failed(f"Locust ends with exit code {self._child.returncode} (its log is {self._log})")
        return read(self._record)

    def stop(self):
        """Ends the load before the end of its plan, and returns the requested predictions."""
        # With a shape, Locust ignores SIGTERM.
        self._stop.touch()
        return self.until_over()


@contextlib.contextmanager
def running(title, address, changes, *, user="Paced"):
    """Load on an address while the block runs, or until the end of its plan: [[seconds, users], …,
    [seconds, 0]]."""
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


#: All running Locust processes.
_children = set()


def kill_all():
    """Ends all load at once. Waits for its end then fail."""
    for child in list(_children):
        _kill(child)


def _kill(child):
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def read(record):
    """The predictions in a record, in the order of their requests."""
    with open(record, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row[1] == "/predict"]
    return sorted((Request(float(at), float(ms), int(status), good == "1") for at, _, ms, status, good in rows), key=lambda r: r.at)
