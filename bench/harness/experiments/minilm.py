"""MiniLM at saturation, relative to ONNX Runtime in a loop, and at three times its capacity."""

import json
import math
import statistics
import struct

from harness import load, models, process, protocols, tools
from harness.experiment import Experiment
from harness.figures import percentile
from harness.progress import say

PATH = "/v2/models/minilm/infer"

#: Batch sizes of the loop without a server.
_BATCHES = (1, 2, 4, 8, 16, 32)

#: Seconds of each of them.
_SCAN = 2

#: How many of them are measured again, how often and for how many seconds. On a shared machine, runs differ
#: more than neighboring batch sizes, and the fastest run isn't the best size.
_FINALISTS, _FINAL_ROUNDS, _FINAL = 4, 3, 4

#: Open requests of one row at saturation: two full batches.
_IN_FLIGHT = 64

#: Seconds at the start of a load that don't count.
_SETTLING = 3

#: Seconds of light load before, and its open requests, so that the server has learned the duration of its
#: batches.
_WARM_UP, _GENTLE = 2, 8

#: Request timeout in an overload, in milliseconds: short, so that a run of some seconds shows the steady
#: state.
DEADLINE_MS = 1000

#: Request timeout if only the rate is measured: longer than any wait.
_PATIENCE_MS = 60_000

#: The overload as a multiple of the peak.
OVERLOAD = 3

#: Seconds from a start to the load.
_START = 2 + _WARM_UP


def _layouts(processors):
    """Layouts of the processors: one session with a thread for each, with spinning between runs (the
    default of ONNX Runtime) or without (as in the server), or a session for each."""
    return {
        f"1 session of {processors} threads": {"sessions": 1, "threads": processors},
        f"1 session of {processors} spinning threads": {"sessions": 1, "threads": processors, "spin": True},
        f"{processors} sessions of 1 thread": {"sessions": processors, "threads": 1},
    }


def _load_seconds(settings):
    # Batches take hundreds of milliseconds, so a rate needs more time than that of iris.
    return _SETTLING + max(5, 2 * settings.seconds)


def _saturated_seconds(settings):
    # The end of the load within a batch must not matter. A batch is hundredths of this.
    return max(2, 5 * settings.seconds)


def saturated_budget(settings, _peers):
    scan = 3 * len(_BATCHES) * (_SCAN + 1) + _FINALISTS * _FINAL_ROUNDS * (_FINAL + 1)
    return scan + settings.rounds * (_load_seconds(settings) + 2 * (_saturated_seconds(settings) + _START))


def saturated(context):
    """Rows per second of the best static batch, which is found first, and in turn of the server with its
    defaults and with the sessions and batch of the best loop."""
    model = models.minilm()
    seconds = _load_seconds(context.settings)
    scan, best = _best_loop(context, model)
    say(f"  best without a server: {best['rows_per_second']:.1f} rows/s: {best['layout']}, {best['rows']} rows a run")
    options = _layouts(context.settings.processors)[best["layout"]]
    alike = ["--workers", str(options["sessions"]), "--max-batch-size", str(best["rows"])]
    rounds = []
    for _ in range(context.settings.rounds):
        direct = context.direct_session(
            model, rows=best["rows"], length=models.MINILM_TOKENS, seconds=seconds, **options
        )["rows_per_second"]
        served = _saturate(context, model, [])
        served_alike = _saturate(context, model, alike)
        rounds.append({"direct": direct, "served": served, "served_alike": served_alike})
        say(f"  {direct:.1f} rows/s without a server, {served:.1f} with it, {served_alike:.1f} with {' '.join(alike)}")
    return {"scan": scan, "best": best, "alike": " ".join(alike), "rounds": rounds}


def _best_loop(context, model):
    """The results of every layout and batch in a short run, and the one with the best median in longer
    runs."""
    layouts = _layouts(context.settings.processors)

    def measure(layout, rows, seconds):
        seconds = min(seconds, context.settings.seconds)
        options = layouts[layout] | {"rows": rows, "length": models.MINILM_TOKENS, "seconds": seconds}
        return context.direct_session(model, **options)["rows_per_second"]

    scan = [
        {"layout": layout, "rows": rows, "rows_per_second": measure(layout, rows, _SCAN)}
        for layout in layouts
        for rows in _BATCHES
    ]
    finalists = sorted(scan, key=lambda entry: -entry["rows_per_second"])[:_FINALISTS]
    finals = [
        [measure(entry["layout"], entry["rows"], _FINAL) for entry in finalists]
        for _ in range(min(_FINAL_ROUNDS, context.settings.rounds))
    ]
    medians = [statistics.median(rates) for rates in zip(*finals, strict=True)]
    rate, entry = max(zip(medians, finalists, strict=True), key=lambda pair: pair[0])
    return scan, entry | {"rows_per_second": rate}


