"""A server with the files of the page and fixed answers, for models that the examples don't have: their names, labels
and errors contain HTML, which must be shown as text."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

FILES = Path(__file__).resolve().parents[2] / "crates" / "server" / "src" / "page"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

EVIL = "<img src=x onerror=alert(1)>"


def model(name: str, task: str, **facts) -> dict:
    """An entry of the list."""
    return {"name": name, "version": "1", "task": task, "classes": False} | facts


def column(name: str, kind: str, datatype: str, width: int = 1) -> dict:
    """A column of a table."""
    return {"name": name, "kind": kind, "datatype": datatype, "width": width}


COLUMNS = [
    column("age", "number", "float32"),
    column(EVIL, "text", "string"),
    column("member", "boolean", "bool"),
    column("id", "integer", "int64"),
    column("visits", "integer", "int64", 3),
]
IMAGES = ["image/jpeg", "image/png", "image/webp"]
MODELS = [
    model("entities", "token-classification", input="text", pair="none", max_bytes=65536),
    model("embedding", "text-embedding", input="text", pair="none", max_bytes=65536),
    model("pair", "text-pair", input="text", pair="required", max_bytes=65536),
    model("columns", "tabular", classes=True, input="rows", columns=COLUMNS, column_count=5, features=None),
    model("image", "image-classification", classes=True, input="image", accept=IMAGES, max_bytes=1000000),
    model("tensor", "tensor", input="none", problem=f"an input is {EVIL}: use POST /v2/models/<name>/infer"),
    model(EVIL, "text-classification", classes=True, input="text", pair="optional", max_bytes=65536),
]

# The first character is outside of the basic plane: positions count characters.
ENTITIES = [
    {"label": "PER", "score": 0.99, "text": "Ada", "start": 2, "end": 5},
    {"label": EVIL, "score": 0.75, "text": "London", "start": 12, "end": 18},
]


def answer(name: str, request: dict) -> tuple[int, dict]:
    """The status and the body for a request to a model."""
    about = {"confidence": None, "latency_ms": 1.5, "batch_size": 1}
    if name == "entities":
        return 200, about | {"prediction": ENTITIES}
    if name == "embedding":
        return 200, about | {"prediction": [index / 384 for index in range(384)], "truncated": True}
    if name == "pair":
        return 200, about | {"prediction": 0.9876}
    if name == "columns":
        if request.get("probabilities"):
            error = {"code": "invalid_field", "message": "must not be set", "field": "probabilities"}
            return 422, {"error": error}
        return 200, about | {"prediction": [9007199254740993], "confidence": [None]}
    if name == "image":
        probabilities = {"cat": 0.75, EVIL: 0.25}
        return 200, about | {"prediction": "cat", "confidence": 0.75, "probabilities": probabilities}
    error = {"code": "invalid_field", "message": f"text is {EVIL}", "field": "text"}
    return 422, {"error": error}


class Canned:
    """The server, with the requests that it has received."""

    def __init__(self, policy: str):
        self.requests = requests = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def send(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                if self.path == "/page/models":
                    body = {"server_version": "0", "default": None, "models": MODELS}
                    return self.send(200, "application/json", json.dumps(body).encode())
                name = "index.html" if self.path == "/" else self.path.rsplit("/", 1)[-1]
                file = FILES / name
                if file.suffix not in TYPES or not file.is_file():
                    return self.send(404, "text/plain", b"")
                return self.send(200, TYPES[file.suffix], file.read_bytes())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kind = self.headers["Content-Type"]
                requests.append((self.path, kind, body))
                name = unquote(urlsplit(self.path).path.removeprefix("/predict/"))
                parsed = json.loads(body) if kind == "application/json" else {}
                status, response = answer(name, parsed)
                self.send(status, "application/json", json.dumps(response).encode())

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
