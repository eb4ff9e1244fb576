"""Programs that are started, watched and ended. Nothing that was started here outlives the benchmark.

The benchmark adopts orphans (PR_SET_CHILD_SUBREAPER), so that the helpers of a server that died, or
that put themselves into a session of their own, are still found and ended, by their ids.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

from harness import places

#: linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36

#: Longest time that a server may take to end when asked to, in seconds.
_GRACE = 10


class Failed(Exception):
    """A program didn't do what it was started for; the text says which, and where its log is."""


def adopt_orphans():
    """Makes this process the parent of every descendant whose own parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bind_to(processors):
    """Keeps this process, and so everything that it starts, on that many processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])


def run(title, command, *, environment=None, folder=None, limit=3600):
    """Runs a program to its end with its output in a log, and returns that output."""
    log = log_of(title)
    with open(log, "wb") as file:
        try:
            status = subprocess.run(
                [str(part) for part in command],
                cwd=folder,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=limit,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{title}: {error}") from error
    text = log.read_text(encoding="utf-8", errors="replace")
    if status != 0:
        last = (text.strip().splitlines() or ["no output"])[-1]
        raise Failed(f"{title}: {last} (exit code {status}; the whole log is {log})")
    return text


def log_of(title):
    """The log file of that title."""
    places.LOGS.mkdir(parents=True, exist_ok=True)
    return places.LOGS / ("".join(c if c.isalnum() else "-" for c in title) + ".log")


def free_port():
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(title, command, *, environment=None, folder=None):
    """A program that runs while the block does; its pid is given."""
    log = log_of(title)
    with open(log, "wb") as file:
        started = time.monotonic()
        try:
            child = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise Failed(f"{title}: {error}") from error
    try:
        yield Program(title, child, log, started)
    finally:
        _end(child)


class Program:
    """A running program."""

    def __init__(self, title, child, log, started):
        self.title = title
        #: By the monotonic clock, in seconds.
        self.started = started
        self.pid = child.pid
        self._child = child
        self._log = log

    def check(self):
        """Raises where it has ended by itself."""
        if self._child.poll() is not None:
            text = self._log.read_text(encoding="utf-8", errors="replace").strip()
            last = (text.splitlines() or ["no output"])[-1]
            raise Failed(f"{self.title} ended by itself: {last} (the whole log is {self._log})")

    def resident_bytes(self):
        """Resident memory of it and its descendants. Pages that they share count for each of them."""
        return sum(_resident(pid) for pid in [self.pid, *descendants(self.pid)])


def descendants(pid):
    """Ids of all processes below that one."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in brackets may hold anything; the parent is the second field after it.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _resident(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def _end(child):
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)
    # One server runs at a time, so whatever is still below this process belongs to it.
    deadline = time.monotonic() + _GRACE
    while left := descendants(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > deadline:
            raise Failed(f"processes that do not end: {left}")
        time.sleep(0.01)
    child.poll()
