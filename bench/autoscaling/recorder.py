"""Records all changes of the objects in a namespace, with the times of their observation."""

import contextlib
import threading
import time

from autoscaling import facts


class Recorder:
    """Watches a namespace and records its changes."""

    def __init__(self, cluster, namespace):
        self._watches = {plural: cluster.watch(namespace, plural) for plural in facts.PLURALS}
        #: The changes in order: {at, plural, name, facts}. facts are None after a deletion.
        self.changes = []
        self._known = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def recording(self):
        """Records while the block runs."""
        threads = [
            threading.Thread(target=self._follow, args=(plural, watch), daemon=True) for plural, watch in self._watches.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            for watch in self._watches.values():
                watch.close()
            for thread in threads:
                thread.join(timeout=5)

    def latest(self, plural):
        """The latest facts of each object of that kind, by name."""
        with self._lock:
            return {name: known for (kind, name), known in self._known.items() if kind == plural and known is not None}

    def _follow(self, plural, watch):
        for type_, item in watch:
            now = time.time()
            name = item["metadata"]["name"]
            known = None if type_ == "DELETED" else facts.of(plural, item)
            with self._lock:
                if self._known.get((plural, name), "never seen") != known:
                    self._known[plural, name] = known
                    self.changes.append({"at": now, "plural": plural, "name": name, "facts": known})
