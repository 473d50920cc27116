"""scikit-learn's parameters of logistic regression: old and new spellings, names of solvers, words of its errors."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import sklearn.linear_model
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpu_logreg import LogisticRegression, load_model, save_model
from gpu_logreg.errors import DataError

X, Y = make_classification(120, 6, n_informative=4, n_redundant=0, random_state=3)
IRIS = load_iris()
STAND_INS = {
    "newton-cholesky": "subsampled-newton",
    "liblinear": "subsampled-newton",
    "sag": "subsampled-newton",
    "saga": "subsampled-newton",
}


@pytest.mark.parametrize(("name", "ran"), STAND_INS.items())
def test_solvers_of_scikit_learn_are_stood_in_for_and_it_is_said(name, ran):
    model = LogisticRegression(solver=name).fit(X, Y)
    assert model.solver == name
    assert model.solver_ == ran
    assert f"stands in for scikit-learn's {name!r}" in model.solver_reason_
    assert ("penalises the intercept" in model.solver_reason_) == (name == "liblinear")
    wanted = sklearn.linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-5, atol=1e-6)


def test_the_reason_of_our_own_names():
    assert LogisticRegression(solver="lbfgs").fit(X, Y).solver_reason_ == "asked for"
    assert "model of the cost" in LogisticRegression().fit(X, Y).solver_reason_


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"solver": "lbfgs", "l1_ratio": 1}, "Solver lbfgs supports only 'l2' or None penalties, got l1 penalty"),
        ({"solver": "sag", "l1_ratio": 0.5}, "Solver sag supports only 'l2' or None penalties, got elasticnet"),
        ({"solver": "saga", "dual": True}, "Solver saga supports only dual=False, got dual=True"),
        ({"dual": True}, "Solver auto supports only dual=False, got dual=True"),
        ({"solver": "liblinear", "l1_ratio": 0.5}, "Only 'saga' solver supports elasticnet penalty, got solver=lib"),
        ({"solver": "liblinear", "C": np.inf}, "penalty=None is not supported for the liblinear solver"),
        ({"intercept_scaling": 0.0}, "intercept_scaling"),
        ({"n_jobs": 1.5}, "n_jobs"),
        ({"penalty": "none"}, "penalty"),
    ],
)
def test_what_excludes_itself_is_refused_in_scikit_learns_words(parameters, words):
    with pytest.raises(ValueError, match=words):
        LogisticRegression(**parameters).fit(X, Y)
    with pytest.raises(ValueError, match=words.replace("Solver auto", "Solver lbfgs")):
        sklearn.linear_model.LogisticRegression(**parameters).fit(X, Y)


def test_liblinear_is_for_two_classes_and_sane_values():
    with pytest.raises(DataError, match="'liblinear' solver does not support multiclass classification"):
        LogisticRegression(solver="liblinear").fit(IRIS.data, IRIS.target)
    with pytest.raises(DataError, match="maximum value > 1e30 results in a frozen fit"):
        LogisticRegression(solver="liblinear").fit([[0.0], [1e100]], [0, 1])
    dual = LogisticRegression(solver="liblinear", dual=True).fit(X, Y)
    np.testing.assert_array_equal(dual.coef_, LogisticRegression(solver="liblinear").fit(X, Y).coef_)


def fit_and_warnings(model):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y)
    return [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize(
    "parameters",
    [
        {"penalty": "l2"},
        {"penalty": None},
        {"penalty": None, "C": 3.0},
        {"penalty": "l2", "l1_ratio": 1},
        {"penalty": "l2", "l1_ratio": 0.5},
        {"penalty": "elasticnet", "l1_ratio": 0.0, "solver": "saga"},
        {"l1_ratio": None},
        {"n_jobs": 2},
        {"C": np.inf},
    ],
    ids=str,
)
def test_spellings_mean_what_they_mean_to_scikit_learn_and_warn_alike(parameters):
    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9):
        pytest.skip("the words are those of scikit-learn 1.9")
    ours = LogisticRegression(tol=1e-9, **parameters)
    theirs = sklearn.linear_model.LogisticRegression(tol=1e-9, max_iter=5000, **parameters)
    told = fit_and_warnings(theirs)
    assert fit_and_warnings(ours) == told
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4, atol=1e-5)


def test_warnings_point_at_the_line_that_called_fit():
    with pytest.warns(FutureWarning) as caught:
        LogisticRegression(penalty="l2", n_jobs=1).fit(X, Y)
    assert len(caught) == 2
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        ("newton-cg", "newton-cg failed to converge after 1 iterations. Increase the number of iterations."),
        ("saga", "The max_iter was reached which means the coef_ did not converge."),
        ("liblinear", "Liblinear failed to converge, increase the number of iterations."),
        ("newton-cholesky", "Newton solver did not converge after 1 iterations."),
    ],
)
def test_the_warning_has_scikit_learns_words_for_its_names_and_our_figures(solver, words):
    with pytest.warns(ConvergenceWarning) as caught:
        LogisticRegression(solver=solver, max_iter=1, tol=1e-12).fit(X, Y)
    text = str(caught[0].message)
    ran = "newton-cg" if solver == "newton-cg" else "subsampled-newton"
    assert text.startswith(f"{words} {ran} did not converge: max_iter = 1 reached with max |grad| =")
    assert "\n" not in text


@pytest.mark.parametrize("target", [IRIS.target, IRIS.target > 0], ids=["3 classes", "2 classes"])
def test_sparse_coefficients_predict_the_same_and_come_back(target, tmp_path):
    model = LogisticRegression(warm_start=True).fit(IRIS.data, target)
    wanted, dense = model.predict_proba(IRIS.data), model.coef_
    assert model.sparsify() is model
    assert sparse.issparse(model.coef_)
    np.testing.assert_array_equal(model.predict_proba(IRIS.data), wanted)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict_proba(IRIS.data), wanted)
    np.testing.assert_array_equal(model.densify().coef_, dense)
    assert model.sparsify().fit(IRIS.data, target).n_iter_[0] <= 1  # a warm start
    np.testing.assert_allclose(model.coef_, dense, rtol=1e-4, atol=1e-6)
    save_model(model.sparsify(), tmp_path / "model")  # the file holds them dense
    assert isinstance(load_model(tmp_path / "model").coef_, np.ndarray)
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(IRIS.data), model.predict(IRIS.data))


@pytest.mark.parametrize("name", ["sparsify", "densify"])
def test_sparsifying_before_a_fit(name):
    with pytest.raises(NotFittedError, match="must be fitted before"):
        getattr(LogisticRegression(), name)()


def test_in_the_company_of_scikit_learn():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(solver="saga"))
    grid = {"logisticregression__C": [0.01, 1.0, 10.0], "logisticregression__solver": ["lbfgs", "newton-cg"]}
    search = GridSearchCV(pipeline, grid, cv=3, scoring="neg_log_loss").fit(IRIS.data, IRIS.target > 0)
    assert search.best_score_ > -0.1

    calibrated = CalibratedClassifierCV(LogisticRegression(solver="liblinear"), cv=3).fit(X, Y)
    assert calibrated.score(X, Y) > 0.8
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)

    rest = OneVsRestClassifier(LogisticRegression(solver="liblinear")).fit(IRIS.data, IRIS.target)
    theirs = OneVsRestClassifier(sklearn.linear_model.LogisticRegression(tol=1e-9, max_iter=5000))
    theirs.fit(IRIS.data, IRIS.target)
    np.testing.assert_allclose(rest.predict_proba(IRIS.data), theirs.predict_proba(IRIS.data), atol=1e-5)


def test_metadata_routing_brings_weights_to_fit_and_score():
    weights = np.where(Y == 1, 3.0, 1.0)
    with config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clone(model))
        pipeline.fit(X, Y, sample_weight=weights)
        scaled = StandardScaler().fit_transform(X)
        np.testing.assert_array_equal(pipeline[-1].coef_, LogisticRegression().fit(scaled, Y, weights).coef_)
        scores = cross_validate(model, X, Y, params={"sample_weight": weights}, cv=3)
        assert scores["test_score"].min() > 0.5
