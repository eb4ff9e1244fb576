"""Asks a running server for rows that share batches with others', and compares each answer with that of
the row alone: mixed.py SERVER CORPUS [--answers 100000]. Exits 1 on any wrong answer.

SERVER is the binary; ORT_DYLIB_PATH names the library (scripts/onnxruntime). About 50 models at a time
are served from one folder on loopback. Every model gets the same number of answers, in waves: each
connection sends a request, then each reads its answer, so that the requests of a wave share batches.
What a row alone gives is computed with ONNX Runtime here, before. Requests for dependent models have one
row each; others have up to four."""

import argparse
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tritonclient.utils import deserialize_bytes_tensor, np_to_triton_dtype, serialize_byte_tensor, triton_to_np_dtype

import truth
import values
from graph import DEPENDENT

MODELS_AT_ONCE = 50
START_SECONDS = 300
CONNECTIONS = 16
# Rows whose answers are computed before, for each model; for large ones fewer.
ROWS = 120
ROWS_OF_LARGE = 12
LARGE = 200_000
# Requests that are made before, and sent in random order.
REQUESTS = 200
ANSWER_SECONDS = 30


@dataclass
class Request:
    """A request as bytes, and what each of its rows gives alone: per output."""

    content: bytes
    expected: dict[str, np.ndarray]
    rows: int
    # The usual magnitude of each output of floats over the model's rows.
    magnitudes: dict[str, float] = field(default_factory=dict)


@dataclass
class Tally:
    """What came of a model's requests."""

    answers: int = 0
    wrong: int = 0
    first_wrong: str = ""
    refused: int = 0
    first_refusal: str = ""
    outputs: set = field(default_factory=set)


def tensor_bytes(array: np.ndarray) -> bytes:
    """An array as a binary tensor."""
    if array.dtype == object:
        return serialize_byte_tensor(np.vectorize(lambda s: s.encode(), otypes=[object])(array)).item() if array.size else b""
    return array.tobytes()


