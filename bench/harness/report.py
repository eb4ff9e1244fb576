"""Results as text: the thresholds for a terminal, and docs/performance.md. Pure."""

import datetime

from harness import thresholds, prose, tables
from harness.experiments.iris import CONNECTIONS
from harness.figures import Figure


def terminal(results):
    """The thresholds, in columns."""
    table = thresholds.table(results)
    lines = tables.terminal(table, "spread of the runs")
    notes = [f"{threshold.name}: {threshold.note}" for threshold in table if threshold.note not in ("", thresholds.NOT_ASKED_FOR)]
    return "\n".join([*lines, "", *notes, tables.total(table)]) + "\n"


def markdown(results):
    """docs/performance.md."""
    table = thresholds.table(results)
    sections = [_head(results), _thresholds(table)]
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
    text = f"""# Performance

<!-- Written by `make bench-report` from performance.json; edit bench/harness/report.py. -->

`make bench` measured these figures on {day} at commit {versions['checkout']}.

- Machine: {machine['processors']} × {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}, Linux \
{machine['kernel']}. Servers and client share {machine['processors_used']} processors. Before the run, the machine was \
{machine['busy_before']:.0%} busy with other processes.
- Every figure is the median of {settings['rounds']} runs, with the minimum and the maximum. In each round, one server after the \
other is started, checked with rows of known results, warmed up, measured and stopped. So a drift of the machine affects all \
alike. Ratios are computed within a round.
- Closed loops use wrk {versions['wrk']} with one thread and keep-alive connections, {settings['seconds']} s per run. The \
open loop uses vegeta {versions['vegeta']}. The programs are built with the cargo profile `{settings['profile']}`."""
    return prose.wrapped(text)


def _thresholds(table):
    lines = ["## Thresholds", "", "A ratio is springtide-server's figure divided by that of the other server.", ""]
    lines += tables.markdown(
        ["measurement", "threshold", "result", "spread", ""],
        [[threshold.name, threshold.target, threshold.figure, threshold.spread, tables.verdict(threshold.met)] for threshold in table],
    )
    notes = [prose.wrapped(f"- {threshold.name}. Note: {threshold.note}.") for threshold in table if threshold.note not in ("", thresholds.NOT_ASKED_FOR)]
    return "\n".join([*lines, "", tables.linked_total(table), *(["", *notes] if notes else [])])


def _iris(results):
    titles = {peer["name"]: f"{peer['title']} {peer['version']}" for peer in results["peers"]}
    lines = ["## The iris model, one row per request"]
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
        prose.wrapped(
            f"The table shows the rows per second of a loop of `Session::run`, by the rows of each run. Its best entry, measured again "
            f"in every round, has {_figure(direct)}. springtide-server uses the Open Inference Protocol with binary tensors. It has "
            f"{_figure(alike)} with `{minilm['alike']}`, the settings of the best loop, and {_figure(served)} with its defaults."
        ),
        "",
    ]
    header = ["", *(f"{rows} row{'s' * (rows > 1)}" for rows in batches)]
    return "\n".join(lines + tables.markdown(header, [[layout, *(f"{rate[layout, rows]:.1f}" for rows in batches)] for layout in layouts]))


def _overload(overload):
    lines = [
        "## MiniLM at three times its peak",
        "",
        prose.wrapped(
            f"Requests of one row with a deadline of {overload['deadline_ms']} ms are sent at a constant rate, independent of responses. "
            "The client and the rejections use processor time that the peak didn't include. Threads of one session wait for each other "
            "at every operator, so a default of two threads loses twice that time. A worker of one thread for each processor "
            "(`spec.server.workers`) hardly loses any. The default stays: it answers a single request of a large model in little more than "
            "half of the time. It also needs only one copy of the weights."
        ),
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
        lines.append(prose.wrapped(f"- **{peer['title']}** {peer['version']}: {peer['setup']}{docs}{state}"))
    return "\n".join(lines)


def _figure(figure):
    return f"{number(figure.median)} ({number(figure.least)} to {number(figure.greatest)})"


def number(value):
    """A figure of a table, with about three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
