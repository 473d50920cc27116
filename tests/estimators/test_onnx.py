"""Models as ONNX graphs: onnxruntime answers as the models do, in float64, alone and at the end of a Pipeline."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from real_data import real_data
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from gpu_logreg import LogisticRegression, LogisticRegressionCV, MLPClassifier
from gpu_logreg.errors import DataError, MissingDependencyError

HOW = "is not installed: pip install 'gpu-logreg[onnx]'"
LABELS = {
    "numbers": lambda y: y,
    "texts": lambda y: np.array(["a", "b", "c"])[y],
}
MODELS = {
    "LogisticRegression": LogisticRegression(),
    "LogisticRegressionCV": LogisticRegressionCV(
        Cs=[1.0, 0.1], cv=2, l1_ratios=(0.0,), scoring="accuracy", use_legacy_attributes=False
    ),
    "MLPClassifier": MLPClassifier((5,), "tanh", solver="lbfgs", alpha=1.0, max_iter=1000),
    "two hidden layers": MLPClassifier((5, 4), "relu", solver="lbfgs", alpha=1.0, max_iter=1000),
}


@pytest.fixture(scope="module")
def skl2onnx():
    return pytest.importorskip("skl2onnx", reason=f"skl2onnx {HOW}")


@pytest.fixture(scope="module")
def answers():
    onnxruntime = pytest.importorskip("onnxruntime", reason=f"onnxruntime {HOW}")

    def answers(proto, **inputs):
        return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)

    return answers


def rows_of(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris], ids=["two classes", "three"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_answers_are_those_of_the_model(skl2onnx, answers, model, labels, load):
    X, y = rows_of(load)
    model.fit(X, labels(y))
    label, probabilities = answers(model.to_onnx(), X=X)
    np.testing.assert_array_equal(label, model.predict(X))
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-12, atol=1e-14)


def test_whole_numbers_in_an_array_of_objects(skl2onnx, answers):
    X, y = rows_of(load_iris)
    model = LogisticRegression().fit(X, (y * 10**9).astype(object))
    label, _ = answers(model.to_onnx(), X=X)
    assert label.tolist() == model.predict(X).tolist()


def test_float32_and_weights_that_are_stored_sparse(skl2onnx, answers):
    X, y = rows_of(load_iris)
    model = LogisticRegression(l1_ratio=1.0, C=0.1).fit(X, y).sparsify()
    _, probabilities = answers(model.to_onnx(np.float32), X=X.astype(np.float32))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


def test_labels_of_several_at_once(skl2onnx, answers):
    X, y = rows_of(load_iris)
    Y = np.column_stack([y > 0, y > 1, y == 1]).astype(int)
    model = MLPClassifier((4,), solver="lbfgs", alpha=1.0, max_iter=1000).fit(X, Y)
    label, probabilities = answers(model.to_onnx(), X=X)
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-12, atol=1e-14)
    assert answers(model.to_onnx(np.float32), X=X.astype(np.float32))[0].dtype == label.dtype


@pytest.mark.parametrize("model", [LogisticRegression(), MLPClassifier((3,), solver="lbfgs", max_iter=1000, alpha=1.0)])
def test_a_pipeline_converts_without_a_registration(skl2onnx, answers, model):
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    label, probabilities = answers(skl2onnx.to_onnx(pipeline, X), X=X)
    np.testing.assert_array_equal(label, pipeline.predict(X))
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), rtol=1e-10, atol=1e-14)


def test_options_of_skl2onnx_hold_after_a_registration(skl2onnx, answers, monkeypatch):
    from skl2onnx import _parse, _supported_operators

    from gpu_logreg.accelerate import LogisticRegression as InPlace
    from gpu_logreg.onnx import register_converters

    for module, name in ((_supported_operators, "sklearn_operator_name_map"), (_parse, "sklearn_parsers_map")):
        for cls in (LogisticRegression, LogisticRegressionCV, MLPClassifier, InPlace):
            monkeypatch.setitem(getattr(module, name), cls, None)
            del getattr(module, name)[cls]  # registrations of this test end with it
    register_converters()
    X, y = rows_of(load_iris)
    for model in (LogisticRegression().fit(X, y), InPlace().fit(X, y), MODELS["MLPClassifier"].fit(X, y)):
        narrow = X.astype(np.float32)  # ONNX has dictionaries of float32 alone
        maps = answers(skl2onnx.to_onnx(model, narrow), X=narrow)[1]
        assert maps[0].keys() == {0, 1, 2}
        array = answers(skl2onnx.to_onnx(model, X, options={id(model): {"zipmap": False}}), X=X)[1]
        np.testing.assert_allclose(array, model.predict_proba(X), rtol=1e-12, atol=1e-14)
    alone = LogisticRegression().fit(X, y)
    np.testing.assert_allclose(answers(alone.to_onnx(), X=X)[1], alone.predict_proba(X), rtol=1e-12, atol=1e-14)


def test_a_raw_table_with_texts_is_answered_as_by_the_pipeline(skl2onnx, answers):
    pandas = pytest.importorskip("pandas")
    with gzip.open(real_data("adult.data.gz"), "rt") as file:
        records = [[cell.strip() for cell in line] for line in csv.reader(file) if line][:4000]
    table = pandas.DataFrame([line[:-1] for line in records], columns=[f"c{k}" for k in range(14)])
    y = np.array([line[-1] for line in records])
    numbers = [name for name in table if table[name].str.fullmatch(r"\d+").all()]
    texts = [name for name in table if name not in numbers]
    table[numbers] = table[numbers].astype(np.float64)
    assert (len(numbers), len(texts)) == (6, 8)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("numbers", StandardScaler(), numbers), ("texts", encoder, texts)])
    pipeline = make_pipeline(columns, LogisticRegression()).fit(table, y)
    cells = {name: table[[name]].to_numpy(str if name in texts else np.float64) for name in table}
    label, probabilities = answers(skl2onnx.to_onnx(pipeline, table), **cells)
    np.testing.assert_array_equal(label, pipeline.predict(table))
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(table), atol=1e-7)


@pytest.mark.parametrize(
    ("model", "y", "message"),
    [
        (LogisticRegression(), np.array(["2020-01-01", "2021-01-01"], "M8[D]"), "ONNX has texts and whole numbers for"),
        (MLPClassifier((2,), solver="lbfgs", alpha=1.0), np.array([1, 2**40]), "no labels beyond 2147483647"),
        (LogisticRegression(), np.array([1, 2**31]), "no labels beyond 2147483647"),
    ],
)
def test_labels_that_onnx_lacks_are_refused_in_a_line(skl2onnx, model, y, message):
    X = np.arange(20.0)[:, None]
    with pytest.raises(DataError, match=message):
        model.fit(X, y[np.arange(20) % 2]).to_onnx()


def test_what_cannot_be_converted_is_refused_in_a_line(skl2onnx):
    with pytest.raises(DataError, match="this LogisticRegression is not fitted; call fit before to_onnx"):
        LogisticRegression().to_onnx()
    with pytest.raises(DataError, match="float64 or float32, and dtype is float16"):
        LogisticRegression().fit([[0.0], [1.0]], [0, 1]).to_onnx("float16")


def test_where_skl2onnx_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skl2onnx", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gpu-logreg\[onnx\]'"):
        LogisticRegression().fit([[0.0], [1.0]], [0, 1]).to_onnx()


def test_a_fit_with_an_offset_is_refused(skl2onnx):
    X, y = load_breast_cancer(return_X_y=True)
    model = LogisticRegression().fit(X, y, offset=np.linspace(-1.0, 1.0, len(y)))
    with pytest.raises(DataError, match="to_onnx: the fit had an offset"):
        model.to_onnx()
