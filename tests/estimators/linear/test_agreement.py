"""The optimum is scikit-learn's, whatever the penalty, the weights, the solver and the pass."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from naive_sums import naive_objective
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.linear_model import LogisticRegression as ScikitLearn
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from gpu_logreg import LogisticRegression

REACH = 1e-9
"""How far above scikit-learn's objective ours may lie, relatively."""


@functools.cache
def data(name: str):
    if name == "breast cancer":
        X, y = load_breast_cancer(return_X_y=True)
        return StandardScaler().fit_transform(X), y
    if name == "breast cancer, raw":
        return load_breast_cancer(return_X_y=True)
    # Labels flipped at random: no plane separates them, so that a fit without a penalty has an optimum.
    return make_classification(3000, 12, n_informative=8, n_redundant=0, flip_y=0.2, weights=[0.7], random_state=1)


# L-BFGS estimates what is left to gain from its own model of the curvature, so it is asked for a little more.
SOLVERS = pytest.mark.parametrize(
    "options",
    [{}, {"solver": "lbfgs", "tol": 1e-8}, {"solver": "newton-cg", "tol": 1e-8}],
    ids=["auto", "lbfgs", "newton-cg"],
)


def params_of(model, fit_intercept: bool) -> np.ndarray:
    coef = np.asarray(model.coef_, np.float64).ravel()
    return np.append(coef, model.intercept_) if fit_intercept else coef


def compare(name: str, C: float, *, fit_intercept=True, class_weight=None, sample_weight=None, **ours):
    X, y = data(name)
    theirs = ScikitLearn(
        C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000, fit_intercept=fit_intercept, class_weight=class_weight
    ).fit(X, y, sample_weight)
    model = LogisticRegression(C=C, fit_intercept=fit_intercept, class_weight=class_weight, **ours)
    model.fit(X, y, sample_weight)
    s = np.ones(len(X)) if sample_weight is None else sample_weight
    s = s * compute_sample_weight(class_weight, y)
    options = {"C": C, "sample_weight": s, "fit_intercept": fit_intercept}
    wanted = naive_objective(X, y, params_of(theirs, fit_intercept), **options)
    found = naive_objective(X, y, params_of(model, fit_intercept), **options)
    assert model.converged_, model.stop_reason_
    assert found <= wanted * (1 + REACH), f"{(found - wanted) / wanted:.2g} above scikit-learn; {model.stop_reason_}"
    assert model.objective_ == pytest.approx(found, rel=1e-12)
    assert model.loss_curve_[-1] == model.objective_
    if not fit_intercept:
        np.testing.assert_array_equal(model.intercept_, [0.0])
    return model


@SOLVERS
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", ["breast cancer", "generated"])
def test_objective_is_that_of_newton_cholesky(name, C, fit_intercept, options):
    compare(name, C, fit_intercept=fit_intercept, **options)


@SOLVERS
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_no_penalty_at_all(fit_intercept, options):
    compare("generated", np.inf, fit_intercept=fit_intercept, **options)


@SOLVERS
@pytest.mark.parametrize("C", [1e-3, 1.0])
def test_columns_of_very_different_scales(C, options):
    compare("breast cancer, raw", C, **options)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.3, 1: 4.0}, {1: 2.0}])
@pytest.mark.parametrize("name", ["breast cancer", "generated"])
def test_class_weights(name, class_weight):
    compare(name, 1.0, class_weight=class_weight)


@SOLVERS
@pytest.mark.parametrize("class_weight", [None, {0: 0.3, 1: 4.0}])
def test_row_weights(class_weight, options):
    s = np.random.default_rng(0).exponential(size=len(data("generated")[0]))
    s[::7] = 0.0
    compare("generated", 0.5, class_weight=class_weight, sample_weight=s, **options)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_pass_and_order_of_the_rows_finds_it(impl, order):
    X, y = data("generated")
    model = LogisticRegression(impl=impl, solver="lbfgs").fit(np.asarray(X, order=order), y)
    assert model.impl_ == impl
    assert model.impl_reason_ == "asked for"
    plain = compare("generated", 1.0)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-5)


def test_gradient_descent_finds_it():
    model = compare("generated", 0.01, solver="gradient-descent", tol=1e-7, max_iter=20_000)
    assert model.solver_ == "gradient-descent"


@pytest.mark.parametrize("step", ["fixed", "momentum"])
def test_gradient_descent_with_every_step_rule_finds_it(step):
    X, y = data("generated")
    exact = LogisticRegression(C=0.01).fit(X, y)
    model = LogisticRegression(C=0.01, solver="gradient-descent", step=step, max_iter=20_000).fit(X, y)
    assert model.converged_
    assert model.objective_ == pytest.approx(exact.objective_, rel=1e-7)


@pytest.mark.parametrize("C", [1.0, 1e3])
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
@pytest.mark.parametrize("name", ["breast cancer", "breast cancer, raw", "generated"])
def test_float32_rows_reach_the_same_objective_in_about_as_many_reads(name, solver, C):
    X, y = data(name)
    options = {"C": C, "solver": solver, "max_iter": 5000}  # raw columns take L-BFGS about a thousand
    wide = LogisticRegression(**options).fit(X, y)
    narrow = LogisticRegression(**options).fit(X.astype(np.float32), y)
    found = naive_objective(X.astype(np.float32), y, params_of(narrow, True), C=C)
    exact = LogisticRegression(C=C).fit(X.astype(np.float32).astype(np.float64), y).objective_
    assert (found - exact) / exact < (1e-9 if solver == "auto" else 1e-4 if "raw" in name else 1e-5)
    assert narrow.n_reads_ <= 3 * wide.n_reads_ + 30, narrow.stop_reason_


def test_weight_two_is_a_row_written_twice_and_weight_zero_a_row_removed():
    X, y = data("generated")
    times = np.random.default_rng(5).integers(0, 3, len(X))
    for solver, class_weight in itertools.product(("auto", "lbfgs"), (None, "balanced")):
        options = {"tol": 1e-12, "solver": solver, "class_weight": class_weight}
        weighted = LogisticRegression(**options).fit(X, y, times)
        repeated = LogisticRegression(**options).fit(X.repeat(times, axis=0), y.repeat(times))
        assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-10)
        np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=0, atol=1e-10 * np.abs(repeated.coef_).max())
        np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, rtol=1e-10)


def test_rows_of_weight_zero_may_hold_anything_finite():
    X, y = data("generated")
    s = np.ones(len(X))
    s[::5] = 0.0
    wild = X.copy()
    wild[::5] = 1e6
    kept = LogisticRegression(tol=1e-12).fit(X[s > 0], y[s > 0])
    model = LogisticRegression(tol=1e-12).fit(wild, y, s)
    np.testing.assert_allclose(model.coef_, kept.coef_, atol=1e-9)
