"""Load from tools that people know: wrk in a closed loop, vegeta in an open one."""

import dataclasses
import json
import pathlib
import tempfile

from harness import places, process


@dataclasses.dataclass(frozen=True)
class Closed:
    """What a closed loop measured. Latencies are in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    requests: int
    #: Answers with a status of 400 and more.
    refused: int
    #: Connections that failed and requests that were never answered.
    broken: int


def closed_loop(url, requests, *, connections, seconds):
    """wrk with one thread: each of the keep-alive connections sends its next request when its last
    one is answered. Of several requests each is chosen at random."""
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
    """What load/closed.lua printed."""
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
