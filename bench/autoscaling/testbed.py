"""A namespace with one scaled service of Springtide or of the reference. It is deleted afterwards."""

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import string
import time

from autoscaling import places
from autoscaling.kubernetes import collection
from harness.process import Failed

#: Label of the benchmark's namespaces.
LABEL = "springtide-bench/autoscaling"

#: The default resources, 500m, 512Mi and limits of 2, 2Gi, scaled down: the work of four pods must fit into
#: one of two processors. A quarter of the memory, because the server itself needs 30 MB.
RESOURCES = {"requests": {"cpu": "40m", "memory": "128Mi"}, "limits": {"cpu": "160m", "memory": "512Mi"}}

#: Rows of a batch: 32 of this model's rows would occupy such a pod for most of a second.
BATCH_ROWS = 8

#: The default minimum, which is idle before a step.
MIN_REPLICAS = 2

#: The targets of Springtide, as the guide recommends.
TARGETS = {"loadPercent": 75}

#: Name of the Deployment, and of the ModelService.
NAME = "model"

#: Maximum time until a service is ready, and until its autoscaler has a reading, in seconds.
_READY, _READING = 120, 90


@dataclasses.dataclass(frozen=True)
class Subject:
    """The measured subject: a project and an engine."""

    name: str
    title: str
    #: The project: springtide or reference.
    side: str
    #: The engine: HPA or KEDA.
    engine: str


SUBJECTS = [
    Subject(f"{side}-{engine.lower()}", f"{title}, {engine}", side, engine)
    for engine in ("HPA", "KEDA")
    for side, title in (("springtide", "Springtide"), ("reference", "reference"))
]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Parameters of every testbed."""

    model: bytes
    #: The server's image, for the reference's pods.
    image: str
    #: spec.autoscaling.targets of Springtide.
    targets: dict


@dataclasses.dataclass(frozen=True)
class Testbed:
    """An existing namespace."""

    cluster: object
    subject: Subject
    namespace: str
    #: HOST:PORT of a node port to the pods.
    address: str

    def path(self, plural, name=NAME):
        """The path of an object."""
        return f"{collection(self.namespace, plural)}/{name}"

    def until_ready(self, pods=MIN_REPLICAS):
        """Waits until this number of pods is ready, and no other pods are desired."""

        def look():
            deployment = self.cluster.find(self.path("deployments"))
            wanted, ready = (deployment["spec"]["replicas"], deployment["status"].get("readyReplicas", 0)) if deployment else (0, 0)
            return wanted == ready == pods, f"{ready} of {wanted} pods are ready, and {pods} should be"

        _until(f"{self.namespace}: {pods} pods", look, _READY)

    def until_reading(self):
        """Waits until its HPA, also that of KEDA, has read at least one metric."""

        def look():
            found = self.cluster.get(collection(self.namespace, "horizontalpodautoscalers"))["items"]
            metrics = [metric for hpa in found for metric in hpa.get("status", {}).get("currentMetrics") or []]
            return any(metric.get("type") for metric in metrics), f"{len(found)} HPA, no reading"

        _until(f"{self.namespace}: a reading", look, _READING)


def _until(what, look, limit):
    deadline = time.monotonic() + limit
    while True:
        seen, state = look()
        if seen:
            return
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {limit} s: {state}")
        time.sleep(1)


@contextlib.contextmanager
def made(cluster, inputs, subject, purpose, **options):
    """A testbed while the block runs, with the options of make."""
    testbed = make(cluster, inputs, subject, purpose, **options)
    try:
        yield testbed
    finally:
        cluster.delete(f"/api/v1/namespaces/{testbed.namespace}")


def make(cluster, inputs, subject, purpose, *, spec=None, behavior=None):
    """A testbed that the caller or delete_all must delete. `spec` replaces parts of Springtide's spec,
    `behavior` is its scaling behavior."""
    namespace = f"bench-{purpose}-{subject.name}"
    label = {LABEL: str(os.getpid())}
    cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace, "labels": label}})
    manifests = _ours(inputs, subject, spec, behavior) if subject.side == "springtide" else _reference(inputs, subject)
    cluster.apply(namespace, manifests)
    port = cluster.get(f"{collection(namespace, 'services')}/load")["spec"]["ports"][0]["nodePort"]
    host = os.environ.get("SPRINGTIDE_E2E_NODE_ADDRESS") or cluster.node_address()
    return Testbed(cluster, subject, namespace, f"{host}:{port}")


def delete_all(cluster, *, wait=True, limit=120):
    """Deletes every namespace of this benchmark, including those of an interrupted run."""
    path = f"/api/v1/namespaces?labelSelector={LABEL}"
    deadline = time.monotonic() + limit
    while found := cluster.get(path)["items"]:
        for namespace in found:
            if "deletionTimestamp" not in namespace["metadata"]:
                cluster.delete(f"/api/v1/namespaces/{namespace['metadata']['name']}")
        if not wait:
            return
        if time.monotonic() > deadline:
            raise Failed(f"namespaces that do not go: {[each['metadata']['name'] for each in found]}")
        time.sleep(1)


def _model(inputs):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME},
        "binaryData": {"model.onnx": base64.b64encode(inputs.model).decode()},
    }


def _node_port(selector):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "load"},
        "spec": {"type": "NodePort", "selector": selector, "ports": [{"port": 80, "targetPort": "http"}]},
    }


def _ours(inputs, subject, spec=None, behavior=None):
    service = {
        "apiVersion": "serving.springtide.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": NAME},
        "spec": {
            "model": {"uri": f"configMap://{NAME}/model.onnx", "sha256": hashlib.sha256(inputs.model).hexdigest()},
            "server": {"batching": {"maxBatchRows": BATCH_ROWS}, "resources": RESOURCES},
            "autoscaling": {"engine": subject.engine, "minReplicas": MIN_REPLICAS, "targets": inputs.targets}
            | ({"behavior": behavior} if behavior else {}),
        }
        | (spec or {}),
    }
    selector = {"app.kubernetes.io/name": "modelservice", "app.kubernetes.io/instance": NAME}
    return _list([_model(inputs), service, _node_port(selector)])


def _reference(inputs, subject):
    values = {
        "image": inputs.image,
        "batch_rows": BATCH_ROWS,
        "request_cpu": RESOURCES["requests"]["cpu"],
        "request_memory": RESOURCES["requests"]["memory"],
        "limit_cpu": RESOURCES["limits"]["cpu"],
        "limit_memory": RESOURCES["limits"]["memory"],
    }
    texts = [_list([_model(inputs), _node_port({"app": NAME})])]
    for name in ("deployment", subject.engine.lower()):
        text = (places.REFERENCE / f"{name}.yaml").read_text(encoding="utf-8")
        texts.append(string.Template(text).substitute(values))
    return "\n---\n".join(texts)


def _list(items):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
