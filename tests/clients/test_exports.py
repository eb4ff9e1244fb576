"""What people export, as they export it: /predict gives what the library itself predicts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import exports
from exports import EXPORTS, ROWS, Export
from server import Server

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def exported() -> dict[str, Export]:
    """Every model."""
    return {name: make() for name, make in EXPORTS.items()}


@pytest.fixture(scope="module")
def serving(exported: dict[str, Export], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all of them that takes 200 rows at once."""
    folder: Path = tmp_path_factory.mktemp("exports")
    for name, export in exported.items():
        exports.write(export, folder / name / "1")
    with Server("--model-dir", folder, "--max-batch-size", str(ROWS)) as server:
        yield server.until_ready()


def close(given: list, expected: np.ndarray | list) -> None:
    """Equal but for rounding, which is relative for large numbers."""
    np.testing.assert_allclose(given, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", EXPORTS)
def test_predictions_are_those_of_the_library(serving: Server, exported: dict[str, Export], name: str):
    export = exported[name]
    is_classifier = export.probabilities is not None
    answer = serving.post(f"/predict/{name}", export.body | {"probabilities": is_classifier})
    assert answer.status == 200, answer.data
    answer = answer.json()
    if not is_classifier:
        close(answer["prediction"], export.predictions)
        return
    assert answer["prediction"] == export.predictions
    given = [[row[label] for label in export.classes] for row in answer["probabilities"]]
    close(given, export.probabilities)
    columns = [export.classes.index(str(label)) for label in export.predictions]
    close(answer["confidence"], export.probabilities[np.arange(ROWS), columns])


@pytest.mark.parametrize("name", EXPORTS)
def test_a_row_alone_is_answered_as_among_others(serving: Server, exported: dict[str, Export], name: str):
    export = exported[name]
    (field, rows), *_ = export.body.items()
    one = {"columns": {name: values[:1] for name, values in rows.items()}} if field == "columns" else {field: rows[:1]}
    answer = serving.post(f"/predict/{name}", one).json()
    prediction = answer["prediction"]
    expected = export.predictions[:1]
    if isinstance(expected[0], float):
        close(prediction, expected)
    else:
        assert prediction == expected


@pytest.mark.parametrize("name", ["iris-frame", "titanic", "spam", "diabetes"])
def test_kserves_v1_gives_the_same(serving: Server, exported: dict[str, Export], name: str):
    export = exported[name]
    body = export.body
    if "columns" in body:
        names, columns = zip(*body["columns"].items(), strict=True)
        instances = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    else:
        instances = body.get("rows") or body["features"]
    predictions = serving.post(f"/v1/models/{name}:predict", {"instances": instances}).json()["predictions"]
    assert len(predictions) == ROWS
    if name == "diabetes":
        close(predictions, export.predictions)
    else:
        assert predictions == export.predictions
