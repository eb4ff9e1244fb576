"""The release binary of the server, in its own process."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import urllib3

# Maximum time of a start and of a shutdown, in seconds.
START_SECONDS = 60
END_SECONDS = 30


class Server:
    """A running server on free ports, which it chooses and logs."""

    def __init__(self, *arguments: str | Path):
        command = [os.environ["SPRINGTIDE_SERVER"], "serve", "--host", "127.0.0.1", "--port", "0", "--grpc-port", "0", "--health-port", "0"]
        self.log: list[dict] = []
        self.process = subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read_log)
        self.reader.start()
        self.http_address = self._address("http")
        self.grpc_address = self._address("grpc")
        self.pool = urllib3.PoolManager(retries=False)

    def _read_log(self) -> None:
        for line in self.process.stderr:
            self.log.append(json.loads(line))

    def _address(self, protocol: str) -> str:
        """The address of a protocol, from the log."""

        def logged() -> str | None:
            lines = (line for line in list(self.log) if line.get("message") == "listening")
            return next((line["address"] for line in lines if line["protocol"] == protocol), None)

        return self.wait_for(logged, START_SECONDS)

    def wait_for(self, condition, seconds: float):
        """Waits for a value of the condition. The server must not end before."""
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.log[-5:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {self.log[-5:]}")
            time.sleep(0.01)
        return result

    def url(self, path: str) -> str:
        """The URL of a path."""
        return f"http://{self.http_address}{path}"

    def request(self, method: str, path: str, **options) -> urllib3.BaseHTTPResponse:
        """One HTTP request, without a client library."""
        return self.pool.request(method, self.url(path), **options)

    def post(self, path: str, body, **headers: str) -> urllib3.BaseHTTPResponse:
        """POSTs JSON, or bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, body=content, headers={"Content-Type": "application/json", **headers})

    def is_ready(self) -> bool:
        """Whether the server is ready for new connections."""
        return self.request("GET", "/ready").status == 200

    def until_ready(self) -> "Server":
        """Waits until every model is served."""
        self.wait_for(self.is_ready, START_SECONDS)
        return self

    def terminate(self) -> None:
        """Sends SIGTERM, as Kubernetes does."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Waits until the process has ended. Returns its exit code."""
        code = self.process.wait(END_SECONDS)
        self.reader.join()
        return code

    def __enter__(self) -> "Server":
        return self.until_ready()

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        self.pool.clear()
