"""Estimators to scikit-learn's and back: the same predictions, and trainings that go on."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, LogisticRegressionCV, MLPClassifier, load_model, save_model
from gpu_logreg.errors import DataError

IRIS = load_iris()
X = IRIS.data
TABLE = pd.DataFrame(X, columns=["a", "b", "c", "d"])
TARGETS = {"two": IRIS.target > 0, "three": IRIS.target, "texts": IRIS.target_names[IRIS.target]}
targets = pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS.keys())
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def same_predictions(one, other, rows, tol=1e-13):
    assert type(one).__name__ == type(other).__name__
    np.testing.assert_array_equal(one.predict(rows), other.predict(rows))
    np.testing.assert_allclose(one.predict_proba(rows), other.predict_proba(rows), rtol=tol, atol=tol)
    np.testing.assert_array_equal(one.classes_, other.classes_)
    assert one.n_features_in_ == other.n_features_in_


@targets
def test_logistic_regression_there_and_back(y, tmp_path):
    ours = LogisticRegression(C=0.7, class_weight="balanced", tol=1e-8, device="cpu", verbose=lambda _: False)
    ours.fit(TABLE, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is sklearn.linear_model.LogisticRegression
    assert (theirs.C, theirs.class_weight, theirs.tol) == (0.7, "balanced", 1e-8)
    assert (theirs.solver, theirs.verbose) == ("newton-cholesky", 0)
    same_predictions(theirs, ours, TABLE)
    np.testing.assert_array_equal(theirs.feature_names_in_, ["a", "b", "c", "d"])
    back = LogisticRegression.from_sklearn(theirs)
    same_predictions(back, ours, TABLE)
    assert back.solver == "newton-cholesky"
    save_model(back, tmp_path / "model")
    same_predictions(load_model(tmp_path / "model"), ours, TABLE)
    fitted = theirs.fit(TABLE, y)
    np.testing.assert_allclose(fitted.coef_, ours.coef_, rtol=1e-4, atol=1e-5)


@targets
@pytest.mark.parametrize("intercept", [True, False])
def test_logistic_regression_of_scikit_learn(y, intercept):
    theirs = sklearn.linear_model.LogisticRegression(fit_intercept=intercept, C=10.0, max_iter=1000).fit(X, y)
    ours = LogisticRegression.from_sklearn(theirs)
    same_predictions(ours, theirs, X)
    assert ours.intercept_.shape == (len(ours.coef_),)
    assert ours.set_params(warm_start=True).fit(X, y).n_iter_[0] >= 0
    same_predictions(LogisticRegression.from_sklearn(theirs.sparsify()), theirs, X)


def test_copies_share_no_memory():
    ours = LogisticRegression().fit(X, IRIS.target)
    theirs, kept = ours.to_sklearn(), ours.coef_.copy()
    theirs.coef_[:] = 0
    theirs.intercept_[:] = 0
    np.testing.assert_array_equal(ours.coef_, kept)
    network = MLPClassifier((3,), max_iter=2).fit(X, IRIS.target)
    other, kept = network.to_sklearn(), network.coefs_[0].copy()
    other.coefs_[0][:] = 0
    np.testing.assert_array_equal(network.coefs_[0], kept)


@pytest.mark.parametrize(
    ("parameters", "solver"),
    [
        ({"solver": "lbfgs"}, "lbfgs"),
        ({"solver": "saga"}, "saga"),
        ({"solver": "sgd"}, "lbfgs"),
        ({"solver": "auto", "l1_ratio": 0.5}, "saga"),
        ({"solver": "auto", "C": np.inf}, "newton-cholesky"),
    ],
)
def test_parameters_without_a_fit(parameters, solver):
    ours = LogisticRegression(**parameters)
    theirs = ours.to_sklearn()
    assert theirs.solver == solver
    assert theirs.C == ours.C
    assert not hasattr(theirs, "coef_")
    back = LogisticRegression.from_sklearn(theirs)
    assert back.C == ours.C
    assert back.l1_ratio == ours.l1_ratio
    assert not hasattr(back, "coef_")
    assert not hasattr(MLPClassifier.from_sklearn(MLPClassifier((7,)).to_sklearn()), "coefs_")


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw", "lbfgs", "gradient-descent"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@targets
def test_networks_there_and_back(y, solver, dtype, tmp_path):
    rows = X.astype(dtype)
    ours = MLPClassifier((6, 4), "tanh", solver=solver, learning_rate_init=0.01, max_iter=20, learning_rate="cosine")
    ours.fit(rows, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is sklearn.neural_network.MLPClassifier
    assert theirs.learning_rate == "constant"
    same_predictions(theirs, ours, rows, 1e-5 if dtype == np.float32 else 1e-12)
    assert theirs.loss_ == ours.loss_
    back = MLPClassifier.from_sklearn(theirs)
    same_predictions(back, ours, rows)
    save_model(back, tmp_path / "model")
    same_predictions(load_model(tmp_path / "model"), ours, rows)
    for model in (theirs, back):  # trainings go on
        before = model.loss_
        if model.solver in ("adam", "sgd"):
            model.partial_fit(rows, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(warm_start=True, learning_rate_init=1e-3).fit(rows, y)
        assert model.loss_ < before + 0.05


def test_networks_without_hidden_layers_and_of_early_stopping():
    ours = MLPClassifier((5,), early_stopping=True, max_iter=30).fit(X, IRIS.target)
    theirs = ours.to_sklearn()
    assert theirs.best_validation_score_ == ours.best_validation_score_
    assert theirs.validation_scores_ == ours.validation_scores_
    linear = MLPClassifier((), solver="lbfgs").fit(X, IRIS.target)
    same_predictions(linear.to_sklearn(), linear, X, 1e-12)


def test_what_cannot_be_converted_is_refused_in_a_line():
    with pytest.raises(DataError, match=r"from_sklearn takes scikit-learn's LogisticRegression, not sklearn.*SGDClass"):
        LogisticRegression.from_sklearn(sklearn.linear_model.SGDClassifier())
    with pytest.raises(DataError, match="from_sklearn takes scikit-learn's MLPClassifier, not gpu_logreg"):
        MLPClassifier.from_sklearn(MLPClassifier())
    one = sklearn.neural_network.MLPClassifier((3,), max_iter=2).fit(X, np.ones(len(X)))
    with pytest.raises(DataError, match="one class only"):
        MLPClassifier.from_sklearn(one)
    old = sklearn.linear_model.LogisticRegression().fit(X, IRIS.target)
    old.multi_class = "ovr"  # as scikit-learn before 1.8 leaves it
    with pytest.raises(DataError, match="3 models of one class versus the rest"):
        LogisticRegression.from_sklearn(old)
    two = sklearn.linear_model.LogisticRegression().fit(X, IRIS.target > 0)
    two.multi_class = "multinomial"
    with pytest.raises(DataError, match="twice the logit"):
        LogisticRegression.from_sklearn(two)


@targets
@pytest.mark.parametrize("legacy", [True, False])
def test_cross_validation_there_and_back(y, legacy):
    params = {"Cs": [0.1, 1.0], "l1_ratios": (0.0,), "scoring": "accuracy", "use_legacy_attributes": legacy, "cv": 3}
    ours = LogisticRegressionCV(**params).fit(TABLE, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is sklearn.linear_model.LogisticRegressionCV
    assert (theirs.solver, theirs.Cs, theirs.cv) == ("newton-cholesky", [0.1, 1.0], 3)
    same_predictions(theirs, ours, TABLE)
    fitted = clone(theirs).fit(TABLE, y)
    assert {name for name in vars(fitted) if name.endswith("_")} == {
        name for name in vars(theirs) if name.endswith("_")
    }
    np.testing.assert_array_equal(np.shape(fitted.C_), np.shape(theirs.C_))
    back = LogisticRegressionCV.from_sklearn(theirs)
    same_predictions(back, ours, TABLE)
    assert back.score(TABLE, y) == ours.score(TABLE, y)
    assert LogisticRegressionCV(l1_ratios=(0.0, 0.5), solver="proximal").to_sklearn().solver == "saga"
    with pytest.raises(DataError, match="from_sklearn takes scikit-learn's LogisticRegressionCV, not "):
        LogisticRegressionCV.from_sklearn(sklearn.linear_model.LogisticRegression())
