"""Checks docs/serving.md against a server: runs its examples in their order, as one reader would in one
terminal, and compares its tables of flags and metrics with what the server says.

usage: check.py SPRINGTIDE_SERVER
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "serving.md"

# Longest time for all examples, in seconds.
LONGEST = 180

# What an example prints last, so that its end is seen.
END = "=== end of the example ==="


class Wrong(Exception):
    """The page and the server differ."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


class Terminal:
    """A shell in a folder with the parts of the repository that the examples name, and a server that listens
    on free ports in place of those that are written."""

    def __init__(self, server: Path, folder: Path):
        self.ports = dict(zip(("localhost:8000", "localhost:8001"), free_ports(2)))
        http, grpc = map(str, self.ports.values())
        self.folder = folder
        for name in ("examples", "scripts"):
            (folder / name).symlink_to(ROOT / name)
        self.environment = os.environ | {
            "PATH": f"{server.parent}:{os.environ['PATH']}",
            "SPRINGTIDE_HOST": "127.0.0.1",
            "SPRINGTIDE_PORT": http,
            "SPRINGTIDE_GRPC_PORT": grpc,
            "SPRINGTIDE_HEALTH_PORT": "0",
            "SPRINGTIDE_MODEL_POLL_SECONDS": "1",
        }
        self.shell = subprocess.Popen(
            ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=self.environment, start_new_session=True
        )
        self.timer = threading.Timer(LONGEST, self.kill)
        self.timer.start()
        # Whoever reads what examples print sees it end when one of them fails.
        self._send("set -euo pipefail; trap 'kill $(jobs -p); wait' EXIT")

    def _send(self, commands: str) -> None:
        self.shell.stdin.write(commands + "\n")
        self.shell.stdin.flush()

    def here(self, example: str) -> str:
        """The example with the server's own ports."""
        for written, port in self.ports.items():
            example = example.replace(written, f"localhost:{port}")
        return example

    def run(self, language: str, example: str) -> str:
        """Runs an example and returns what it prints."""
        if language == "python":
            command = [sys.executable, "-c", self.here(example)]
            return subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=self.folder, check=True, timeout=LONGEST).stdout
        self._send(f"{self.here(example)}\nprintf '\\n%s\\n' '{END}'")
        printed = []
        for line in self.shell.stdout:
            if line.rstrip() == END:
                return "".join(printed)
            printed.append(line)
        raise Wrong(f"this example fails:\n{example}\nIt printed:\n{''.join(printed)}")

    def kill(self) -> None:
        """Ends the shell and what it started."""
        try:
            os.killpg(self.shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """Ends what is left."""
        self.timer.cancel()
        self.kill()
        self.shell.wait()


def blocks(page: str) -> list[tuple[str, str]]:
    """Fenced blocks with their languages."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def fits(expected: str, printed: str) -> bool:
    """Whether something was printed as the page says, which writes … for what differs each time."""
    pattern = ".*".join(map(re.escape, expected.strip().split("…")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def check_examples(page: str, terminal: Terminal) -> str:
    """Runs all examples; returns the metrics from before the last one, which ends the server."""
    examples = blocks(page)
    last = max(index for index, (language, _) in enumerate(examples) if language == "bash")
    metrics = printed = ""
    for index, (language, text) in enumerate(examples):
        if language in ("bash", "python"):
            if index == last:
                metrics = terminal.run("bash", "curl -sf localhost:8000/metrics")
            printed = terminal.run(language, text)
        elif language in ("json", "text"):
            if not fits(text, printed):
                raise Wrong(f"the page says\n{text}but the example before it prints\n{printed}")
        else:
            raise Wrong(f"a block is in {language}, which is not run")
    return metrics


def check_flags(page: str, server: Path) -> None:
    """The page has every flag, its variable and its default where the server names one."""
    said = subprocess.run([server, "serve", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    expected = {}
    for flag in re.split(r"^ +(?:-\w, )?--", said, flags=re.MULTILINE)[1:]:
        variable = re.search(r"\[env: (\w+)=", flag)
        default = re.search(r"\[default: ([^\]]*)\]", flag)
        if variable:
            expected["--" + flag.split()[0]] = (variable[1], default[1] if default else "")
    table = re.findall(r"\| `(--[\w-]+)` \| `(\w+)` \|([^|]*)\|", page)
    # Of a flag without a default the page may say in words what holds.
    found = {flag: (variable, default.strip() if expected.get(flag, ("", ""))[1] else "") for flag, variable, default in table}
    compare("flags", found, expected)


def check_metrics(page: str, metrics: str) -> None:
    """The page has every metric, its type and its labels."""
    expected = {}
    for family in text_string_to_metric_families(metrics):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        expected[name] = (family.type, labels)
    table = re.findall(r"^\| `((?:ml|process)_\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE)
    found = {name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in table}
    compare("metrics", found, expected)


def compare(what: str, found: dict, expected: dict) -> None:
    """Both have the same entries."""
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise Wrong(f"{what}: of {name} the page says {found.get(name)}, the server {expected.get(name)}")
    print(f"{len(expected)} {what} are as the page says")


def main() -> None:
    server = Path(sys.argv[1]).resolve()
    page = PAGE.read_text()
    check_flags(page, server)
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(server, Path(folder))
        try:
            metrics = check_examples(page, terminal)
        finally:
            terminal.close()
    count = sum(language in ("bash", "python") for language, _ in blocks(page))
    print(f"{count} examples run as the page says")
    check_metrics(page, metrics)


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"error: {wrong}")
