"""The cluster through `kubectl proxy`, which has the credentials: reads, writes and watches."""

import contextlib
import http.client
import json
import re
import subprocess
import threading

from harness.process import Failed

#: Field manager of the writes.
_FIELD_MANAGER = "springtide-bench"

_APIS = {
    "pods": "/api/v1",
    "events": "/api/v1",
    "services": "/api/v1",
    "deployments": "/apis/apps/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "scaledobjects": "/apis/keda.sh/v1alpha1",
    "modelservices": "/apis/serving.springtide.dev/v1alpha1",
}


class Refused(Failed):
    """The API server's response is an error."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


@contextlib.contextmanager
def connected():
    """The cluster of $KUBECONFIG, while the block runs."""
    proxy = subprocess.Popen(
        ["kubectl", "proxy", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        line = proxy.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not found:
            raise Failed(f"kubectl proxy does not start: {line.strip() or 'no output'}")
        yield Cluster(int(found[1]))
    finally:
        proxy.terminate()
        proxy.wait()
        proxy.stdout.close()


class Cluster:
    """Calls of the API server. All of them are thread-safe."""

    def __init__(self, port):
        self._port = port

    def call(self, method, path, body=None, content_type="application/json"):
        """The parsed JSON response. Raises Refused if the status is 400 or more."""
        connection = self._connection(timeout=30)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": content_type} if content else {})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{method} {path}: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise Refused(response.status, f"{method} {path}: {response.status} {text.strip()[:300]}")
        return json.loads(text)

    def get(self, path):
        """An object or a list."""
        return self.call("GET", path)

    def find(self, path):
        """An object, or None if it doesn't exist."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def merge(self, path, change):
        """Merges a change into an object."""
        return self.call("PATCH", f"{path}?fieldManager={_FIELD_MANAGER}", change, "application/merge-patch+json")

    def delete(self, path):
        """Begins to delete an object. A missing object is no error."""
        with contextlib.suppress(Refused):
            self.call("DELETE", f"{path}?propagationPolicy=Background")

    def apply(self, namespace, manifests):
        """Server-side apply of manifests, in YAML or JSON, into a namespace."""
        command = ["kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager", _FIELD_MANAGER]
        done = subprocess.run(
            [*command, "--namespace", namespace, "--filename", "-"], input=manifests, capture_output=True, text=True
        )
        if done.returncode:
            raise Failed(f"apply into {namespace}: {done.stderr.strip()[:500]}")

    def node_address(self):
        """The address of a node, for node ports."""
        for node in self.get("/api/v1/nodes")["items"]:
            for address in node["status"]["addresses"]:
                if address["type"] == "InternalIP":
                    return address["address"]
        raise Failed("no node has an InternalIP")

    def watch(self, namespace, plural):
        """A watch of one kind's objects in a namespace."""
        return Watch(lambda: self._connection(timeout=3600), collection(namespace, plural))

    def _connection(self, timeout):
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)


def collection(namespace, plural):
    """The path of one kind's objects in a namespace."""
    return f"{_APIS[plural]}/namespaces/{namespace}/{plural}"


class Watch:
    """The changes of objects, until another thread closes it."""

    def __init__(self, connect, path):
        self._connect = connect
        self._path = f"{path}?watch=1"
        self._closed = threading.Event()
        self._connection = None

    def __iter__(self):
        """Pairs of the type (ADDED, MODIFIED or DELETED) and the object. Existing objects come first, as
        ADDED."""
        while not self._closed.is_set():
            # The API server and proxies end watches from time to time.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
                self._connection = self._connect()
                self._connection.request("GET", self._path)
                response = self._connection.getresponse()
                while line := response.readline():
                    event = json.loads(line)
                    if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                        yield event["type"], event["object"]
            self._closed.wait(0.2)

    def close(self):
        """Ends the iteration."""
        self._closed.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(2)
