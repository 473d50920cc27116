"""Fewer rows than columns: the weights as a sum of the rows, held to scikit-learn in float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as ScikitLearn

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.estimators.linear import row_space
from gpu_logreg.estimators.linear.fit import chosen_solver
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset

C = 3.0


def data(n: int, d: int, K: int, correlated: bool, dtype=np.float64):
    """Rows, in units far apart, far from zero and of a few factors if asked for, and labels of some noise."""
    rng = np.random.default_rng([n, d, K])
    X = rng.standard_normal((n, d))
    if correlated:
        X = 0.05 * X + rng.standard_normal((n, 30)) @ (rng.standard_normal((30, d)) / np.arange(1, 31)[:, None])
        X = X * 10.0 ** rng.uniform(-1, 1, d)
        X = X + 3.0 * rng.uniform(-1, 1, d) * X.std(axis=0)
    Z = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.standard_normal((d, K))
    return X.astype(dtype), (2.0 * Z / Z.std() + rng.gumbel(size=(n, K))).argmax(axis=1)


def value(model, X, y, s) -> float:
    """The mean objective at the coefficients, in code that a fit does not share."""
    W = np.asarray(model.coef_, np.float64)
    Z = X.astype(np.float64) @ W.T + model.intercept_
    if Z.shape[1] == 1:
        Z = np.hstack([0.0 * Z, Z])
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), y]
    return float((s @ loss + 0.5 * (W**2).sum() / C) / s.sum())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize(("fit_intercept", "weighted"), [(True, False), (False, True), (True, True)])
def test_the_minimum_that_scikit_learn_finds(dtype, correlated, K, fit_intercept, weighted):
    X, y = data(70, 160, K, correlated, dtype)
    s = np.random.default_rng(1).exponential(size=len(y)) if weighted else np.ones(len(y))
    s[:3] = 0.0 if weighted else 1.0
    options = {"C": C, "fit_intercept": fit_intercept, "class_weight": {0: 2.5} if weighted else None}
    model = LogisticRegression(solver="newton-cg", **options).fit(X, y, s)
    theirs = ScikitLearn(solver="newton-cholesky", tol=1e-9, max_iter=200, **options)
    theirs.fit(X.astype(np.float64), y, s)
    s = np.where((y == 0) & weighted, 2.5 * s, s)
    least = value(theirs, X, y, s)
    assert (model.solver_, model.converged_) == ("newton-cg", True), model.stop_reason_
    assert value(model, X, y, s) <= least * (1.0 + 5e-9)
    assert value(model, X, y, s) == pytest.approx(model.objective_, rel=1e-9)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=2e-3 * np.abs(theirs.coef_).max())


@pytest.mark.parametrize(
    ("n", "d", "l1", "l2", "is_sparse", "name"),
    [
        (300, 900, 0.0, 0.1, False, "newton-cg"),
        (900, 300, 0.0, 0.1, False, "subsampled-newton"),
        (300, 900, 0.0, 0.0, False, "lbfgs"),  # without a ridge weights need not be sums of the rows
        (300, 900, 0.1, 0.1, False, "proximal"),
        (300, 900, 0.0, 0.1, True, "lbfgs"),
    ],
)
def test_few_dense_rows_with_a_ridge_are_solved_so_unless_told_otherwise(n, d, l1, l2, is_sparse, name):
    X, y = data(n, d, 2, correlated=False)
    given = csr_rows(sparse.csr_array(X)) if is_sparse else X
    rows = ResidentDataset.from_arrays(given, y, None, Device("cpu"))
    objective = Objective(rows, choose("reference", rows.rows, Device("cpu")), l2, True, l1)
    assert chosen_solver("auto", "", objective)[0] == name


@pytest.mark.parametrize(("K", "C", "name"), [(8, 1.0, "newton-cg"), (8, 1e6, "lbfgs"), (2, 1.0, "subsampled-newton")])
def test_sparse_rows_of_many_classes_with_a_ridge_that_is_not_weak(monkeypatch, K, C, name):
    monkeypatch.setattr(wide_vectors, "LEAST_WIDE", 1)
    X, y = data(90, 400, K, correlated=False)
    X[np.random.default_rng(0).random(X.shape) < 0.9] = 0.0
    X = sparse.csr_array(X / np.linalg.norm(X, axis=1)[:, None])
    model = LogisticRegression(impl="cpu", C=C).fit(X, y)
    assert (model.solver_, model.converged_) == (name, True), model.stop_reason_
    if name == "newton-cg":
        other = LogisticRegression(impl="cpu", C=C, solver="lbfgs", tol=1e-9).fit(X, y)
        assert model.objective_ == pytest.approx(other.objective_, rel=1e-9)
        np.testing.assert_allclose(model.coef_, other.coef_, atol=2e-4 * np.abs(other.coef_).max())


def test_sparse_rows_that_take_too_many_steps_go_on_by_columns(monkeypatch):
    monkeypatch.setattr(wide_vectors, "LEAST_WIDE", 1)
    monkeypatch.setattr(row_space, "MOST_STEPS", 2.0)
    X, y = data(90, 400, 8, correlated=True)
    X = sparse.csr_array(X / np.linalg.norm(X, axis=1)[:, None])
    model, other = LogisticRegression(impl="cpu"), LogisticRegression(impl="cpu", solver="lbfgs", tol=1e-9)
    assert (model.fit(X, y).solver_, model.converged_) == ("newton-cg", True), model.stop_reason_
    assert model.objective_ == pytest.approx(other.fit(X, y).objective_, rel=1e-9)


@pytest.mark.parametrize("has_room", [True, False])
def test_independent_columns_take_few_reads_with_the_gram_matrix_or_without(monkeypatch, has_room):
    if not has_room:
        monkeypatch.setattr(row_space, "gram_price", lambda n, d, n_logits: 1e3)
        monkeypatch.setattr("gpu_logreg.objectives.row_space.gram", None)
    X, y = data(300, 3000, 2, correlated=False)
    model = LogisticRegression().fit(X, y)
    assert (model.solver_, model.converged_) == ("newton-cg", True)
    assert model.n_reads_ < 30


def test_correlated_columns_without_room_for_the_gram_matrix(monkeypatch):
    X, y = data(70, 160, 2, correlated=True)
    there = LogisticRegression(solver="newton-cg").fit(X, y)
    monkeypatch.setattr(row_space, "has_room_for_gram", lambda n, n_logits: False)
    monkeypatch.setattr("gpu_logreg.objectives.row_space.gram", None)
    model = LogisticRegression(solver="newton-cg").fit(X, y)
    assert model.converged_, model.stop_reason_
    assert model.objective_ == pytest.approx(there.objective_, rel=5e-9)


@pytest.mark.parametrize("K", [2, 3])
def test_a_warm_start_from_the_minimum_takes_hardly_any_reads(K):
    X, y = data(150, 900, K, correlated=False)
    model = LogisticRegression(solver="newton-cg", warm_start=True).fit(X, y)
    first, coef = model.n_reads_, model.coef_
    assert model.fit(X, y).n_reads_ < 0.75 * first
    np.testing.assert_allclose(model.coef_, coef, atol=1e-4 * np.abs(coef).max())


def test_observers_see_weights_and_may_stop():
    X, y = data(60, 300, 3, correlated=False)
    seen = []
    model = LogisticRegression(solver="newton-cg", verbose=seen.append).fit(X, y)
    assert len(seen) == model.n_iter_[0]
    assert seen[-1].last
    assert seen[-1].value == pytest.approx(model.objective_, rel=1e-9)
    assert np.isfinite([shown.grad_max for shown in seen]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        stopped = LogisticRegression(solver="newton-cg", verbose=lambda shown: shown.n_iter == 2).fit(X, y)
    assert (stopped.n_iter_[0], stopped.stop_reason_) == (2, "stopped by a callback")


def test_same_bits_twice():
    X, y = data(60, 300, 3, correlated=True)
    first, second = (LogisticRegression(solver="newton-cg").fit(X, y) for _ in range(2))
    assert first.coef_.tobytes() == second.coef_.tobytes()
