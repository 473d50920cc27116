"""``solver="newton-cg"``, and L-BFGS that asks for mean factors where gradients alone are slow."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as ScikitLearn

from gpu_logreg import LogisticRegression
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear import quasi_newton
from gpu_logreg.estimators.linear.inexact_newton import Preconditioners
from gpu_logreg.solvers.conjugate_gradients import InexactStep
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.watch import FEWER_STEPS, SLOW_STEPS, Stage, ever_rarer, when_slow


def data(n: int, d: int, K: int, seed: int = 0, correlated: bool = False):
    """Rows, in units far apart and correlated if asked for, and labels."""
    rng = np.random.default_rng([n, d, K, seed])
    X = rng.standard_normal((n, d))
    if correlated:
        X = X @ (rng.standard_normal((d, d)) * (np.arange(1, d + 1) ** -0.8)[:, None])
        X = X * 10.0 ** rng.uniform(-2, 2, d) + 10.0 ** rng.uniform(-1, 1, d)
    Z = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.standard_normal((d, K))
    return X, (2.0 * Z / Z.std() + rng.gumbel(size=(n, K))).argmax(axis=1)


def value(model, X, y, C: float, s=None) -> float:
    """The mean objective at the coefficients, in code that a fit does not share."""
    s = np.ones(len(y)) if s is None else s
    W = np.asarray(model.coef_, np.float64)
    Z = X @ W.T + model.intercept_
    if Z.shape[1] == 1:
        Z = np.hstack([0.0 * Z, Z])
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), y]
    return float((s @ loss + 0.5 * (W**2).sum() / C) / s.sum())


@pytest.mark.parametrize("rows", ["dense", "float32", "sparse"])
@pytest.mark.parametrize(("n", "d", "K"), [(300, 8, 2), (300, 8, 4), (60, 150, 2), (80, 120, 3)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_minimum_that_scikit_learn_finds(rows, n, d, K, fit_intercept):
    X, y = data(n, d, K)
    X = np.where(abs(X) > 0.7, X, 0.0)
    s = np.random.default_rng(1).exponential(size=n)
    given = {"dense": X, "float32": X.astype(np.float32), "sparse": sparse.csr_array(X)}[rows]
    dense = given.toarray() if rows == "sparse" else given.astype(np.float64)
    options = {"C": 3.0, "fit_intercept": fit_intercept}
    model = LogisticRegression(solver="newton-cg", **options).fit(given, y, s)
    theirs = ScikitLearn(solver="newton-cholesky" if K * d < 200 else "lbfgs", tol=1e-10, max_iter=5000, **options)
    least = value(theirs.fit(dense, y, s), dense, y, 3.0, s)
    assert (model.solver_, model.converged_) == ("newton-cg", True)
    assert value(model, dense, y, 3.0, s) <= least * (1.0 + 5e-9)
    assert value(model, dense, y, 3.0, s) == pytest.approx(model.objective_, rel=1e-9)


def test_raw_correlated_columns_in_units_far_apart():
    X, y = data(2000, 30, 5, correlated=True)
    model = LogisticRegression(solver="newton-cg").fit(X, y)
    assert model.converged_, model.stop_reason_
    assert model.objective_ == pytest.approx(LogisticRegression(tol=1e-8).fit(X, y).objective_, rel=5e-9)


def test_an_l1_penalty_is_refused_in_one_line():
    X, y = data(50, 3, 2)
    with pytest.raises(DataError, match=r"Solver newton-cg supports only 'l2' or None penalties, got l1 penalty"):
        LogisticRegression(solver="newton-cg", l1_ratio=1.0).fit(X, y)


def test_separable_classes_without_a_penalty_do_not_converge():
    X, y = data(40, 3, 2)
    y = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(solver="newton-cg", C=np.inf, max_iter=500).fit(X, y)
    assert not model.converged_
    assert "separable" in model.stop_reason_


def test_a_warm_start_is_near_the_end():
    X, y = data(500, 20, 3)
    model = LogisticRegression(solver="newton-cg", warm_start=True).fit(X, y)
    first = model.n_reads_
    assert model.fit(X, y).n_reads_ < 0.5 * first


def step(rate: float) -> InexactStep:
    """A step of one product, with that rate."""
    return InexactStep(np.zeros(1), 1.0 - rate, rate, 1, 1.0)


def test_slow_preconditioners_are_left_for_the_best_of_all():
    chosen = Preconditioners(lambda p, h: "first", lambda p, h: "second", lambda p, h: "third")
    at = np.zeros(1)
    assert chosen(at, None, None) == "first"
    assert chosen(at, None, step(0.9)) == "second"  # slow: the next is tried
    assert chosen(at, None, step(0.7)) == "third"
    assert chosen(at, None, step(0.95)) == "second"  # all are tried, and this was the best
    assert chosen(at, None, step(0.99)) == "first"  # it has become worse than the first was


def test_a_fast_preconditioner_is_kept():
    chosen = Preconditioners(lambda p, h: "first", lambda p, h: "second")
    assert chosen(np.zeros(1), None, None) == "first"
    assert all(chosen(np.zeros(1), None, step(0.2)) == "first" for _ in range(5))


def test_gradients_alone_are_left_once_they_would_take_more_steps_than_the_price():
    for rate, price, taken in ((0.5, 40.0, 0), (0.95, 40.0, 1), (0.95, 1e3, 0)):
        calls = []
        refresh = when_slow([Stage(lambda params, calls=calls: calls.append(params) or "metric", price)], 1e-9)
        remaining = 1.0
        for n in range(40):
            found = refresh(Trial(1.0, np.zeros(1), 1.0, -1.0, np.zeros(1)), remaining)
            assert found is None or n >= SLOW_STEPS
            remaining *= rate
        assert len(calls) == (taken if not taken else 1 + (39 - SLOW_STEPS) // (FEWER_STEPS + 1))


@pytest.mark.parametrize(("rate", "taken"), [(0.95, [3, 9, 17, 28, 43]), (0.1, [])])
def test_a_diagonal_is_taken_ever_more_rarely_while_the_end_is_far(rate, taken):
    points = []
    refresh = ever_rarer(lambda here: points.append(here.step), 1e-9)
    for n in range(60):
        refresh(Trial(float(n), np.zeros(1), 1.0, -1.0, np.zeros(1)), rate**n)
    assert points == taken


def test_each_stage_is_taken_once_and_the_last_again():
    taken = []
    stages = [Stage(lambda params, name=name: taken.append(name) or name, 5.0) for name in "ab"]
    refresh = when_slow(stages, 1e-9)
    for n in range(45):
        refresh(Trial(1.0, np.zeros(1), 1.0, -1.0, np.zeros(1)), 0.9**n)
    assert taken == ["a", "b", "b", "b"]


@pytest.mark.parametrize(("correlated", "asks"), [(False, 0), (True, 1)])
def test_mean_factors_are_asked_for_where_columns_need_them(monkeypatch, correlated, asks):
    X, y = data(4000, 100, 25, correlated=correlated)  # 2,525 parameters: no whole Hessian
    calls, factors = [], quasi_newton.mean_factors

    def counted(objective, rng):
        metric_at = factors(objective, rng)
        return lambda params: (calls.append(1), metric_at(params))[1]

    monkeypatch.setattr(quasi_newton, "mean_factors", counted)
    model = LogisticRegression().fit(X, y)
    assert (model.solver_, model.converged_, len(calls)) == ("lbfgs", True, asks)
    assert model.n_reads_ < 120
    if correlated:
        exact = LogisticRegression(solver="subsampled-newton", tol=1e-8).fit(X, y)
        assert model.objective_ == pytest.approx(exact.objective_, rel=5e-9)


def test_a_new_diagonal_waits_for_a_longer_way_where_asked_to() -> None:
    """By halves 8,192 times the goal are 13 steps away."""
    taken = []
    for long_way in (10.0, 14.0):
        calls: list[object] = []
        refresh = ever_rarer(lambda here, calls=calls: calls.append(here) or "metric", 1e-9, long_way)
        for i in range(4):
            refresh(Trial(0.0, np.zeros(1), 1.0, 0.0, np.zeros(1)), 8192e-9 * 2.0 ** (3 - i))
        taken.append(len(calls))
    assert taken == [1, 0]
