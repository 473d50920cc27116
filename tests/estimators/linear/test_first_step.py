"""The first step from no weights: what it saves, and that it harms nothing where a sample tells little."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg import LogisticRegression
from gpu_logreg.estimators.linear import first_step, quasi_newton
from gpu_logreg.objectives import along_directions


def normal(n: int, d: int, signal: float = 1.0, dtype: str = "float32"):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=dtype)
    return X, (rng.logistic(size=n) < signal * X @ rng.standard_normal(d) / np.sqrt(d)).astype(int)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("signal", [0.0, 1.0, 3.0])
def test_it_saves_reads_and_comes_to_the_minimum(monkeypatch, fit_intercept, signal):
    X, y = normal(20_000, 100, signal)
    settings = {"solver": "lbfgs", "fit_intercept": fit_intercept, "random_state": 0}
    with_it = LogisticRegression(**settings).fit(X, y)
    monkeypatch.setattr(quasi_newton, "first_step", lambda objective, start, metric, rng: (start, metric))
    without = LogisticRegression(**settings).fit(X, y)
    exact = LogisticRegression(tol=1e-10, solver="newton-cg", fit_intercept=fit_intercept).fit(X.astype(np.float64), y)
    assert with_it.converged_
    assert with_it.objective_ == pytest.approx(exact.objective_, rel=1e-9)
    assert with_it.n_reads_ <= without.n_reads_ + 0.1 - (signal > 0.0)


def test_far_columns_and_weights_and_soft_labels():
    X, y = normal(8_000, 30, dtype="float64")
    X = 50.0 + X * np.geomspace(1e-2, 1e2, 30)
    s = np.random.default_rng(1).exponential(size=len(X))
    for labels in (y, 0.1 + 0.8 * y):
        estimator = LogisticRegression(solver="lbfgs")
        doubled = np.concatenate([X, X]), np.repeat([0, 1], len(X)), np.concatenate([s * (1 - labels), s * labels])
        estimator.fit(*doubled)
        exact = LogisticRegression(solver="newton-cg", tol=1e-10).fit(*doubled)
        assert estimator.converged_
        assert estimator.objective_ == pytest.approx(exact.objective_, rel=1e-9)


@pytest.mark.parametrize("outliers", [1, 20])
def test_rows_that_the_sample_has_missed_cost_a_few_reads(outliers):
    X, y = normal(20_000, 50, dtype="float64")
    X[np.random.default_rng(3).choice(len(X), outliers, replace=False)] *= 1e3
    model = LogisticRegression(solver="lbfgs", random_state=0).fit(X, y)
    exact = LogisticRegression(solver="newton-cg", tol=1e-10).fit(X, y)
    assert model.converged_
    assert model.objective_ == pytest.approx(exact.objective_, rel=1e-8)


def test_a_step_that_is_no_lower_is_not_taken(monkeypatch):
    X, y = normal(20_000, 50)
    found = along_directions.AlongDirections.minimum

    def too_far(self):
        c, point = found(self)
        return 1e3 * c, point

    monkeypatch.setattr(along_directions.AlongDirections, "minimum", too_far)
    model = LogisticRegression(solver="lbfgs").fit(X, y)
    exact = LogisticRegression(solver="newton-cg", tol=1e-10).fit(X.astype(np.float64), y)
    assert model.converged_
    assert model.objective_ == pytest.approx(exact.objective_, rel=1e-9)


def test_columns_that_tell_nothing():
    X, y = np.ones((8000, 3)), np.arange(8000) % 2
    for solver in ("lbfgs", "auto"):
        model = LogisticRegression(solver=solver).fit(X, y)
        assert model.converged_
        assert np.abs(model.coef_).max() < 1e-6


def test_few_rows_are_left_as_they_were(monkeypatch):
    monkeypatch.setattr(first_step, "along_directions", None)  # not called
    X, y = normal(4 * first_step.LEAST_ROWS - 1, 10)
    assert LogisticRegression(solver="lbfgs").fit(X, y).converged_


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    from gpu_logreg.arrays import blocks

    X, y = normal(20_000, 200)
    found = set()
    for count in (1, 2, 3):
        monkeypatch.setattr(blocks, "_pool", None)
        monkeypatch.setattr(blocks, "n_threads", lambda count=count: count)
        for solver in ("lbfgs", "subsampled-newton"):
            found.add((solver, LogisticRegression(solver=solver, random_state=0).fit(X, y).coef_.tobytes()))
        if blocks._pool is not None:
            blocks._pool.shutdown()
    assert len(found) == 2
