"""What every experiment is given, and how one is described."""

import dataclasses
import http.client
import json
import pathlib
from collections.abc import Callable

from harness import models, peers, process
from harness.progress import say


#: What can go wrong with a server; the rest is measured all the same.
FAULTS = (process.Failed, OSError, http.client.HTTPException)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long to measure."""

    rounds: int
    #: Of each load, in seconds.
    seconds: int
    #: Requests of the soak.
    soak_requests: int
    #: Starts that are timed.
    starts: int
    #: The cargo profile of this repository's programs.
    profile: str
    processors: int


@dataclasses.dataclass
class Context:
    """What is there to measure with."""

    settings: Settings
    #: Peers by name; springtide is one of them.
    installed: dict[str, peers.Installed]
    #: Folder of what bench/programs compiles to.
    programs: pathlib.Path
    #: What replaces {names} in the peers' files.
    values: dict[str, object]
    #: Why something was not measured, by name.
    missing: dict[str, str]

    def serving_iris(self, name):
        """The peer with the iris model, once it has answered three rows as the model does."""
        rows, classes = models.iris_rows()
        return self._peer(name).serving(self.values | {"model": models.IRIS}, check=(rows[:3], classes[:3]))

    def serving_model(self, name, path, arguments=()):
        """springtide-server with a model of that name; it is up once it is ready."""
        arguments = ["--model-name", name, *arguments]
        return self._peer("springtide").serving(self.values | {"model": path}, arguments=arguments)

    def _peer(self, name):
        if name not in self.installed:
            raise process.Failed(f"{name} can't be measured: {self.missing[name]}")
        return self.installed[name]

    def direct_session(self, model, **options):
        """ONNX Runtime without a server: what bench/programs' direct-session prints."""
        command = [self.programs / "direct-session", "--model", model, "--onnxruntime", self.values["onnxruntime"]]
        for option, value in options.items():
            if value is True:
                command.append(f"--{option}")
            elif value is not False:
                command += [f"--{option}", value]
        return json.loads(process.run("direct session", command))

    def give_up(self, name, error):
        """Notes why a peer isn't measured (any more)."""
        say(f"{name}: not measured: {error}")
        self.missing[name] = str(error)
        self.installed.pop(name, None)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One part of the benchmark."""

    name: str
    title: str
    #: Seconds that it takes, by the settings and the number of peers.
    budget: Callable[[Settings, int], float]
    #: Measures, and returns what goes into the results under its name.
    run: Callable[[Context], dict]
    #: What it takes time to get, and has to be there before measuring begins.
    needs: tuple[Callable[[], object], ...] = ()

    def attempt(self, context):
        """The results, or None where it could not be done."""
        say(self.title)
        try:
            return self.run(context)
        except FAULTS as error:
            context.missing[self.name] = str(error)
            say(f"{self.title}: not measured: {error}")
            return None
