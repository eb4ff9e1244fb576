"""Checks the page of a server in a headless Chromium.

usage: check.py SPRINGTIDE_SERVER SCREENSHOTS

The example models are tried as a person would, with the mouse and with the keyboard. Forms of other tasks are tried
with a server of fixed answers. SCREENSHOTS is a folder, which is created.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from contextlib import contextmanager
from pathlib import Path

from browser import ENTER, TAB, Browser
from canned import EVIL, Canned
from openapi_spec_validator import validate

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "examples" / "models"

# Drops a file on an element.
DROP = """
const files = new DataTransfer();
files.items.add(new File(["dropped"], "-a.webp", {type: "image/webp"}));
arguments[0].dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
"""

# Longest time for the start of the server, in seconds.
LONGEST = 120


@contextmanager
def serving(program: str, *flags: str):
    """A server with the example models; gives its address."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free, open(Path(folder, "log"), "wb") as log:
        port = free.getsockname()[1]
        for name in ("iris", "digits"):
            version = Path(folder, name, "1")
            version.mkdir(parents=True)
            (version / "model.onnx").write_bytes((MODELS / f"{name}.onnx").read_bytes())
        free.close()
        command = [program, "serve", *flags, "--host", "127.0.0.1", "--port", str(port), "--model-dir", folder]
        environment = os.environ | {"SPRINGTIDE_GRPC_PORT": "0", "SPRINGTIDE_HEALTH_PORT": "0", "SPRINGTIDE_DRAIN_DELAY_SECONDS": "0"}
        address = f"http://127.0.0.1:{port}/"
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
        try:
            deadline = time.monotonic() + LONGEST
            while status(address + "ready") != 200:
                assert server.poll() is None and time.monotonic() < deadline, "the server doesn't start"
                time.sleep(0.1)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=60)