def overload_setups(processors):
    """The tested setups of the server in an overload, by name: with its defaults, and with a worker of one
    thread for each processor. These don't wait for each other if the client uses a processor."""
    return {"the server's defaults": [], f"--workers {processors}": ["--workers", str(processors)]}


def overload_budget(settings, _peers):
    return 2 * settings.rounds * (2 * _load_seconds(settings) + 2 * _START)


def overload(context):
    """For each setup, each round has the peak, then three times the peak."""
    model = models.minilm()
    seconds = _load_seconds(context.settings)
    setups = overload_setups(context.settings.processors)
    rounds = {setup: [] for setup in setups}
    for _ in range(context.settings.rounds):
        for setup, arguments in setups.items():
            peak = _peak(context, model, seconds, arguments)
            rate = math.ceil(OVERLOAD * peak)
            arguments = ["--request-timeout-ms", str(DEADLINE_MS), *arguments]
            with context.serving_model("minilm", model, arguments) as server:
                _warm_up(server)
                answers = load.attack(_url(server), _request(), seconds=seconds, rate=rate)
            rounds[setup].append(judge(answers, peak, rate, seconds))
            say(f"  {setup}: {json.dumps(rounds[setup][-1])}")
    return {"deadline_ms": DEADLINE_MS, "setups": rounds}


def judge(answers, peak, rate, seconds):
    """The results of the requests of an overload."""
    settled = [answer for answer in answers if answer.at >= _SETTLING]
    accepted = [answer.milliseconds for answer in settled if answer.status == 200]
    refused = [answer.milliseconds for answer in settled if answer.status == 429]
    statuses = {}
    for answer in answers:
        statuses[str(answer.status)] = statuses.get(str(answer.status), 0) + 1
    return {
        "peak": peak,
        "rate": rate,
        "goodput": load.steady_rate(answers, _SETTLING, seconds),
        "accepted_p99_ms": percentile(accepted, 99),
        "refused_p99_ms": percentile(refused, 99) if refused else None,
        "statuses": statuses,
    }


def _saturate(context, model, arguments):
    """Rows per second of a server that always has two full batches queued."""
    arguments = ["--request-timeout-ms", str(_PATIENCE_MS), *arguments]
    with context.serving_model("minilm", model, arguments) as server:
        _warm_up(server)
        seconds = _saturated_seconds(context.settings)
        measured = load.closed_loop(_url(server), [_request()], connections=_IN_FLIGHT, seconds=seconds)
    if measured.refused or measured.broken:
        raise process.Failed(f"{measured.refused} refused and {measured.broken} broken of {measured.requests} requests")
    return measured.rate


def _peak(context, model, seconds, arguments):
    """The same with the client of the overload, which uses more processor time than wrk."""
    arguments = ["--request-timeout-ms", str(_PATIENCE_MS), *arguments]
    with context.serving_model("minilm", model, arguments) as server:
        _warm_up(server)
        answers = load.attack(_url(server), _request(), seconds=seconds, workers=_IN_FLIGHT)
    wrong = [answer.status for answer in answers if answer.status != 200]
    if wrong:
        raise process.Failed(f"{len(wrong)} of {len(answers)} answers were no success, the first a {wrong[0]}")
    return load.steady_rate(answers, _SETTLING, seconds)


def _request():
    return protocols.open_inference_binary(models.minilm_tensors([models.MINILM_TOKENS]))


def _url(server):
    return f"http://127.0.0.1:{server.port}{PATH}"


def _warm_up(server):
    _check(server)
    load.attack(_url(server), _request(), seconds=_WARM_UP, workers=_GENTLE)


def _check(server):
    """An embedding has 384 numbers and the length 1."""
    status, body = server.post(PATH, _request())
    if status != 200:
        raise process.Failed(f"MiniLM: status {status}: {body[:300].decode(errors='replace')}")
    embedding = struct.unpack("<384f", body[-384 * 4 :])
    length = math.sqrt(sum(number * number for number in embedding))
    if abs(length - 1) > 1e-3:
        raise process.Failed(f"MiniLM: an embedding of length {length}")


_NEEDS = (models.minilm, tools.vegeta)

SATURATED = Experiment("minilm", "MiniLM saturated, against a loop of Session::run", saturated_budget, saturated, _NEEDS)
OVERLOADED = Experiment("overload", "MiniLM at three times its peak, open loop", overload_budget, overload, _NEEDS)
