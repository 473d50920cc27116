"""What tests use against rounding: sums that are changed, and how far apart two right fits may end."""

from __future__ import annotations

import numpy as np
import pytest
from rounding_noise import Noise
from strong_convexity import farthest, least_eigenvalue

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.reference.engine import ReferenceEngine
from gpu_logreg.rows.resident import ResidentDataset

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 4)) + 0.5
Y = (X @ [1.0, -1.0, 0.5, 0.0] + RNG.logistic(size=200) > 0).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_are_changed_by_about_a_rounding_and_equal_sums_stay_equal(dtype):
    data = ResidentDataset.from_arrays(X.astype(dtype), Y, None, Device("cpu"))
    w, b = np.array([0.3, -0.1, 0.2, 0.7]), 0.1
    sums = ReferenceEngine(Binary(), "").gradient(data, w, b)
    eps, size = np.finfo(dtype).eps, np.sqrt((X**2).sum(axis=0))
    found = [Noise(seed).gradient(sums, data, w, b) for seed in (0, 0, 1)]
    for changed in found:
        change = np.abs(changed.dw_sum - sums.dw_sum)
        assert change.any()
        assert (change < 2.0 * eps * size).all()
        assert abs(changed.loss_sum - sums.loss_sum) < 4.0 * eps * sums.loss_sum
    assert found[0].dw_sum.tobytes() == found[1].dw_sum.tobytes() != found[2].dw_sum.tobytes()
    only = Noise(0, ("float64",)).gradient(sums, data, w, b)
    assert (only.dw_sum.tobytes() == sums.dw_sum.tobytes()) == (dtype == "float32")


def test_sums_that_are_exact_everywhere_are_not_changed():
    whole = np.array([3.0, -1024.0, 0.5, 0.0])
    np.testing.assert_array_equal(Noise(0).changed(whole, np.abs(whole), np.float64), whole)


@pytest.mark.parametrize("y", [Y, Y + (X[:, 1] > 1.0)], ids=["2 classes", "3 classes"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_least_eigenvalue_is_that_of_second_differences(fit_intercept, y):
    model = LogisticRegression(C=0.1, tol=1e-10, fit_intercept=fit_intercept).fit(X, y)
    K = len(model.coef_)

    def value(params):
        coef, b = params[: 4 * K].reshape(K, 4), params[4 * K :] if fit_intercept else np.zeros(K)
        Z = X @ coef.T + b
        Z = np.hstack([0.0 * Z, Z]) if K == 1 else Z
        loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(200), y]
        return loss.mean() + 0.5 * (coef**2).sum() / (0.1 * 200)

    end = np.concatenate([model.coef_.ravel(), model.intercept_] if fit_intercept else [model.coef_.ravel()])
    step = 1e-4 * np.eye(len(end))
    H = [
        [value(end + a + c) - value(end + a - c) - value(end - a + c) + value(end - a - c) for c in step] for a in step
    ]
    wanted = np.linalg.eigvalsh(np.array(H) / 4e-8)[int(K > 1 and fit_intercept)]
    assert least_eigenvalue(model, X, y) == pytest.approx(wanted, rel=1e-3)


def test_two_fits_end_as_near_as_their_tol_promises_and_a_rough_one_does_not():
    fine, finer = (LogisticRegression(solver="lbfgs", tol=tol).fit(X, Y) for tol in (1e-9, 1e-12))
    apart = farthest(fine, X, Y)
    assert np.abs(fine.coef_ - finer.coef_).max() <= apart
    rough = LogisticRegression(solver="gradient-descent", tol=1e-3).fit(X, Y)
    assert np.abs(rough.coef_ - finer.coef_).max() > apart
