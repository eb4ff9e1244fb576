"""Makes the models with a known truth about their rows, as OUT/<name>.onnx, each with OUT/<name>.json:
{"truth", "why", "family", "inputs", "dims", "hints", "counterexample"}.

    corpus.py OUT                    # all
    corpus.py OUT --only NAME ...    # these
    corpus.py OUT --mixes 5000       # more random batches for those that are said to be independent

The truth is checked with ONNX Runtime: a dependent model needs a batch that shows it, which the
sidecar keeps; an independent one mustn't have one among the random batches.
"""

import argparse
import importlib
import json
import multiprocessing
import queue
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import truth
import values
from graph import CASES, DEPENDENT, Case

# Longest search for a batch that shows dependence.
SECONDS = 6.0
# Bytes of a model that takes long, and the rows of each pool then.
LARGE = 200_000
HEAVY = 5


def cases(only: set[str]) -> Iterator[tuple[str, object]]:
    """Every model's name and what makes it."""
    # Each declares its models.
    for module in ("independent", "dependent", "hard", "scikit", "boosting", "real", "exports"):
        importlib.import_module(module)
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


def written(name: str, make, folder: Path, mixes: int) -> tuple[str | None, str | None]:
    """Writes one model and its sidecar; gives its truth, or why there is none."""
    try:
        case = make()
        content = case.model if isinstance(case.model, bytes) else case.model.SerializeToString(deterministic=True)
        sidecar = judged(case, content, mixes)
    except Exception as error:  # noqa: BLE001: each is told, and counts
        return None, f"{name}: {type(error).__name__}: {str(error)[:300]}"
    (folder / f"{name}.onnx").write_bytes(content)
    (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return case.truth, None


def share(job: int, jobs: int, arguments, results) -> None:
    """One process' part of the models."""
    warnings.simplefilter("ignore")
    for number, (name, make) in enumerate(cases(set(arguments.only))):
        if number % jobs == job and not (arguments.missing and (arguments.folder / f"{name}.json").exists()):
            begin = time.monotonic()
            result = written(name, make, arguments.folder, arguments.mixes)
            results.put((name, time.monotonic() - begin, *result))
    results.put(None)


def main() -> None:
    """Writes the corpus; exits 1 where a model isn't what it is said to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="OUT")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--mixes", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--missing", action="store_true", help="only those that aren't there")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=share, args=(job, arguments.jobs, arguments, results)) for job in range(arguments.jobs)]
    for process in processes:
        process.start()
    failed, counts, slow, ended = 0, Counter(), [], 0
    while ended < len(processes):
        try:
            result = results.get(timeout=5)
        except queue.Empty:
            # One that crashed says nothing more.
            if any(process.exitcode for process in processes):
                sys.exit("error: a process of corpus.py ended early")
            continue
        if result is None:
            ended += 1
            continue
        name, seconds, truth_of, why = result
        slow.append((seconds, name))
        if why:
            failed += 1
            print(f"FAIL {why}", file=sys.stderr)
        else:
            counts[truth_of] += 1
    print("slowest: " + ", ".join(f"{name} {seconds:.1f} s" for seconds, name in sorted(slow, reverse=True)[:8]))
    print(f"{counts.total()} models: {dict(counts)}; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
