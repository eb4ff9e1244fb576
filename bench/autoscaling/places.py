"""Folders of the benchmark of the autoscaling."""

import pathlib

from harness import places

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = HERE / "reference"
LOAD = HERE / "load"
ENTER = places.REPOSITORY / "tests" / "cluster" / "enter"
DOCS = places.REPOSITORY / "docs"

#: Files of a run: raw records of each scenario, and its figures.
WORK = places.WORK / "autoscaling"
#: Files of a quick run, which never replace those of a full run.
QUICK_WORK = places.WORK / "autoscaling-quick"
