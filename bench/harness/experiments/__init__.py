"""The experiments, in the order in which they run."""

from harness.experiments import iris

ALL = [iris.EXPERIMENT]
