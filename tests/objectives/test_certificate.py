"""Fits that say they converged are at the optimum, their value is exact, and no start or unit misleads them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression
from gpu_logreg.estimators.linear import fit as linear_fit
from gpu_logreg.estimators.linear.problem import Problem
from gpu_logreg.mathematics.penalty import least_shift
from gpu_logreg.objectives import certificate
from gpu_logreg.solvers import SolverResult

RNG = np.random.default_rng(3)
N, D = 300, 6
U = RNG.normal(size=(N, D))
Y = (U[:, 0] - U[:, 1] + RNG.normal(size=N) > 0).astype(int)
THREE = np.digitize(U[:, 0] + RNG.normal(size=N), [-0.5, 0.5])


def value(model, X, y, C=1.0, l1_ratio=0.0, s=None):
    """scikit-learn's objective over ``C sum(s)`` in long double, at the coefficients as they are."""
    X = np.asarray(X.toarray() if sparse.issparse(X) else X).astype(np.longdouble)
    w, b = model.coef_.astype(np.longdouble), model.intercept_.astype(np.longdouble)
    s = np.ones(len(X)) if s is None else np.asarray(s, dtype=np.longdouble)
    z = X @ w.T + b
    if z.shape[1] == 1:
        loss = np.maximum(z[:, 0], 0) - (y == 1) * z[:, 0] + np.log1p(np.exp(-abs(z[:, 0])))
    else:
        z = z - z.max(axis=1, keepdims=True)
        loss = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]
    penalty = l1_ratio * abs(w).sum() + (1 - l1_ratio) * (w * w).sum() / 2
    return float((C * (s * loss).sum() + penalty) / (C * s.sum()))


