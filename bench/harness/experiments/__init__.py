"""The experiments, in the order in which they run."""

from harness.experiments import image, iris, lone, minilm, soak, start

ALL = [
    iris.EXPERIMENT,
    lone.EXPERIMENT,
    minilm.SATURATED,
    minilm.OVERLOADED,
    start.EXPERIMENT,
    image.EXPERIMENT,
    soak.ROWS,
    soak.TEXTS,
]
