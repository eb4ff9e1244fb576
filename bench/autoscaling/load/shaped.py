"""Locust's side of the benchmark: the steady user of examples/locust at a rate that follows a plan.

Every user sends at its own constant pace, so that the rate of all follows from their number, and hardly
falls when answers are slow. PLAN is a JSON file with [seconds since the start, users] for each change
of their number, the last with none; it ends before its time once there is a file STOP. RECORD is a file
that gets a line for every request.
"""

import csv
import json
import os
import pathlib
import random
import sys
import time

import gevent
from locust import LoadTestShape, constant, events

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples" / "locust"))
import locustfile as examples  # noqa: E402

#: Seconds between two requests of a user. autoscaling/traffic.py uses the same value.
PACE = float(os.environ["PACE"])


class Paced(examples.Steady):
    """The steady user with a constant pace. Each begins at its own time, so that they don't send at the
    same time; with Locust's constant_pacing they would, from the second request on."""

    def on_start(self):
        self._due = time.monotonic() + random.uniform(0, PACE)
        gevent.sleep(self._due - time.monotonic())

    def wait_time(self):
        self._due += PACE
        return max(0.0, self._due - time.monotonic())


class Closed(examples.Steady):
    """The steady user without a pause."""

    wait_time = constant(0)


class Plan(LoadTestShape):
    """The number of users in the plan."""

    changes = json.loads(pathlib.Path(os.environ["PLAN"]).read_text(encoding="utf-8"))

    def tick(self):
        if os.path.exists(os.environ["STOP"]):
            return None
        elapsed = self.get_run_time()
        users = [users for since, users in self.changes if since <= elapsed][-1]
        return (users, users) if users else None


_record = open(os.environ["RECORD"], "w", encoding="utf-8", newline="")
_rows = csv.writer(_record)


@events.request.add_listener
def _note(name, response_time, response, exception, start_time, **_):
    status = getattr(response, "status_code", 0) or 0
    _rows.writerow([f"{start_time:.4f}", name, f"{response_time:.1f}", status, int(exception is None)])


@events.quit.add_listener
def _close(**_):
    _record.close()