def least_elastic_net(X, y, C, r):
    """The minimum, by a bounded quasi-Newton method on ``w = p - q`` in standardised units."""
    scale = X.std(axis=0)
    V = X / scale

    def split(v):
        u, z = v[:D] - v[D : 2 * D], V @ (v[:D] - v[D : 2 * D]) + v[-1]
        p = np.exp(-np.logaddexp(0, -z))
        grad = C * V.T @ (p - y) + (1 - r) * u / scale**2
        loss = C * (np.logaddexp(0, z) - y * z).sum()
        total = loss + r * ((v[:D] + v[D : 2 * D]) / scale).sum() + (1 - r) / 2 * ((u / scale) ** 2).sum()
        return total, np.r_[grad + r / scale, -grad + r / scale, C * (p - y).sum()]

    bounds = [(0, None)] * (2 * D) + [(None, None)]
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 1e-15, "gtol": 1e-10}
    return minimize(split, np.zeros(2 * D + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun


@pytest.mark.parametrize("convert", [np.asarray, np.float32, sparse.csr_array], ids=["float64", "float32", "sparse"])
@pytest.mark.parametrize("unit", [1e-5, 1e-9, 1e-12])
@pytest.mark.parametrize("l1_ratio", [0.5, 0.9])
def test_a_column_in_small_units_leaves_the_others_their_weights(convert, unit, l1_ratio):
    X = U.copy()
    X[:, 5] *= unit
    model = LogisticRegression(l1_ratio=l1_ratio).fit(convert(X), Y)
    assert model.converged_
    without = LogisticRegression(l1_ratio=l1_ratio).fit(U[:, :5], Y)
    assert value(model, X, Y, 1.0, l1_ratio) <= value(without, U[:, :5], Y, 1.0, l1_ratio) * (1 + 1e-9)
    if unit > 1e-9:
        assert value(model, X, Y, 1.0, l1_ratio) <= least_elastic_net(X, Y, 1.0, l1_ratio) / N * (1 + 1e-7)


@pytest.mark.parametrize("C", [1e-1, 1e-3])
def test_a_column_in_small_units_under_strong_penalties(C):
    X = U * 30
    X[:, 5] = U[:, 5] * 1e-5
    model = LogisticRegression(C=C, l1_ratio=0.5).fit(X, Y)
    without = LogisticRegression(C=C, l1_ratio=0.5).fit(X[:, :5], Y)
    assert value(model, X, Y, C, 0.5) <= value(without, X[:, :5], Y, C, 0.5) * (1 + 1e-9)


@pytest.mark.parametrize("y", [Y, THREE], ids=["2 classes", "3 classes"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1e-6, 1e-13, 1e9])
def test_weights_times_a_constant_are_those_of_another_c(y, l1_ratio, scale):
    s = RNG.random(N) + 0.01
    by_weights = LogisticRegression(C=1e-2, l1_ratio=l1_ratio, tol=1e-10).fit(U, y, s * scale)
    by_C = LogisticRegression(C=1e-2 * scale, l1_ratio=l1_ratio, tol=1e-10).fit(U, y, s)
    assert by_weights.objective_ == pytest.approx(by_C.objective_, rel=1e-11)
    np.testing.assert_allclose(by_weights.coef_, by_C.coef_, rtol=1e-6, atol=1e-9 * abs(by_C.coef_).max())
    np.testing.assert_allclose(by_weights.intercept_, by_C.intercept_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "options", [{}, {"C": np.inf}, {"l1_ratio": 1.0}, {"solver": "lbfgs"}, {"l1_ratio": 0.3}], ids=str
)
@pytest.mark.parametrize("y", [Y, THREE], ids=["2 classes", "3 classes"])
@pytest.mark.parametrize("start", [30.0, 1e4, 1e100, 1e300])
def test_a_start_from_afar_ends_where_a_cold_one_does(options, y, start):
    model = LogisticRegression(warm_start=True, **options).fit(U, y)
    cold = model.predict_proba(U)
    model.coef_ = np.full_like(model.coef_, start) * np.where(np.arange(D) % 2, 1.0, -1.0)
    model.fit(U, y)
    assert model.converged_
    np.testing.assert_allclose(model.predict_proba(U), cold, atol=1e-5)


@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_a_column_that_changes_its_unit_between_two_fits(solver):
    cold = LogisticRegression(C=np.inf, solver=solver).fit(U, Y).predict_proba(U)
    small = U * np.where(np.arange(D) == 0, 1e-4, 1.0)
    warm = LogisticRegression(C=np.inf, solver=solver, warm_start=True).fit(small, Y).fit(U, Y)
    np.testing.assert_allclose(warm.predict_proba(U), cold, atol=1e-5)


def test_a_start_near_the_optimum_is_taken_at_no_further_read():
    model = LogisticRegression(warm_start=True).fit(np.tile(U, (20, 1)), np.tile(Y, 20))
    cold = model.n_reads_
    assert model.fit(np.tile(U, (20, 1)), np.tile(Y, 20)).n_reads_ < cold


@pytest.mark.parametrize("spread", [1e-140, 1e-158, 1e-160, 1e-165])
def test_a_column_of_next_to_no_spread(spread):
    X = U.copy()
    X[:, 1] *= spread
    without = LogisticRegression().fit(np.delete(U, 1, axis=1), Y)
    np.testing.assert_allclose(
        LogisticRegression().fit(X, Y).predict_proba(X), without.predict_proba(np.delete(U, 1, 1)), atol=1e-7
    )


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("C", [5e-324, 1e-310, 1e-200])
def test_a_penalty_without_bounds(C, l1_ratio):
    model = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(U, Y)
    assert model.converged_
    assert abs(model.coef_).max() <= 1e-190
    assert model.intercept_[0] == pytest.approx(np.log(Y.mean() / (1 - Y.mean())), rel=1e-6)


@pytest.mark.parametrize("y", [Y, THREE], ids=["2 classes", "3 classes"])
@pytest.mark.parametrize("options", [{}, {"l1_ratio": 1.0}, {"solver": "lbfgs", "C": np.inf}], ids=str)
def test_a_constant_column_far_from_zero_changes_nothing(y, options):
    X = np.column_stack([U, np.full(N, 5e13)])
    one = LogisticRegression(**options).fit(U, y)
    two = LogisticRegression(**options).fit(X, y)
    assert two.converged_
    np.testing.assert_allclose(two.predict_proba(X), one.predict_proba(U), atol=1e-5)
    np.testing.assert_allclose(two.coef_[:, :D], one.coef_, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("y", [Y, THREE], ids=["2 classes", "3 classes"])
@pytest.mark.parametrize(
    "options", [{}, {"l1_ratio": 0.5}, {"solver": "lbfgs"}, {"tol": 1e-2}, {"max_iter": 2}], ids=str
)
def test_the_objective_is_the_value_at_the_coefficients(dtype, y, options):
    X = np.tile(np.clip(10 * U * 3.0 ** np.arange(D) / 100 + 30, 0, 250), (8, 1)).astype(dtype)
    y = np.tile(y, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(**options).fit(X, y)
    assert model.objective_ == pytest.approx(value(model, X, y, 1.0, options.get("l1_ratio", 0.0)), rel=1e-9)
    assert model.loss_curve_[-1] == model.objective_


def test_the_objective_of_columns_far_from_zero():
    X = U + 1e6 * np.arange(1, D + 1)
    for y in (Y, THREE):
        model = LogisticRegression(C=1e3).fit(X, y)
        wanted, terms = value(model, X, y, 1e3), (np.abs(X) @ np.abs(model.coef_).T).max()
        # A logit is a sum of terms of 1e7 that cancel; its error times dz counts, with a mean dz**2 of at most 2 value.
        rounding = np.finfo(np.float64).eps * terms * np.sqrt(2.0 / wanted / len(X))
        assert rounding < 1e-9
        assert model.objective_ == pytest.approx(wanted, rel=2.0 * rounding)


def test_weights_that_float32_does_not_hold_are_float64():
    X = np.column_stack([U[:, 0], U[:, 0] + 1e-4 * U[:, 1], U[:, 2]]).astype(np.float32)
    assert LogisticRegression(C=np.inf).fit(X, Y).coef_.dtype == np.float64
    assert LogisticRegression().fit(X, Y).coef_.dtype == np.float32


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "gradient-descent", "proximal"])
@pytest.mark.parametrize("y", [Y, THREE], ids=["2 classes", "3 classes"])
def test_a_solver_that_stops_too_early_is_sent_on(monkeypatch, solver, y):
    options = {"solver": solver, "l1_ratio": 0.5 if solver == "proximal" else 0.0}
    right = LogisticRegression(**options).fit(U, y)
    solve = Problem.solve

    def too_early(problem, *_):
        monkeypatch.setattr(Problem, "solve", solve)
        objective = problem.objective
        value_, grad = objective(np.zeros(objective.n_params))
        return SolverResult(np.zeros(objective.n_params), value_, grad, 0, True, "nothing is left to gain", [value_])

    monkeypatch.setattr(Problem, "solve", too_early)
    model = LogisticRegression(**options).fit(U, y)
    assert model.converged_
    assert model.stop_reason_ != "nothing is left to gain"
    np.testing.assert_allclose(model.predict_proba(U), right.predict_proba(U), atol=1e-5)


def test_an_end_without_a_certificate_is_a_warning(monkeypatch):
    def stuck(objective, *_, **__):
        value_, grad = objective(np.zeros(objective.n_params))
        return SolverResult(np.zeros(objective.n_params), value_, grad, 5, True, "nothing is left to gain", [value_])

    monkeypatch.setattr(Problem, "solve", lambda problem, *_: stuck(problem.objective))
    monkeypatch.setattr(linear_fit, "lbfgs_with_all_rows", stuck)
    monkeypatch.setattr(linear_fit, "proximal_by_columns", stuck)
    with pytest.warns(
        ConvergenceWarning, match="the subgradient by standardised columns is .* at most .* at an optimum"
    ):
        model = LogisticRegression().fit(U, Y)
    assert not model.converged_
    assert model.n_iter_[0] == 5 * (1 + certificate.MAX_RESTARTS)


def test_lbfgs_sees_directions_that_columns_make_up_together():
    """Many nearly equal columns: the gradient by each is small long before the minimum."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1)) + 1e-3 * rng.normal(size=(40, 12))
    y = (X @ rng.normal(size=12) * 300 + 0.5 * rng.normal(size=40) > 0).astype(int)
    lbfgs = LogisticRegression(C=1e5, solver="lbfgs", max_iter=10000).fit(X, y)
    newton = LogisticRegression(C=1e5).fit(X, y)
    assert lbfgs.converged_
    assert lbfgs.objective_ == pytest.approx(newton.objective_, rel=1e-7)


@pytest.mark.parametrize(("l1", "l2"), [(1.0, 0.0), (0.0, 1.0), (1.0, 0.3), (0.2, 5.0)])
def test_no_constant_makes_the_penalty_less(l1, l2):
    for K in (3, 4, 7):
        w = RNG.normal(size=(K, 50)) + RNG.normal(size=50)
        w -= least_shift(w, l1, l2)
        least = l1 * abs(w).sum(axis=0) + l2 * (w * w).sum(axis=0) / 2
        for c in np.linspace(-3, 3, 601):
            assert (l1 * abs(w - c).sum(axis=0) + l2 * ((w - c) ** 2).sum(axis=0) / 2 >= least - 1e-12).all()


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.1, 1.0, 100.0])
def test_l1_of_dense_and_sparse_rows_to_seven_digits(C, fit_intercept):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 30)) * (rng.random((300, 30)) < 0.3)
    y = (X[:, 0] - X[:, 1] + rng.normal(size=300) > 0).astype(int)
    options = {"C": C, "l1_ratio": 1.0, "tol": 1e-10, "fit_intercept": fit_intercept}
    dense, of_sparse = (
        LogisticRegression(**options).fit(X, y),
        LogisticRegression(**options).fit(sparse.csr_array(X), y),
    )
    np.testing.assert_allclose(of_sparse.coef_, dense.coef_, rtol=1e-7)


def test_few_reads_are_spent_on_certainty():
    """The certificate comes from the last gradient, and an exact value from taking that gradient in float64."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60_000, 30), dtype=np.float32)
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    model = LogisticRegression().fit(X, y)
    assert model.objective_ == pytest.approx(value(model, X, y), rel=1e-9)
    assert model.n_reads_ < 8
