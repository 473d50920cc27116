"""L1: value, soft threshold, subgradient, duality gap; strengths as scikit-learn divides them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_logreg.mathematics.penalty import (
    duality_gap,
    elastic_net_strengths,
    l1_by_parameter,
    l1_penalty,
    soft_threshold,
    subgradient,
)

numbers = st.floats(-10, 10)


def test_value_is_the_weighted_sum_of_magnitudes():
    assert l1_penalty(np.array([1.0, -2.0, 5.0]), np.array([0.5, 2.0, 0.0])) == 4.5


def test_strengths_are_those_of_scikit_learn():
    assert elastic_net_strengths(2.0, 0.25, 10.0) == pytest.approx((0.0125, 0.0375))
    assert elastic_net_strengths(np.inf, 1.0, 10.0) == (0.0, 0.0)


def test_the_intercept_is_not_penalised():
    assert l1_by_parameter(0.5, 2, 3).tolist() == [0.5, 0.5, 0.0]
    assert l1_by_parameter(0.5, 2, 2).tolist() == [0.5, 0.5]


@given(numbers, st.floats(0, 5), numbers)
def test_soft_threshold_is_the_proximal_operator(x, t, other):
    found = float(soft_threshold(np.array([x]), np.array([t]))[0])

    def cost(u: float) -> float:
        return 0.5 * (u - x) ** 2 + t * abs(u)

    assert cost(found) <= cost(other) + 1e-12
    assert cost(found) <= cost(found + 1e-3) + 1e-12


def test_zeros_of_the_soft_threshold_are_positive():
    assert not np.signbit(soft_threshold(np.array([-0.5, 0.5, -0.0]), np.ones(3))).any()


def test_subgradient_is_the_one_of_least_norm():
    x, grad, l1 = np.array([2.0, -2.0, 0.0, 0.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.5, 3.0, -3.0, 0.5]), np.full(6, 1.0)
    l1[5] = 0.0
    assert subgradient(x, grad, l1).tolist() == [2.0, 0.0, 0.0, 2.0, -2.0, 0.5]


@pytest.mark.parametrize("l2", [0.0, 0.03])
def test_duality_gap_bounds_what_is_left_to_gain(l2):
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    X, l1 = rng.standard_normal((60, 4)), 0.05
    y = rng.random(60) < 0.5

    def loss(w):
        z = X @ w
        return (np.logaddexp(0, z) - y * z).mean(), X.T @ (1 / (1 + np.exp(-z)) - y) / 60

    def value(w):
        return loss(w)[0] + l1 * np.abs(w).sum() + 0.5 * l2 * w @ w

    # Smooth in the positive and negative parts of w.
    def split(v):
        w = v[:4] - v[4:]
        f, g = loss(w)
        g = g + l2 * w
        return f + l1 * v.sum() + 0.5 * l2 * w @ w, np.concatenate([g + l1, l1 - g])

    best = minimize(split, np.zeros(8), jac=True, bounds=[(0, None)] * 8, options={"ftol": 1e-15, "gtol": 1e-10})
    least = value(best.x[:4] - best.x[4:])
    for far in (1.0, 1e-2, 0.0):
        w = best.x[:4] - best.x[4:] + far * rng.standard_normal(4)
        w[np.abs(w) < 1e-7] = 0.0
        v = subgradient(w, loss(w)[1] + l2 * w, np.full(4, l1))
        gap = duality_gap(value(w), w, v, l1, l2)
        assert gap >= value(w) - least - 1e-12
    assert gap < 1e-4 * least
