"""Clients that send requests without pauses."""

import threading
from collections.abc import Callable

from protocols import NAMES, Protocol
from server import Server


class Load:
    """Threads, each with its own client, that send requests until they are stopped. Every failure is
    recorded, and no request is repeated."""

    def __init__(self, server: Server, ask: Callable[[Protocol], object], clients_per_protocol: int = 2):
        self.answers = 0
        self.failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(server, name, ask)) for name in NAMES for _ in range(clients_per_protocol)
        ]

    def _run(self, server: Server, name: str, ask: Callable[[Protocol], object]) -> None:
        protocol = Protocol(name, server)
        while not self._stop.is_set():
            try:
                ask(protocol)
            except Exception as error:
                with self._lock:
                    self.failures.append(error)
            else:
                with self._lock:
                    self.answers += 1
        protocol.close()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
