"""The plots as SVG: replicas, rate, queue and p95 of each scenario over time. Pure: the same input gives
the same bytes."""

import html
import math

from autoscaling.testbed import SUBJECTS

#: Colors for readers with and without color blindness (Okabe and Ito).
_COLOURS = {
    "springtide-hpa": "#0072b2",
    "springtide-keda": "#009e73",
    "reference-hpa": "#d55e00",
    "reference-keda": "#cc79a7",
}

_TITLES = {subject.name: subject.title for subject in SUBJECTS}

_WIDTH, _PANEL, _GAP, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 110, 26, 58, 14, 54, 34

_PANELS = [
    ("pods", "pods", "replicas: wanted, and scraped (thin)"),
    ("rate", "req/s", "arriving requests per second"),
    ("queue", "rows", "waiting rows"),
    ("p95_ms", "ms", "p95 of the latency, ms (dashed: 500)"),
]

#: Latency that is marked by a line, in milliseconds.
_LIMIT = 500


def draw(title, curves, *, bands=(), marks=()):
    """An SVG with the curves of several subjects (see evaluate.curves). `bands` are (begin, end, text) and
    `marks` are (time, text), in seconds since the start of the load."""
    subjects = [name for name in _COLOURS if name in curves]
    # Curves that begin within a second of each other share an axis.
    end = max((points[-1][0] for each in curves.values() for points in each.values() if points), default=1)
    begin = min((points[0][0] for each in curves.values() for points in each.values() if points), default=0)
    across = _Scale(begin, end, _LEFT, _WIDTH - _RIGHT)
    height = _TOP + len(_PANELS) * (_PANEL + _GAP) + _BOTTOM - _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#333">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="14" font-weight="600">{html.escape(title)}</text>',
        *_legend(subjects),
    ]
    for index, (name, unit, words) in enumerate(_PANELS):
        top = _TOP + index * (_PANEL + _GAP)
        parts += _panel(name, unit, words, top, across, {subject: curves[subject] for subject in subjects}, bands, marks)
    parts += _times(across, _TOP + len(_PANELS) * (_PANEL + _GAP) - _GAP)
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Scale:
    """Maps values to coordinates."""

    def __init__(self, least, greatest, begin, end):
        self.least, self.greatest = least, max(greatest, least + 1e-9)
        self._begin, self._end = begin, end

    def __call__(self, value):
        share = (min(max(value, self.least), self.greatest) - self.least) / (self.greatest - self.least)
        return round(self._begin + share * (self._end - self._begin), 1)


def _legend(subjects):
    parts, x = [], _LEFT
    for subject in subjects:
        title = _TITLES[subject]
        parts.append(f'<rect x="{x}" y="28" width="14" height="4" fill="{_COLOURS[subject]}"/>')
        parts.append(f'<text x="{x + 19}" y="34">{html.escape(title)}</text>')
        x += 40 + 7 * len(title)
    return parts


def _panel(name, unit, words, top, across, curves, bands, marks):
    series = ["wanted", "pods"] if name == "pods" else [name]
    most = max((value for each in curves.values() for one in series for _, value in each[one]), default=0)
    top_value = _round_up(max(most, _LIMIT * 1.2 if name == "p95_ms" else 1))
    up = _Scale(0, top_value, top + _PANEL, top)
    parts = []
    for begin, end, _ in bands:
        parts.append(f'<rect x="{across(begin)}" y="{top}" width="{across(end) - across(begin):.1f}" height="{_PANEL}" fill="#f3e3c3"/>')
    for value in (0, top_value / 2, top_value):
        y = up(value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    for at, _ in marks:
        parts.append(f'<line x1="{across(at)}" x2="{across(at)}" y1="{top}" y2="{top + _PANEL}" stroke="#999" stroke-dasharray="2 3"/>')
    if name == "p95_ms":
        y = up(_LIMIT)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#b00" stroke-dasharray="5 4"/>')
    for subject, each in curves.items():
        colour = _COLOURS[subject]
        if name == "pods":
            parts.append(_line(_stairs(each["wanted"], across.greatest), across, up, colour, 2))
            parts += [_line(piece, across, up, colour, 0.8) for piece in _pieces(each["pods"])]
        else:
            parts += [_line(piece, across, up, colour, 1.6) for piece in _pieces(each[name])]
    parts.append(f'<text x="{_LEFT}" y="{top - 5}" fill="#666">{html.escape(words)}</text>')
    if name == "pods":
        for at, text in [*((begin, text) for begin, _, text in bands), *marks]:
            parts.append(f'<text x="{across(at) + 3:.1f}" y="{top + 11}" fill="#666">{html.escape(text)}</text>')
    return parts


def _pieces(points):
    """Runs of points without gaps. Nothing is drawn where nothing was recorded."""
    pieces, longest = [], 4 * min((after[0] - before[0] for before, after in zip(points, points[1:])), default=1)
    for point in points:
        if not pieces or point[0] - pieces[-1][-1][0] > longest:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _stairs(points, end):
    stairs = []
    for (at, value), following in zip(points, [*points[1:], [end, None]]):
        stairs += [[at, value], [following[0], value]]
    return stairs


def _line(points, across, up, colour, width):
    places = " ".join(f"{across(at)},{up(value)}" for at, value in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'


def _times(across, y):
    span = across.greatest - max(0, across.least)
    every = next(every for every in (5, 10, 15, 30, 60, 120, 300, 600) if span / every <= 14 or every == 600)
    parts = []
    for index in range(int(across.greatest // every) + 1):
        at = index * every
        x = across(at)
        text = f"{at // 60} min" if every >= 60 else f"{at} s"
        parts.append(f'<line x1="{x}" x2="{x}" y1="{y}" y2="{y + 4}" stroke="#999"/>')
        parts.append(f'<text x="{x}" y="{y + 17}" text-anchor="middle">{text}</text>')
    return parts


def _round_up(value):
    """The smallest number of at most one and a half digits that isn't less."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)
