"""Runs the commands of examples/locust/README.md, with a shorter time, a server on a free port, and an
environment of their own.

usage: locust.py SPRINGTIDE_SERVER
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "examples" / "locust" / "README.md"

# What the page says, and what is done instead.
ENVIRONMENT, RUN_TIME, HOST = "~/.cache/springtide/locust", "--run-time 1m", "http://localhost:8000"

# Longest time of the server's start, in seconds.
START = 30


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until_ready(server: subprocess.Popen, address: str) -> None:
    """Waits until the server serves."""
    deadline = time.monotonic() + START
    while True:
        try:
            with urllib.request.urlopen(f"{address}/ready", timeout=1):
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit("error: the server does not start")
            time.sleep(0.1)


def replaced(command: str, changes: dict[str, str]) -> str:
    """A command with all that is done instead; each must be said."""
    for said, done in changes.items():
        if said not in command:
            sys.exit(f"error: this command of the page has no {said}:\n{command}")
        command = command.replace(said, done)
    return command


def main() -> None:
    server_program = Path(sys.argv[1]).resolve()
    installation, *runs = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    users = [re.search(r"locustfile\.py (\w+)", run)[1] for run in runs]
    if users != ["Steady", "Bursty"]:
        sys.exit(f"error: the page has commands for {users}")
    port = free_port()
    environment = os.environ | {"SPRINGTIDE_HOST": "127.0.0.1", "SPRINGTIDE_PORT": str(port), "SPRINGTIDE_GRPC_PORT": str(free_port()), "SPRINGTIDE_HEALTH_PORT": "0"}
    command = [server_program, "serve", "--model-path", ROOT / "examples" / "models" / "iris.onnx"]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            until_ready(server, f"http://127.0.0.1:{port}")
            changes = {ENVIRONMENT: folder}
            subprocess.run(["bash", "-euc", replaced(installation, changes)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            changes |= {RUN_TIME: "--run-time 12s", HOST: f"http://127.0.0.1:{port}"}
            for user, run in zip(users, runs):
                done = subprocess.run(["bash", "-euc", replaced(run, changes)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                asked = re.search(r"POST\s+/predict\s+(\d+)", done.stdout)
                if done.returncode or not asked or int(asked[1]) == 0:
                    sys.exit(f"error: {user}: exit code {done.returncode}, and printed:\n{done.stdout}")
                print(f"{user}: {asked[1]} predictions, none failed")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
