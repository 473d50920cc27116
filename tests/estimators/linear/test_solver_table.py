"""The table of solvers: every name has its line, and a line is all that a solver needs."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from gpu_logreg import LogisticRegression
from gpu_logreg.estimators.linear.fit import SOLVERS
from gpu_logreg.estimators.linear.parameters import OTHER_NAMES
from gpu_logreg.estimators.linear.problem import Solver
from gpu_logreg.solvers.lbfgs import lbfgs

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 3))
Y = X[:, 0] + RNG.logistic(size=200) > 0


def test_every_name_has_its_line():
    names = LogisticRegression._parameter_constraints["solver"][0].options
    assert names - {"auto", *OTHER_NAMES} == set(SOLVERS)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_takes_what_it_needs_and_the_limits(name):
    solver = SOLVERS[name]
    taken = inspect.signature(solver.minimise).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    assert list(taken)[:2] == ["objective", "start"]
    for need in solver.needs:
        assert taken[need].kind is inspect.Parameter.KEYWORD_ONLY
    assert open_ended or {"tol", "max_iter", "observer"} <= set(taken)


def test_a_line_is_all_that_a_solver_needs(monkeypatch):
    given = {}

    def mine(objective, start, *, shares, learning_rate, tol, max_iter, observer):
        given.update(shares=shares, learning_rate=learning_rate, start=start)
        return lbfgs(objective, start, tol=tol, max_iter=max_iter, observer=observer)

    monkeypatch.setitem(SOLVERS, "gradient-descent", Solver(mine, ("shares", "learning_rate"), learning_rate=0.25))
    model = LogisticRegression(solver="gradient-descent").fit(X, Y)
    assert model.converged_
    np.testing.assert_allclose(model.coef_, LogisticRegression().fit(X, Y).coef_, rtol=1e-3)
    np.testing.assert_allclose(given["shares"], [1 - Y.mean(), Y.mean()])
    assert given["learning_rate"] == 0.25
    assert given["start"][-1] == pytest.approx(np.log(Y.mean() / (1 - Y.mean())))
