"""Firth's penalty: against closed forms of saturated models, and a slow maximiser of the penalised likelihood."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.optimize import brentq, minimize

from gpu_logreg import LogisticRegression, Stream, load_model, save_model
from gpu_logreg.errors import DataError


def problem(n=50, seed=0, separated=True):
    """Columns of which the last, rare, is 1 only in rows of the class 1."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2)) * [1.0, 10.0] + [0.0, 100.0]
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-1.5 * X[:, 0]))).astype(int)
    rare = rng.random(n) < 0.3
    return np.column_stack([X, rare & (y == 1) if separated else rare]), y


def penalised(params, X, y, s=None):
    U = np.column_stack([X, np.ones(len(X))]) if X.shape[1] < len(params) else X
    s = np.ones(len(U)) if s is None else s
    z = U @ params
    h = s * np.exp(-np.logaddexp(0.0, z) - np.logaddexp(0.0, -z))
    return float(s @ (y * z - np.logaddexp(0.0, z))) + 0.5 * float(np.linalg.slogdet((U * h[:, None]).T @ U)[1])


def maximum(X, y, start, held=None, s=None):
    """The largest penalised likelihood, with parameter j held at a value where ``held = (j, value)``."""
    free = np.array([held is None or j != held[0] for j in range(len(start))])
    scale = np.append(1.0 / np.maximum(X.std(axis=0), 1e-3), 1.0 + np.abs(X.mean(axis=0)).max())[: len(start)]

    def value(t):
        params = np.array(start, float)
        params[free] = start[free] + t * scale[free]
        if held is not None:
            params[held[0]] = held[1]
        return -penalised(params, X, y, s)

    found = minimize(value, np.zeros(int(free.sum())), method="Powell", options={"xtol": 1e-10, "ftol": 1e-14})
    found = minimize(value, found.x, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20_000})
    return -found.fun


def firth(X, y, s=None, **parameters):
    return LogisticRegression(penalty="firth", tol=1e-10, **parameters).fit(X, y, s)


def params(model):
    return np.append(model.coef_[0], model.intercept_) if model.fit_intercept else model.coef_[0]


@pytest.mark.parametrize(("a", "b", "c", "d"), [(3, 7, 6, 2), (0, 9, 5, 4), (0, 8, 7, 0)])
def test_a_table_of_four_cells_gets_a_half_in_each(a, b, c, d):
    """Of a saturated model Jeffreys' prior adds 1/2 to every cell (Firth 1993, section 3.3)."""
    x = np.repeat([0, 0, 1, 1], [a, b, c, d])[:, None]
    y = np.repeat([1, 0, 1, 0], [a, b, c, d])
    model = firth(x.astype(float), y)
    intercept = math.log((a + 0.5) / (b + 0.5))
    np.testing.assert_allclose(params(model), [math.log((c + 0.5) / (d + 0.5)) - intercept, intercept], rtol=1e-6)
    assert model.solver_ == "firth-newton"
    assert model.converged_


