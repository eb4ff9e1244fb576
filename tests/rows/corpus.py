"""Makes the models with a known truth about their rows, as OUT/<name>.onnx, each with OUT/<name>.json:
{"truth", "why", "family", "inputs", "dims", "hints", "counterexample"}.

    corpus.py OUT                    # all
    corpus.py OUT --only NAME ...    # these
    corpus.py OUT --mixes 5000       # more random batches for those that are said to be independent

The truth is checked with ONNX Runtime: a dependent model needs a batch that shows it, which the
sidecar keeps; an independent one mustn't have one among the random batches.
"""

import argparse
import json
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import truth
import values
from graph import CASES, DEPENDENT, HARD, Case

# Longest search for a batch that shows dependence.
SECONDS = 20.0
# Bytes of a model that takes long, and the rows of each pool then.
LARGE = 200_000
HEAVY = 5


def cases(only: set[str]) -> Iterator[tuple[str, object]]:
    """Every model's name and what makes it."""
    import dependent  # noqa: F401: declares its models
    import hard  # noqa: F401
    import independent  # noqa: F401

    for module in ("boosting", "exports", "real", "scikit"):
        try:
            __import__(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    for name, make in CASES.items():
        if not only or name in only:
            yield name, make


def judged(case: Case, content: bytes, mixes: int) -> dict:
    """The sidecar of a model; raises AssertionError where the model isn't what it is said to be."""
    sidecar = {"truth": case.truth, "why": case.why, "family": case.family, "inputs": case.inputs, "dims": case.dims, "hints": case.hints, "counterexample": None}
    if not case.inputs:
        return sidecar
    model = truth.session(content)
    batch, found = None, ""
    for hint in case.hints:
        batch = values.from_lists(sidecar, hint)
        found = truth.difference(model, batch)
        if found:
            break
    if not found:
        batch, tried, found = truth.search(model, sidecar, zlib.crc32(case.name.encode()), mixes, SECONDS, HEAVY if len(content) > LARGE else truth.POOL)
        sidecar["mixes"] = tried
        if not tried:
            raise AssertionError("no row is valid")
    if case.truth == DEPENDENT:
        if not found:
            raise AssertionError("no batch shows the dependence")
        sidecar["counterexample"] = {"rows": values.to_lists(smallest(model, batch)), "differs": found}
    elif found:
        raise AssertionError(f"said to be independent: {found}")
    return sidecar


def smallest(model, batch: dict) -> dict:
    """The batch without the rows that aren't needed to show the dependence."""
    row = 0
    while row < (count := len(next(iter(batch.values())))) and count > 2:
        fewer = truth.take(batch, [other for other in range(count) if other != row])
        if truth.difference(model, fewer):
            batch = fewer
        else:
            row += 1
    return batch


def main() -> None:
    """Writes the corpus; exits 1 where a model isn't what it is said to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="OUT")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--mixes", type=int, default=400)
    parser.add_argument("--missing", action="store_true", help="only those that aren't there")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    failed, counts = [], {}
    for name, make in cases(set(arguments.only)):
        if arguments.missing and (arguments.folder / f"{name}.json").exists():
            continue
        begin = time.monotonic()
        try:
            case = make()
            content = case.model if isinstance(case.model, bytes) else case.model.SerializeToString(deterministic=True)
            sidecar = judged(case, content, arguments.mixes)
        except Exception as error:  # noqa: BLE001: each is told, and counts
            failed.append(name)
            print(f"FAIL {name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
            if not isinstance(error, AssertionError):
                traceback.print_exc(limit=-2)
            continue
        (arguments.folder / f"{name}.onnx").write_bytes(content)
        (arguments.folder / f"{name}.json").write_text(json.dumps(sidecar))
        counts[case.truth] = counts.get(case.truth, 0) + 1
        if (took := time.monotonic() - begin) > 3:
            print(f"slow: {name} took {took:.1f} s", file=sys.stderr)
    print(f"{sum(counts.values())} models: {counts}; {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
