"""The thresholds, and whether the results meet them. Pure."""

from autoscaling import evaluate
from autoscaling.testbed import SUBJECTS
from harness.thresholds import Threshold
from harness.figures import Figure, percentile, ratios

#: A step without a new pod.
NEVER = float("inf")

_ENGINES = ("HPA", "KEDA")

#: Seconds of the default stabilization window for a scale-down, and between two syncs of an HPA. The window
#: begins with the last sync that requested the pods, which may be a whole period before the end of their
#: load.
_WINDOW, _SYNC = 300, 15


def table(results):
    """All thresholds, including those that were not measured."""
    return [
        *_ready(results),
        *_missed(results),
        *_noise(results),
        *_drop(results),
        *_outage(results),
        *_shares(results),
        *_switch(results),
    ]


def subject(side, engine):
    """The name of a subject."""
    return next(each.name for each in SUBJECTS if (each.side, each.engine) == (side, engine))


def times_to_ready(rounds):
    """Seconds from the step to the first new ready pod, of each round."""
    return [figures["stages"]["total"] if figures["stages"] else NEVER for figures in rounds]


def seconds(value):
    """A time as text."""
    return "never" if value == NEVER else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def _none(name, target):
    return Threshold(name, target, "–", "", None)


def _rounds(results, side, engine):
    return results.get("step", {}).get("rounds", {}).get(subject(side, engine))


def _ready(results):
    for engine in _ENGINES:
        name, target = f"{engine}: step to 4 × one pod's capacity → first new pod Ready", "median < 45 s, p95 < 60 s"
        if not (rounds := _rounds(results, "springtide", engine)):
            yield _none(name, target)
            continue
        times = times_to_ready(rounds)
        figure, p95 = Figure.of(times), percentile(times, 95)
        text = f"{seconds(figure.median)}, {seconds(p95)}"
        yield Threshold(name, target, text, _spread(figure, seconds), figure.median < 45 and p95 < 60)


def _missed(results):
    for engine in _ENGINES:
        name, target = f"{engine}: the same step: requests failed or over 500 ms, relative to the reference", "< 50 %"
        ours, theirs = _rounds(results, "springtide", engine), _rounds(results, "reference", engine)
        if not ours or not theirs or not all(figures["missed"] for figures in theirs):
            yield _none(name, target)
            continue
        # Relative to the requests that were sent, because a client with late responses sends slightly fewer.
        parts = [[figures["missed"] / figures["requests"] for figures in side] for side in (ours, theirs)]
        figure = ratios(*parts)
        text = f"{_percent(figure.median)} ({_percent(Figure.of(parts[0]).median)} of {_percent(Figure.of(parts[1]).median)})"
        yield Threshold(name, target, text, _spread(figure, _percent), figure.median < 0.5, "of all requests of the step, ours of theirs")


def _noise(results):
    name, target = "±20 % noise around a steady load, {}: changes of direction", "at most 1"
    for engine, figures in _each(results, "noise"):
        title = f"{engine}: {name.format(_length(results['noise']['seconds'] if figures else 900))}"
        if not figures:
            yield _none(title, target)
            continue
        count = figures["changes_of_direction"]
        yield Threshold(title, target, str(count), f"{figures['least_pods']} to {figures['most_pods']} pods", count <= 1)


def _drop(results):
    for engine, figures in _each(results, "drop"):
        first = (f"{engine}: load falls to zero: first step down", f"not before {_WINDOW - _SYNC} s (300 s less one sync period)")
        then = (f"{engine}: load falls to zero: steps after that", "at most 10 %, or one pod, a minute")
        steps = figures["steps"] if figures else []
        if not steps:
            yield from (_none(*first), _none(*then))
            continue
        yield Threshold(*first, seconds(steps[0][0]), "", steps[0][0] >= _WINDOW - _SYNC)
        path = " → ".join(str(pods) for pods in [steps[0][1], *(after for _, _, after in steps)])
        when = ", ".join(f"{at:.0f}" for at, _, _ in steps)
        yield Threshold(*then, path, f"after {when} s", figures["too_many_in_a_minute"] <= 0)


def _outage(results):
    for engine, figures in _each(results, "outage"):
        length = _length(results["outage"]["seconds"] if figures else 300)
        name, target = f"{engine}: Prometheus killed at the peak for {length}: replicas lost", "0"
        if not figures:
            yield _none(name, target)
            continue
        lost = max(0, figures["pods_before"] - figures["fewest_pods"])
        after = figures["unhealthy_after"]
        said = "MetricsHealthy stayed True" if after is None else f"MetricsHealthy=False after {seconds(after)}"
        yield Threshold(name, target, str(lost), f"{figures['pods_before']} pods; {said}", lost == 0)


def _shares(results):
    for engine in _ENGINES:
        name = f"{engine}: keep-alive clients: share of each new pod {evaluate.SHARE_AFTER} s after it is Ready"
        target = "at least half of a fair share"
        shares = [share for figures in _rounds(results, "springtide", engine) or [] for share in figures["shares"]]
        if not shares:
            yield _none(name, target)
            continue
        figure = Figure.of(shares)
        text = f"minimum {_percent(figure.least)}, median {_percent(figure.median)}"
        yield Threshold(name, target, text, f"{len(shares)} pods", figure.least >= 0.5)


def _switch(results):
    failed = ("engine switched both ways under load: failed requests", "0")
    pods = ("engine switched both ways under load: replicas lost", "0")
    time = ("engine switched both ways under load: slowest switch", "at most 30 s")
    one = ("engine switched both ways under load: maximum number of autoscalers", "1")
    if not (switch := results.get("switch")):
        yield from (_none(*threshold) for threshold in (failed, pods, time, one))
        return
    figures = next(iter(switch["subjects"].values()))
    times = [each["seconds"] for each in figures["switches"]]
    lost = max(each["pods_before"] - each["fewest_pods"] for each in figures["switches"])
    count = f"{len(times)} switches"
    yield Threshold(*failed, str(figures["failed"]), f"{figures['requests']:,} requests", figures["failed"] == 0)
    yield Threshold(*pods, str(max(0, lost)), count, lost <= 0)
    yield Threshold(*time, seconds(max(times)), f"{count}, median {seconds(Figure.of(times).median)}", max(times) <= 30)
    yield Threshold(*one, str(figures["most_autoscalers"]), count, figures["most_autoscalers"] <= 1)


def _each(results, scenario):
    subjects = results.get(scenario, {}).get("subjects", {})
    return [(engine, subjects.get(subject("springtide", engine))) for engine in _ENGINES]


def _length(seconds):
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _percent(value):
    return f"{value * 100:.0f} %" if value >= 0.1 else f"{value * 100:.1f} %"


def _spread(figure, text):
    return f"{text(figure.least)} to {text(figure.greatest)}, {figure.runs} rounds"
