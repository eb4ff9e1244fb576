"""The server's metrics, parsed as Prometheus does."""

from prometheus_client.parser import text_string_to_metric_families

from server import Server


class Metrics:
    """One scrape."""

    def __init__(self, server: Server):
        response = server.request("GET", "/metrics")
        assert response.status == 200
        families = text_string_to_metric_families(response.data.decode())
        self.samples = [sample for family in families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series with these labels."""
        matching = (sample for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items())
        return sum(sample.value for sample in matching)


class Growth:
    """The growth of metrics within a `with` block."""

    def __init__(self, server: Server):
        self.server = server

    def __enter__(self) -> "Growth":
        self.before = Metrics(self.server)
        return self

    def __exit__(self, *_) -> None:
        self.after = Metrics(self.server)

    def of(self, name: str, **labels: str) -> float:
        """The growth of the sum of these series."""
        return self.after.total(name, **labels) - self.before.total(name, **labels)
