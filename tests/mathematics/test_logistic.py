"""The mathematics of one row, against closed forms, mpmath and central differences."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from central_differences import derivative
from hypothesis import given
from hypothesis import strategies as st

from gpu_logreg.mathematics.logistic import curvature, log_proba, loss_and_dz, row_loss, sigmoid

LOGITS = (0.0, 1e-300, 1e-9, 0.3, 1.0, 5.0, 17.0, 36.5, 37.5, 100.0, 709.0, 745.0, 800.0, 1e4)
GOLDEN_Z = tuple(sorted({sign * z for z in LOGITS for sign in (-1.0, 1.0)}))
DTYPES = (np.float32, np.float64)
SMALLEST = {np.float32: 1.5e-45, np.float64: 5e-324}

finite64 = st.floats(allow_nan=False, allow_infinity=False)
finite32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
logits = st.one_of(finite64.map(np.float64), finite32.map(np.float32)).map(lambda z: np.array([z]))
labels = st.floats(0.0, 1.0)


def exact(z: float, y: float) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """Loss, p, log p and log(1 - p), straight from their definitions with digits enough for 1 - p."""
    with mpmath.workdps(400 + int(abs(z))):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
        log_p, log_q = mpmath.log(p), mpmath.log(1 - p)
        return -y * log_p - (1 - y) * log_q, p, log_p, log_q


@pytest.fixture(scope="module")
def golden() -> dict[float, tuple[mpmath.mpf, ...]]:
    return {z: exact(z, 0.0) for z in GOLDEN_Z}


def within(actual: float, wanted: mpmath.mpf, dtype: type, ulps: float = 4.0) -> bool:
    bound = ulps * float(np.finfo(dtype).eps) * abs(wanted) + SMALLEST[dtype]
    return abs(mpmath.mpf(float(actual)) - wanted) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("y", [0.0, 0.5, 1.0])
def test_loss_of_golden_logits(golden, y, dtype):
    for z in GOLDEN_Z:
        z = float(dtype(z))
        _, _, log_p, log_q = golden[z] if z in golden else exact(z, 0.0)
        wanted = -y * log_p - (1 - y) * log_q
        actual = row_loss(np.array([z], dtype), np.array([y]))[0]
        assert within(actual, wanted, dtype), (z, y, actual, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_probability_of_golden_logits_has_a_small_relative_error(golden, dtype):
    for z in GOLDEN_Z:
        z = float(dtype(z))
        p = (golden[z] if z in golden else exact(z, 0.0))[1]
        actual = sigmoid(np.array([z], dtype))[0]
        assert within(actual, p, dtype), (z, actual, p)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_proba_of_golden_logits(golden, dtype):
    for z in GOLDEN_Z:
        z = float(dtype(z))
        _, _, log_p, log_q = golden[z] if z in golden else exact(z, 0.0)
        class_0, class_1 = log_proba(np.array([z], dtype))[0]
        assert within(class_1, log_p, dtype), (z, class_1, log_p)
        assert within(class_0, log_q, dtype), (z, class_0, log_q)


def test_closed_forms():
    z = np.array([0.0, 1e4, -1e4, 800.0, -800.0])
    zero, half, one = np.zeros(5), np.full(5, 0.5), np.ones(5)
    log2 = np.log(2.0)
    np.testing.assert_array_equal(row_loss(z, zero), [log2, 1e4, 0.0, 800.0, 0.0])
    np.testing.assert_array_equal(row_loss(z, half), [log2, 5e3, 5e3, 400.0, 400.0])
    np.testing.assert_array_equal(row_loss(z, one), [log2, 0.0, 1e4, 0.0, 800.0])
    np.testing.assert_array_equal(sigmoid(z), [0.5, 1.0, 0.0, 1.0, 0.0])
    for y in (zero, half, one):
        np.testing.assert_array_equal(loss_and_dz(z, y)[1], [0.5, 1.0, 0.0, 1.0, 0.0] - y)
    np.testing.assert_array_equal(log_proba(z), -np.stack([row_loss(z, zero), row_loss(z, one)], axis=1))


@pytest.mark.parametrize("y", [0.0, 0.2, 0.5, 1.0])
def test_dz_is_the_derivative_of_the_loss(y):
    # Away from z = 0 and across it: the pieces of max(z, 0) and |z| must join smoothly.
    z = np.concatenate([np.linspace(-40, 40, 401), np.linspace(-3e-3, 3e-3, 61)])
    labels = np.full(len(z), y)
    by_differences = derivative(lambda t: row_loss(t, labels), z, 1e-3)
    np.testing.assert_allclose(loss_and_dz(z, labels)[1], by_differences, rtol=0, atol=2e-11)


def test_curvature_is_the_derivative_of_dz():
    z = np.concatenate([np.linspace(-40, 40, 401), np.linspace(-3e-3, 3e-3, 61)])
    by_differences = derivative(lambda t: loss_and_dz(t, np.zeros(len(z)))[1], z, 1e-3)
    np.testing.assert_allclose(curvature(z), by_differences, rtol=0, atol=2e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_dz_and_curvature_of_golden_logits_lose_no_digit_where_p_is_nearly_y(golden, y, dtype):
    for z in GOLDEN_Z:
        z = float(dtype(z))
        p = (golden[z] if z in golden else exact(z, 0.0))[1]
        with mpmath.workdps(400 + int(abs(z))):
            dz, d2z = p - y, p * (1 - p)
        assert within(loss_and_dz(np.array([z], dtype), np.array([y]))[1][0], dz, dtype), (z, y)
        assert within(curvature(np.array([z], dtype))[0], d2z, dtype, ulps=6), z


def test_loss_and_dz_agrees_with_row_loss_and_sigmoid():
    z = np.random.default_rng(0).normal(scale=20, size=1000)
    y = np.random.default_rng(1).random(1000)
    loss, dz = loss_and_dz(z, y)
    np.testing.assert_array_equal(loss, row_loss(z, y))
    np.testing.assert_allclose(dz, sigmoid(z) - y, rtol=0, atol=2 * np.finfo(np.float64).eps)


@pytest.mark.parametrize("label_dtype", [np.uint8, np.bool_, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_keep_the_dtype_of_the_logits(dtype, label_dtype):
    z = np.array([-2.0, 0.0, 3.0], dtype)
    y = np.array([0, 1, 1]).astype(label_dtype)
    for result in (*loss_and_dz(z, y), row_loss(z, y), sigmoid(z), log_proba(z), curvature(z)):
        assert result.dtype == dtype


def test_shapes():
    z = np.zeros((4, 3))
    assert sigmoid(z).shape == (4, 3)
    assert log_proba(z[:, 0]).shape == (4, 2)
    assert row_loss(np.zeros(0), np.zeros(0)).shape == (0,)


def test_inputs_are_not_written_to():
    z, y = np.array([-1.0, 2.0]), np.array([0.0, 1.0])
    z.flags.writeable = y.flags.writeable = False
    loss_and_dz(z, y)
    log_proba(z)
    sigmoid(z)
    np.testing.assert_array_equal(z, [-1.0, 2.0])


def test_not_a_number_is_passed_on():
    z, y = np.array([np.nan]), np.array([1.0])
    assert np.isnan(row_loss(z, y)[0])
    assert np.isnan(loss_and_dz(z, y)[1][0])
    assert np.isnan(log_proba(z)).all()


@given(logits, labels)
def test_everything_is_finite_for_every_finite_logit(z, y):
    loss, dz = loss_and_dz(z, np.array([y]))
    assert np.isfinite(loss[0])
    assert loss[0] >= 0
    assert -1 <= dz[0] <= 1
    assert 0 <= sigmoid(z)[0] <= 1


@given(logits)
def test_log_proba_is_finite_not_positive_and_sums_to_one(z):
    log_p = log_proba(z)
    assert np.isfinite(log_p).all()
    assert (log_p <= 0).all()
    eps = np.finfo(z.dtype).eps
    assert abs(np.exp(log_p.astype(np.float64)).sum() - 1) <= 2 * eps
    np.testing.assert_allclose(np.exp(log_p[0, 1]), sigmoid(z)[0], rtol=0, atol=4 * eps)


@given(logits)
def test_swapping_the_classes_mirrors_the_logit(z):
    np.testing.assert_array_equal(log_proba(-z), log_proba(z)[:, ::-1])
    assert row_loss(z, np.zeros(1)) == row_loss(-z, np.ones(1))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2))
def test_probability_rises_with_the_logit(pair):
    low, high = sigmoid(np.sort(np.array(pair)))
    # Rounding may swap two neighbours by one unit in the last place, never by more.
    assert low <= high * (1 + 2 * np.finfo(np.float64).eps)
