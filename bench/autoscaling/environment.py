"""The Python environment with Locust, and the way into the cluster's network."""

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
    """Where the environment of these requirements is kept."""
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return harness_places.WORK / f"autoscaling-{digest}"


def is_inside():
    """Whether this is the environment's Python already, and so runs in the cluster's network."""
    return os.path.realpath(sys.prefix) == os.path.realpath(folder())


def install():
    """Makes the environment where it isn't yet, from the versions and hashes that are pinned."""
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
    """Starts the benchmark again with that Python, where the cluster can be reached. The network of a
    cluster may have no way to a registry, so everything is installed before."""
    python = str(folder() / "bin" / "python")
    os.execv(places.ENTER, [str(places.ENTER), python, sys.argv[0], *arguments])
