"""Writes the figures in docs/autoscaling.md, and its plots, from the results."""

import json
import sys

from autoscaling import charts, places, report

_PAGE = places.DOCS / "autoscaling.md"
_FOLDER = places.DOCS / "autoscaling"
_RESULTS = _FOLDER / "results.json"

_BEGIN = "<!-- Written by `make bench-autoscaling-report` from autoscaling/results.json; edit bench/autoscaling/report.py. -->"
_END = "<!-- End of what is written. -->"


def main(arguments):
    """Writes the files, or with --check lists those that differ. Without results it does nothing."""
    if not _RESULTS.exists():
        return 0
    results = json.loads(_RESULTS.read_text(encoding="utf-8"))
    stale = []
    for path, text in files(results, _PAGE.read_text(encoding="utf-8")).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        names = ", ".join(str(path.relative_to(places.DOCS.parent)) for path in stale)
        print(f"error: not what bench/report-autoscaling writes: {names}", file=sys.stderr)
        return 1
    return 0


def files(results, page):
    """The expected content of every file, by its path."""
    written = {_PAGE: filled(page, report.markdown(results))}
    for name, result in results.items():
        written[_FOLDER / f"{name}.svg"] = plot(name, result)
    return written


def filled(page, text):
    """The page with this text in its generated part."""
    before, rest = page.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}\n\n{text}\n{_END}{after}"


def plot(name, result):
    """The SVG of a scenario."""
    bands, marks = [], []
    subjects = list(result.get("subjects", {}).values())
    match name:
        case "step":
            title = "From idle to 4 times what one pod can do"
            marks = [(0, "load begins")]
        case "noise":
            title = "±20 % of noise around a steady load"
            marks = [(result["settle"], "noise begins")]
        case "drop":
            title = "Load that falls to zero"
            marks = [(figures["load_seconds"], "load ends") for figures in subjects[:1]]
        case "outage":
            title = "Prometheus killed under load"
            bands = [(figures["killed_at"], figures["returned_at"], "no Prometheus") for figures in subjects[:1]]
        case _:
            title = "The engine switched under load"
    return charts.draw(title, result["curves"], bands=bands, marks=marks)
