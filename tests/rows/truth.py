"""Whether a model's rows are independent, found by running it: mixed batches against each row alone."""

import time
from pathlib import Path

import numpy as np
import onnxruntime

import values

# How far a float32 may be off: relative to itself, or to the largest of its row's tensor, since sums in
# another order round otherwise.
RELATIVE = 1e-5
ABSOLUTE = 1e-7
POOL = 48
LARGEST = 12


def session(model: bytes | str | Path, optimised: bool = True) -> onnxruntime.InferenceSession:
    """The model, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"])


def run(model: onnxruntime.InferenceSession, batch: dict[str, np.ndarray]) -> list | None:
    """The outputs, or None where the model refuses the batch."""
    try:
        return model.run(None, batch)
    except Exception:  # noqa: BLE001: ONNX Runtime has many
        return None


def rows_of(output) -> list | None:
    """An output's rows. ZipMap's list has a dictionary for each row."""
    if isinstance(output, list):
        return output
    if isinstance(output, np.ndarray) and output.ndim > 0:
        return list(output)
    return None


def same(alone, together) -> bool:
    """Whether a row's answer is the same: exactly for integers and strings, within the tolerance for
    floats, which are NaN and infinite in the same places."""
    if isinstance(alone, dict):
        return alone.keys() == together.keys() and all(same(value, together[key]) for key, value in alone.items())
    a, b = np.asarray(alone), np.asarray(together)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    relative = RELATIVE * 1000 if a.dtype == np.float16 else RELATIVE
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    a, b = a[finite], b[finite]
    if a.size == 0:
        return True
    return bool((np.abs(a - b) <= relative * np.maximum(np.abs(a), np.abs(a).max()) + ABSOLUTE).all())


def take(batch: dict[str, np.ndarray], indices) -> dict[str, np.ndarray]:
    """Some of the rows."""
    return {name: value[indices] for name, value in batch.items()}


def difference(model: onnxruntime.InferenceSession, batch: dict[str, np.ndarray], alone: list | None = None) -> str | None:
    """What of a batch isn't as each row alone gives it; None where all is. `alone` has the rows'
    answers, where they are known. A batch with a row that fails alone says nothing."""
    count = len(next(iter(batch.values())))
    alone = alone or [run(model, take(batch, [row])) for row in range(count)]
    if any(answer is None for answer in alone):
        return None
    together = run(model, batch)
    if together is None:
        return "the batch fails, though none of its rows does alone"
    for output, value in enumerate(together):
        found = rows_of(value)
        if found is None or len(found) != count:
            return f"output {output} has {None if found is None else len(found)} rows of {count}"
        for row in range(count):
            single = rows_of(alone[row][output])
            if single is None or len(single) != 1:
                return f"output {output} of one row has {None if single is None else len(single)} rows"
            if not same(single[0], found[row]):
                return f"output {output}, row {row}: {str(single[0])[:60]} alone, {str(found[row])[:60]} in a batch of {count}"
    return None


def search(model: onnxruntime.InferenceSession, sidecar: dict, seed: int, mixes: int, seconds: float, size: int = POOL) -> tuple[dict | None, int, str]:
    """Looks for a batch that shows dependence, in `mixes` random ones: the batch or None, how many were
    tried with every row valid, and what differs."""
    random = np.random.default_rng(seed)
    deadline = time.monotonic() + seconds
    tried = 0
    refreshed = 0
    while tried < mixes and time.monotonic() < deadline:
        refreshed += 1
        if refreshed > 20 and not tried:
            break
        pool = values.rows(sidecar, size, random)
        alone = [run(model, take(pool, [row])) for row in range(size)]
        valid = [row for row in range(size) if alone[row] is not None]
        if not valid:
            continue
        for _ in range(min(4 * size, mixes - tried)):
            indices = random.choice(valid, random.integers(2, min(LARGEST, size) + 1))
            batch = take(pool, indices)
            tried += 1
            if found := difference(model, batch, [alone[index] for index in indices]):
                return batch, tried, found
            if time.monotonic() > deadline:
                break
    return None, tried, ""
