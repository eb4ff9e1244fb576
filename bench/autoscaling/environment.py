"""The Python environment with Locust, and access to the network of the cluster."""

import hashlib
import os
import shutil
import sys

from autoscaling import places
from harness import process
from harness import places as harness_places
from harness.progress import say

_REQUIREMENTS = places.HERE / "requirements.txt"


def folder():
    """Path of the environment for these requirements."""
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return harness_places.WORK / f"autoscaling-{digest}"


def is_inside():
    """Whether this is the Python of the environment, which runs in the network of the cluster."""
    return os.path.realpath(sys.prefix) == os.path.realpath(folder())


def install():
    """Creates the environment if it doesn't exist, with pinned versions and hashes."""
    where = folder()
    if (where / "complete").exists():
        return
    say("Locust: installing from PyPI (a minute)")
    for stale in where.parent.glob("autoscaling-" + "?" * 12):
        shutil.rmtree(stale, ignore_errors=True)
    process.run("install Locust", [sys.executable, "-m", "venv", where])
    command = [where / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check"]
    process.run("install Locust", [*command, "--only-binary", ":all:", "--require-hashes", "--requirement", _REQUIREMENTS])
    (where / "complete").touch()


def enter(arguments):
    """Restarts the benchmark with that Python, in the network of the cluster. This network may have no
    access to a registry, so everything is installed before."""
    python = str(folder() / "bin" / "python")
    os.execv(places.ENTER, [str(places.ENTER), python, sys.argv[0], *arguments])
