"""What a record says. Pure: records are plain data, times are seconds since the epoch.

A record of one service under load has `begin` (the first request), `end`, `changes` (see recorder.py),
`requests` as [at, milliseconds, status, good], and from prometheus.py `series`, `load` (the offered load)
and `arrived` (the requests that had arrived at each pod).
"""

from autoscaling.testbed import NAME

#: Maximum latency of a response in time, in milliseconds.
LATE_MS = 500

#: Seconds after which a new pod must have its share of the requests, and over which the share is measured.
SHARE_AFTER, SHARE_OVER = 30, 15

#: Tolerance of an HPA: the relative difference between reading and target at which it scales (default of its
#: controller).
_TOLERANCE = 0.1


def wanted(record):
    """The Deployment's replicas, as [at, replicas] whenever they changed."""
    points = []
    for change in record["changes"]:
        if change["plural"] == "deployments" and change["name"] == NAME and change["facts"]:
            replicas = change["facts"]["wanted"]
            if not points or points[-1][1] != replicas:
                points.append([change["at"], replicas])
    return points


def at_time(points, at):
    """The value at a time: that of the last point before it, or of the first."""
    value = points[0][1]
    for when, next_value in points:
        if when > at:
            break
        value = next_value
    return value


def within(points, begin, end):
    """The points between two times, with the value at the first of them."""
    return [[begin, at_time(points, begin)]] + [[at, value] for at, value in points if begin < at <= end]


def changes_of_direction(points):
    """Number of reversals: a rise followed by a fall, or a fall followed by a rise."""
    signs = [1 if after > before else -1 for (_, before), (_, after) in zip(points, points[1:]) if after != before]
    return sum(sign != following for sign, following in zip(signs, signs[1:]))


def fewest(points, begin, end):
    """The minimum between two times."""
    return min(value for _, value in within(points, begin, end))


def steps_down(points, since):
    """The scale-downs after a time, as [seconds since then, from, to]."""
    return [
        [at - since, before, after] for (_, before), (at, after) in zip(points, points[1:]) if at > since and after < before
    ]


def fastest_minute(steps):
    """The maximum number of pods that were removed within 59 seconds, minus the limit of the policy: a
    tenth of the pods, or one. At most 0 if the policy was respected. A minute minus a second, because both
    ends are observed with a small delay."""
    return max(
        (
            sum(before - after for at, before, after in steps if start <= at < start + 59) - max(1, from_ // 10)
            for start, from_, _ in steps
        ),
        default=0,
    )


def pod_seconds(record, begin, end):
    """Desired pods multiplied by the seconds of each number."""
    points = within(wanted(record), begin, end) + [[end, 0]]
    return sum(value * (after - at) for (at, value), (after, _) in zip(points, points[1:]))


def pods(record):
    """The first time of each pod in each of its states: {name: {created, scheduled, running, ready}}."""
    found = {}
    for change in record["changes"]:
        if change["plural"] == "pods" and change["facts"]:
            states = found.setdefault(change["name"], {"created": change["at"]})
            for state, reached in change["facts"].items():
                if reached:
                    states.setdefault(state, change["at"])
    return found


def new_pods(record):
    """Those of `pods` that were created after the start of the load, in the order in which they became
    ready."""
    new = {name: states for name, states in pods(record).items() if states["created"] > record["begin"] and "ready" in states}
    return dict(sorted(new.items(), key=lambda item: item[1]["ready"]))


def stages(record, target):
    """Where the time went from the first request to the first new pod that was ready, in seconds, or None
    where there was no such pod. `target` is of loadPercent; None where that isn't what is followed.

    scrape: until Prometheus has a sample that shows the load; window: until the signal, which looks back
    over several samples, asks for more pods; sync: until the autoscaler has looked and raised the
    replicas; schedule: until the pod has a node; start: until its containers run; ready: until it is.
    """
    ready = list(new_pods(record).values())
    raised = [at for at, _ in wanted(record) if at > record["begin"]]
    if not ready or not raised:
        return None
    first, begin = ready[0], record["begin"]
    marks = {"begin": begin}
    if target is not None:
        base = at_time(wanted(record), begin)
        asks = target / 100 * (1 + _TOLERANCE) * base * 100
        marks["scrape"] = _first_growth(record, begin)
        marks["window"] = next((at for at, value in record["load"] if at > begin and value > asks), None)
    marks |= {"sync": raised[0], "schedule": first["scheduled"], "start": first["running"], "ready": first["ready"]}
    known = {name: at for name, at in marks.items() if at is not None}
    names = list(known)
    spans = {name: max(0.0, known[name] - known[before]) for before, name in zip(names, names[1:])}
    return spans | {"total": first["ready"] - begin}


def _first_growth(record, begin):
    """The first sample with more arrived requests than at the start of the load."""
    times = []
    for points in record["arrived"].values():
        base = max((count for at, count in points if at <= begin), default=0)
        times += [at for at, count in points if at > begin and count > base][:1]
    return min(times, default=None)


def misses(record, begin, end):
    """The predictions that were requested between two times: their number, the failed ones, and the failed
    or late ones."""
    sent = [request for request in record["requests"] if begin <= request[0] < end]
    failed = sum(not good for _, _, _, good in sent)
    late = sum(bool(good) and ms > LATE_MS for _, ms, _, good in sent)
    return {"requests": len(sent), "failed": failed, "missed": failed + late}


def shares(record):
    """For each new pod with enough time under load: its part of the arrivals SHARE_AFTER seconds after it
    was ready, divided by a fair part."""
    found, everybody = {}, pods(record)
    for name, states in new_pods(record).items():
        end = states["ready"] + SHARE_AFTER
        begin = end - SHARE_OVER
        if end > record["end"]:
            continue
        arrived = {pod: _growth(points, begin, end) for pod, points in record["arrived"].items()}
        sharing = sum("ready" in other and other["ready"] <= begin for other in everybody.values())
        total = sum(arrived.values())
        if total:
            found[name] = arrived.get(name, 0) / total * sharing
    return found


def _growth(points, begin, end):
    if not points:
        return 0
    return max(0, at_time(points, end) - (at_time(points, begin) if points[0][0] <= begin else 0))


def curves(record, every=1):
    """The curves of a record: desired replicas and Prometheus' series, in seconds since the start of the
    load."""
    begin = record["begin"]
    drawn = {"wanted": [[round(at - begin, 1), value] for at, value in within(wanted(record), begin - 10, record["end"])]}
    for name in ("pods", "rate", "queue", "p95_ms"):
        points = record["series"].get(name, [])
        drawn[name] = [[round(at - begin), _short(value)] for at, value in points[::every]]
    return drawn


def _short(value):
    return round(value) if abs(value) >= 100 else round(value, 1)
