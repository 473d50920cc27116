"""Steps by which no weight changes its sign: against the minimum over that orthant, and the best of the ways there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from gpu_logreg.solvers.signed_system import MOST_FACES, signed_step


def quadratic(rng, m: int, spread: float = 1.0):
    """``H`` with a condition of about ``10 ** (2 spread)``."""
    A = rng.standard_normal((2 * m, m)) * 10.0 ** rng.uniform(-spread, spread, m)
    return A.T @ A / m


def value(H, slope, s) -> float:
    return float(slope @ s + 0.5 * s @ H @ s)


def counted(H):
    calls = []

    def product(v):
        calls.append(v)
        return H @ v

    return product, calls


def step_of(H, weights, slope, forcing=0.0, enough=0.0):
    product, calls = counted(H)
    found = signed_step(product, weights, slope, 1.0 / np.diag(H), forcing, enough)
    assert found.products == len(calls)
    return found


def least(H, weights, slope) -> float:
    """The minimum over steps by which no weight crosses zero, by a solver with bounds."""
    bounds = [(-w, None) if w > 0 else (None, -w) if w < 0 else (None, None) for w in weights]
    options = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10_000}
    found = minimize(
        lambda s: (value(H, slope, s), slope + H @ s), np.zeros(len(weights)), jac=True, bounds=bounds, options=options
    )
    return float(found.fun)


def test_without_a_crossing_it_is_the_minimum():
    rng = np.random.default_rng(0)
    H, weights = quadratic(rng, 12), np.append(np.full(11, 50.0), 0.0)
    slope = rng.standard_normal(12)
    found = step_of(H, weights, slope)
    assert_allclose(found.step, -np.linalg.solve(H, slope), rtol=1e-7, atol=1e-10)
    assert_allclose(found.decrease, -value(H, slope, found.step), rtol=1e-10)


@pytest.mark.parametrize("seed", range(30))
def test_no_weight_crosses_zero_and_the_decrease_is_that_of_the_step(seed):
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 25))
    H = quadratic(rng, m, rng.uniform(0.0, 1.5))
    weights = rng.standard_normal(m) * 10.0 ** rng.uniform(-3.0, 0.5, m)
    weights[rng.random(m) < 0.1] = 0.0
    slope = rng.standard_normal(m) * np.diag(H)
    found = step_of(H, weights, slope, 10.0 ** rng.uniform(-8, -1))
    assert found.decrease > 0.0
    assert_allclose(found.decrease, -value(H, slope, found.step), rtol=1e-8)
    after = weights + found.step
    assert np.all((after * np.sign(weights) >= 0.0) | (np.abs(after) <= 1e-13 * np.abs(weights)))
    best = -least(H, weights, slope)
    assert found.decrease <= best * (1.0 + 1e-8)


def test_one_weight_that_crosses_is_zero_at_the_minimum_of_the_others():
    H = np.array([[1.0, 0.99], [0.99, 1.0]])
    weights, minimum = np.array([0.01, 5.0]), np.array([-1.0, 1.0])  # the first weight would end at -0.99
    found = step_of(H, weights, -H @ minimum)
    assert weights[0] + found.step[0] == 0.0
    assert_allclose(found.decrease, -least(H, weights, -H @ minimum), rtol=1e-9)
    to_zero = np.where(weights + minimum < 0.0, -weights, minimum)  # what an exact line search would make of this
    slope = -H @ minimum
    along, curvature = -slope @ to_zero, to_zero @ H @ to_zero
    assert found.decrease > 2.0 * (along * along / (2.0 * curvature))


def test_where_bending_costs_little_no_more_products_are_taken():
    H, weights = np.eye(3), np.array([1.0, 0.999, 3.0])
    found = step_of(H, weights, np.array([0.5, 1.0, 1.0]))
    assert weights[1] + found.step[1] == 0.0
    assert found.products == 3  # two of the system, one of the way that is bent


def test_weights_become_zero_a_few_times_at_most():
    rng = np.random.default_rng(4)
    H = quadratic(rng, 40, 1.5)
    weights = 1e-3 * rng.standard_normal(40)
    found = step_of(H, weights, rng.standard_normal(40) * np.diag(H), 1e-3)
    assert found.decrease > 0.0
    assert found.products <= MOST_FACES * 101


def test_nothing_is_found_at_the_minimum_or_without_curvature():
    assert step_of(np.eye(2), np.ones(2), np.zeros(2)).decrease == 0.0
    product, _ = counted(np.zeros((2, 2)))
    found = signed_step(product, np.ones(2), np.ones(2), np.ones(2), 0.1, 0.0)
    assert (found.decrease, found.products) == (0.0, 1)
    assert not found.step.any()
