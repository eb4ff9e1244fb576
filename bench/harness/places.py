"""Folders of the benchmark."""

import os
import pathlib

BENCH = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
PEERS = BENCH / "peers"
LOAD = BENCH / "load"
MODELS = REPOSITORY / "examples" / "models"

#: Files that are kept when a checkout is deleted: installed peers and tools, models, results.
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "springtide"
WORK = CACHE / "bench"
LOGS = WORK / "logs"
RESULTS = WORK / "results.json"
PARTIAL_RESULTS = WORK / "partial-results.json"

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
