"""Results as text: the thresholds for a terminal, and the figures of docs/autoscaling.md. Pure."""

import datetime

from autoscaling import thresholds
from autoscaling.testbed import BATCH_ROWS, MIN_REPLICAS, RESOURCES, SUBJECTS
from harness import prose, tables
from harness.figures import Figure

#: Descriptions of the parts of the time, in order.
_STAGES = {
    "scrape": "scrape: until Prometheus has a sample of the load",
    "window": "window: until the rate over the last samples exceeds the target",
    "sync": "sync: until the HPA has synced and raised the replicas",
    "schedule": "schedule: until the pod has a node",
    "start": "start: until the model is fetched and the server runs",
    "ready": "ready: until it is Ready",
    "total": "total",
}


def terminal(results):
    """The thresholds, in columns."""
    table = thresholds.table(results)
    return "\n".join([*tables.terminal(table, ""), "", tables.total(table)]) + "\n"


def markdown(results):
    """The generated part of docs/autoscaling.md."""
    sections = [_head(results), _thresholds(thresholds.table(results))]
    if "step" in results:
        sections += [_stages(results["step"]), _clients(results["step"]), _plot("step", "The median round of each")]
    for name, title in (
        ("noise", "±20 % of noise around a steady load"),
        ("drop", "Load that falls to zero"),
        ("outage", "Prometheus killed under load"),
        ("switch", "The engine switched under load, there and back"),
    ):
        if name in results:
            sections.append(_plot(name, title))
    return "\n\n".join(sections) + "\n"


def _head(results):
    runs = {each["run"]["started"]: each["run"] for each in results.values()}
    first = runs[min(runs)]
    machine = first["machine"]
    days = sorted({datetime.datetime.fromisoformat(started).date().isoformat() for started in runs})
    checkouts = list(dict.fromkeys(run["checkout"] for _, run in sorted(runs.items())))
    capacities = [f"{run['capacity']:.0f}" for _, run in sorted(runs.items())]
    parts = "" if len(runs) == 1 else f", in {len(runs)} runs, each with its own measurement of a pod's capacity"
    requests, limits = RESOURCES["requests"], RESOURCES["limits"]
    targets = list(dict.fromkeys(_targets(run["targets"]) for _, run in sorted(runs.items())))
    return prose.wrapped(
        f"""\
`make bench-autoscaling` measured these figures on {" and ".join(days)} at commit {", ".join(checkouts)}{parts}. The cluster is a kind \
cluster of two nodes with Kubernetes {first['cluster'].removeprefix('v')}. The nodes, the pods and Locust share \
{machine['processors']} × {machine['processor']}, {machine['memory_gib']} GiB. Before the run, the machine was \
{machine['busy_before']:.0%} busy with other processes, which includes the idle cluster.

- One pod answers {" and ".join(capacities)} predictions per second in a closed loop. It has limits of {limits['cpu']} CPU, and batches \
of at most {BATCH_ROWS} rows of a model with some milliseconds per row. Loads are multiples of that rate. Idle means \
{MIN_REPLICAS} pods without a request.
- Springtide's subject is a ModelService with {" and in other runs ".join(targets)} and `minReplicas: {MIN_REPLICAS}`, and otherwise \
defaults{_outage(results)}. With KEDA the signal comes from Prometheus, with HPA from prometheus-adapter.
- The reference is its own HPA and its own ScaledObject \
([bench/autoscaling/reference](../bench/autoscaling/reference)), including their mistakes. They scale pods of **our** server \
with the same model and resources. So only the autoscaling differs, and the latency objective of 500 ms for long overloads, \
which only our operator sets. Requests ({requests['cpu']}, {requests['memory']}) are a quarter of the limits, as in the \
reference. Prometheus scrapes every 5 s for both.
- Locust's steady users each keep a connection of their own. They send at a constant rate, independent of responses. Times are \
measured at the clients, and by watches of the API server."""
    )


def _outage(results):
    preset = results.get("outage", {}).get("preset")
    return f". The outage uses `behavior: {{preset: {preset}}}`, which removes pods about a minute after a low reading" if preset else ""


def _targets(targets):
    return " and ".join(f"`{name}: {value}`" for name, value in targets.items())


def _thresholds(table):
    rows = [[threshold.name, threshold.target, threshold.figure, threshold.spread, tables.verdict(threshold.met)] for threshold in table]
    return "\n".join([*tables.markdown(["measurement", "threshold", "result", "", ""], rows), "", tables.linked_total(table)])


def _stages(results):
    lines = [
        prose.wrapped("The parts of the time from the first request of the step to the first new Ready pod, in seconds, medians:"),
        "",
    ]
    named = [(subject, results["rounds"][subject.name]) for subject in SUBJECTS if subject.name in results["rounds"]]
    rows = []
    for stage, title in _STAGES.items():
        cells = []
        for _, rounds in named:
            values = [figures["stages"][stage] for figures in rounds if figures["stages"] and stage in figures["stages"]]
            cells.append(f"{Figure.of(values).median:.1f}" if values else "–")
        rows.append([title, *cells])
    lines += tables.markdown(["", *(subject.title for subject, _ in named)], rows)
    lines += [
        "",
        prose.wrapped(
            "The reference's HPA follows metrics-server, so all time until its decision is in \"sync\". KEDA's own polling has no "
            "effect between minimum and maximum replicas: its HPA queries KEDA, which then queries Prometheus."
        ),
    ]
    return "\n".join(lines)


def _clients(results):
    lines = [f"Results of the clients in the {results['seconds']} s of the step, and the pods used, medians:", ""]
    rows = []
    for subject in SUBJECTS:
        if not (rounds := results["rounds"].get(subject.name)):
            continue
        figure = lambda field: Figure.of(figures[field] for figures in rounds).median
        part = Figure.of(figures["missed"] / figures["requests"] for figures in rounds).median
        rows.append(
            [subject.title, thresholds.seconds(Figure.of(thresholds.times_to_ready(rounds)).median), f"{figure('requests'):,.0f}"]
            + [f"{figure('failed'):,.0f}", f"{figure('missed'):,.0f}", f"{part:.0%}", f"{figure('most_pods'):.0f}", f"{figure('pod_seconds'):,.0f}"]
        )
    header = ["", "first new pod", "requests", "failed", "failed or over 500 ms", "share", "maximum pods", "pod-seconds"]
    return "\n".join(lines + tables.markdown(header, rows))


def _plot(name, title):
    return f"![{title}](autoscaling/{name}.svg)"
