#!/usr/bin/env python3
"""Asks a ModelService for predictions, through the cluster's API server, with nothing but kubectl.

Rows with known answers, as examples/models/*.test.json holds them:
    python3 examples/predict.py --service iris --rows examples/models/iris.test.json --count 5

One row of your own:
    python3 examples/predict.py --service iris --features 5.1,3.5,1.4,0.2
"""

import argparse
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request


def start_proxy():
    """kubectl proxy on a free port of 127.0.0.1; it holds the credentials and the connections."""
    proxy = subprocess.Popen(
        ["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True
    )
    line = proxy.stdout.readline()
    address = re.search(r"127\.0\.0\.1:\d+", line)
    if not address:
        proxy.terminate()
        sys.exit(f"error: kubectl proxy did not start: {line.strip() or 'no output'}")
    return proxy, f"http://{address.group()}"


def ask(url, features):
    """One POST to /predict: the answer and the milliseconds that it took."""
    body = json.dumps({"features": features}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        sys.exit(f"error: {url} answered {error.code}: {error.read().decode(errors='replace')}")
    return answer, (time.perf_counter() - start) * 1000


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--service", required=True, help="the ModelService's name")
    parser.add_argument("--rows", help="a JSON file with rows and the predictions expected for them")
    parser.add_argument("--count", type=int, default=5, help="how many of the rows to send")
    parser.add_argument("--features", help="one row, its numbers separated by commas")
    arguments = parser.parse_args()
    if bool(arguments.rows) == bool(arguments.features):
        parser.error("give either --rows or --features")

    proxy, address = start_proxy()
    url = f"{address}/api/v1/namespaces/{arguments.namespace}/services/{arguments.service}:http/proxy/predict"
    try:
        if arguments.features:
            answer, _ = ask(url, [float(number) for number in arguments.features.split(",")])
            print(json.dumps(answer))
            return
        with open(arguments.rows, encoding="utf-8") as file:
            held_out = json.load(file)
        names = held_out.get("classes")
        wrong = 0
        print(f"{arguments.service}: rows that the model has not seen, sent to /predict through its Service")
        print(f"  {'row':>3}  {'expected':<12} {'predicted':<12} {'confidence':>10} {'time':>9}")
        rows = list(zip(held_out["rows"], held_out["predictions"]))[: arguments.count]
        for number, (features, expected) in enumerate(rows, start=1):
            answer, milliseconds = ask(url, features)
            predicted = answer["prediction"]
            wrong += predicted != expected
            label = lambda index: names[index] if names else str(index)
            print(
                f"  {number:>3}  {label(expected):<12} {label(predicted):<12}"
                f" {answer['confidence']:>10.4f} {milliseconds:>6.1f} ms"
            )
        if wrong:
            sys.exit(f"error: {wrong} of {len(rows)} predictions are not what the model gives elsewhere")
    finally:
        proxy.terminate()
        proxy.wait()


if __name__ == "__main__":
    main()
