"""Results as text: the bars for a terminal, and docs/performance.md. Pure."""

import datetime

from harness import bars, tables
from harness.experiments.iris import CONNECTIONS
from harness.figures import Figure


def terminal(results):
    """The bars, in columns."""
    table = bars.table(results)
    lines = tables.terminal(table, "spread of the runs")
    notes = [f"{bar.name}: {bar.note}" for bar in table if bar.note not in ("", bars.NOT_ASKED_FOR)]
    return "\n".join([*lines, "", *notes, tables.total(table)]) + "\n"


def markdown(results):
    """docs/performance.md."""
    table = bars.table(results)
    sections = [_head(results), _bars(table)]
    if "iris" in results:
        sections.append(_iris(results))
    if "minilm" in results:
        sections.append(_minilm(results["minilm"]))
    if "overload" in results:
        sections.append(_overload(results["overload"]))
    return "\n\n".join([*sections, _setups(results)]) + "\n"


def _head(results):
    machine, settings, versions = results["machine"], results["settings"], results["versions"]
    day = datetime.datetime.fromisoformat(results["started"]).date().isoformat()
    return f"""# Performance

<!-- Written by `make bench-report` from performance.json; edit bench/harness/report.py. -->

What `make bench` measured on {day} at commit {versions['checkout']}.

- Machine: {machine['processors']} × {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}, Linux \
{machine['kernel']}. Servers and client share {machine['processors_used']} processors; others kept \
{machine['busy_before']:.0%} of the machine busy just before.
- Every figure is the median of {settings['rounds']} runs, with the least and the greatest of them. In each round every \
server is started, asked for rows with known answers, warmed up, measured and ended, one after the other, so that a \
drift of the machine meets all alike. Ratios are taken within a round.
- Closed loops are wrk {versions['wrk']} with one thread and keep-alive connections, {settings['seconds']} s a run; the \
open loop is vegeta {versions['vegeta']}. The programs are built with the cargo profile `{settings['profile']}`."""


def _bars(table):
    lines = ["## The bars", "", "Ratios are springtide-server's figure to the other's.", ""]
    lines += tables.markdown(
        ["what", "bar", "figure", "spread", ""],
        [[bar.name, bar.target, bar.figure, bar.spread, tables.verdict(bar.met)] for bar in table],
    )
    notes = [f"- {bar.name}: {bar.note}." for bar in table if bar.note not in ("", bars.NOT_ASKED_FOR)]
    return "\n".join([*lines, "", tables.linked_total(table), *(["", *notes] if notes else [])])


def _iris(results):
    titles = {peer["name"]: f"{peer['title']} {peer['version']}" for peer in results["peers"]}
    lines = ["## The iris model, one row a request"]
    for connections in CONNECTIONS:
        rows = []
        for name, cells in results["iris"].items():
            runs = cells[str(connections)]
            figure = lambda field: _figure(Figure.of(run[field] for run in runs))
            wrong = sum(run["refused"] + run["broken"] for run in runs)
            rows.append([titles[name], figure("rate"), figure("p50_ms"), figure("p99_ms"), f"{wrong:,}"])
        lines += ["", f"{connections} connection{'s' * (connections > 1)}:", ""]
        lines += tables.markdown(["server", "requests/s", "p50, ms", "p99, ms", "failed"], rows)
    return "\n".join(lines)


def _minilm(minilm):
    layouts = list(dict.fromkeys(entry["layout"] for entry in minilm["scan"]))
    batches = list(dict.fromkeys(entry["rows"] for entry in minilm["scan"]))
    rate = {(entry["layout"], entry["rows"]): entry["rows_per_second"] for entry in minilm["scan"]}
    direct, served, alike = (
        Figure.of(run[side] for run in minilm["rounds"]) for side in ("direct", "served", "served_alike")
    )
    lines = [
        "## MiniLM, texts of 64 tokens",
        "",
        f"Rows per second of a loop of `Session::run`, by the rows of each run; the best of them again in every round: "
        f"{_figure(direct)}, and springtide-server through the Open Inference Protocol with binary tensors: "
        f"{_figure(alike)} with `{minilm['alike']}`, as the best loop is set up, and {_figure(served)} with its defaults.",
        "",
    ]
    header = ["", *(f"{rows} row{'s' * (rows > 1)}" for rows in batches)]
    return "\n".join(lines + tables.markdown(header, [[layout, *(f"{rate[layout, rows]:.1f}" for rows in batches)] for layout in layouts]))


def _overload(overload):
    lines = [
        "## MiniLM at three times its peak",
        "",
        f"Requests of one row with a deadline of {overload['deadline_ms']} ms, sent at a constant rate whatever becomes of "
        "them. The client and the refusals take a part of the processors that the peak didn't pay for; threads of one "
        "session wait for each other at every operator, so that a default of two threads feels that twice, and a worker "
        "of one thread for each processor (`spec.server.workers`) hardly. The default stays, since it answers a lone "
        "request of a large model in little more than half of the time, with one copy of the weights.",
    ]
    header = ["peak, rows/s", "sent, rows/s", "goodput, rows/s", "accepted: p99, ms", "rejected: p99, ms", "answers"]
    for setup, rounds in overload["setups"].items():
        rows = [
            [
                f"{run['peak']:.1f}",
                f"{run['rate']}",
                f"{run['goodput']:.1f}",
                f"{run['accepted_p99_ms']:,.0f}",
                "–" if run["refused_p99_ms"] is None else f"{run['refused_p99_ms']:.2f}",
                ", ".join(f"{count:,} × {status}" for status, count in sorted(run["statuses"].items())),
            ]
            for run in rounds
        ]
        lines += ["", f"{setup[0].upper()}{setup[1:]}:" if not setup.startswith("-") else f"`{setup}`:", "", *tables.markdown(header, rows)]
    return "\n".join(lines)


def _setups(results):
    lines = ["## How each server is set up", "", "The files are in [bench/peers](../bench/peers).", ""]
    for peer in results["peers"]:
        docs = "".join(f" [[{number}]]({address})" for number, address in enumerate(peer["docs"], start=1))
        why_not = results["missing"].get(peer["name"])
        state = f" Not measured: {why_not}." if why_not else ""
        lines.append(f"- **{peer['title']}** {peer['version']}: {peer['setup']}{docs}{state}")
    return "\n".join(lines)


def _figure(figure):
    return f"{number(figure.median)} ({number(figure.least)} to {number(figure.greatest)})"


def number(value):
    """A figure of a table, to three digits or so."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
