"""The minimum of a quadratic model with an L1 penalty: against plain cycles, and its optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_logreg.penalty import subgradient
from gpu_logreg.solvers import coordinate_descent
from gpu_logreg.solvers.coordinate_descent import cycles, model_minimum, strong_rule
from gpu_logreg.solvers.kernels_numba_coordinates import cycles as compiled_cycles


def model(p: int, seed: int = 0, condition: float = 100.0, strength: float = 0.3):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((p, p)))[0]
    H = (basis * np.geomspace(1.0, 1.0 / condition, p)) @ basis.T
    start = np.where(rng.random(p) < 0.5, 0.0, rng.standard_normal(p))
    l1 = np.full(p, strength)
    l1[-1] = 0.0
    return 0.5 * (H + H.T), rng.standard_normal(p), start, l1


def value(H, grad, start, l1, x):
    delta = x - start
    return grad @ delta + 0.5 * delta @ H @ delta + l1 @ np.abs(x)


def slow_minimum(H, grad, start, l1):
    """Plain cycles over all coordinates until nothing moves."""
    x, r = start.copy(), grad.copy()
    cycles(H, r, x, l1, 1e-15, 100_000)
    return x


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("p", [1, 2, 7, 40])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_plain_cycles(p, seed, compiled):
    H, grad, start, l1 = model(p, seed)
    x, left = model_minimum(H, grad, start, l1, compiled=compiled)
    wanted = slow_minimum(H, grad, start, l1)
    np.testing.assert_allclose(x, wanted, atol=1e-4)
    assert ((x != 0) == (wanted != 0)).all()
    fall = value(H, grad, start, l1, start) - value(H, grad, start, l1, wanted)
    assert left == pytest.approx(fall, rel=1e-9, abs=1e-14)


def test_compiled_cycles_are_those_of_numpy():
    H, grad, start, l1 = model(30)
    x, r, y, q = start.copy(), grad.copy(), start.copy(), grad.copy()
    assert cycles(H, r, x, l1, 0.0, 7) == compiled_cycles(H, q, y, l1, 0.0, 7) == 8
    np.testing.assert_allclose(x, y, rtol=1e-12)
    np.testing.assert_allclose(r, q, rtol=1e-9, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10_000), st.sampled_from([1.0, 1e3, 1e8]), st.sampled_from([1e-6, 1e-2, 1.0]))
def test_meets_the_conditions_of_optimality(p, seed, condition, strength):
    H, grad, start, l1 = model(p, seed, condition, strength)
    x, left = model_minimum(H, grad, start, l1)
    unit = 1.0 / np.sqrt(np.diagonal(H))
    before = (unit * np.abs(subgradient(start, grad, l1))).max()
    after = (unit * np.abs(subgradient(x, grad + H @ (x - start), l1))).max()
    size = np.abs(H) @ np.abs(x - start) + np.abs(grad)  # what the gradient is summed from
    assert after <= 1e-6 * before + 1e-13 * (unit * size).max()
    assert left >= 0.0


def test_all_zero_where_the_penalty_is_strong():
    H, grad, _, _ = model(10)
    x, left = model_minimum(H, grad, np.zeros(10), np.full(10, np.abs(grad).max()))
    assert not x.any()
    assert left == 0.0


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_badly_scaled_coordinates(scale):
    H, grad, start, l1 = model(12)
    unit = np.geomspace(scale, 1.0, 12)
    x, _ = model_minimum(H * unit * unit[:, None], grad * unit, start / unit, l1 * unit)
    np.testing.assert_allclose(x * unit, slow_minimum(H, grad, start, l1), atol=1e-4)


def test_duplicated_coordinates_share_one_minimum():
    H, grad, start, l1 = model(6)
    twice = np.r_[0:6, 0:6]
    x, _ = model_minimum(H[np.ix_(twice, twice)], grad[twice], np.r_[start, 0 * start], np.r_[l1, l1])
    np.testing.assert_allclose(x[:6] + x[6:], slow_minimum(H, grad, start, l1), atol=1e-4)


def test_a_coordinate_without_curvature_takes_no_step_away_from_zero():
    H, grad, start, l1 = model(5)
    H[2], H[:, 2] = 0.0, 0.0
    x, left = model_minimum(H, grad, start, l1)
    assert abs(x[2]) <= abs(start[2])
    assert left >= 0.0


def test_the_strong_rule_keeps_few_and_its_mistakes_are_mended(monkeypatch):
    H, grad, _, l1 = model(40, strength=1.5)
    start = np.zeros(40)
    kept = strong_rule(start, grad, l1)
    assert 0 < kept.sum() < 40
    wanted, _ = model_minimum(H, grad, start, l1)
    only_last = np.arange(40) == 39
    monkeypatch.setattr(coordinate_descent, "strong_rule", lambda x, grad, l1: only_last)
    x, _ = model_minimum(H, grad, start, l1)
    np.testing.assert_allclose(x, wanted, atol=1e-5)


def test_the_same_bits_twice():
    first, second = (model_minimum(*model(40))[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()
