"""On real data: the objective of scikit-learn's ``newton-cholesky``, within 1e-9."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from naive_sums import naive_objective
from real_data import real_data
from sklearn.datasets import load_svmlight_file
from sklearn.linear_model import LogisticRegression as ScikitLearn

from gpu_logreg import LogisticRegression

TEXT_OF_ADULT = (1, 3, 5, 6, 7, 8, 9, 13)


def adult():
    """Numbers as they are, in years and dollars; text columns one-hot."""
    table = pd.read_csv(real_data("adult.data.gz"), header=None, skipinitialspace=True)
    y = (table.pop(14) == ">50K").to_numpy()
    return pd.get_dummies(table, columns=list(TEXT_OF_ADULT)).to_numpy(np.float64), y


def a9a():
    X, y = load_svmlight_file(str(real_data("a9a.gz")), n_features=123)
    return X.toarray(), y


def ijcnn1():
    X, y = load_svmlight_file(str(real_data("ijcnn1.trn.bz2")), n_features=22)
    return X.toarray(), y


def covtype():
    """In metres and degrees, class 2 against the rest; soil types that no row has are constant columns."""
    with gzip.open(real_data("covtype.20k.data.gz")) as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :54], table[:, 54] == 2


def objective(model, X, y) -> float:
    return naive_objective(X, y, np.append(model.coef_, model.intercept_), C=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("load", [adult, a9a, ijcnn1, covtype])
def test_objective_is_that_of_newton_cholesky(load):
    X, y = load()
    theirs = ScikitLearn(solver="newton-cholesky", tol=1e-12, max_iter=200).fit(X, y)
    model = LogisticRegression().fit(X, y)
    y = y == model.classes_[1]
    wanted, found = objective(theirs, X, y), objective(model, X, y)
    assert model.converged_, model.stop_reason_
    assert found <= wanted * (1 + 1e-9), f"{(found - wanted) / wanted:.2g} above, {model.stop_reason_}"
    assert model.objective_ == pytest.approx(found, rel=1e-11)


def text(name: str, **settings):
    X, y = load_svmlight_file(str(real_data(name)), **settings)
    return X, np.unique(y, return_inverse=True)[1]


def sparse_objective(W, b, X, y) -> float:
    """Sum of the losses of sparse rows plus ``|W|**2 / 2``, in float64; shares no code with the package."""
    z = X @ W.T + b
    z = np.hstack([np.zeros_like(z), z]) if z.shape[1] == 1 else z
    largest = z.max(axis=1)
    loss = largest + np.log(np.exp(z - largest[:, None]).sum(axis=1)) - z[np.arange(len(y)), y]
    return loss.sum() + 0.5 * (W**2).sum()


@pytest.mark.slow
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("name", "settings", "solver", "chosen"),
    [
        ("a9a.gz", {"n_features": 123}, "newton-cholesky", "subsampled-newton"),
        ("reuters.trn.bz2", {}, "newton-cg", "lbfgs"),
    ],
)
def test_sparse_rows_against_scikit_learn(name, settings, solver, chosen, fit_intercept):
    X, y = text(name, **settings)
    theirs = ScikitLearn(solver=solver, tol=1e-12, max_iter=500, fit_intercept=fit_intercept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newton-cg finds no lower value in the end
        theirs.fit(X, y)
    model = LogisticRegression(fit_intercept=fit_intercept).fit(X, y)
    assert model.solver_ == chosen
    assert model.converged_, model.stop_reason_
    wanted = sparse_objective(theirs.coef_, theirs.intercept_, X, y)
    found = sparse_objective(model.coef_, model.intercept_, X, y)
    assert found <= wanted * (1 + 1e-9), f"{found / wanted - 1:.2g} above, {model.stop_reason_}"
    assert model.objective_ == pytest.approx(found / len(y), rel=1e-9)  # of the last step by the model


@pytest.mark.slow
def test_sparse_rows_of_many_classes():
    X, y = text("sector.scale.bz2")
    kept = y < 4
    X, y = X[kept], y[kept]
    theirs = ScikitLearn(tol=1e-10, max_iter=2000).fit(X, y)
    model = LogisticRegression().fit(X, y)
    assert model.converged_, model.stop_reason_
    wanted = sparse_objective(theirs.coef_, theirs.intercept_, X, y)
    found = sparse_objective(model.coef_, model.intercept_, X, y)
    assert found <= wanted * (1 + 1e-9), f"{found / wanted - 1:.2g} above, {model.stop_reason_}"
