"""Parameters and definition of an experiment."""

import dataclasses
import http.client
import json
import pathlib
from collections.abc import Callable

from harness import models, peers, process
from harness.progress import say


#: Failures of a server. The other servers are measured nevertheless.
FAULTS = (process.Failed, OSError, http.client.HTTPException)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Durations and numbers of a measurement."""

    rounds: int
    #: Duration of each load, in seconds.
    seconds: int
    #: Number of requests of the soak.
    soak_requests: int
    #: Number of measured starts.
    starts: int
    #: The cargo profile of this repository's programs.
    profile: str
    processors: int


@dataclasses.dataclass
class Context:
    """The environment of a measurement."""

    settings: Settings
    #: Peers by name, including springtide.
    installed: dict[str, peers.Installed]
    #: Folder of the compiled bench/programs.
    programs: pathlib.Path
    #: Values of {names} in the files of peers.
    values: dict[str, object]
    #: Reasons for missing measurements, by name.
    missing: dict[str, str]

    def serving_iris(self, name):
        """The peer with the iris model, after three correct predictions."""
        rows, classes = models.iris_rows()
        return self._peer(name).serving(self.values | {"model": models.IRIS}, check=(rows[:3], classes[:3]))

    def serving_model(self, name, path, arguments=()):
        """springtide-server with the model of this name, once it is ready."""
        arguments = ["--model-name", name, *arguments]
        return self._peer("springtide").serving(self.values | {"model": path}, arguments=arguments)

    def _peer(self, name):
        if name not in self.installed:
            raise process.Failed(f"{name} can't be measured: {self.missing[name]}")
        return self.installed[name]

    def direct_session(self, model, **options):
        """ONNX Runtime without a server: the output of direct-session in bench/programs."""
        command = [self.programs / "direct-session", "--model", model, "--onnxruntime", self.values["onnxruntime"]]
        for option, value in options.items():
            if value is True:
                command.append(f"--{option}")
            elif value is not False:
                command += [f"--{option}", value]
        return json.loads(process.run("direct session", command))

    def give_up(self, name, error):
        """Records why a peer isn't measured, or no longer."""
        say(f"{name}: not measured: {error}")
        self.missing[name] = str(error)
        self.installed.pop(name, None)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One part of the benchmark."""

    name: str
    title: str
    #: Duration in seconds, by the settings and the number of peers.
    budget: Callable[[Settings, int], float]
    #: Measures, and returns the results under its name.
    run: Callable[[Context], dict]
    #: Prepares slow downloads and builds before the first measurement.
    needs: tuple[Callable[[], object], ...] = ()

    def attempt(self, context):
        """The results, or None if the measurement failed."""
        say(self.title)
        try:
            return self.run(context)
        except FAULTS as error:
            context.missing[self.name] = str(error)
            say(f"{self.title}: not measured: {error}")
            return None
