"""Medians and the spread of runs."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Figure:
    """The median of several runs, with their minimum and maximum."""

    median: float
    least: float
    greatest: float
    runs: int

    @classmethod
    def of(cls, values):
        """Of at least one value."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values), len(values))


def ratios(numerators, denominators):
    """Run by run, because the runs of one round have the same state of the machine."""
    return Figure.of(above / below for above, below in zip(numerators, denominators, strict=True))


def percentile(values, percent):
    """The nearest-rank percentile of at least one value."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
