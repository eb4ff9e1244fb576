"""Models as data scientists export them, with the libraries' own defaults, beside what the libraries themselves
predict for 200 rows each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from onnx import ModelProto
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as Floats
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

ROWS = 200
IRIS = load_iris()
CANCER = load_breast_cancer()


@dataclass
class Export:
    """An exported model, and what its library predicts."""

    model: ModelProto
    # What a request has: `features`, or `rows` with names.
    body: dict
    predictions: list
    # Rows of probabilities, and the classes of their columns. Regressors have none.
    probabilities: np.ndarray | None = None
    classes: list | None = None


def classifier(model: ModelProto, fitted, rows, body: dict) -> Export:
    """The export of a classifier."""
    predictions = np.asarray(fitted.predict(rows)).tolist()
    classes = [str(label) for label in fitted.classes_]
    return Export(model, body, predictions, fitted.predict_proba(rows), classes)


def sample(rows: np.ndarray) -> np.ndarray:
    """200 rows as 32-bit floats, which is what most exports take."""
    return np.resize(rows, (ROWS, rows.shape[1])).astype(np.float32)


def iris(named: bool, number: type, **options) -> Export:
    """A linear classifier behind a scaler."""
    target = IRIS.target_names[IRIS.target] if named else IRIS.target
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, target)
    rows = sample(IRIS.data)
    model = to_onnx(fitted, IRIS.data[:1].astype(number), **options)
    return classifier(model, fitted, rows, {"features": rows.tolist()})


def iris_frame() -> Export:
    """Fitted on a frame: each column is an input."""
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    frame = pd.DataFrame(IRIS.data.astype(np.float32), columns=names)
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, IRIS.target)
    rows = pd.DataFrame(sample(IRIS.data), columns=names)
    return classifier(to_onnx(fitted, frame[:1]), fitted, rows, {"rows": rows.to_dict("records")})


def titanic(form: str, **options) -> Export:
    """Columns of mixed types, with missing ages."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.normal(35, 12, ROWS).astype(np.float32),
            "fare": random.exponential(30, ROWS).astype(np.float32),
            "pclass": random.integers(1, 4, ROWS),
            "sex": random.choice(["male", "female"], ROWS),
            "embarked": random.choice(["S", "C", "Q"], ROWS),
        }
    )
    target = ((frame.sex == "female") | (frame.fare > 60)).astype(int)
    frame.loc[::7, "age"] = np.nan
    numbers = Pipeline([("impute", SimpleImputer()), ("scale", StandardScaler())])
    columns = ColumnTransformer(
        [
            ("numbers", numbers, ["age", "fare"]),
            ("names", OneHotEncoder(handle_unknown="ignore"), ["sex", "embarked"]),
            ("class", OneHotEncoder(handle_unknown="ignore"), ["pclass"]),
        ]
    )
    fitted = Pipeline([("columns", columns), ("classify", LogisticRegression())]).fit(frame, target)
    one = [None, 1]
    inputs = [
        ("age", FloatTensorType(one)),
        ("fare", FloatTensorType(one)),
        ("pclass", Int64TensorType(one)),
        ("sex", StringTensorType(one)),
        ("embarked", StringTensorType(one)),
    ]
    model = convert_sklearn(fitted, "titanic", inputs, options={id(fitted): options} if options else None)
    missing_is_null = frame.astype(object).where(frame.notna(), None)
    body = {"rows": missing_is_null.to_dict("records")} if form == "rows" else {"columns": missing_is_null.to_dict("list")}
    return classifier(model, fitted, frame, body)


def spam(shape: list, **options) -> Export:
    """A bag of words."""
    texts = ["free money now", "win a prize", "cheap pills", "meeting at noon", "lunch tomorrow?", "see the report"] * 34
    target = ["spam", "spam", "spam", "ham", "ham", "ham"] * 34
    fitted = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, target)
    model = convert_sklearn(fitted, "spam", [("text", StringTensorType(shape))], options={id(fitted): options} if options else None)
    return classifier(model, fitted, texts[:ROWS], {"columns": {"text": texts[:ROWS]}})


def forest_regressor() -> Export:
    """A forest of numbers."""
    data = load_diabetes()
    fitted = RandomForestRegressor(20, random_state=0).fit(data.data, data.target)
    rows = sample(data.data)
    model = to_onnx(fitted, data.data[:1].astype(np.float32))
    return Export(model, {"features": rows.tolist()}, fitted.predict(rows).tolist())


def clusters() -> Export:
    """A label, and distances that are no probabilities."""
    fitted = KMeans(3, random_state=0, n_init=1).fit(IRIS.data.astype(np.float32))
    rows = sample(IRIS.data)
    model = to_onnx(fitted, rows[:1])
    return Export(model, {"features": rows.tolist()}, fitted.predict(rows).tolist())


def lightgbm(zipmap: bool) -> Export:
    """Boosted trees."""
    fitted = LGBMClassifier(n_estimators=50, verbose=-1).fit(CANCER.data, CANCER.target)
    rows = sample(CANCER.data)
    model = convert_lightgbm(fitted, initial_types=[("input", Floats([None, 30]))], zipmap=zipmap)
    return classifier(model, fitted, rows, {"features": rows.tolist()})


def xgboost_classifier() -> Export:
    """Boosted trees of another library."""
    fitted = XGBClassifier(n_estimators=50).fit(CANCER.data, CANCER.target)
    rows = sample(CANCER.data)
    model = convert_xgboost(fitted, initial_types=[("input", Floats([None, 30]))])
    return classifier(model, fitted, rows, {"features": rows.tolist()})


def xgboost_regressor() -> Export:
    """Boosted numbers."""
    fitted = XGBRegressor(n_estimators=20).fit(CANCER.data, CANCER.data[:, 0])
    rows = sample(CANCER.data)
    model = convert_xgboost(fitted, initial_types=[("input", Floats([None, 30]))])
    return Export(model, {"features": rows.tolist()}, fitted.predict(rows).tolist())


PLAIN = {"options": {"zipmap": False}}

EXPORTS: dict[str, Callable[[], Export]] = {
    "iris-zipmap": lambda: iris(False, np.float32),
    "iris-double": lambda: iris(False, np.float64),
    "iris-nozipmap": lambda: iris(False, np.float32, **PLAIN),
    "iris-str-zipmap": lambda: iris(True, np.float32),
    "iris-str-nozipmap": lambda: iris(True, np.float32, **PLAIN),
    "iris-frame": iris_frame,
    "titanic-zipmap": lambda: titanic("rows"),
    "titanic": lambda: titanic("rows", zipmap=False),
    "titanic-columns": lambda: titanic("columns", zipmap="columns"),
    "spam-zipmap": lambda: spam([None, 1]),
    "spam": lambda: spam([None, 1], zipmap=False),
    "spam-1d": lambda: spam([None], zipmap=False),
    "diabetes": forest_regressor,
    "clusters": clusters,
    "lightgbm": lambda: lightgbm(True),
    "lightgbm-nozipmap": lambda: lightgbm(False),
    "xgboost": xgboost_classifier,
    "xgboost-regressor": xgboost_regressor,
}


def write(export: Export, folder: Path) -> None:
    """Puts the model where the server looks for it."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(export.model.SerializeToString())
