"""Softmax and its cross-entropy: against mpmath, central differences and the two-class case."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from central_differences import gradient

from gpu_logreg.mathematics import logistic
from gpu_logreg.mathematics.softmax import curvature_diagonal, curvature_product, log_proba, loss_and_dz, softmax

RNG = np.random.default_rng(3)
EXTREME = np.array([[0.0, 0.0, 0.0], [800.0, -800.0, 0.0], [-1e4, 1e4, 9999.0], [40.0, 0.0, -40.0], [1e-9, 0.0, 2.5]])


def exact(z: np.ndarray, y: int) -> tuple[float, list[float], list[float]]:
    """Loss, ``dz`` and probabilities of one row by the definitions, in 60 digits."""
    with mpmath.workdps(60):
        e = [mpmath.exp(mpmath.mpf(float(v))) for v in z]
        total = mpmath.fsum(e)
        others = mpmath.fsum(v for k, v in enumerate(e) if k != y)
        loss = mpmath.log1p(others / e[y])
        dz = [-others / total if k == y else v / total for k, v in enumerate(e)]
        return float(loss), [float(v) for v in dz], [float(v / total) for v in e]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y", [0, 1, 2])
def test_against_mpmath(dtype, y):
    z = np.vstack([EXTREME, 5 * RNG.standard_normal((20, 3))]).astype(dtype)
    loss, dz = loss_and_dz(z, np.full(len(z), y))
    true = [exact(row, y) for row in z]
    eps = np.finfo(dtype)
    gap = np.abs(z - z.max(axis=1, keepdims=True)).max(axis=1, keepdims=True)  # rounding of an exponent is multiplied
    true_dz, true_p = np.array([t[1] for t in true]), np.array([t[2] for t in true])
    assert loss.dtype == dz.dtype == dtype
    true_loss = np.array([t[0] for t in true])
    assert np.all(np.abs(loss - true_loss) <= (8 + gap[:, 0]) * eps.eps * true_loss + eps.tiny)
    assert np.all(np.abs(dz - true_dz) <= (8 + gap) * eps.eps * np.abs(true_dz) + eps.tiny)
    assert np.all(np.abs(softmax(z) - true_p) <= (8 + gap) * eps.eps * true_p + eps.tiny)
    assert np.all(np.abs(log_proba(z)[:, y] + true_loss) <= (8 + gap[:, 0]) * eps.eps * true_loss + eps.tiny)


def test_derivative_by_central_differences():
    z, y = RNG.standard_normal((6, 4)), RNG.integers(0, 4, 6)
    numeric = gradient(lambda flat: loss_and_dz(flat.reshape(6, 4), y)[0].sum(), z.ravel())
    np.testing.assert_allclose(loss_and_dz(z, y)[1].ravel(), numeric, rtol=1e-9, atol=1e-11)


def test_two_classes_are_the_logistic_case():
    z = np.column_stack([np.zeros(50), 10 * RNG.standard_normal(50)])
    y = RNG.integers(0, 2, 50)
    row_loss, dz = logistic.loss_and_dz(z[:, 1], y)
    np.testing.assert_allclose(loss_and_dz(z, y)[0], row_loss, rtol=1e-13)
    np.testing.assert_allclose(loss_and_dz(z, y)[1], np.column_stack([-dz, dz]), rtol=1e-13)
    np.testing.assert_allclose(log_proba(z), logistic.log_proba(z[:, 1]), rtol=1e-13)


def test_rows_sum_to_one_and_dz_to_zero():
    z, y = 30 * RNG.standard_normal((40, 5)), RNG.integers(0, 5, 40)
    np.testing.assert_allclose(softmax(z).sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(loss_and_dz(z, y)[1].sum(axis=1), 0.0, atol=1e-15)


def test_not_a_number_stays_visible():
    z = np.array([[0.0, np.nan, 1.0], [0.0, 1.0, 2.0]])
    loss, dz = loss_and_dz(z, np.array([0, 1]))
    assert np.isnan(loss[0])
    assert np.isnan(dz[0]).any()
    assert np.isfinite(loss[1])
    assert np.isfinite(dz[1]).all()


def test_the_mean_is_subtracted_from_changes_of_the_logits_to_the_last_digit():
    """Of a class that is nearly certain the change of ``dz`` is minus that of the others."""
    p = softmax(np.array([[0.0, -14.0, -15.0]], np.float32))
    e = curvature_product(p, np.array([[1000.0, 1.0, 2.0]], np.float32))
    assert e.sum() == pytest.approx(0.0, abs=1e-6 * float(np.abs(e).max()))
    assert e[0, 0] == pytest.approx(float(p[0, 1:] @ np.array([999.0, 998.0])), rel=1e-5)
    np.testing.assert_allclose(curvature_diagonal(p)[0, 0], p[0, 1:].sum(), rtol=1e-5)
