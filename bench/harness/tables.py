"""Thresholds and figures as tables. Pure."""

VERDICT = {True: "met", False: "MISSED", None: "not measured"}


def terminal(table, spread):
    """The lines of the thresholds, in columns. `spread` is the heading of the spread."""
    rows = [("measurement", "threshold", "result", spread, "verdict")]
    rows += [(threshold.name, threshold.target, threshold.figure, threshold.spread, VERDICT[threshold.met]) for threshold in table]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def total(table):
    """The number of thresholds that were met."""
    counts = {verdict: sum(threshold.met is verdict for threshold in table) for verdict in VERDICT}
    text = f"{counts[True]} of {len(table)} thresholds met, {counts[False]} missed"
    return text if not counts[None] else f"{text}; incomplete: {counts[None]} not measured"


def linked_total(table):
    """The number of thresholds that were met, with a link to the causes for a page in docs/."""
    missed = any(threshold.met is False for threshold in table)
    link = " [Causes](../bench/README.md#missed-thresholds)."
    return f"{total(table)}.{link if missed else ''}"


def verdict(met):
    """The verdict of a threshold, in Markdown."""
    return VERDICT[met] if met else f"**{VERDICT[met]}**"


def markdown(header, rows):
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows]]
