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

#: Maximum time of a server's shutdown, in seconds.
_GRACE = 10


class Failed(Exception):
    """A program failed. The text has its name and the path of its log."""


def adopt_orphans():
    """Makes this process the parent of every orphaned descendant."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bind_to(processors):
    """Restricts this process and its descendants to this number of processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])


def run(title, command, *, environment=None, folder=None, limit=3600):
    """Runs a program to its end with its output in a log, and returns the output."""
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
    """The log file with this title."""
    places.LOGS.mkdir(parents=True, exist_ok=True)
    return places.LOGS / ("".join(c if c.isalnum() else "-" for c in title) + ".log")


def free_port():
    """An unused TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(title, command, *, environment=None, folder=None):
    """A program that runs while the block does."""
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
        #: Start, by the monotonic clock, in seconds.
        self.started = started
        self.pid = child.pid
        self._child = child
        self._log = log

    def check(self):
        """Raises if it has ended by itself."""
        if self._child.poll() is not None:
            text = self._log.read_text(encoding="utf-8", errors="replace").strip()
            last = (text.splitlines() or ["no output"])[-1]
            raise Failed(f"{self.title} ended by itself: {last} (the whole log is {self._log})")

    def resident_bytes(self):
        """Resident memory of the program and its descendants. Shared pages count for each of them."""
        return sum(_resident(pid) for pid in [self.pid, *descendants(self.pid)])


def descendants(pid):
    """IDs of all descendants of a process."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in brackets may contain any character. The parent is the second field after it.
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
    # One server runs at a time, so all remaining descendants of this process belong to it.
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
