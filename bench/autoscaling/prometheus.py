"""Queries of Prometheus, and its outage, which is a scenario."""

import contextlib
import time
import urllib.parse

from harness.process import Failed

#: Seconds between two scrapes on the test cluster (tests/cluster/addons/prometheus.yaml).
SCRAPE_SECONDS = 5

#: Seconds over which rates are computed: the operator's window for that scrape interval.
WINDOW_SECONDS = 4 * SCRAPE_SECONDS

_SERVICE = "/api/v1/namespaces/monitoring/services/prometheus:http/proxy/api/v1"
_DEPLOYMENT = "/apis/apps/v1/namespaces/monitoring/deployments/prometheus"

#: The drawn series of each namespace. Springtide's and the reference's pods are selected by the labels of the
#: scrape.
SERIES = {
    "pods": 'sum(up{{namespace="{0}"}})',
    "rate": 'sum(rate(ml_requests_received_total{{namespace="{0}"}}[{1}s]))',
    "queue": 'sum(ml_queue_size{{namespace="{0}"}})',
    "p95_ms": '1000 * histogram_quantile(0.95, sum by (le) (rate(ml_request_latency_seconds_bucket{{namespace="{0}"}}[{1}s])))',
}

#: Offered load in percent of the capacity of one pod, for all pods together: the operator's query if every
#: scrape succeeds (crates/plan/src/autoscaling/queries.rs).
_LOAD = (
    '100 * (sum(irate(ml_offered_load_seconds_total{{namespace="{0}"}}[{1}s]) and ml_offered_load_seconds_total{{namespace="{0}"}}'
    ' unless on (namespace, pod) last_over_time(process_start_time_seconds{{namespace="{0}"}}[{1}s]) > time() - {1})'
    ' > sum(rate(ml_offered_load_seconds_total{{namespace="{0}"}}[{1}s]))'
    ' * (1 + 1.5 / sqrt({2} * sum(rate(ml_requests_received_total{{namespace="{0}"}}[{1}s])))) ^ 2'
    ' or sum(rate(ml_offered_load_seconds_total{{namespace="{0}"}}[{1}s])))'
)

#: Arrived requests at each pod, as scraped.
_ARRIVED = 'sum by (pod) (ml_requests_received_total{{namespace="{0}"}})'


class Prometheus:
    """Queries through the proxy of the API server."""

    def __init__(self, cluster):
        self._cluster = cluster

    def series(self, namespace, begin, end, step=SCRAPE_SECONDS):
        """SERIES of a namespace, each as a list of [time, value]. Series without values are omitted."""
        return {
            name: next(iter(self._range(query.format(namespace, WINDOW_SECONDS), begin, end, step).values()), [])
            for name, query in SERIES.items()
        }

    def load(self, namespace, begin, end):
        """The offered load second by second, as a list of [time, percent]."""
        return next(iter(self._range(_LOAD.format(namespace, WINDOW_SECONDS, SCRAPE_SECONDS), begin, end, 1).values()), [])

    def arrived(self, namespace, begin, end):
        """Arrived requests at each pod, second by second, as a list of [time, count] by pod."""
        return {dict(labels)["pod"]: points for labels, points in self._range(_ARRIVED.format(namespace), begin, end, 1).items()}

    def _range(self, query, begin, end, step):
        parameters = {"query": query, "start": f"{begin:.3f}", "end": f"{end:.3f}", "step": str(step)}
        answer = self._cluster.get(f"{_SERVICE}/query_range?{urllib.parse.urlencode(parameters)}")
        return {
            tuple(sorted(result["metric"].items())): [[at, float(value)] for at, value in result["values"] if value != "NaN"]
            for result in answer["data"]["result"]
        }

    def until_answering(self, limit=90):
        """Waits until it responds to queries."""
        deadline = time.monotonic() + limit
        while True:
            with contextlib.suppress(Failed):
                self._cluster.get(f"{_SERVICE}/query?query=vector(1)")
                return
            if time.monotonic() > deadline:
                raise Failed(f"Prometheus does not answer within {limit} s")
            time.sleep(1)

    @contextlib.contextmanager
    def killed(self):
        """Stops Prometheus while the block runs. Its data is lost."""
        self._scale(0)
        try:
            yield
        finally:
            self.bring_back()

    def bring_back(self):
        """Starts Prometheus again, also after an interrupted run."""
        self._scale(1)

    def _scale(self, replicas):
        self._cluster.merge(_DEPLOYMENT, {"spec": {"replicas": replicas}})
