"""Compares what the proof says of each model of the corpus with the truth:
check_proof.py VERDICT_BINARY CORPUS. Exits 1 where a dependent model is called independent, and where
fewer than 95 % of the independent ones are proven."""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from graph import DEPENDENT, HARD, INDEPENDENT

PROVEN_SHARE = 0.95
VERDICTS = ("Independent", "Dependent", "Unknown")
# Paths on one command line.
AT_ONCE = 200


def verdicts(binary: Path, models: list[Path]) -> dict[str, dict]:
    """What the proof says of each file, by the file's name without its ending. A file that it says
    nothing of has the verdict "Missing"."""
    found = {}
    for start in range(0, len(models), AT_ONCE):
        done = subprocess.run([binary.resolve(), *models[start : start + AT_ONCE]], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            answer = json.loads(line)
            found[Path(answer["path"]).stem] = answer
        if done.returncode:
            print(f"{binary} ended with {done.returncode}: {done.stderr[-500:]}", file=sys.stderr)
    return {path.stem: found.get(path.stem, {"verdict": "Missing", "finding": "the proof said nothing"}) for path in models}


def finding(answer: dict) -> str:
    """Why, on one line."""
    rest = {key: value for key, value in answer.items() if key not in ("path", "verdict") and value is not None}
    return str(rest.get("finding", rest))[:300]


def main() -> None:
    """Prints the table and every miss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path, metavar="VERDICT_BINARY")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--all", action="store_true", help="list hard models, too, and dependent ones that are Unknown")
    arguments = parser.parse_args()
    sidecars = {path.stem: json.loads(path.read_text()) for path in sorted(arguments.corpus.glob("*.json"))}
    said = verdicts(arguments.binary, [arguments.corpus / f"{name}.onnx" for name in sidecars])

    table = Counter((sidecar["family"], sidecar["truth"], said[name]["verdict"]) for name, sidecar in sidecars.items())
    print(f"{'family':<12}{'truth':<14}" + "".join(f"{verdict:>13}" for verdict in (*VERDICTS, "Missing")))
    for family, truth in sorted({key[:2] for key in table}):
        print(f"{family:<12}{truth:<14}" + "".join(f"{table[family, truth, verdict]:>13}" for verdict in (*VERDICTS, "Missing")))

    failed = False
    for name, sidecar in sidecars.items():
        answer = said[name]
        wrong = sidecar["truth"] == DEPENDENT and answer["verdict"] == "Independent"
        if wrong:
            print(f"WRONG {name}: dependent ({sidecar['why']}), and called Independent")
        elif sidecar["truth"] == INDEPENDENT and answer["verdict"] != "Independent":
            print(f"miss  {name}: {answer['verdict']}: {finding(answer)}")
        elif arguments.all and (sidecar["truth"] == HARD or answer["verdict"] == "Unknown"):
            print(f"note  {name} ({sidecar['truth']}): {answer['verdict']}: {finding(answer)}")
        failed |= wrong
    total = sum(count for (_, truth, _), count in table.items() if truth == INDEPENDENT)
    proven = sum(count for (_, truth, verdict), count in table.items() if truth == INDEPENDENT and verdict == "Independent")
    share = proven / max(total, 1)
    print(f"{proven} of {total} independent models proven ({share:.1%}), {len(sidecars)} models")
    sys.exit(1 if failed or share < PROVEN_SHARE else 0)


if __name__ == "__main__":
    main()
