"""The textbook loop: its three step rules, its stops, and what it evaluates."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.linalg import norm
from test_solvers import Counted, logsumexp, quadratic

from gpu_logreg.solvers.gradient_descent import gradient_descent


@pytest.mark.parametrize(("step", "rate"), [("fixed", 0.1), ("armijo", 1.0), ("momentum", 0.1)])
def test_every_step_rule_finds_the_minimum(step, rate):
    f, _, m = quadratic(10.0)
    result = gradient_descent(f, np.zeros(len(m)), step=step, learning_rate=rate, tol=1e-7)
    assert result.converged
    np.testing.assert_allclose(result.params, m, atol=1e-6)
    assert norm(result.grad, np.inf) <= 1e-7
    assert result.message == f"max |grad| = {norm(result.grad, np.inf):.2g} <= tol = 1e-07"
    assert len(result.loss_curve) == result.n_iter + 1
    if step != "armijo":
        assert f.n_reads == result.n_iter + 1  # one read per update, and one for the start


def test_fixed_steps_are_the_textbook_update():
    f, A, m = quadratic(10.0)
    result = gradient_descent(f, np.zeros(len(m)), step="fixed", learning_rate=0.05, max_iter=5, tol=0.0)
    params = np.zeros(len(m))
    for wanted in f.points:
        np.testing.assert_allclose(params, wanted, rtol=1e-12)
        params = params - 0.05 * A @ (params - m)
    assert result.n_iter == 5
    assert not result.converged


def test_momentum_is_the_heavy_ball():
    f, A, m = quadratic(10.0)
    gradient_descent(f, np.zeros(len(m)), step="momentum", learning_rate=0.05, momentum=0.8, max_iter=5, tol=0.0)
    params = velocity = np.zeros(len(m))
    for wanted in f.points:
        np.testing.assert_allclose(params, wanted, rtol=1e-12)
        velocity = 0.8 * velocity - 0.05 * A @ (params - m)
        params = params + velocity


def test_armijo_steps_lower_the_value_enough_and_count_every_trial():
    f = logsumexp()
    told = []
    result = gradient_descent(
        f, np.ones(5), step="armijo", learning_rate=1e3, max_iter=30, tol=0.0, observer=told.append
    )
    reads = f.n_reads
    here, value = np.ones(5), f(np.ones(5))[0]
    for step in told:
        grad = f(here)[1]
        assert step.value <= value - 1e-4 * step.step * grad @ grad
        np.testing.assert_allclose(step.params, here - step.step * grad, rtol=1e-12)
        here, value = step.params, step.value
    assert len(told) == result.n_iter == 30
    assert reads > result.n_iter + 1  # the first step was a thousand times too long: some trials were refused
    assert (np.diff(result.loss_curve) < 0).all()


def test_armijo_lengthens_a_step_that_was_too_short():
    f, _, m = quadratic(2.0)
    result = gradient_descent(f, np.zeros(len(m)), step="armijo", learning_rate=1e-6, tol=1e-6)
    assert result.converged
    assert result.n_iter < 60


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("step", ["fixed", "momentum"])
def test_a_step_too_long_is_named_and_the_last_finite_point_kept(step):
    f, _, m = quadratic(10.0)
    result = gradient_descent(f, np.zeros(len(m)), step=step, learning_rate=1e3, max_iter=1000)
    assert not result.converged
    assert result.message == "the value is no longer finite; learning_rate = 1000 is too large"
    assert np.isfinite(result.value)
    assert np.isfinite(result.params).all()
    assert np.isfinite(result.loss_curve).all()
    assert result.n_iter < 1000


def test_armijo_comes_back_from_where_the_function_is_not_finite():
    def value_and_grad(x):
        if x[0] >= 1:
            return np.inf, np.full(1, np.nan)
        return -np.log1p(-x[0]) - 2 * x[0], np.array([1 / (1 - x[0]) - 2])

    f = Counted(value_and_grad)
    result = gradient_descent(f, np.zeros(1), learning_rate=10.0, tol=1e-8)
    assert max(point[0] for point in f.points) >= 1
    assert result.converged
    assert result.params[0] == pytest.approx(0.5, abs=1e-7)


def test_armijo_says_when_rounding_hides_every_descent():
    f = Counted(lambda x: (1.0 + norm(x) ** 2, -2 * x - 1.0))
    result = gradient_descent(f, np.zeros(2))
    assert not result.converged
    assert "no lower value within rounding" in result.message
    np.testing.assert_array_equal(result.params, 0.0)


def test_the_start_is_accepted_if_it_is_the_minimum():
    f, _, m = quadratic(10.0)
    result = gradient_descent(f, m.copy())
    assert result.converged
    assert (result.n_iter, f.n_reads) == (0, 1)


def test_without_iterations_it_evaluates_and_says_so():
    f, _, m = quadratic(10.0)
    result = gradient_descent(f, np.zeros(len(m)), max_iter=0)
    assert not result.converged
    assert (result.n_iter, f.n_reads) == (0, 1)
    assert result.message.startswith("max_iter = 0 reached with max |grad| = ")
    np.testing.assert_array_equal(result.params, 0.0)


def test_it_stops_at_max_iter_with_the_last_point():
    f, _, m = quadratic(1e3)
    told = []
    result = gradient_descent(f, np.zeros(len(m)), step="fixed", learning_rate=1e-3, max_iter=7, observer=told.append)
    assert not result.converged
    assert result.n_iter == 7 == len(told)
    assert [step.last for step in told] == [False] * 6 + [True]
    assert f(result.params)[0] == result.value == result.loss_curve[-1] == told[-1].value


def test_the_start_is_left_alone():
    f, _, m = quadratic(10.0)
    start = np.zeros(len(m))
    for step in ("fixed", "armijo", "momentum"):
        gradient_descent(f, start, step=step, learning_rate=0.05, max_iter=3)
        np.testing.assert_array_equal(start, 0.0)
