"""The machine of the measurement."""

import os
import pathlib
import platform
import time


def describe(processors):
    """The description of the machine. `processors` are those of the benchmark."""
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "processors": os.cpu_count(),
        "processors_used": processors,
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "system": _system(),
        "python": platform.python_version(),
    }


def busy_share(seconds):
    """The share of all processors that other programs use, measured for some seconds. The load average
    isn't suitable, because it still includes earlier compilations."""
    before = _ticks()
    time.sleep(seconds)
    idle, total = (after - start for after, start in zip(_ticks(), before))
    return 1 - idle / total


def _ticks():
    # The fields of the first line: https://man7.org/linux/man-pages/man5/proc_stat.5.html
    ticks = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def _field(path, name):
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _system():
    for line in pathlib.Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()
