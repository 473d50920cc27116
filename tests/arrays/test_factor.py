"""The Cholesky factor behind ``solve(v)``, against `numpy.linalg.solve`, on matrices as hard as data make them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import LinAlgError

from gpu_logreg.arrays.cholesky import Factor, poorly_conditioned

EPS = float(np.finfo(np.float64).eps)
EPS32 = float(np.finfo(np.float32).eps)


def spd(p: int, condition: float, seed: int = 0) -> np.ndarray:
    """A symmetric matrix with eigenvalues from 1 down to ``1 / condition``."""
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((p, p)))[0]
    H = (basis * np.geomspace(1.0, 1.0 / condition, p)) @ basis.T
    return 0.5 * (H + H.T)


def vector(p: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(p)


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("p", [1, 2, 7, 40])
def test_solves_like_numpy(p, condition):
    H, v = spd(p, condition), vector(p)
    factor = Factor(H)
    wanted = np.linalg.solve(H, v)
    assert factor.added == 0.0
    assert np.linalg.norm(factor.solve(v) - wanted) <= 20 * p * EPS * condition * np.linalg.norm(wanted)


@pytest.mark.parametrize("decades", [3, 8, 20, 100])
def test_the_scale_of_the_columns_costs_no_digit(decades):
    p = 9
    R, v = spd(p, 100.0), vector(p)
    exponents = np.random.default_rng(2).permutation(np.linspace(-decades, decades, p).round())
    scale = 2.0**exponents  # powers of two: the scaling itself does not round
    # H = S R S, so that S (H^-1) S is R^-1.
    factor = Factor(scale[:, None] * R * scale)
    np.testing.assert_allclose(scale * factor.solve(scale * v), np.linalg.solve(R, v), rtol=1e-12, atol=1e-12)
    assert factor.added == 0.0
    assert factor.smallest_pivot == pytest.approx(Factor(R).smallest_pivot, rel=1e-12)


def test_neither_matrix_nor_vector_is_written_to():
    H, v = spd(5, 10.0), vector(5)
    kept, kept_v = H.copy(), v.copy()
    H.flags.writeable = v.flags.writeable = False
    Factor(H).solve(v)
    np.testing.assert_array_equal(H, kept)
    np.testing.assert_array_equal(v, kept_v)


@pytest.mark.parametrize("twins", [1, 3])
def test_exactly_equal_columns_are_repaired_and_the_rest_is_solved(twins):
    X = np.random.default_rng(3).standard_normal((50, 4))
    U = np.hstack([X, X[:, :twins]])  # semi-definite: rank 4 of 4 + twins
    H = U.T @ U / 50
    factor = Factor(H)
    assert 0.0 <= factor.added <= 1e-12
    v = H @ vector(4 + twins)  # in the range, as gradients of such data are
    found = factor.solve(v)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(H @ found, v, atol=1e-6 * np.abs(v).max())
    # What is determined, the sum of the weights of twins, is right.
    least = np.linalg.lstsq(H, v, rcond=1e-10)[0]
    np.testing.assert_allclose(U @ found, U @ least, atol=1e-6 * np.abs(U @ least).max())


def test_an_indefinite_matrix_is_repaired_by_the_least_power_of_ten_that_does():
    # Unit diagonal, eigenvalues 1 + r and 1 - r: indefinite by 3e-9.
    r = 1.0 + 3e-9
    factor = Factor(np.array([[1.0, r], [r, 1.0]]))
    assert factor.added == pytest.approx(1e-8)
    v = np.array([1.0, 1.0])
    np.testing.assert_allclose(factor.solve(v), v / (1.0 + r + factor.added), rtol=1e-7)
    assert poorly_conditioned(factor, EPS)


@given(p=st.integers(1, 12), rank=st.integers(0, 12), decades=st.integers(0, 12), seed=st.integers(0, 2**32 - 1))
def test_a_step_against_any_gradient_goes_down(p, rank, decades, seed):
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((min(rank, p), p)) * 10.0 ** rng.uniform(-decades, decades, p)
    H, v = U.T @ U, rng.standard_normal(p)
    factor = Factor(H)
    found = factor.solve(v)
    assert np.isfinite(found).all()
    assert v @ found > 0.0
    assert factor.added <= 1e-10
    assert 0.0 < factor.smallest_pivot <= np.sqrt(1.0 + factor.added)


def test_a_zero_on_the_diagonal_leaves_the_others_alone():
    H = np.zeros((4, 4))
    H[np.ix_([0, 2], [0, 2])] = [[2.0, 0.5], [0.5, 1.0]]
    v = np.array([1.0, 3.0, -2.0, 0.0])
    found = Factor(H).solve(v)
    np.testing.assert_allclose(found[[0, 2]], np.linalg.solve([[2.0, 0.5], [0.5, 1.0]], [1.0, -2.0]), rtol=1e-14)
    np.testing.assert_array_equal(found[[1, 3]], [3.0, 0.0])
    assert Factor(H).added == 0.0


def test_a_diagonal_below_zero_by_rounding_is_taken_as_zero():
    found = Factor(np.diag([4.0, -1e-20])).solve(np.array([1.0, 2.0]))
    np.testing.assert_allclose(found, [0.25, 2.0])


def test_no_parameters_at_all():
    factor = Factor(np.zeros((0, 0)))
    assert factor.solve(np.zeros(0)).shape == (0,)
    assert factor.smallest_pivot == 1.0


@pytest.mark.parametrize("gap", [1e-2, 1e-5, 1e-9])
def test_the_smallest_pivot_bounds_the_condition(gap):
    r = 1.0 - gap
    factor = Factor(np.array([[1.0, r], [r, 1.0]]))
    # R = L L.T with l_22**2 = 1 - r**2.
    assert factor.smallest_pivot**2 == pytest.approx((1 - r) * (1 + r), rel=1e-6)
    assert factor.smallest_pivot**2 >= gap  # not less than the smallest eigenvalue


@pytest.mark.parametrize(("gap", "poor32", "poor64"), [(1e-2, False, False), (1e-5, True, False), (1e-14, True, True)])
def test_poorly_conditioned(gap, poor32, poor64):
    r = 1.0 - gap
    factor = Factor(np.array([[1.0, r], [r, 1.0]]))
    assert poorly_conditioned(factor, EPS32) is poor32
    assert poorly_conditioned(factor, EPS) is poor64


def test_conditioning_is_that_of_the_unit_diagonal():
    factor = Factor(np.diag([1e-300, 1.0, 1e300]))
    assert factor.smallest_pivot == 1.0
    assert not poorly_conditioned(factor, EPS32)


def test_what_had_to_be_repaired_is_poorly_conditioned_in_any_precision():
    factor = Factor(np.array([[1.0, 1.5], [1.5, 1.0]]))
    assert factor.added == pytest.approx(1.0)
    assert poorly_conditioned(factor, 0.0)


@pytest.mark.parametrize("bad", [np.inf, 5.0])
def test_what_is_infinite_or_far_from_positive_definite_is_refused(bad):
    with pytest.raises(LinAlgError):
        Factor(np.array([[1.0, bad, 0.0], [bad, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def test_curvature_that_no_float64_has_digits_for_counts_as_none():
    H = np.zeros((3, 3))
    H[1:, 1:] = [[5e-324, 1e-323], [1e-323, 5e-324]]  # no such matrix is positive definite
    H[0, 0] = 4.0
    np.testing.assert_array_equal(Factor(H).solve(np.array([2.0, 3.0, 5.0])), [0.5, 3.0, 5.0])
