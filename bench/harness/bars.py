"""The bars: what is to be reached, and what the results say. Pure."""

import dataclasses

from harness.figures import Figure, ratios

#: The peer that stands for the reference's kind of server, and the one with no model.
REFERENCE = "fastapi"
CONSTANT = "constant"
OURS = "springtide"


@dataclasses.dataclass(frozen=True)
class Bar:
    """One line of the table."""

    name: str
    target: str
    figure: str = "not measured"
    spread: str = ""
    #: None: not measured.
    met: bool | None = None
    note: str = ""


def table(results):
    """All bars, those that were not measured too."""
    return [
        *_reference(results),
        *_rivals(results),
        *_constant(results),
    ]


def is_complete(bars):
    return all(bar.met is not None for bar in bars)


def _runs(results, server, connections, field):
    """The runs of one cell in the order of the rounds; None where it wasn't measured."""
    runs = results.get("iris", {}).get(server, {}).get(str(connections))
    return [run[field] for run in runs] if runs else None


def _ratio(results, above, below, connections, field):
    pair = [_runs(results, server, connections, field) for server in (above, below)]
    return ratios(*pair) if all(pair) else None


def _reference(results):
    bars = [
        (64, "rate", "at least 15 times", lambda median: median >= 15, "requests/s"),
        (64, "p99_ms", "at most a fifth", lambda median: median <= 1 / 5, "p99"),
        (8, "rate", "at least 100 times", lambda median: median >= 100, "requests/s"),
        (1, "p50_ms", "at most a hundredth", lambda median: median <= 1 / 100, "p50"),
    ]
    for connections, field, target, reached, title in bars:
        name = f"iris, {connections} connection{'s' * (connections > 1)}: {title} against FastAPI's"
        figure = _ratio(results, OURS, REFERENCE, connections, field)
        yield _bar(name, target, figure, reached, results.get("missing", {}).get(REFERENCE), times)


def _rivals(results):
    for peer in results["peers"]:
        if peer["name"] in (OURS, REFERENCE, CONSTANT):
            continue
        missing = results.get("missing", {}).get(peer["name"])
        for field, title, target, reached in (
            ("rate", "requests/s", "more", lambda median: median > 1),
            ("p99_ms", "p99", "less", lambda median: median < 1),
        ):
            name = f"iris, 1, 8 and 64 connections: {title} against {peer['title']}'s"
            figures = [_ratio(results, OURS, peer["name"], connections, field) for connections in (1, 8, 64)]
            if not all(figures):
                yield Bar(name, target, note=missing or "")
                continue
            yield Bar(
                name,
                target,
                ", ".join(times(figure.median) for figure in figures),
                ", ".join(f"{times(figure.least)}–{times(figure.greatest)}" for figure in figures),
                all(reached(figure.median) for figure in figures),
            )


def _constant(results):
    figure = _ratio(results, OURS, CONSTANT, 64, "rate")
    name = "iris, 64 connections: requests/s against a bare axum handler's"
    missing = results.get("missing", {}).get(CONSTANT)
    yield _bar(name, "at least 60 %", figure, lambda median: median >= 0.6, missing, percent)


def _bar(name, target, figure: Figure | None, reached, missing, form):
    if figure is None:
        return Bar(name, target, note=missing or "")
    spread = f"{form(figure.least)}–{form(figure.greatest)}"
    return Bar(name, target, form(figure.median), spread, reached(figure.median))


def times(number):
    """A ratio, to three digits."""
    if number >= 10:
        return f"{number:,.0f}×"
    if number >= 1:
        return f"{number:.2f}×"
    return f"{number:.3f}×"


def percent(number):
    return f"{number * 100:.0f} %"
