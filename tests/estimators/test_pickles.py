"""Pickles and copies of the estimators: they name `gpu_logreg` alone, and go on where the estimator stopped."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import pickletools

import joblib
import numpy as np
import pytest
from fresh_process import run_fresh
from sklearn.base import clone

import gpu_logreg
from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.linear_model import LogisticRegression as BySklearnsPath

RNG = np.random.default_rng(5)
X = RNG.standard_normal((60, 3))
Y = (X[:, 0] + RNG.standard_normal(60) > 0).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MODELS = {
    "linear": lambda: LogisticRegression(),
    "not fitted": lambda: MLPClassifier(),
    "adam": lambda: MLPClassifier((4,), max_iter=3),
    "sgd": lambda: MLPClassifier((4,), max_iter=3, solver="sgd"),
    "lbfgs": lambda: MLPClassifier((4,), max_iter=3, solver="lbfgs"),
    "held back": lambda: MLPClassifier((4,), max_iter=3, early_stopping=True),
}


def model_of(name: str):
    return MODELS[name]() if name == "not fitted" else MODELS[name]().fit(X, Y)


def texts_of(pickled: bytes) -> list[str]:
    return [argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_no_path_within_the_package(name, protocol):
    model = model_of(name)
    pickled = pickle.dumps(model, protocol)
    assert b"estimators" not in pickled
    ours = {text for text in texts_of(pickled) if text.startswith("gpu_logreg")}
    assert {text.split(" ")[0] for text in ours} == {"gpu_logreg"}
    again = pickle.loads(pickled)
    assert type(again) is type(model)
    assert again.get_params() == model.get_params()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "not fitted"])
def test_copies_predict_the_same(name):
    model = model_of(name)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for other in (copy.copy(model), copy.deepcopy(model), joblib.load(file)):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert not hasattr(clone(model), "classes_")


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw"])
def test_training_goes_on_from_a_pickle(solver):
    model = MLPClassifier((4,), solver=solver, batch_size=20).partial_fit(X, Y, classes=[0, 1]).partial_fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    for _ in range(2):
        model.partial_fit(X, Y)
        again.partial_fit(X, Y)
    assert again.loss_curve_ == model.loss_curve_
    assert (again.t_, again.stop_reason_) == (model.t_, model.stop_reason_)
    for here, there in zip(model.coefs_, again.coefs_, strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_deep_copy_trains_by_itself():
    model = MLPClassifier((4,), max_iter=2).fit(X, Y)
    other = copy.deepcopy(model)
    before = [W.copy() for W in model.coefs_], len(model.loss_curve_), model._optimizer.n_updates
    other.partial_fit(X, Y)
    assert (len(model.loss_curve_), model._optimizer.n_updates) == before[1:]
    assert other._optimizer.n_updates > before[2]
    for W, old in zip(model.coefs_, before[0], strict=True):
        np.testing.assert_array_equal(W, old)


def test_a_fresh_process_reads_a_pickle_without_importing_the_package_first(tmp_path):
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model_of("adam")))
    found = run_fresh(
        "import pickle, sys\n"
        "assert 'gpu_logreg' not in sys.modules\n"
        f"model = pickle.load(open({str(tmp_path / 'model.pickle')!r}, 'rb'))\n"
        "print(type(model).__module__, type(model).__qualname__, len(model.coefs_))"
    )
    assert found.split() == ["gpu_logreg", "MLPClassifier", "2"]


def test_the_classes_are_of_the_package_by_every_path():
    assert BySklearnsPath is gpu_logreg.LogisticRegression
    for kind in (LogisticRegression, MLPClassifier):
        assert kind.__module__ == "gpu_logreg"
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert inspect.getmodule(kind) is gpu_logreg
        assert "Parameters" in inspect.getdoc(kind)
        assert "def fit" in inspect.getsource(kind.fit)
        assert list(inspect.signature(kind).parameters) == list(inspect.signature(kind.__init__).parameters)[1:]
        assert kind.__name__ in kind()._repr_html_()
