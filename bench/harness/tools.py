"""The load tools, installed if they are missing: wrk from Debian's packages, vegeta from the Go module
proxy into the cache."""

import os
import re
import shutil
import subprocess

from harness import places, process
from harness.progress import say

VEGETA_VERSION = "v12.13.0"


def ensure_wrk():
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0:
        raise process.Failed("wrk is not installed; 'apt-get install wrk' brings it")
    say("wrk: installing")
    process.run("install wrk", ["sh", "-c", "apt-get update --quiet=2 && apt-get install --yes --quiet=2 wrk"])


def wrk_version():
    text = subprocess.run(["wrk", "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    found = re.search(r"wrk (\S+)", text)
    return found[1] if found else "unknown"


def vegeta():
    """The path of vegeta."""
    folder = places.WORK / f"vegeta-{VEGETA_VERSION}"
    program = folder / "vegeta"
    if not program.exists():
        say("vegeta: compiling")
        module = f"github.com/tsenart/vegeta/v12@{VEGETA_VERSION}"
        process.run("install vegeta", ["go", "install", module], environment={"GOBIN": str(folder)})
    return program
