"""Random valid rows for a model, from what its sidecar says of its inputs.

An input's "values" are one of
  {"normal": [a, b]}     normal, each row with a scale of its own from a to b (log-uniform) and an offset
  {"uniform": [a, b]}    from a to b
  {"integers": [a, b]}   from a to b - 1
  {"choices": [...]}     one of these, for each element
  {"columns": [...]}     for each column (last axis), values as above
  {"texts": [...], "words": [a, b]}  a to b of these words, with spaces between
  {"mask": true}         ones, then zeros, at least one 1
  {"rows": [...]}        one of these rows as a whole
and may have "missing": p, the share of NaN (float) or of "" (string).
"""

import numpy as np

NUMPY = {"string": object}


def lengths(sidecar: dict, random: np.random.Generator) -> dict[str, int]:
    """A length for each free dimension: rows of one length can share a batch."""
    return {name: int(random.choice(choices)) for name, choices in sidecar["dims"].items()}


def rows(sidecar: dict, count: int, random: np.random.Generator, chosen: dict[str, int] | None = None) -> dict[str, np.ndarray]:
    """`count` rows of every input, with the axis of rows in front."""
    chosen = lengths(sidecar, random) if chosen is None else chosen
    result = {}
    for given in sidecar["inputs"]:
        shape = (count, *(chosen[d] if isinstance(d, str) else d for d in given["shape"]))
        values = elements(given["values"], shape, given["dtype"], random)
        result[given["name"]] = values.astype(NUMPY.get(given["dtype"], given["dtype"]))
    return result


def elements(values: dict, shape: tuple, dtype: str, random: np.random.Generator) -> np.ndarray:
    """Elements of one input."""
    result = drawn(values, shape, dtype, random)
    if missing := values.get("missing"):
        result = result.copy()
        result[random.random(shape) < missing] = "" if dtype == "string" else np.nan
    return result


def drawn(values: dict, shape: tuple, dtype: str, random: np.random.Generator) -> np.ndarray:
    """Elements, none of them missing."""
    # One factor per row.
    per_row = (shape[0], *[1] * (len(shape) - 1))
    if bounds := values.get("normal"):
        scale = np.exp(random.uniform(np.log(bounds[0]), np.log(bounds[1]), per_row))
        return random.normal(size=shape) * scale + scale * random.normal(size=per_row) * random.integers(0, 2, per_row)
    if bounds := values.get("uniform"):
        return random.uniform(*bounds, shape)
    if bounds := values.get("integers"):
        return random.integers(*bounds, shape)
    if choices := values.get("choices"):
        return np.array(choices, object if dtype == "string" else None)[random.integers(0, len(choices), shape)]
    if columns := values.get("columns"):
        return np.stack([elements(column, shape[:-1], dtype, random) for column in columns], axis=-1)
    if words := values.get("texts"):
        low, high = values["words"]
        texts = [" ".join(random.choice(words, random.integers(low, high + 1))) for _ in range(int(np.prod(shape)))]
        return np.array(texts, object).reshape(shape)
    if values.get("mask"):
        return (np.arange(shape[-1]) < random.integers(1, shape[-1] + 1, (*shape[:-1], 1))).astype(np.int64)
    if choices := values.get("rows"):
        return np.array(choices, object if dtype == "string" else None)[random.integers(0, len(choices), shape[0])].reshape(shape)
    raise ValueError(f"no such values: {values}")


def from_lists(sidecar: dict, lists: dict) -> dict[str, np.ndarray]:
    """Rows that a sidecar has as nested lists."""
    types = {given["name"]: given["dtype"] for given in sidecar["inputs"]}
    return {name: np.array(value, NUMPY.get(types[name], types[name])) for name, value in lists.items()}


def to_lists(batch: dict[str, np.ndarray]) -> dict:
    """Rows as nested lists, as JSON has them."""
    return {name: value.tolist() for name, value in batch.items()}