def encoded(model: str, batch: dict[str, np.ndarray]) -> bytes:
    """An HTTP request with binary tensors."""
    inputs, tensors = [], []
    for name, array in batch.items():
        content = tensor_bytes(array)
        tensors.append(content)
        inputs.append({"name": name, "shape": list(array.shape), "datatype": np_to_triton_dtype(array.dtype), "parameters": {"binary_data_size": len(content)}})
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(tensors)
    return f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """A keep-alive connection."""

    def __init__(self, address: tuple[str, int]):
        self.address = address
        self.open()

    def open(self) -> None:
        """Connects."""
        self.socket = socket.create_connection(self.address, ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 16)

    def send(self, content: bytes) -> None:
        """Sends a request; on a new connection where the server has closed this one."""
        try:
            self.socket.sendall(content)
        except OSError:
            self.open()
            self.socket.sendall(content)

    def receive(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        status = self.file.readline()
        if not status:
            self.open()
            return 0, {}, b"the server closed the connection"
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self.file.read(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.open()
        return int(status.split()[1]), headers, body


def decoded(headers: dict[str, str], body: bytes) -> dict[str, np.ndarray]:
    """The outputs of an answer."""
    length = int(headers.get("inference-header-content-length", len(body)))
    answer, rest = json.loads(body[:length]), body[length:]
    found = {}
    for output in answer["outputs"]:
        if "data" in output:
            dtype = object if output["datatype"] == "BYTES" else triton_to_np_dtype(output["datatype"])
            found[output["name"]] = np.array(output["data"], dtype).reshape(output["shape"])
            continue
        size = output["parameters"]["binary_data_size"]
        content, rest = rest[:size], rest[size:]
        if output["datatype"] == "BYTES":
            array = np.array([item.decode() for item in deserialize_bytes_tensor(content)], object)
        else:
            array = np.frombuffer(content, triton_to_np_dtype(output["datatype"]))
        found[output["name"]] = array.reshape(output["shape"])
    return found


def as_tensor(rows: list) -> np.ndarray | None:
    """Rows of one output as a tensor: ZipMap's dictionaries become their values."""
    if isinstance(rows[0], dict):
        return np.array([list(row.values()) for row in rows], np.float32)
    try:
        return np.stack([np.asarray(row) for row in rows])
    except ValueError:
        return None


def magnitude(rows: list) -> float:
    """The usual magnitude of an output: the median over rows of the largest value of each."""
    largest = [np.abs(row[np.isfinite(row)]).max(initial=0.0) for row in map(np.asarray, rows) if row.dtype.kind == "f"]
    return float(np.median(largest)) if largest else 0.0


def equal(alone: np.ndarray, here: np.ndarray, magnitude: float) -> bool:
    """Whether an answer is that of the row alone. A score that is the difference of large sums (that of a
    OneClassSVM) may be near 0, while the sums round at their own magnitude: so the tolerance is relative
    to the output's usual magnitude, too."""
    if truth.same(alone, here):
        return True
    if alone.dtype.kind != "f" or alone.shape != here.shape or alone.dtype != here.dtype:
        return False
    return bool(np.allclose(here, alone, rtol=0.0, atol=truth.RELATIVE * magnitude, equal_nan=True))


def prepared(name: str, path: Path, sidecar: dict) -> list[Request]:
    """Requests of random rows, with what each row gives alone. None where a row alone isn't always the
    same, or no row is valid."""
    random = np.random.default_rng(zlib.crc32(name.encode()) ^ 0x5EED)
    model = truth.session(path)
    names = [output.name for output in model.get_outputs()]
    large = path.stat().st_size > LARGE
    requests: list[Request] = []
    dims = sidecar["dims"]
    # A pool for each of two lengths, and one with the batch that is known to show dependence.
    pools = [values.rows(sidecar, ROWS_OF_LARGE if large else ROWS, random) for _ in range(2 if dims else 1)]
    if sidecar["counterexample"]:
        pools.append(values.from_lists(sidecar, sidecar["counterexample"]["rows"]))
    for pool in pools:
        count = len(next(iter(pool.values())))
        alone = [truth.run(model, truth.take(pool, [row])) for row in range(count)]
        again = truth.run(model, truth.take(pool, [0]))
        if alone[0] is not None and again is not None and not all(truth.same(truth.rows_of(a)[0], truth.rows_of(b)[0]) for a, b in zip(alone[0], again) if truth.rows_of(a)):
            return []
        valid = [row for row in range(count) if alone[row] is not None]
        if not valid:
            continue
        singles = [[truth.rows_of(answer) for answer in alone[row]] for row in valid]
        if any(single is None or len(single) != 1 for answer in singles for single in answer):
            # An output without the rows' axis: the answer is compared as a whole.
            for row, answer in zip(valid, singles):
                expected = {output: np.asarray(value) for output, value in zip(names, alone[row]) if not isinstance(value, list)}
                requests.append(Request(encoded(name, truth.take(pool, [row])), expected, 0))
            continue
        magnitudes = {output: magnitude([single[position][0] for single in singles]) for position, output in enumerate(names)}
        for _ in range(REQUESTS // len(pools)):
            size = 1 if sidecar["truth"] == DEPENDENT or random.random() < 0.7 else int(random.integers(2, 5))
            chosen = random.integers(0, len(valid), size)
            expected = {}
            for position, output in enumerate(names):
                tensor = as_tensor([singles[place][position][0] for place in chosen])
                if tensor is not None:
                    expected[output] = tensor
            requests.append(Request(encoded(name, truth.take(pool, [valid[place] for place in chosen])), expected, size, magnitudes))
    return requests


def differs(request: Request, found: dict[str, np.ndarray]) -> str | None:
    """What of an answer isn't as it should be."""
    if not found:
        return "no outputs"
    for name, array in found.items():
        if name not in request.expected:
            continue
        expected = request.expected[name]
        if expected.shape == array.shape and expected.dtype == array.dtype and expected.dtype != object and expected.tobytes() == array.tobytes():
            continue
        if request.rows == 0:
            if not truth.same(expected, array):
                return f"{name}: {str(expected)[:80]} alone, {str(array)[:80]} here"
            continue
        if len(array) != request.rows:
            return f"{name}: {len(array)} rows for {request.rows}"
        for row in range(request.rows):
            if not equal(np.asarray(expected[row]), np.asarray(array[row]), request.magnitudes.get(name, 0.0)):
                return f"{name}: {str(expected[row])[:80]} alone, {str(array[row])[:80]} here"
    return None


def hammer(address: tuple[str, int], requests: dict[str, list[Request]], answers: int, seconds: float, seed: int, results) -> None:
    """Sends waves of requests, model by model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    random = np.random.default_rng(seed)
    connections = [Connection(address) for _ in range(CONNECTIONS)]
    tallies = {}
    for name, choices in requests.items():
        tally = tallies[name] = Tally()
        deadline = time.monotonic() + seconds
        while tally.answers + tally.refused < answers and time.monotonic() < deadline:
            wave = [choices[place] for place in random.integers(0, len(choices), CONNECTIONS)]
            for connection, request in zip(connections, wave):
                connection.send(request.content)
            for connection, request in zip(connections, wave):
                status, headers, body = connection.receive()
                if status != 200:
                    tally.refused += 1
                    tally.first_refusal = tally.first_refusal or f"{status} {body[:160].decode(errors='replace')}"
                    continue
                tally.answers += max(request.rows, 1)
                found = decoded(headers, body)
                tally.outputs |= set(found)
                if wrong := differs(request, found):
                    tally.wrong += 1
                    tally.first_wrong = tally.first_wrong or wrong
    results.put(tallies)


class Server:
    """The server with a folder of models."""

    def __init__(self, binary: Path, folder: Path, log: Path):
        environment = {**os.environ, "RUST_LOG": os.environ.get("RUST_LOG", "info")}
        arguments = ["serve", "--host", "127.0.0.1", "--port", "0", "--grpc-port", "0", "--health-port", "0", "--model-dir", folder, "--model-poll-seconds", "0"]
        self.process = subprocess.Popen([binary.resolve(), *arguments], stderr=subprocess.PIPE, text=True, env=environment)
        self.lines: list[dict] = []
        self.log = log
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.address = self._wait(lambda: next((line["address"] for line in list(self.lines) if line.get("message") == "listening" and line.get("protocol") == "http"), None))
        host, _, port = self.address.rpartition(":")
        self.address = (host.strip("[]"), int(port))

    def _read(self) -> None:
        with self.log.open("a") as log:
            for line in self.process.stderr:
                log.write(line)
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    pass

    def _wait(self, condition):
        deadline = time.monotonic() + START_SECONDS
        while not (result := condition()):
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}: {self.lines[-1:]}")
            if time.monotonic() > deadline:
                raise SystemExit(f"the server isn't ready after {START_SECONDS} s")
            time.sleep(0.05)
        return result

    def get(self, path: str) -> tuple[int, bytes]:
        """A GET."""
        connection = Connection(self.address)
        connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        status, _, body = connection.receive()
        connection.socket.close()
        return status, body

    def settled(self, names: list[str]) -> dict[str, dict | None]:
        """The configuration of each model once all have loaded or failed; None for those that failed."""

        def index():
            if self.process.poll() is not None:
                return None
            connection = Connection(self.address)
            connection.send(b"POST /v2/repository/index HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            status, _, body = connection.receive()
            connection.socket.close()
            states = {item["name"]: item.get("state") for item in json.loads(body)} if status == 200 else {}
            return states if set(names) <= states.keys() and all(state in ("READY", "UNAVAILABLE") for state in states.values()) else None

        states = self._wait(index)
        return {name: json.loads(self.get(f"/v2/models/{name}/config")[1]) if states[name] == "READY" else None for name in names}

    def batches(self) -> dict[str, tuple[float, float]]:
        """Batches and rows of each model since the start."""
        text = self.get("/metrics")[1].decode()
        found: dict[str, list[float]] = {}
        for kind, labels, value in re.findall(r"^ml_batch_size_(count|sum)\{([^}]*)\} (\S+)", text, re.MULTILINE):
            if model := re.search(r'model="([^"]*)"', labels):
                entry = found.setdefault(model[1], [0.0, 0.0])
                entry[kind == "sum"] += float(value)
        return {name: (count, total) for name, (count, total) in found.items()}

    def end(self) -> None:
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def batches_by(config: dict) -> str:
    """What a model's configuration says of batching, on one line."""
    parameters = {key: value.get("string_value") for key, value in config.get("parameters", {}).items() if "batch" in key.lower()}
    return json.dumps({"max_batch_size": config.get("max_batch_size"), **parameters})


def main() -> None:
    """Runs all groups of models and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path, metavar="SERVER")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--answers", type=int, default=100_000, help="rows' answers of all models together")
    parser.add_argument("--model-seconds", type=float, default=8.0, help="longest time for one model")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="these models")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="the server's log")
    arguments = parser.parse_args()

    sidecars = {path.stem: json.loads(path.read_text()) for path in sorted(arguments.corpus.glob("*.json"))}
    names = [name for name, sidecar in sidecars.items() if sidecar["inputs"] and (not arguments.only or name in arguments.only)]
    share = -(-arguments.answers // max(len(names), 1))
    total, wrong_models, failed, batched, begin = Tally(), [], [], [], time.monotonic()
    for start in range(0, len(names), MODELS_AT_ONCE):
        group = names[start : start + MODELS_AT_ONCE]
        with tempfile.TemporaryDirectory() as folder:
            for name in group:
                target = Path(folder) / name / "1" / "model.onnx"
                target.parent.mkdir(parents=True)
                target.write_bytes((arguments.corpus / f"{name}.onnx").read_bytes())
            server = Server(arguments.binary, Path(folder), arguments.log)
            try:
                configs = server.settled(group)
                unready = [name for name in group if configs[name] is None]
                failed += [(name, "isn't ready") for name in unready]
                requests = {name: found for name in group if name not in unready and (found := prepared(name, arguments.corpus / f"{name}.onnx", sidecars[name]))}
                results = multiprocessing.Queue()
                before = server.batches()
                hammers = [
                    multiprocessing.Process(target=hammer, args=(server.address, requests, -(-share // arguments.processes), arguments.model_seconds, seed, results), daemon=True)
                    for seed in range(arguments.processes)
                ]
                for process in hammers:
                    process.start()
                tallies = [results.get(timeout=len(requests) * (arguments.model_seconds + ANSWER_SECONDS) + 60) for _ in hammers]
                for process in hammers:
                    process.join(10)
                after = server.batches()
            finally:
                server.end()
        for name in requests:
            each = [tally[name] for tally in tallies]
            answers, wrong, refused = (sum(getattr(tally, key) for tally in each) for key in ("answers", "wrong", "refused"))
            total.answers, total.wrong, total.refused = total.answers + answers, total.wrong + wrong, total.refused + refused
            count, size = (a - b for a, b in zip(after.get(name, (0, 0)), before.get(name, (0, 0))))
            mean = size / count if count else 0.0
            # Requests have 1.6 rows at most in the mean; single rows where the model is dependent.
            if mean > (1.1 if sidecars[name]["truth"] == DEPENDENT else 2.0):
                batched.append(name)
            if wrong:
                first = next(tally.first_wrong for tally in each if tally.first_wrong)
                wrong_models.append(name)
                print(f"WRONG {name} ({sidecars[name]['truth']}): {wrong} answers of {answers}; rows of a batch {mean:.1f}; {batches_by(configs[name])}; {first}")
            if refused:
                failed.append((name, f"{refused} refused of {refused + answers}: {next(tally.first_refusal for tally in each if tally.first_refusal)}"))
        print(f"… {start + len(group)} of {len(names)} models, {total.answers} answers, {total.wrong} wrong, {time.monotonic() - begin:.0f} s", flush=True)
    for name, why in failed:
        print(f"note  {name}: {why}")
    kinds = {kind: sum(1 for name in batched if sidecars[name]["truth"] == kind) for kind in sorted({sidecar["truth"] for sidecar in sidecars.values()})}
    print(f"requests shared batches for {len(batched)} of {len(names)} models: {kinds}")
    print(f"{total.answers} answers, {total.wrong} wrong, of {len(wrong_models)} models; {total.refused} refused")
    # Where nothing shares a batch, nothing was tested.
    sys.exit(1 if total.wrong or not batched else 0)


if __name__ == "__main__":
    main()
