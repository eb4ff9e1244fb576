"""The thresholds, and whether the results meet them. Pure."""

import dataclasses

from harness.experiments.soak import growth
from harness.figures import Figure, ratios

#: The measured server, the server of the reference's kind, and the server without a model.
OURS = "springtide"
REFERENCE = "fastapi"
CONSTANT = "constant"

#: The reason for a figure that was not requested.
NOT_ASKED_FOR = "not asked for"


@dataclasses.dataclass(frozen=True)
class Threshold:
    """One line of the table."""

    name: str
    target: str
    figure: str
    spread: str
    #: None: not measured.
    met: bool | None
    #: A note about the figure, or why it is missing.
    note: str = ""


def table(results):
    """All thresholds, including those that were not measured."""
    return [
        *_reference(results),
        *_rivals(results),
        _constant(results),
        _lone(results),
        *_minilm(results),
        *_overload(results),
        _start(results),
        _idle(results),
        _image(results),
        *_soak(results),
    ]


def is_complete(thresholds):
    """Whether every threshold was measured."""
    return all(threshold.met is not None for threshold in thresholds)


def _reference(results):
    thresholds = [
        (64, "rate", "at least 15×", lambda median: median >= 15, "requests/s"),
        (64, "p99_ms", "at most 0.200×", lambda median: median <= 0.2, "p99"),
        (8, "rate", "at least 100×", lambda median: median >= 100, "requests/s"),
        (1, "p50_ms", "at most 0.010×", lambda median: median <= 0.01, "p50"),
    ]
    for connections, field, target, reached, title in thresholds:
        name = f"iris, {connections} connection{'s' * (connections > 1)}: {title} relative to FastAPI"
        figure = _ratio(results, REFERENCE, connections, field)
        yield _bar(name, target, figure, reached, times, _why_not(results, REFERENCE))


def _rivals(results):
    for peer in results["peers"]:
        if peer["role"] != "rival":
            continue
        for field, title, target, reached in (
            ("rate", "requests/s", "more than 1×", lambda median: median > 1),
            ("p99_ms", "p99", "less than 1×", lambda median: median < 1),
        ):
            name = f"iris, 1, 8 and 64 connections: {title} relative to {peer['title']}"
            figures = [_ratio(results, peer["name"], connections, field) for connections in (1, 8, 64)]
            if not all(figures):
                yield _not_measured(name, target, _why_not(results, peer["name"]))
                continue
            yield Threshold(
                name,
                target,
                ", ".join(times(figure.median) for figure in figures),
                ", ".join(_spread(figure, times) for figure in figures),
                all(reached(figure.median) for figure in figures),
            )


def _constant(results):
    name = "iris, 64 connections: requests/s relative to a bare axum handler"
    figure = _ratio(results, CONSTANT, 64, "rate")
    return _bar(name, "at least 60 %", figure, lambda median: median >= 0.6, percent, _why_not(results, CONSTANT))


def _lone(results):
    figure = None
    if lone := results.get("lone"):
        figure = Figure.of(run["served"]["p50_ms"] - run["direct"]["p50_ms"] for run in lone["rounds"])
    name = "iris, a single request: p50 above that of Session::run"
    return _bar(name, "at most 0.15 ms", figure, lambda median: median <= 0.15, milliseconds, _why_not(results, "lone"))


def _minilm(results):
    name, target = "MiniLM saturated: rows/s relative to the best loop of Session::run", "at least 95 %"
    minilm = results.get("minilm")
    for side, setup in (("served_alike", "the same sessions and batch"), ("served", "the server's defaults")):
        title = f"{name}, {setup}"
        if not minilm:
            yield _not_measured(title, target, _why_not(results, "minilm"))
            continue
        figure = Figure.of(run[side] / run["direct"] for run in minilm["rounds"])
        threshold = _bar(title, target, figure, lambda median: median >= 0.95, percent)
        best = minilm["best"]
        yield dataclasses.replace(threshold, note=f"best loop: {best['layout']}, {best['rows']} rows a run")


