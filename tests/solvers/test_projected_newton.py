"""Minima within bounds: of quadratic models by their conditions, and of functions that a model misleads."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg.solvers.projected_newton import Box, least_subgradient, minimum_within, projected_newton


def problem(seed, p=30, with_l1=True):
    """An ill-conditioned model, bounds of every kind, and a point within them."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((p + 2, p)) + 3.0 * rng.standard_normal((p + 2, 1))
    low, high = -rng.exponential(size=p), rng.exponential(size=p)
    low[rng.random(p) < 0.3], high[rng.random(p) < 0.3] = -np.inf, np.inf
    low[rng.random(p) < 0.2] = 0.0
    high[0] = low[0] = 0.5  # held
    low[1], high[1] = 0.25, 2.0  # away from zero
    l1 = rng.exponential(size=p) * (rng.random(p) < 0.6) * with_l1
    x = np.clip(rng.standard_normal(p), low, high)
    x[rng.random(p) < 0.3] = 0.0
    return A.T @ A / p, 3.0 * rng.standard_normal(p), np.clip(x, low, high), Box(low, high, l1)


@pytest.mark.parametrize("with_l1", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_model_has_its_minimum_there(seed, with_l1):
    for one in range(10):
        H, grad, x, box = problem(10 * seed + one, with_l1=with_l1)
        u, decrease = minimum_within(H, grad, x, box)
        assert (u >= box.low).all()
        assert (u <= box.high).all()
        step = u - x
        v = box.subgradient(u, grad + H @ step)
        assert np.abs(v).max() < 1e-8
        value = grad @ step + 0.5 * step @ H @ step + box.penalty(u) - box.penalty(x)
        np.testing.assert_allclose(-value, decrease, rtol=1e-9)


def test_each_kind_of_bound_has_its_condition():
    x, l1 = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 0.5, 0.5, 0.5])
    grad = np.array([2.0, -2.0, -2.0, -0.2, 0.4, -0.8])
    at_low, at_high = np.array([1, 1, 0, 0, 0, 1], bool), np.array([0, 0, 1, 0, 0, 0], bool)
    np.testing.assert_allclose(least_subgradient(x, grad, l1, at_low, at_high), [0.0, -2.0, 0.0, 0.3, 0.0, -0.3])


class Quartic:
    """``sum(x**4 / 4 - a x)``, whose curvature at the start is far from that at the minimum."""

    rounding, precision, separable_below = 1e-15, 2e-16, 0.0

    def __init__(self, a):
        self.a, self.reads = a, 0

    def widen(self):
        return False

    def __call__(self, x):
        self.reads += 1
        return float((x**4 / 4.0 - self.a * x).sum()) + 10.0, x**3 - self.a


def test_a_model_that_misleads_is_replaced():
    a = np.array([8.0, -27.0, 8.0])
    box, asked = Box(np.full(3, -1.0), np.array([np.inf, np.inf, 1.5]), np.zeros(3)), []

    def hessian(x, better):
        asked.append(better)
        return np.diag(3.0 * x**2 + 0.01) if better else 0.1 * np.eye(3)

    result = projected_newton(Quartic(a), np.full(3, 0.5), box, hessian=hessian, tol=1e-10, max_iter=100)
    np.testing.assert_allclose(result.params, [2.0, -1.0, 1.5], atol=1e-7)
    assert result.converged
    assert asked[0] is False
    assert any(asked)


def test_it_ends_where_it_is_told_to():
    def hessian(x, better):
        return np.diag(3.0 * x**2 + 1.0)

    objective, box = Quartic(np.full(2, 8.0)), Box(np.full(2, 0.0), np.full(2, np.inf), np.zeros(2))
    how = {"hessian": hessian, "tol": 1e-8}
    result = projected_newton(objective, np.ones(2), box, max_iter=1, **how)
    assert (result.converged, result.n_iter, result.message) == (False, 1, "max_iter = 1 reached")
    result = projected_newton(objective, np.ones(2), box, max_iter=50, observer=lambda it: it.n_iter == 2, **how)
    assert (result.converged, result.n_iter, result.message) == (False, 2, "stopped by a callback")
