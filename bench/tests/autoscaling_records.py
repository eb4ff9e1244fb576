"""Records of fictional runs: the events of a watch and the samples of Prometheus."""


def seen(at, plural, name, **facts):
    return {"at": at, "plural": plural, "name": name, "facts": facts or None}


def deployment(at, wanted):
    return seen(at, "deployments", "model", wanted=wanted, ready=wanted)


def pod(name, created, scheduled, running, ready):
    """The states of a pod, as the watch reports them."""
    state = {"scheduled": False, "running": False, "ready": False}
    yield seen(created, "pods", name, **state)
    for at, name_of_state in ((scheduled, "scheduled"), (running, "running"), (ready, "ready")):
        state = state | {name_of_state: True}
        yield seen(at, "pods", name, **state)


def step(subject="springtide-hpa"):
    """Two idle pods, load from 100 on, and two more pods that are ready at 120 and 130."""
    changes = [
        deployment(50, 2),
        *pod("old-1", 50, 50, 50, 50),
        *pod("old-2", 50, 50, 50, 50),
        deployment(112, 4),
        *pod("new-1", 112.5, 113, 117, 120),
        *pod("new-2", 112.5, 113, 127, 130),
    ]
    return {
        "subject": subject,
        "begin": 100.0,
        "load_end": 165.0,
        "end": 170.0,
        "changes": changes,
        # One per second. The first twenty are late, and every fourth of these fails.
        "requests": [[100.0 + second, 900 if second < 20 else 50, 200, second >= 20 or second % 4 != 0] for second in range(66)],
        "series": {"pods": [[95, 2], [130, 4]], "rate": [[95, 0], [130, 90]], "queue": [[95, 0], [130, 3]], "p95_ms": [[130, 480]]},
        "load": [[100, 0], [104, 100], [107, 180], [112, 400]],
        "arrived": {
            "old-1": [[95, 0], [103, 30], [135, 1000], [150, 1300]],
            "old-2": [[95, 0], [104, 40], [135, 1000], [150, 1300]],
            "new-1": [[125, 0], [135, 100], [150, 400]],
            "new-2": [[140, 0], [150, 100]],
        },
    }
