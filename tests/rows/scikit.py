"""What skl2onnx makes of scikit-learn's estimators: each one that it has a converter for, fitted to a
few random rows, with the exporter's defaults; classifiers with ZipMap, its default, and without."""

import zlib
from collections.abc import Callable

import numpy as np
import skl2onnx
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (
    calibration,
    compose,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.utils import all_estimators

from onnx import helper

from graph import CASES, DEPENDENT, INDEPENDENT, Case

COLUMNS = 5
ROWS = 90
NORMAL = {"normal": [0.3, 3.0]}
POSITIVE = {"uniform": [0.0, 4.0]}

# Arguments of those that can't be made without, or that take long.
LOGISTIC = linear_model.LogisticRegression
ARGUMENTS: dict[str, dict] = {
    "AdaBoostClassifier": {"n_estimators": 4},
    "AdaBoostRegressor": {"n_estimators": 4},
    "BaggingClassifier": {"n_estimators": 3},
    "BaggingRegressor": {"n_estimators": 3},
    "CalibratedClassifierCV": {"estimator": tree.DecisionTreeClassifier(max_depth=3), "cv": 2},
    "ClassifierChain": {"estimator": LOGISTIC()},
    "ExtraTreesClassifier": {"n_estimators": 5, "max_depth": 4},
    "ExtraTreesRegressor": {"n_estimators": 5, "max_depth": 4},
    "GradientBoostingClassifier": {"n_estimators": 4},
    "GradientBoostingRegressor": {"n_estimators": 4},
    "GaussianRandomProjection": {"n_components": 3},
    "GridSearchCV": {"estimator": LOGISTIC(), "param_grid": {"C": [0.5, 1]}, "cv": 2},
    "HistGradientBoostingClassifier": {"max_iter": 4},
    "HistGradientBoostingRegressor": {"max_iter": 4},
    "IsolationForest": {"n_estimators": 4},
    "KBinsDiscretizer": {"n_bins": 3, "encode": "ordinal"},
    "KMeans": {"n_clusters": 3, "n_init": 1},
    "MiniBatchKMeans": {"n_clusters": 3, "n_init": 1},
    "LocalOutlierFactor": {"novelty": True, "n_neighbors": 4},
    "LogisticRegressionCV": {"Cs": 2, "cv": 2},
    "MLPClassifier": {"hidden_layer_sizes": (6, 4), "max_iter": 40},
    "MLPRegressor": {"hidden_layer_sizes": (6, 4), "max_iter": 40},
    "MultiOutputClassifier": {"estimator": LOGISTIC()},
    "MultiOutputRegressor": {"estimator": linear_model.Ridge()},
    "OneVsOneClassifier": {"estimator": LOGISTIC()},
    "OneVsRestClassifier": {"estimator": LOGISTIC()},
    "OutputCodeClassifier": {"estimator": LOGISTIC()},
    "QuantileTransformer": {"n_quantiles": 20},
    "RadiusNeighborsClassifier": {"radius": 30.0},
    "RadiusNeighborsRegressor": {"radius": 30.0},
    "RandomForestClassifier": {"n_estimators": 5, "max_depth": 4},
    "RandomForestRegressor": {"n_estimators": 5, "max_depth": 4},
    "RandomTreesEmbedding": {"n_estimators": 3, "max_depth": 3, "sparse_output": False},
    "RandomizedSearchCV": {"estimator": LOGISTIC(), "param_distributions": {"C": [0.5, 1]}, "n_iter": 2, "cv": 2},
    "RegressorChain": {"base_estimator": linear_model.Ridge()},
    "RFE": {"estimator": LOGISTIC(), "n_features_to_select": 3},
    "RFECV": {"estimator": LOGISTIC(), "min_features_to_select": 3, "cv": 2},
    "SelectFromModel": {"estimator": LOGISTIC(), "threshold": -np.inf, "max_features": 3},
    "SelectKBest": {"k": 3},
    "SelfTrainingClassifier": {"estimator": LOGISTIC()},
    "StackingClassifier": {"estimators": [("tree", tree.DecisionTreeClassifier(max_depth=3)), ("line", LOGISTIC())], "cv": 2},
    "StackingRegressor": {"estimators": [("tree", tree.DecisionTreeRegressor(max_depth=3)), ("line", linear_model.Ridge())], "cv": 2},
    "TransformedTargetRegressor": {"regressor": linear_model.Ridge()},
    "TruncatedSVD": {"n_components": 3},
    "VotingClassifier": {"estimators": [("tree", tree.DecisionTreeClassifier(max_depth=3)), ("line", LOGISTIC())], "voting": "soft", "flatten_transform": False},
    "VotingRegressor": {"estimators": [("tree", tree.DecisionTreeRegressor(max_depth=3)), ("line", linear_model.Ridge())]},
    "BernoulliRBM": {"n_components": 3},
    "DictVectorizer": {"sparse": False},
}

# Only values from 0 on.
NOT_NEGATIVE = {"MultinomialNB", "ComplementNB", "PoissonRegressor", "GammaRegressor", "TweedieRegressor", "SelectFdr", "SelectFpr", "SelectFwe", "LatentDirichletAllocation", "NMF", "MiniBatchNMF", "AdditiveChi2Sampler"}
WHOLE_COLUMNS = {"CategoricalNB", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder", "FeatureHasher"}
TEXT = {"CountVectorizer", "TfidfVectorizer", "HashingVectorizer", "TfidfTransformer", "DictVectorizer"}


def case(name: str, family: str = "skl2onnx"):
    """Declares a model: the function gives it with its inputs."""

    def declare(build: Callable) -> Callable:
        def make() -> Case:
            state = np.random.get_state()
            np.random.seed(zlib.crc32(name.encode()) % 2**32)
            try:
                model, inputs = build()
            finally:
                np.random.set_state(state)
            normal_locale(model.graph)
            why = NOT_ROWS.get(name)
            return Case(name, DEPENDENT if why else INDEPENDENT, why or "each row goes through the estimator alone", model, inputs, family=family)

        CASES[name] = make
        return build

    return declare


def target(name: str) -> dict | None:
    """The operator sets, where the defaults don't do: IsolationForest needs the third of ai.onnx.ml."""
    return {"": 18, "ai.onnx.ml": 3} if name.lower().startswith("isolation") else None


def normal_locale(graph) -> None:
    """StringNormalizer's default is en_US, which not every machine has; C.UTF-8 is built in."""
    for node in graph.node:
        if node.op_type == "StringNormalizer":
            node.attribute.extend([helper.make_attribute("locale", "C.UTF-8")])


def numbers(positive: bool = False, whole: bool = False, rows: int = ROWS) -> np.ndarray:
    """Rows to fit to."""
    random = np.random.default_rng(7)
    if whole:
        return random.integers(0, 4, (rows, COLUMNS)).astype(np.int64)
    x = random.normal(size=(rows, COLUMNS)) * [1, 2, 0.5, 3, 1] + [0, 1, 0, -1, 2]
    return np.abs(x).astype(np.float32) if positive else x.astype(np.float32)


def targets(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes and numbers that depend on the rows."""
    total = x[:, 0] * 2 - x[:, 1] + 0.5 * x[:, 3] + np.sin(3 * x[:, 2])
    return np.digitize(total, np.quantile(total, [0.33, 0.66])), total - total.min() + 0.1


def input_of(values: dict, columns: int = COLUMNS, dtype: str = "float32", name: str = "X") -> dict:
    """The sidecar's input."""
    return {"name": name, "dtype": dtype, "shape": [columns], "values": values}


def declare_estimator(name: str, kind: type) -> None:
    """Declares the models of one estimator."""
    positive, whole = name in NOT_NEGATIVE, name in WHOLE_COLUMNS

    def fitted():
        x = numbers(positive, whole)
        classes, values = targets(x.astype(np.float32))
        estimator = kind(**ARGUMENTS.get(name, {}))
        several = name in ("MultiOutputClassifier", "MultiOutputRegressor", "MultiTaskLasso", "MultiTaskElasticNet", "MultiTaskLassoCV", "MultiTaskElasticNetCV", "RegressorChain", "CCA", "PLSCanonical", "PLSSVD")
        if name == "ClassifierChain":
            target = np.stack([classes == 1, classes == 2], axis=1).astype(int)
        else:
            target = classes if is_classifier(estimator) or name in ("SelectKBest", "SelectPercentile", "GenericUnivariateSelect", "RFE", "RFECV", "SelectFromModel", "SelectFdr", "SelectFpr", "SelectFwe", "LinearDiscriminantAnalysis", "GridSearchCV", "RandomizedSearchCV", "NeighborhoodComponentsAnalysis") else values
            if several:
                target = np.stack([target, target[::-1]], axis=1)
        if name == "LabelBinarizer" or name == "LabelEncoder":
            return estimator.fit(classes), classes[:, None].astype(np.int64)
        if name in ("IsotonicRegression",):
            return estimator.fit(x[:, :1], values), x[:, :1]
        if name in ("KernelCenterer",):
            return estimator.fit(x[:COLUMNS]), x
        return estimator.fit(x, target), x

    def build(zipmap: bool | None):
        estimator, x = fitted()
        options = {} if zipmap is None else {"options": {id(estimator): {"zipmap": zipmap}}}
        kind_of = Int64TensorType if x.dtype == np.int64 else FloatTensorType
        model = skl2onnx.convert_sklearn(estimator, name, [("X", kind_of([None, x.shape[1]]))], target_opset=target(name), **options)
        values = {"integers": [0, 3]} if x.dtype == np.int64 else POSITIVE if positive else NORMAL
        return model, [input_of(values, x.shape[1], str(x.dtype))]

    case(f"skl_{name}")(lambda: build(None))
    if is_classifier_type(kind):
        case(f"skl_{name}_tensor")(lambda: build(False))


def is_classifier_type(kind: type) -> bool:
    """Whether an estimator is a classifier, without making one."""
    return issubclass(kind, ClassifierMixin) and kind.__name__ not in ("LinearSVC",)


# Its answer isn't a row for each row that came.
STACKED = "the probabilities of all outputs are stacked, [outputs, N, classes]"
NOT_ROWS = {
    "skl_MultiOutputClassifier": STACKED,
    "skl_MultiOutputClassifier_tensor": STACKED,
    "skl_multilabel_forest": STACKED,
    "skl_multioutput_logistic": STACKED,
    "skl_QuadraticDiscriminantAnalysis": "the converter gives the labels as [1, N]",
    "skl_QuadraticDiscriminantAnalysis_tensor": "the converter gives the labels as [1, N]",
}

# No model comes of these, for the reason given.
LEFT_OUT = {
    "FeatureHasher": "its converter wants strings",
    "TunedThresholdClassifierCV": "made by hand below",
    "NearestNeighbors": "its converter wants another radius than its default",
    "GaussianProcessClassifier": "ONNX Runtime lacks com.microsoft.Solve",
    "ColumnTransformer": "made by hand below",
    "FeatureUnion": "made by hand below",
    "Pipeline": "made by hand below",
    "FunctionTransformer": "made by hand below",
}

for estimator_name, estimator_kind in all_estimators():
    if estimator_kind in sklearn_operator_name_map and estimator_name not in LEFT_OUT and estimator_name not in TEXT:
        declare_estimator(estimator_name, estimator_kind)


def declared(name: str, model, initial: list, inputs: list[dict], options: dict | None = None, zipmap: bool = True) -> None:
    """Declares a fitted pipeline: `model` makes it."""

    def build():
        estimator = model()
        given = {"options": {id(estimator): options}} if options else {}
        return skl2onnx.convert_sklearn(estimator, name, initial, target_opset=target(name), **given), inputs

    case(f"skl_{name}")(build)


def fit(estimator, positive: bool = False, regression: bool = False):
    """A function that fits."""

    def make():
        x = numbers(positive)
        return estimator.fit(x, targets(x)[regression])

    return make


FLOATS = [("X", FloatTensorType([None, COLUMNS]))]
ONE = [input_of(NORMAL)]

declared("pipeline_scaler_logistic", fit(pipeline.make_pipeline(preprocessing.StandardScaler(), LOGISTIC())), FLOATS, ONE)
declared("pipeline_scaler_logistic_tensor", fit(pipeline.make_pipeline(preprocessing.StandardScaler(), LOGISTIC())), FLOATS, ONE, {"zipmap": False})
declared("pipeline_scaler_logistic_columns", fit(pipeline.make_pipeline(preprocessing.StandardScaler(), LOGISTIC())), FLOATS, ONE, {"zipmap": "columns"})
declared("pipeline_imputer_forest", fit(pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), ensemble.RandomForestClassifier(4, max_depth=4))), FLOATS, [input_of({**NORMAL, "missing": 0.2})], {"zipmap": False})
declared("pipeline_imputer_indicator", fit(pipeline.make_pipeline(impute.SimpleImputer(), tree.DecisionTreeRegressor(max_depth=4)), regression=True), FLOATS, [input_of({**NORMAL, "missing": 0.2})])
declared("knn_imputer", fit(impute.KNNImputer(n_neighbors=2)), FLOATS, [input_of({**NORMAL, "missing": 0.1})])
declared("knn_classifier_weighted", fit(neighbors.KNeighborsClassifier(3, weights="distance")), FLOATS, ONE, {"zipmap": False})
declared("knn_regressor_manhattan", fit(neighbors.KNeighborsRegressor(3, metric="manhattan"), regression=True), FLOATS, ONE)
declared("knn_optimised_cdist", fit(neighbors.KNeighborsRegressor(3), regression=True), FLOATS, ONE, {"optim": "cdist"})
declared("svc_poly_probability", fit(calibration.CalibratedClassifierCV(svm.SVC(kernel="poly"), cv=2)), FLOATS, ONE)
declared("svr_sigmoid", fit(svm.SVR(kernel="sigmoid"), regression=True), FLOATS, ONE)
declared("linear_svr", fit(svm.LinearSVR(), regression=True), FLOATS, ONE)
declared("gp_rational_quadratic", fit(gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.RationalQuadratic()), regression=True), FLOATS, ONE)
declared("polynomial_ridge", fit(pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge()), regression=True), FLOATS, ONE)
declared("quantile_transformer_uniform", fit(pipeline.make_pipeline(preprocessing.QuantileTransformer(n_quantiles=20), LOGISTIC())), FLOATS, ONE, {"zipmap": False})
declared("bins_one_hot", fit(preprocessing.KBinsDiscretizer(3, encode="onehot-dense")), FLOATS, ONE)
declared("union_of_scalers", fit(pipeline.make_union(preprocessing.StandardScaler(), preprocessing.MinMaxScaler())), FLOATS, ONE)
declared("function_transformer_identity", fit(preprocessing.FunctionTransformer()), FLOATS, ONE)
declared("forest_raw_decision_path", fit(ensemble.RandomForestClassifier(3, max_depth=3)), FLOATS, ONE, {"zipmap": False, "decision_path": True})
declared("tree_decision_leaf", fit(tree.DecisionTreeClassifier(max_depth=3)), FLOATS, ONE, {"zipmap": False, "decision_leaf": True})
declared("logistic_raw_scores", fit(LOGISTIC()), FLOATS, ONE, {"zipmap": False, "raw_scores": True})
declared("isolation_score_samples", fit(ensemble.IsolationForest(n_estimators=3)), FLOATS, ONE, {"score_samples": True})
declared("bayesian_ridge_std", fit(linear_model.BayesianRidge(), regression=True), FLOATS, ONE)
declared("ovr_svm", fit(multiclass.OneVsRestClassifier(svm.LinearSVC())), FLOATS, ONE)
declared("bagged_knn", fit(ensemble.BaggingClassifier(neighbors.KNeighborsClassifier(2), n_estimators=2)), FLOATS, ONE, {"zipmap": False})
declared("selected_then_mlp", fit(pipeline.make_pipeline(feature_selection.SelectKBest(k=3), neural_network.MLPClassifier((4,), max_iter=30))), FLOATS, ONE, {"zipmap": False})
declared("binary_logistic", lambda: LOGISTIC().fit(numbers(), targets(numbers())[0] > 0), FLOATS, ONE, {"zipmap": False})
declared("tuned_threshold", lambda: model_selection.TunedThresholdClassifierCV(LOGISTIC(), cv=2).fit(numbers(), targets(numbers())[0] > 0), FLOATS, ONE)
declared("string_labels", lambda: LOGISTIC().fit(numbers(), np.array(["low", "mid", "high"])[targets(numbers())[0]]), FLOATS, ONE)
declared("string_labels_tensor", lambda: ensemble.GradientBoostingClassifier(n_estimators=3).fit(numbers(), np.array(["low", "mid", "high"])[targets(numbers())[0]]), FLOATS, ONE, {"zipmap": False})
declared("multilabel_forest", lambda: ensemble.RandomForestClassifier(3, max_depth=3).fit(numbers(), np.stack([targets(numbers())[0] > 0, targets(numbers())[0] > 1], axis=1).astype(int)), FLOATS, ONE, {"zipmap": False})
declared("multioutput_logistic", lambda: multioutput.MultiOutputClassifier(LOGISTIC()).fit(numbers(), np.stack([targets(numbers())[0] > 0, targets(numbers())[0] > 1], axis=1).astype(int)), FLOATS, ONE, {"zipmap": False})