@pytest.mark.parametrize("separated", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_it_is_the_maximum_of_the_penalised_likelihood(separated, fit_intercept):
    X, y = problem(separated=separated)
    X[:, 1] -= 100.0
    model = firth(X, y, fit_intercept=fit_intercept)
    at = params(model)
    best = penalised(at, X, y)
    assert model.objective_ == pytest.approx(-best / len(y), rel=1e-9)
    assert maximum(X, y, at) <= best + 1e-9
    for j, step in enumerate(1e-4 * (1.0 + np.abs(at))):
        moved = [penalised(at + sign * step * (np.arange(len(at)) == j), X, y) for sign in (1.0, -1.0)]
        assert max(moved) < best
        assert abs(moved[0] - moved[1]) < 0.02 * (best - max(moved))  # the slope there is zero


@pytest.mark.parametrize("separated", [True, False])
def test_tests_and_intervals_are_those_of_the_profile(separated):
    X, y = problem(separated=separated)
    X[:, 1] -= 100.0
    model = firth(X, y)
    found, at = model.summary(X, y, level=0.9), params(model)
    best, fall = penalised(at, X, y), stats.chi2.ppf(0.9, 1) / 2.0
    for j in range(4):
        profile = {side: maximum(X, y, at, (j, found.intervals[j, side])) for side in (0, 1)}
        np.testing.assert_allclose([best - profile[0], best - profile[1]], fall, rtol=1e-5)
        assert found.intervals[j, 0] < at[j] < found.intervals[j, 1]
        chi2 = 2.0 * (best - maximum(X, y, at, (j, 0.0)))
        np.testing.assert_allclose(found.p_values[j], stats.chi2.sf(chi2, 1), rtol=1e-4)
    U = np.column_stack([X, np.ones(len(X))])
    p = model.predict_proba(X)[:, 1]
    information = (U * (p * (1.0 - p))[:, None]).T @ U
    np.testing.assert_allclose(found.standard_errors, np.sqrt(np.linalg.inv(information).diagonal()), rtol=1e-6)
    null = max(penalised(np.array([0.0, 0.0, 0.0, b]), X, y) for b in np.linspace(-3.0, 3.0, 6001))
    np.testing.assert_allclose(found.null_log_likelihood, null, atol=1e-5)
    np.testing.assert_allclose(found.log_likelihood, best, rtol=1e-9)
    assert found.likelihood_ratio.df == 3
    assert "penalised log-likelihood" in str(found)
    assert "intervals of the profile" in str(found)


def test_linear_maps_of_the_columns_change_no_probability_and_no_interval():
    X, y = problem()
    A = np.array([[1.0, 0.0, 0.0], [0.0, 0.1, 0.0], [0.3, 0.02, 2.0]])
    mixed, plain = firth(X @ A.T, y), firth(X, y)
    np.testing.assert_allclose(mixed.predict_proba(X @ A.T), plain.predict_proba(X), rtol=1e-5, atol=1e-9)
    scaled = X * [3.0, 0.01, 1.0] + [0.0, 1.0, 0.0]
    here, there = plain.summary(X, y), firth(scaled, y).summary(scaled, y)
    np.testing.assert_allclose(there.intervals[:3] * np.array([3.0, 0.01, 1.0])[:, None], here.intervals[:3], rtol=1e-5)
    np.testing.assert_allclose(there.p_values[:3], here.p_values[:3], rtol=1e-4)


def test_the_other_label_changes_the_sign():
    X, y = problem()
    np.testing.assert_allclose(params(firth(X, 1 - y)), -params(firth(X, y)), rtol=1e-5)


def test_a_row_of_weight_3_is_a_row_three_times():
    X, y = problem()
    s = np.random.default_rng(2).integers(0, 4, len(y))
    weighted, repeated = firth(X, y, s), firth(X.repeat(s, axis=0), y.repeat(s))
    np.testing.assert_allclose(params(weighted), params(repeated), rtol=1e-5)
    here, there = weighted.summary(X, y, s), repeated.summary(X.repeat(s, axis=0), y.repeat(s))
    np.testing.assert_allclose(here.intervals, there.intervals, rtol=1e-5)
    assert here.n_rows == s.sum()
    balanced = firth(X, y, class_weight={0: 2.0, 1: 1.0})
    np.testing.assert_allclose(params(balanced), params(firth(X, y, np.where(y == 0, 2.0, 1.0))), rtol=1e-6)


def test_rows_of_every_kind_have_the_same_fit():
    X, y = problem(n=400)
    X = X.astype(np.float32)
    truth = params(firth(X.astype(np.float64), y))
    for rows in (X, sparse.csr_matrix(X), np.asfortranarray(X)):
        np.testing.assert_allclose(params(firth(rows, y)), truth, rtol=1e-5)
    streamed = LogisticRegression(penalty="firth", tol=1e-10).fit(Stream([(X[:150], y[:150]), (X[150:], y[150:])]))
    np.testing.assert_allclose(params(streamed), truth, rtol=1e-5)


def test_bias_of_a_true_model_is_taken_away():
    """The mean over many small samples: of plain fits it is too far from zero, of Firth's it is near the truth."""
    rng, plain, ours = np.random.default_rng(3), [], []
    for _ in range(300):
        x = rng.standard_normal((40, 1))
        y = (rng.random(40) < 1.0 / (1.0 + np.exp(-x[:, 0]))).astype(int)
        if 5 < y.sum() < 35:
            plain.append(LogisticRegression(C=np.inf).fit(x, y).coef_[0, 0])
            ours.append(LogisticRegression(penalty="firth").fit(x, y).coef_[0, 0])
    error = np.std(ours) / math.sqrt(len(ours))
    assert abs(np.mean(ours) - 1.0) < 4.0 * error
    assert np.mean(plain) - np.mean(ours) > 0.04


def test_parameters_and_rows_that_cannot_be():
    X, y = problem()
    with pytest.raises(DataError, match="Solver lbfgs does not know penalty='firth'; use solver='auto'"):
        LogisticRegression(penalty="firth", solver="lbfgs").fit(X, y)
    with pytest.raises(DataError, match="penalty='firth' is for two classes, and y has 3"):
        LogisticRegression(penalty="firth").fit(X, np.arange(50) % 3)
    with pytest.warns(UserWarning, match="penalty='firth' will ignore the C and l1_ratio"):
        LogisticRegression(penalty="firth", C=0.5).fit(X, y)
    twice = np.column_stack([X, X[:, 0]])
    with pytest.raises(DataError, match=re.escape("singular: 'x0', 'x3' are collinear")):
        LogisticRegression(penalty="firth").fit(twice, y)
    with pytest.raises(DataError, match="NaN at row 2, column 1"):
        LogisticRegression(penalty="firth").fit(np.where(np.arange(150).reshape(50, 3) == 7, np.nan, X), y)
    model = firth(X, y)
    for text, asked in (("covariance='HC1' is for fits without a penalty", {"covariance": "HC1"}),):
        with pytest.raises(DataError, match=re.escape(text)):
            model.summary(X, y, **asked)
    with pytest.raises(DataError, match="class_weight leaves no likelihood"):
        firth(X, y, class_weight="balanced").summary(X, y)
    with pytest.raises(DataError, match="coef_ is not the maximum of the likelihood of these rows"):
        model.summary(X, 1 - y)


def test_a_fit_that_ends_early_warns_and_has_no_summary():
    X, y = problem()
    from sklearn.exceptions import ConvergenceWarning

    with pytest.warns(ConvergenceWarning, match="max_iter = 1 iterations are over"):
        model = LogisticRegression(penalty="firth", max_iter=1).fit(X, y)
    with pytest.raises(DataError, match="the fit did not converge"):
        model.summary(X, y)


def test_it_is_kept_converted_and_started_again(tmp_path):
    X, y = problem()
    model = firth(X, y, warm_start=True)
    theirs = model.to_sklearn()
    np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").coef_, model.coef_)
    before = params(model)
    assert model.fit(X, y).n_iter_[0] == 0
    np.testing.assert_allclose(params(model), before, rtol=1e-6)
    iterations = []
    firth(X, y, verbose=iterations.append)
    assert [one.n_iter for one in iterations] == list(range(1, len(iterations) + 1))
    assert all(a.value > b.value for a, b in itertools.pairwise(iterations))


def test_an_end_of_a_profile_is_where_a_search_finds_it():
    X, y = problem(n=25, seed=4)
    X = X[:, [0]]
    model = firth(X, y)
    found, at = model.summary(X, y), params(model)
    best, fall = penalised(at, X, y), stats.chi2.ppf(0.95, 1) / 2.0

    def excess(w):
        inner = minimize(lambda b: -penalised(np.array([w, b[0]]), X, y), at[1:], method="BFGS", options={"gtol": 1e-9})
        return best + inner.fun - fall

    np.testing.assert_allclose(found.intervals[0, 1], brentq(excess, at[0], at[0] + 30.0), rtol=1e-6)
    np.testing.assert_allclose(found.intervals[0, 0], brentq(excess, at[0] - 30.0, at[0]), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 1e3])
@pytest.mark.parametrize("centre", [0.0, 20.0])
def test_the_scale_of_columns_changes_no_step(scale, centre):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    y = (X[:, 0] > 0.0).astype(int)  # separated: coefficients are large, and beside small columns in thousands
    plain = LogisticRegression(penalty="firth").fit(X, y)
    scaled = LogisticRegression(penalty="firth").fit(scale * (X + centre), y)
    np.testing.assert_allclose(scaled.coef_ * scale, plain.coef_, rtol=1e-4)
    assert scaled.converged_
    assert abs(int(scaled.n_iter_[0]) - int(plain.n_iter_[0])) <= 15
