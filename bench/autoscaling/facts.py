"""The properties of objects that the benchmark uses. Pure."""


def of(plural, item):
    """The facts of an object of that kind, as plain data."""
    return _FACTS[plural](item)


def _pod(pod):
    conditions = {each["type"]: each["status"] == "True" for each in pod["status"].get("conditions", [])}
    containers = pod["status"].get("containerStatuses", [])
    return {
        "scheduled": conditions.get("PodScheduled", False),
        "running": bool(containers) and all("running" in each.get("state", {}) for each in containers),
        "ready": conditions.get("Ready", False) and "deletionTimestamp" not in pod["metadata"],
    }


def _deployment(deployment):
    return {"wanted": deployment["spec"]["replicas"], "ready": deployment["status"].get("readyReplicas", 0)}


def _autoscaler(autoscaler):
    status = autoscaler.get("status", {})
    return {
        "desired": status.get("desiredReplicas", 0),
        "readings": [_reading(metric) for metric in status.get("currentMetrics") or [] if metric.get("type")],
        "conditions": _reasons(status),
    }


def _reading(metric):
    source = metric[metric["type"][:1].lower() + metric["type"][1:]]
    name = source.get("name") or source["metric"]["name"]
    current = source["current"]
    value = current.get("averageUtilization", current.get("averageValue", current.get("value")))
    return {"name": name, "value": str(value)}


def _scaled_object(scaled_object):
    return {"conditions": _reasons(scaled_object.get("status", {}))}


def _model_service(service):
    status = service.get("status", {})
    return {
        "conditions": _reasons(status),
        "current": {
            each["type"]: each["status"] == "True" and each.get("observedGeneration") == service["metadata"]["generation"]
            for each in status.get("conditions", [])
        },
    }


def _reasons(status):
    return {each["type"]: f"{each['status']} {each.get('reason', '')}".strip() for each in status.get("conditions") or []}


_FACTS = {
    "pods": _pod,
    "deployments": _deployment,
    "horizontalpodautoscalers": _autoscaler,
    "scaledobjects": _scaled_object,
    "modelservices": _model_service,
}

#: The watched kinds.
PLURALS = tuple(_FACTS)