WORDS = ["free", "money", "now", "win", "a", "prize", "cheap", "pills", "meeting", "at", "noon", "lunch", "report", "unknown"]
TEXTS = [" ".join(np.random.default_rng(seed).choice(WORDS[:-1], 5)) for seed in range(40)]
CLASSES = np.where([("free" in text) or ("win" in text) for text in TEXTS], "spam", "ham")
ONE_TEXT = [{"name": "text", "dtype": "string", "shape": [1], "values": {"texts": WORDS, "words": [0, 8]}}]
FLAT_TEXT = [{"name": "text", "dtype": "string", "shape": [], "values": {"texts": WORDS, "words": [0, 8]}}]
COLUMN, FLAT = [("text", StringTensorType([None, 1]))], [("text", StringTensorType([None]))]
text_kinds = feature_extraction.text
declared("tfidf_logistic", lambda: pipeline.make_pipeline(text_kinds.TfidfVectorizer(), LOGISTIC()).fit(TEXTS, CLASSES), COLUMN, ONE_TEXT)
declared("tfidf_logistic_tensor", lambda: pipeline.make_pipeline(text_kinds.TfidfVectorizer(ngram_range=(1, 2)), LOGISTIC()).fit(TEXTS, CLASSES), COLUMN, ONE_TEXT, {"zipmap": False})
declared("tfidf_flat", lambda: pipeline.make_pipeline(text_kinds.TfidfVectorizer(), LOGISTIC()).fit(TEXTS, CLASSES), FLAT, FLAT_TEXT, {"zipmap": False})
declared("count_naive_bayes", lambda: pipeline.make_pipeline(text_kinds.CountVectorizer(), naive_bayes.MultinomialNB()).fit(TEXTS, CLASSES), COLUMN, ONE_TEXT, {"zipmap": False})
declared("count_tfidf_sgd", lambda: pipeline.make_pipeline(text_kinds.CountVectorizer(lowercase=False), text_kinds.TfidfTransformer(sublinear_tf=True), linear_model.SGDClassifier()).fit(TEXTS, CLASSES), COLUMN, ONE_TEXT)
declared("tfidf_svd", lambda: pipeline.make_pipeline(text_kinds.TfidfVectorizer(norm="l1"), __import__("sklearn.decomposition").decomposition.TruncatedSVD(3)).fit(TEXTS), COLUMN, ONE_TEXT)
declared("tfidf_chars", lambda: text_kinds.TfidfVectorizer(analyzer="char", ngram_range=(1, 2)).fit(TEXTS), COLUMN, ONE_TEXT)