def _overload(results):
    goodput = ("at 3 times the peak: goodput relative to the peak", "at least 95 %")
    accepted = ("at 3 times the peak: p99 of accepted requests", "at most the deadline")
    refused = ("at 3 times the peak: p99 of rejections", "under 5 ms")
    if not (overload := results.get("overload")):
        yield from (_not_measured(*threshold, _why_not(results, "overload")) for threshold in (goodput, accepted, refused))
        return
    deadline = overload["deadline_ms"]
    for setup, rounds in overload["setups"].items():
        under = lambda name, target, setup=setup: (f"{name}, {setup}", target)
        figure = Figure.of(run["goodput"] / run["peak"] for run in rounds)
        yield _bar(*under(*goodput), figure, lambda median: median >= 0.95, percent)
        figure = Figure.of(run["accepted_p99_ms"] for run in rounds)
        threshold = _bar(*under(*accepted), figure, lambda median: median <= deadline, milliseconds)
        yield dataclasses.replace(threshold, note=f"deadline: {deadline} ms")
        if any(run["refused_p99_ms"] is None for run in rounds):
            yield _not_measured(*under(*refused), "nothing was rejected")
        else:
            figure = Figure.of(run["refused_p99_ms"] for run in rounds)
            yield _bar(*under(*refused), figure, lambda median: median < 5, milliseconds)


def _start(results):
    figure = Figure.of(results["start"]["starts_ms"]) if "start" in results else None
    name = "iris: start to ready, warm-up included"
    return _bar(name, "under 150 ms", figure, lambda median: median < 150, milliseconds, _why_not(results, "start"))


def _idle(results):
    name, target = "iris: idle memory", "under 80 MB"
    if "start" not in results:
        return _not_measured(name, target, _why_not(results, "start"))
    resident = results["start"]["idle_bytes"]
    return Threshold(name, target, megabytes(resident), "", resident < 80e6)


def _image(results):
    name, target = "image on CPU, compressed", "under 60 MB"
    if not (image := results.get("image")):
        return _not_measured(name, target, _why_not(results, "image"))
    own = image["program_bytes"] + image["library_bytes"]
    note = f"program {megabytes(image['program_bytes'])}, ONNX Runtime {megabytes(image['library_bytes'])}"
    if image["base_bytes"] is None:
        return _not_measured(name, target, f"{note}, the base image can't be measured here")
    total = own + image["base_bytes"]
    return Threshold(name, target, megabytes(total), "", total < 60e6, f"{note}, base {megabytes(image['base_bytes'])}")


def _soak(results):
    for experiment, title in (("soak", "requests of random rows"), ("soak-texts", "requests of random texts (MiniLM)")):
        target = "under 5 % after the first tenth"
        if not (readings := results.get(experiment)):
            yield _not_measured(f"memory growth over {title}", target, _why_not(results, experiment))
            continue
        grown = growth(readings)
        name = f"memory growth over {readings[-1]['requests']:,} {title}"
        yield Threshold(name, target, f"{grown * 100:.1f} %", "", grown < 0.05)


def _ratio(results, peer, connections, field):
    """The ratio to a peer, run by run. None if one of them wasn't measured."""
    cells = results.get("iris", {})
    pair = [cells.get(server, {}).get(str(connections)) for server in (OURS, peer)]
    if not all(pair):
        return None
    return ratios(*([run[field] for run in runs] for runs in pair))


def _why_not(results, name):
    missing = results["missing"]
    return missing.get(name) or missing.get(OURS) or (NOT_ASKED_FOR if name not in results else "")


def _not_measured(name, target, note):
    return Threshold(name, target, "not measured", "", None, note)


def _bar(name, target, figure, reached, form, why_not=""):
    if figure is None:
        return _not_measured(name, target, why_not)
    return Threshold(name, target, form(figure.median), _spread(figure, form), reached(figure.median))


def _spread(figure, form):
    return f"{form(figure.least)} to {form(figure.greatest)}"


def times(ratio):
    """A ratio."""
    if ratio >= 10:
        return f"{ratio:,.0f}×"
    return f"{ratio:.2f}×" if ratio >= 1 else f"{ratio:.3f}×"


def percent(share):
    """A share."""
    return f"{share * 100:.1f} %"


def milliseconds(number):
    """A time, rounded."""
    return f"{number:,.0f} ms" if number >= 100 else f"{number:.2g} ms" if number < 1 else f"{number:.1f} ms"


def megabytes(number):
    """Bytes, in millions."""
    return f"{number / 1e6:.1f} MB"