def status(address: str) -> int:
    """The status of a response. 0 if nobody answers."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def run(command: str, folder: str | None = None) -> dict:
    """The answer that a copied command prints."""
    printed = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, check=True, timeout=60, cwd=folder)
    return json.loads(printed.stdout)


def equal(found, expected, what: str) -> None:
    """Fails unless both are equal."""
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def check_answer(browser: Browser, expected: object) -> None:
    """The shown class, its bars, and the command that gives the same answer."""
    equal(browser.text("#problem"), "", "the problem")
    equal(browser.text("#prediction"), str(expected), "the shown class")
    answer = run(browser.text("#curl"))
    equal(answer["prediction"], expected, "the answer to the command")
    assert "Confidence" in browser.text("#answer") and "Round trip" in browser.text("#answer")
    shown = [row.text.split("\n")[0].split()[0] for row in browser.all("#classes tr")]
    shares = answer["probabilities"]
    equal(shown, sorted(shares, key=shares.get, reverse=True), "the classes in the order of their probabilities")


def check_clean(browser: Browser, address: str) -> None:
    """Nothing was written to the console, and nobody else was asked."""
    equal(browser.complaints(), [], "the console")
    requested = browser.addresses()
    assert requested, "the requests of the browser are not recorded"
    others = [one for one in requested if not one.startswith((address, "data:", f"blob:{address}"))]
    equal(others, [], "requests to other origins")


def rows(name: str) -> tuple[list, list]:
    """Rows of an example model, and their classes."""
    known = json.loads((MODELS / f"{name}.test.json").read_text(encoding="utf-8"))
    return known["rows"], known["predictions"]


def check_examples(browser: Browser, address: str, screenshots: Path) -> None:
    """Iris with the keyboard and with the mouse, digits with a list of numbers."""
    browser.open(address)
    browser.choose("iris")
    reached = [browser.tab() for _ in range(10)]
    for part in ("model", "reload", "column-0-0", "column-0-3", "predict"):
        assert part in reached, f"the key Tab reaches {reached}, not {part}"
    known, classes = rows("iris")
    cells = browser.all(".cells input")
    equal(len(cells), len(known[0]), "the number of fields")
    browser.driver.execute_script("arguments[0].focus()", cells[0])
    for number, value in enumerate(known[0]):
        browser.type(str(value), ENTER if number + 1 == len(cells) else TAB)
    browser.until_answered()
    check_answer(browser, classes[0])
    browser.screenshots(screenshots, "iris")
    browser.find("#copy").click()
    browser.until(lambda: browser.text("#copy") == "Copied")
    for cell, value in zip(cells, known[1]):
        cell.clear()
        cell.send_keys(str(value))
    browser.predict()
    check_answer(browser, classes[1])

    browser.choose("digits")
    known, classes = rows("digits")
    browser.find("textarea").send_keys(", ".join(map(str, known[0])))
    browser.predict()
    check_answer(browser, classes[0])
    browser.screenshots(screenshots, "digits")
    check_clean(browser, address)

    # A value is missing: the field is named and focused, and nothing is sent.
    browser.choose("iris")
    browser.predict()
    assert "needs a number" in browser.text("#problem")
    equal(browser.driver.switch_to.active_element.get_attribute("aria-invalid"), "true", "the field in focus")
    browser.screenshots(screenshots, "missing")
    equal(browser.addresses(), [], "requests")


def check_page_is_off(program: str) -> None:
    """Without the flag there is no page, but the description of the endpoints."""
    with serving(program) as address:
        equal([status(address + path) for path in ("", "page.js", "page/models")], [404] * 3, "without the flag")
        with urllib.request.urlopen(address + "openapi.json", timeout=10) as response:
            validate(json.load(response))


def policy_of(address: str) -> str:
    """The Content-Security-Policy of the page."""
    with urllib.request.urlopen(address, timeout=10) as response:
        return response.headers["Content-Security-Policy"]


def check_texts(browser: Browser, canned: Canned, screenshots: Path) -> None:
    """Texts with characters that a shell and JSON give a meaning, and all kinds of answers."""
    text = "𝒜 Ada is in London's $HOME `id` \"\\ !x\nend"
    browser.choose("entities")
    browser.driver.execute_script("arguments[0].value = arguments[1]", browser.labeled("Text"), text)
    browser.predict()
    path, kind, body = canned.requests[-1]
    equal((path, kind, json.loads(body)), ("/predict/entities", "application/json", {"text": text}), "the request")
    marks = [mark.get_property("textContent") for mark in browser.all("mark")]
    equal(marks, ["Ada PER 99.0 %", f"London {EVIL} 75.0 %"], "the entities")
    run(browser.text("#curl"))
    equal(canned.requests[-1], (path, kind, body), "the request of the command")
    browser.screenshots(screenshots, "entities")

    browser.choose("embedding")
    browser.labeled("Text").send_keys("a")
    browser.predict()
    assert browser.text("#prediction").startswith("[0.000, 0.002604, "), browser.text("#prediction")
    assert "384 numbers" in browser.text("#answer") and "truncated" in browser.text("#answer")
    browser.screenshots(screenshots, "embedding")

    browser.choose("pair")
    browser.labeled("Query").send_keys("a")
    browser.predict()
    assert "second text" in browser.text("#problem")
    browser.labeled("Text to compare").send_keys("b")
    browser.predict()
    equal(json.loads(canned.requests[-1][2]), {"text": "a", "text_pair": "b"}, "the pair")
    equal(browser.text("#prediction"), "0.9876", "the relevance")


def check_columns(browser: Browser, canned: Canned, screenshots: Path) -> None:
    """A field for each kind of column. The model has no probabilities, so they are requested once only."""
    browser.choose("columns")
    browser.labeled(EVIL).send_keys("it's")
    browser.labeled("member").click()
    browser.labeled("id").send_keys("9007199254740993")
    for cell, value in zip(browser.all(".cells input"), (1, 2, 3)):
        cell.send_keys(str(value))
    row = {"age": None, EVIL: "it's", "member": True, "id": 9007199254740993, "visits": [1, 2, 3]}
    for expected in (2, 1):
        before = len(canned.requests)
        browser.predict()
        equal(len(canned.requests) - before, expected, "the number of requests")
        equal(json.loads(canned.requests[-1][2]), {"rows": [row]}, "the row")
    equal(browser.text("#prediction"), "9007199254740993", "an integer that JavaScript rounds")
    equal(run(browser.text("#curl"))["prediction"], [9007199254740993], "the answer to the command")
    browser.screenshots(screenshots, "columns")


def check_images(browser: Browser, canned: Canned, screenshots: Path) -> None:
    """A file is sent as it is, and the command sends the same file."""
    browser.choose("image")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "it's a cat.png")
        file.write_bytes(png())
        browser.labeled("Image").send_keys(str(file))
        browser.predict()
        sent = ("/predict/image?probabilities=true&top_k=10", "image/png", file.read_bytes())
        equal(canned.requests[-1], sent, "the request")
        equal(run(browser.text("#curl"), folder)["prediction"], "cat", "the answer to the command")
        equal(canned.requests[-1], sent, "the request of the command")
        browser.until(lambda: browser.find(".drop img").get_property("naturalWidth") > 0)
        browser.screenshots(screenshots, "image")
        assert EVIL in browser.text("#classes")
    browser.driver.execute_script(DROP, browser.find(".drop"))
    browser.predict()
    equal(canned.requests[-1], (sent[0], "image/webp", b"dropped"), "the request with a dropped file")
    assert "--data-binary '@./-a.webp'" in browser.text("#curl"), "curl would read its input"


def png() -> bytes:
    """An image."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width, height = 160, 90
    lines = b"".join(b"\0" + bytes(c for x in range(width) for c in (x, 2 * y, 150)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def check_others(browser: Browser, address: str, screenshots: Path) -> None:
    """Models that the page has no form for, and errors."""
    browser.choose("tensor")
    assert EVIL in browser.text("#fields") and not browser.find("#predict").is_displayed()
    check_clean(browser, address)
    browser.choose(EVIL)
    browser.labeled("Text").send_keys("a")
    browser.predict()
    equal(browser.text("#problem"), f"422 invalid_field: text is {EVIL} (field text)", "the problem")
    browser.screenshots(screenshots, "error")
    equal(browser.all("section img"), [], "images that no one chose")


def main() -> None:
    program, screenshots = sys.argv[1], Path(sys.argv[2])
    screenshots.mkdir(parents=True, exist_ok=True)
    check_page_is_off(program)
    with Browser() as browser:
        with serving(program, "--page") as address:
            policy = policy_of(address)
            check_examples(browser, address, screenshots)
        with Canned(policy) as canned:
            browser.open(canned.address)
            browser.addresses()
            browser.complaints()
            check_texts(browser, canned, screenshots)
            check_columns(browser, canned, screenshots)
            # Chromium writes the 422 of the columns to the console.
            complaints = browser.complaints()
            assert all("422" in one for one in complaints), complaints
            check_images(browser, canned, screenshots)
            check_others(browser, canned.address, screenshots)
    print(f"page-check: passed; the screenshots are in {screenshots}")


if __name__ == "__main__":
    main()
