"""What onnxmltools, XGBoost's and LightGBM's converters and CatBoost's own export make of boosted trees."""

import numpy as np

from scikit import CASES, COLUMNS, NORMAL, ROWS, case, input_of, numbers, targets  # noqa: F401

LABELS = np.array(["low", "mid", "high"])


def floats():
    """The inputs' type, as onnxmltools wants it."""
    from onnxmltools.convert.common.data_types import FloatTensorType

    return [("input", FloatTensorType([None, COLUMNS]))]


ONE = [input_of(NORMAL, name="input")]
MISSING = [input_of({**NORMAL, "missing": 0.2}, name="input")]


def lightgbm(name: str, kind: str, regression: bool = False, two: bool = False, inputs=ONE, convert: dict | None = None, **arguments):
    """Declares a LightGBM model."""

    def build():
        import lightgbm
        import onnxmltools

        x = numbers()
        y = targets(x)[regression]
        y = (y > 0).astype(int) if two else y
        model = getattr(lightgbm, kind)(n_estimators=5, verbose=-1, n_jobs=1, min_child_samples=3, **arguments).fit(x, y)
        return onnxmltools.convert_lightgbm(model, initial_types=floats(), **(convert or {})), inputs

    case(f"lightgbm_{name}", family="onnxmltools")(build)


lightgbm("classifier", "LGBMClassifier")
lightgbm("classifier_tensor", "LGBMClassifier", convert={"zipmap": False})
lightgbm("binary", "LGBMClassifier", two=True)
lightgbm("binary_tensor", "LGBMClassifier", two=True, convert={"zipmap": False})
lightgbm("regressor", "LGBMRegressor", regression=True)
lightgbm("regressor_missing", "LGBMRegressor", regression=True, inputs=MISSING)
lightgbm("poisson", "LGBMRegressor", regression=True, objective="poisson")
lightgbm("random_forest", "LGBMRegressor", regression=True, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7)
lightgbm("split", "LGBMRegressor", regression=True, convert={"split": 2})
lightgbm("one_versus_all", "LGBMClassifier", objective="multiclassova", convert={"zipmap": False})


def xgboost(name: str, kind: str, regression: bool = False, two: bool = False, inputs=ONE, **arguments):
    """Declares an XGBoost model."""

    def build():
        import onnxmltools
        import xgboost

        x = numbers()
        y = targets(x)[regression]
        y = (y > 0).astype(int) if two else y
        model = getattr(xgboost, kind)(**{"n_estimators": 5, "max_depth": 3, "n_jobs": 1, **arguments}).fit(x, y)
        return onnxmltools.convert_xgboost(model, initial_types=floats()), inputs

    case(f"xgboost_{name}", family="onnxmltools")(build)


xgboost("classifier", "XGBClassifier")
xgboost("binary", "XGBClassifier", two=True)
xgboost("regressor", "XGBRegressor", regression=True)
xgboost("regressor_missing", "XGBRegressor", regression=True, inputs=MISSING)
xgboost("forest_regressor", "XGBRFRegressor", regression=True)
xgboost("forest_classifier", "XGBRFClassifier")
xgboost("poisson", "XGBRegressor", regression=True, objective="count:poisson")


def catboost(name: str, kind: str, regression: bool = False, two: bool = False, text: bool = False):
    """Declares a CatBoost model, exported by itself."""

    def build():
        import tempfile

        import catboost
        import onnx

        x = numbers()
        y = targets(x)[regression]
        y = (y > 0).astype(int) if two else LABELS[y] if text else y
        model = getattr(catboost, kind)(iterations=5, depth=3, verbose=0, allow_writing_files=False, thread_count=1).fit(x, y)
        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            model.save_model(file.name, format="onnx")
            return onnx.load(file.name), [input_of(NORMAL, name="features")]

    case(f"catboost_{name}", family="catboost")(build)


catboost("classifier", "CatBoostClassifier")
catboost("binary", "CatBoostClassifier", two=True)
catboost("text_labels", "CatBoostClassifier", text=True)
catboost("regressor", "CatBoostRegressor", regression=True)
