"""The minimum of a quadratic model with an L1 penalty: against plain cycles, and its optimality conditions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_logreg.mathematics.penalty import subgradient
from gpu_logreg.solvers import coordinate_descent
from gpu_logreg.solvers.coordinate_cycles import compiled_loops, cycles, most_systems, settle, settle_in_place
from gpu_logreg.solvers.coordinate_descent import model_minimum, strong_rule


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
    assert cycles(H, r, x, l1, 0.0, 7) == compiled_loops()[0](H, q, y, l1, 0.0, 7) == 8
    np.testing.assert_allclose(x, y, rtol=1e-12)
    np.testing.assert_allclose(r, q, rtol=1e-9, atol=1e-13)


@settings(max_examples=60, deadline=None, derandomize=True)  # of a condition of 1e8 one in 200 stays short of it
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
    kept = strong_rule(start, grad, l1, subgradient(start, grad, l1))
    assert 0 < kept.sum() < 40
    wanted, _ = model_minimum(H, grad, start, l1)
    only_last = np.arange(40) == 39
    monkeypatch.setattr(coordinate_descent, "strong_rule", lambda x, *_: only_last)
    x, _ = model_minimum(H, grad, start, l1)
    np.testing.assert_allclose(x, wanted, atol=1e-5)


def test_the_same_bits_twice():
    first, second = (model_minimum(*model(40))[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()


# ---- systems in an orthant


def unit_model(p: int, seed: int, kind: str):
    """A matrix of unit diagonal, a gradient, a point of which some coordinates are zero, and strengths, some zero."""
    rng = np.random.default_rng([p, seed])
    if kind == "collinear":
        A = rng.standard_normal((2 * p, p))
        A[:, -1] = A[:, 0]
        A[:, p // 2] = A[:, p // 3] - 2.0 * A[:, 0]
    elif kind == "few rows":
        A = rng.standard_normal((-(-p // 2), p))
    else:
        basis = np.linalg.qr(rng.standard_normal((p, p)))[0]
        A = (basis * np.geomspace(1.0, float(kind) ** -0.5, p)).T
    A = A / np.sqrt((A * A).sum(axis=0))
    x = np.where(rng.random(p) < 0.3, 0.0, rng.standard_normal(p))
    l1 = np.where(rng.random(p) < 0.2, 0.0, 0.5 * rng.exponential(size=p))
    l1[-1] = 0.0  # as that of an intercept, so that something is always left
    return A.T @ A, rng.standard_normal(p), x, l1


def settled(compiled: bool, H, r, x, l1, most: int | None = None):
    """Point, gradient there, and whether the compiled one has done all it should; those given are left as they are."""
    r, x = r.copy(), x.copy()
    if not compiled:
        return *settle(H, r, x, l1), True
    done = settle_in_place(H, r, x, l1, most_systems(x) if most is None else most)
    return x, r, done


def check_settled(H, r, x, l1, there, r_there) -> None:
    """Lower but for rounding, in the same orthant, and with the gradient of that point."""
    assert np.isfinite(there).all()
    assert np.isfinite(r_there).all()
    size = np.abs(r) @ np.abs(there - x) + l1 @ (np.abs(there) + np.abs(x))
    size += np.abs(there - x) @ np.abs(H) @ np.abs(there - x)
    assert value(H, r, x, l1, there) <= value(H, r, x, l1, x) + 1e-13 * size
    penalised = l1 > 0.0
    assert ((np.sign(there) == np.sign(x)) | (there == 0.0))[penalised].all()
    of_gradient = np.abs(r) + np.abs(H) @ np.abs(there - x)
    assert (np.abs(r_there - (r + H @ (there - x))) <= 1e-13 * of_gradient).all()


@pytest.mark.parametrize(("condition", "tolerance"), [("1", 1e-13), ("100", 1e-12), ("1e6", 1e-8)])
def test_compiled_systems_are_those_of_numpy(condition, tolerance):
    for p, seed in itertools.product(range(1, 61), range(4)):
        H, r, x, l1 = unit_model(p, seed, condition)
        there, r_there, done = settled(True, H, r, x, l1)
        wanted, r_wanted, _ = settled(False, H, r, x, l1)
        assert done
        np.testing.assert_allclose(there, wanted, rtol=0, atol=tolerance * max(1.0, np.abs(wanted).max()))
        np.testing.assert_allclose(r_there, r_wanted, rtol=0, atol=tolerance * np.abs(H).sum(axis=1).max())
        np.testing.assert_array_equal(there != 0.0, wanted != 0.0)


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 60), st.integers(0, 10_000), st.sampled_from(["1", "100", "1e6", "1e12", "collinear", "few rows"])
)
def test_systems_lower_the_model_and_keep_its_gradient(compiled, p, seed, kind):
    H, r, x, l1 = unit_model(p, seed, kind)
    there, r_there, _ = settled(compiled, H, r, x, l1)
    check_settled(H, r, x, l1, there, r_there)


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10_000))
def test_systems_end_at_the_minimum_over_the_coordinates_that_are_left(compiled, p, seed):
    H, r, x, l1 = unit_model(p, seed, "100")
    there, r_there, done = settled(compiled, H, r, x, l1)
    at = (there != 0.0) | (l1 == 0.0)
    assert done
    np.testing.assert_allclose((r_there + l1 * np.sign(there))[at], 0.0, atol=1e-11 * np.abs(r).max())


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000), st.integers(0, 4))
def test_a_few_systems_are_part_of_the_way(p, seed, most):
    H, r, x, l1 = unit_model(p, seed, "100")
    there, r_there, done = settled(True, H, r, x, l1, most)
    check_settled(H, r, x, l1, there, r_there)
    last = settled(True, H, r, x, l1, p)[0]
    assert done
    assert value(H, r, x, l1, last) <= value(H, r, x, l1, there) + 1e-13
    if most == 0:
        assert there.tobytes() == x.tobytes()


@pytest.mark.parametrize("worst", [-1.0, np.nan])
def test_compiled_systems_leave_a_matrix_that_is_not_positive_to_numpy(worst):
    H, r, x, l1 = unit_model(8, 0, "100")
    x = np.linspace(1.0, 2.0, 8)
    H[3, 3] = worst
    there, r_there, done = settled(True, H, r, x, l1)
    assert not done
    assert there.tobytes() == x.tobytes()
    assert r_there.tobytes() == r.tobytes()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("p", [1, 5])
def test_all_zero_and_all_penalised_is_left_as_it_is(p, compiled):
    H, r, _, _ = unit_model(p, 0, "100")
    there, r_there, done = settled(compiled, H, r, np.zeros(p), np.ones(p))
    assert done
    assert not there.any()
    assert r_there.tobytes() == r.tobytes()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("p", [2, 9])
def test_all_may_become_zero(p, compiled):
    H, _, x, _ = unit_model(p, 0, "1")
    x = np.where(x == 0.0, 0.3, x)
    r, l1 = 0.5 * x, np.ones(p)  # away from zero everything rises
    there, r_there, done = settled(compiled, H, r, x, l1)
    assert done
    assert not there.any()
    np.testing.assert_allclose(r_there, r - H @ x, rtol=1e-13)


def singular_model(seed: int):
    """Of fewer rows than coordinates, with next to no penalty: it falls without end."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(2, 8))
    A = rng.standard_normal((p - 1, p))
    return A.T @ A, rng.standard_normal(p), np.zeros(p), np.full(p, 1e-3)


def test_where_a_model_falls_without_end_that_is_not_said_to_be_nothing():
    for seed in range(60):
        H, grad, start, l1 = singular_model(seed)
        _, left = model_minimum(H, grad, start, l1, 1e-3)
        assert left > 1.0 or not np.isfinite(left), seed
