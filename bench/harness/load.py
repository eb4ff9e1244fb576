"""Load from common tools: wrk in a closed loop, vegeta in an open one."""

import csv
import dataclasses
import io
import json
import pathlib
import statistics
import tempfile

from harness import places, process, tools


@dataclasses.dataclass(frozen=True)
class Closed:
    """The results of a closed loop. Latencies are in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    requests: int
    #: Responses with a status of 400 or more.
    refused: int
    #: Failed connections, and requests without a response.
    broken: int


def closed_loop(url, requests, *, connections, seconds):
    """wrk with one thread. Each keep-alive connection sends its next request after its last response. Each
    request is a random one of several."""
    with tempfile.TemporaryDirectory(prefix="springtide-bench-") as folder:
        index = _write(requests, pathlib.Path(folder))
        text = process.run(
            "wrk",
            ["wrk", "--threads", 1, "--connections", connections, "--duration", f"{seconds}s"]
            + ["--timeout", "30s", "--script", places.LOAD / "closed.lua", url, "--", index],
            limit=seconds + 60,
        )
    return read_closed(text)


def read_closed(text):
    """Parses the output of load/closed.lua."""
    for line in text.splitlines():
        if line.startswith("RESULT "):
            result = json.loads(line.removeprefix("RESULT "))
            return Closed(
                rate=(result["requests"] - result["refused"]) / result["seconds"],
                p50_ms=result["p50_ms"],
                p99_ms=result["p99_ms"],
                max_ms=result["max_ms"],
                requests=result["requests"],
                refused=result["refused"],
                broken=result["broken"],
            )
    raise process.Failed(f"wrk gave no result: {text.strip()[-300:]}")


def _write(requests, folder):
    index = folder / "index"
    lines = []
    for number, request in enumerate(requests):
        body = folder / f"{number}.body"
        body.write_bytes(request.body)
        lines.append(f"{body}\t{request.content_type}\t{request.header_length or '-'}\n")
    index.write_text("".join(lines), encoding="utf-8")
    return index


@dataclasses.dataclass(frozen=True)
class Answer:
    """One response: its time in seconds since the start of the load, and its latency."""

    at: float
    milliseconds: float
    #: HTTP status. 0 without a response.
    status: int


def attack(url, request, *, seconds, rate=0, workers=64):
    """vegeta: an open loop of `rate` requests per second, sent at their times regardless of earlier ones.
    With rate 0 a closed loop of this number of workers. Returns all responses."""
    with tempfile.TemporaryDirectory(prefix="springtide-bench-") as folder:
        folder = pathlib.Path(folder)
        (folder / "body").write_bytes(request.body)
        (folder / "targets").write_text(f"POST {url}\n", encoding="utf-8")
        command = [tools.vegeta(), "attack", "-targets", folder / "targets", "-body", folder / "body"]
        for name, value in request.headers().items():
            command += ["-header", f"{name}: {value}"]
        # Go's client requests gzip by default. No other client here does.
        command += ["-header", "Accept-Encoding: identity"]
        command += ["-duration", f"{seconds}s", "-rate", rate, "-timeout", "30s", "-max-body", 0]
        command += ["-max-workers", 20_000 if rate else workers, "-output", folder / "answers"]
        process.run("vegeta", command, limit=seconds + 90)
        encode = [tools.vegeta(), "encode", "-to", "csv", "-output", folder / "answers.csv", folder / "answers"]
        process.run("vegeta encode", encode)
        return read_answers((folder / "answers.csv").read_text(encoding="utf-8"))


def read_answers(text):
    """Parses vegeta's CSV: the time of sending and the latency in nanoseconds are the first and third
    column, the status is the second."""
    rows = [(int(sent), int(status), int(latency)) for sent, status, latency, *_ in csv.reader(io.StringIO(text))]
    if not rows:
        raise process.Failed("vegeta sent nothing")
    begin = min(sent for sent, _, _ in rows)
    return [Answer((sent + latency - begin) / 1e9, latency / 1e6, status) for sent, status, latency in rows]


def steady_rate(answers, begin, end):
    """Successful responses per second between two times, as the slope of their running count. Responses of
    batches come in bursts, and the end of the window within a burst must not matter."""
    times = sorted(answer.at for answer in answers if answer.status == 200 and begin <= answer.at <= end)
    if not times or times[-1] - times[0] < (end - begin) / 2:
        raise process.Failed(f"{len(times)} successful answers within {end - begin:.0f} s are too few for a rate")
    return statistics.linear_regression(times, range(len(times))).slope
