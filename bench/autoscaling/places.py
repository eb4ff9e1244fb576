"""Where the benchmark of the autoscaling keeps its things."""

import pathlib

from harness import places

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = HERE / "reference"
LOAD = HERE / "load"
ENTER = places.REPOSITORY / "tests" / "cluster" / "enter"
DOCS = places.REPOSITORY / "docs"

#: What is left of a run: raw records of each scenario, and its figures.
WORK = places.WORK / "autoscaling"
#: The same of a quick look, which never takes the place of a run's.
QUICK_WORK = places.WORK / "autoscaling-quick"
