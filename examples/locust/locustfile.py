"""Users for Locust that ask a model for predictions over /predict; README.md has the commands."""

import json

from locust import FastHttpUser, between, events, task

#: Predictions that a bursty user asks for in a row.
BURST = 20


@events.init_command_line_parser.add_listener
def add_features(parser):
    """One row of features, in JSON. The default fits examples/models/iris.onnx."""
    parser.add_argument(
        "--features", type=json.loads, env_var="LOCUST_FEATURES", default=[5.1, 3.5, 1.4, 0.2], help="a row of features, in JSON"
    )


class Client(FastHttpUser):
    """What both users have in common: a kept connection, and how they ask."""

    abstract = True
    connection_timeout = network_timeout = 10.0

    def predict(self):
        """One row. An answer without a prediction is a failure, whatever its status."""
        features = self.environment.parsed_options.features
        with self.client.post("/predict", json={"features": features}, catch_response=True) as response:
            if response.status_code == 200 and b'"prediction"' not in (response.content or b""):
                response.failure("no prediction in the answer")


class Steady(Client):
    """Asks about twice a second, as many people together do: ten predictions to one look at /health."""

    wait_time = between(0.1, 1.0)

    @task(10)
    def ask(self):
        self.predict()

    @task(1)
    def health(self):
        self.client.get("/health")


class Bursty(Client):
    """Asks for many predictions without a pause and is silent for some seconds, as a batch job does."""

    wait_time = between(5, 10)

    @task
    def burst(self):
        for _ in range(BURST):
            self.predict()
