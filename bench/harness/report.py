"""Results as text: the table of the bars for a terminal, and docs/performance.md. Pure."""

from harness import bars
from harness.experiments.iris import CONNECTIONS
from harness.figures import Figure

_VERDICT = {True: "met", False: "MISSED", None: "not measured"}


def terminal(results):
    """The bars, in columns."""
    table = bars.table(results)
    rows = [("what", "bar", "figure", "spread of the runs", "verdict")]
    rows += [(bar.name, bar.target, bar.figure, bar.spread, _VERDICT[bar.met]) for bar in table]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += ["", *(f"{bar.name}: not measured: {bar.note}" for bar in table if bar.met is None and bar.note)]
    if not bars.is_complete(table):
        lines.append("This table is incomplete.")
    return "\n".join(lines) + "\n"


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