KINDS, SIZES = ["red", "green", "blue"], ["s", "m", "l"]
TABLE = np.array([[KINDS[i % 3], SIZES[(i // 3) % 3]] for i in range(30)], object)
NAMED = [{"name": "kinds", "dtype": "string", "shape": [2], "values": {"columns": [{"choices": KINDS}, {"choices": SIZES}]}}]
ANYTHING = [{"name": "kinds", "dtype": "string", "shape": [2], "values": {"columns": [{"choices": [*KINDS, "else", ""]}, {"choices": SIZES}]}}]
STRINGS = [("kinds", StringTensorType([None, 2]))]
declared("one_hot_strings", lambda: preprocessing.OneHotEncoder().fit(TABLE), STRINGS, NAMED)
declared("one_hot_strings_ignore", lambda: preprocessing.OneHotEncoder(handle_unknown="ignore", drop=None).fit(TABLE), STRINGS, ANYTHING)
declared("one_hot_drop_first", lambda: preprocessing.OneHotEncoder(drop="first").fit(TABLE), STRINGS, NAMED)
declared("ordinal_strings", lambda: preprocessing.OrdinalEncoder().fit(TABLE), STRINGS, NAMED)
declared("ordinal_unknown", lambda: preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(TABLE), STRINGS, ANYTHING)
declared("string_imputer", lambda: pipeline.make_pipeline(impute.SimpleImputer(strategy="most_frequent", missing_values=""), preprocessing.OneHotEncoder(handle_unknown="ignore")).fit(TABLE), STRINGS, ANYTHING)
declared("label_encoder_strings", lambda: preprocessing.LabelEncoder().fit(KINDS), [("kinds", StringTensorType([None]))], [{"name": "kinds", "dtype": "string", "shape": [], "values": {"choices": KINDS}}])


def titanic(final=None):
    """A table of columns of several types, and its pipeline."""
    import pandas

    random = np.random.default_rng(0)
    count = 120
    table = pandas.DataFrame(
        {
            "age": random.normal(35, 12, count).astype(np.float32),
            "fare": random.exponential(30, count).astype(np.float32),
            "pclass": random.integers(1, 4, count),
            "sex": random.choice(["male", "female"], count).astype(object),
        }
    )
    columns = compose.ColumnTransformer(
        [
            ("numbers", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), ["age", "fare"]),
            ("kinds", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["sex"]),
            ("classes", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["pclass"]),
        ]
    )
    target = (table.sex == "female") | (table.fare > 60)
    return pipeline.make_pipeline(columns, LOGISTIC() if final is None else final).fit(table, target.astype(int))


PASSENGERS = [("age", FloatTensorType([None, 1])), ("fare", FloatTensorType([None, 1])), ("pclass", Int64TensorType([None, 1])), ("sex", StringTensorType([None, 1]))]
PASSENGER = [
    input_of({"normal": [5, 40], "missing": 0.2}, 1, name="age"),
    input_of({"uniform": [0, 100]}, 1, name="fare"),
    input_of({"integers": [1, 5]}, 1, "int64", "pclass"),
    {"name": "sex", "dtype": "string", "shape": [1], "values": {"choices": ["male", "female", "?"]}},
]
declared("titanic", titanic, PASSENGERS, PASSENGER)
declared("titanic_tensor", titanic, PASSENGERS, PASSENGER, {"zipmap": False})
declared("titanic_forest", lambda: titanic(ensemble.RandomForestClassifier(4, max_depth=4)), PASSENGERS, PASSENGER)
declared("titanic_boosting", lambda: titanic(ensemble.HistGradientBoostingClassifier(max_iter=3)), PASSENGERS, PASSENGER)
