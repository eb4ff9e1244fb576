"""Classifiers and a regressor of scikit-learn as skl2onnx exports them, with common labels and outputs:
numbers and names, probabilities as one tensor and (`zipmap`) as a list of maps."""

from collections.abc import Callable

import numpy as np
from onnx import ModelProto
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OPERATOR_SETS = {"": 17, "ai.onnx.ml": 3}
IRIS = load_iris()


def logistic_regression() -> BaseEstimator:
    """A linear classifier behind a scaler."""
    return make_pipeline(StandardScaler(), LogisticRegression())


def random_forest() -> BaseEstimator:
    """Trees: the operators of ai.onnx.ml."""
    return RandomForestClassifier(n_estimators=10, max_depth=4, random_state=0)


def export(name: str, estimator: BaseEstimator, targets: np.ndarray, options: dict) -> ModelProto:
    """Fits on the iris data and exports `features` [rows, 4]."""
    estimator.fit(IRIS.data, targets)
    inputs = [("features", FloatTensorType([None, IRIS.data.shape[1]]))]
    return to_onnx(estimator, name=name, initial_types=inputs, options=options, target_opset=OPERATOR_SETS)


def classifier(name: str, estimator: Callable[[], BaseEstimator], named: bool, zipmap: bool) -> Callable[[], ModelProto]:
    """A classifier whose labels are names or numbers."""
    targets = IRIS.target_names[IRIS.target] if named else IRIS.target
    return lambda: export(name, estimator(), targets, {"zipmap": zipmap})


def regressor() -> ModelProto:
    """Predicts the petal's width from the other features: `variable` [rows, 1]."""
    return export("regressor", LinearRegression(), IRIS.data[:, 3], {})


MODELS: dict[str, Callable[[], ModelProto]] = {
    name: classifier(name, estimator, named, zipmap)
    for name, estimator, named, zipmap in (
        ("logistic_numbers", logistic_regression, False, False),
        ("logistic_names", logistic_regression, True, False),
        ("logistic_zipmap_numbers", logistic_regression, False, True),
        ("logistic_zipmap_names", logistic_regression, True, True),
        ("forest_numbers", random_forest, False, False),
        ("forest_names", random_forest, True, False),
    )
} | {"regressor": regressor}
