"""Measures the capacity of one pod. All loads are multiples of it."""

from autoscaling import testbed as testbeds
from autoscaling import traffic
from harness.process import Failed

#: Clients in a closed loop: two batches, so that a full batch is always queued.
_CLIENTS = 2 * testbeds.BATCH_ROWS

#: Seconds of load, and the seconds at its start that don't count.
_SECONDS, _BEGINNING = 24, 8


def budget():
    """Duration of the measurement in seconds."""
    return _SECONDS + 30


def measure(context):
    """Predictions per second of one pod, and the server's image."""
    spec = {"replicas": 1, "autoscaling": {"engine": "None"}}
    with testbeds.made(context.cluster, context.inputs, testbeds.SUBJECTS[0], "capacity", spec=spec) as testbed:
        testbed.until_ready(pods=1)
        pod = context.cluster.get(testbed.path("deployments"))["spec"]["template"]["spec"]
        with traffic.running(testbed.namespace, testbed.address, [[0, _CLIENTS], [_SECONDS, 0]], user="Closed") as load:
            requests = load.until_over()
    ends = [request.at + request.milliseconds / 1000 for request in requests if request.good]
    if not ends:
        raise Failed("one pod answers nothing")
    begin = requests[0].at + _BEGINNING
    counted = sum(begin <= end < requests[0].at + _SECONDS for end in ends)
    return counted / (_SECONDS - _BEGINNING), pod["containers"][0]["image"]
