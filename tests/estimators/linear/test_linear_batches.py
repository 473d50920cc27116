"""`LogisticRegression` by steps on batches: near the optimum, the same objective, the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from gpu_logreg import LogisticRegression, loss_and_gradient

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
OPTIONS = {"sgd": {}, "adam": {"learning_rate": 0.01}}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("solver", OPTIONS)
def test_steps_come_near_the_optimum(solver, fit_intercept, impl):
    exact = LogisticRegression(C=0.1, fit_intercept=fit_intercept).fit(X, Y)
    model = LogisticRegression(
        C=0.1, fit_intercept=fit_intercept, solver=solver, impl=impl, tol=1e-9, max_iter=600, **OPTIONS[solver]
    ).fit(X, Y)
    assert exact.objective_ < model.objective_ < 1.001 * exact.objective_
    assert (model.intercept_ == 0).all() != fit_intercept
    assert model.impl_ == impl
    assert model.solver_ == solver
    assert model.n_reads_ == model.n_iter_[0] + 2  # the moments of the columns, and the value at the end
    assert model.loss_curve_[0] > model.loss_curve_[-1]


@pytest.mark.parametrize("solver", OPTIONS)
def test_the_objective_reported_is_that_of_all_rows(solver):
    s = np.random.default_rng(0).exponential(size=len(X))
    model = LogisticRegression(C=0.1, solver=solver, max_iter=3).fit(X, Y, s)
    wanted = loss_and_gradient(X, Y, model.coef_[0], model.intercept_[0], sample_weight=s, l2=1 / (0.1 * s.sum())).value
    assert model.objective_ == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("solver", OPTIONS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(solver):
    fits = [LogisticRegression(solver=solver, random_state=seed, max_iter=3).fit(X, Y) for seed in (1, 1, 2)]
    assert fits[0].coef_.tobytes() == fits[1].coef_.tobytes()
    assert fits[0].coef_.tobytes() != fits[2].coef_.tobytes()


def test_warm_start_goes_on():
    model = LogisticRegression(solver="adam", max_iter=5, warm_start=True).fit(X, Y)
    before = model.objective_
    assert model.fit(X, Y).objective_ < before


def test_divergence_says_what_to_try():
    model = LogisticRegression(solver="sgd", learning_rate=1e300, C=np.inf)
    with pytest.warns(ConvergenceWarning, match=r"no longer finite .* try learning_rate=1e\+299, or scale"):
        model.fit(1e10 * X, Y)
    assert np.isfinite(model.coef_).all()
    assert not model.converged_
