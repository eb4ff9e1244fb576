"""The measured servers. Each has a folder in bench/peers with a peer.toml, which describes its
installation, its start and its requests."""

import contextlib
import dataclasses
import hashlib
import http.client
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

from harness import places, process, protocols
from harness.progress import say

#: Maximum time from the start of a server to its first correct response, in seconds.
_START_LIMIT = 60


@dataclasses.dataclass(frozen=True)
class Peer:
    """A kind of server that can be installed and started."""

    name: str
    title: str
    #: python (a virtual environment of requirements.txt), cargo (a crate in the folder) or workspace
    #: (a crate of this repository).
    kind: str
    #: ours (compared with thresholds), reference (the server that the thresholds name), floor (no model),
    #: rival, or beside (another setup of ours, without thresholds).
    role: str
    #: Python: the distribution; Rust: the crate. Its version is reported.
    package: str
    command: list[str]
    environment: dict[str, str]
    #: Its protocol, a key of protocols.BY_NAME, and its path.
    way: str
    path: str
    #: The reason for its setup, for the report, and its source.
    setup: str
    docs: list[str]

    @classmethod
    def read(cls, folder):
        with open(folder / "peer.toml", "rb") as file:
            fields = tomllib.load(file)
        return cls(name=folder.name, environment=fields.pop("environment", {}), **fields)

    @property
    def folder(self):
        return places.PEERS / self.name

    def request(self, rows):
        return protocols.BY_NAME[self.way][0](rows)

    def is_right(self, answer, classes):
        read = protocols.BY_NAME[self.way][1]
        return read is None or read(answer) == classes


def all_peers():
    """Every peer, by name; springtide first."""
    folders = sorted(path.parent for path in places.PEERS.glob("*/peer.toml"))
    peers = [Peer.read(folder) for folder in folders]
    return {peer.name: peer for peer in sorted(peers, key=lambda peer: (peer.role != "ours", peer.name))}


@dataclasses.dataclass(frozen=True)
class Installed:
    """An installed peer."""

    peer: Peer
    #: Folder of its programs.
    programs: pathlib.Path
    version: str

    @contextlib.contextmanager
    def serving(self, values, *, arguments=(), check=None):
        """The server while the block runs. `values` replace {names} in its command. `check` has the rows
        and classes of the responses that complete its start. Without it, the server must be ready."""
        with tempfile.TemporaryDirectory(prefix="springtide-bench-") as work:
            port = process.free_port()
            values = values | {
                "programs": self.programs,
                "peer": self.peer.folder,
                "work": work,
                "port": port,
                "port_2": process.free_port(),
                "port_3": process.free_port(),
            }
            fill = lambda text: re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), text)
            command = [fill(part) for part in [*self.peer.command, *arguments]]
            environment = {name: fill(value) for name, value in self.peer.environment.items()}
            environment["PATH"] = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
            title = f"server {self.peer.name}"
            with process.running(title, command, environment=environment, folder=work) as program:
                server = Server(self.peer, program, port)
                if check:
                    server.wait_until_right(*check)
                else:
                    server = dataclasses.replace(server, ready_after=server.wait_until_ready())
                yield server


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server on 127.0.0.1."""

    peer: Peer
    program: process.Program
    port: int
    #: Seconds from its start until it was ready, if that was measured.
    ready_after: float | None = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.peer.path}"

    def post(self, path, request, limit=30):
        """The status and body of a response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit)
        with contextlib.closing(connection):
            connection.request("POST", path, request.body, request.headers())
            response = connection.getresponse()
            return response.status, response.read()

    def wait_until_ready(self):
        """Waits until /ready responds with 200. Returns the seconds since the start."""
        question = f"GET /ready HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode()
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(question)
                if connection.recv(64).startswith(b"HTTP/1.1 200 "):
                    return time.monotonic() - self.program.started
            self.program.check()
            time.sleep(0.0005)
        raise process.Failed(f"{self.peer.title}: not ready within {_START_LIMIT} s")

    def wait_until_right(self, rows, classes):
        """Waits until each row has the expected response. A server with other responses or errors isn't
        measured."""
        requests = [self.peer.request([row]) for row in rows]
        deadline = time.monotonic() + _START_LIMIT
        while True:
            wrong = None
            for request, expected in zip(requests, classes, strict=True):
                try:
                    status, body = self.post(self.peer.path, request)
                    if status != 200:
                        wrong = f"status {status}: {body[:200].decode(errors='replace')}"
                    elif not self.peer.is_right(body, [expected]):
                        wrong = f"a wrong answer: {body[:200].decode(errors='replace')}"
                except (OSError, http.client.HTTPException) as error:
                    wrong = repr(error)
                if wrong:
                    break
            if not wrong:
                return
            self.program.check()
            if time.monotonic() > deadline:
                raise process.Failed(f"{self.peer.title}: no right answer within {_START_LIMIT} s, but {wrong}")
            time.sleep(0.05)


def install(peer, profile):
    """Installs a peer if it isn't installed."""
    match peer.kind:
        case "python":
            return Installed(peer, _virtual_environment(peer), required_version(peer))
        case "cargo":
            target = places.WORK / f"{peer.name}-target"
            say(f"{peer.title}: compiling (minutes, the first time)")
            manifest = peer.folder / "Cargo.toml"
            command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest]
            process.run(f"install {peer.name}", [*command, "--target-dir", target])
            return Installed(peer, target / "release", _locked_version(peer))
        case "workspace":
            return Installed(peer, workspace_programs(peer.package, profile), checkout_version())
        case other:
            raise process.Failed(f"{peer.name}: there is no kind '{other}'")


def workspace_programs(package, profile):
    """The folder with the compiled programs of a crate of this repository."""
    say(f"{package}: compiling with the profile {profile}")
    command = ["cargo", "build", "--locked", "--package", package, "--profile", profile, "--target-dir", str(places.TARGET)]
    process.run(f"compile {package}", command, folder=places.REPOSITORY)
    return places.TARGET / ("debug" if profile == "dev" else profile)


def onnxruntime_library():
    """The path of libonnxruntime.so."""
    found = subprocess.run([places.REPOSITORY / "scripts" / "onnxruntime"], check=True, stdout=subprocess.PIPE, text=True)
    return found.stdout.strip()


def checkout_version():
    """The commit, with a + if files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    described = subprocess.run(command, cwd=places.REPOSITORY, stdout=subprocess.PIPE, text=True)
    return described.stdout.strip() or "unknown"


def _virtual_environment(peer):
    requirements = peer.folder / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = places.WORK / f"{peer.name}-{digest}"
    if not (folder / "complete").exists():
        say(f"{peer.title}: installing from PyPI (a minute or two)")
        for stale in places.WORK.glob(f"{peer.name}-{'?' * len(digest)}"):
            shutil.rmtree(stale, ignore_errors=True)
        process.run(f"install {peer.name}", [sys.executable, "-m", "venv", folder])
        command = [folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check"]
        command += ["--only-binary", ":all:", "--require-hashes", "--requirement", requirements]
        process.run(f"install {peer.name}", command)
        (folder / "complete").touch()
    return folder / "bin"


def required_version(peer):
    """The version of a Python peer's package in its requirements."""
    pattern = re.compile(rf"^{re.escape(peer.package)}(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
    return pattern.search((peer.folder / "requirements.txt").read_text(encoding="utf-8"))[1]


def _locked_version(peer):
    with open(peer.folder / "Cargo.lock", "rb") as file:
        lock = tomllib.load(file)
    return next(package["version"] for package in lock["package"] if package["name"] == peer.package)
