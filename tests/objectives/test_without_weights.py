"""Where a fit starts: moments of the columns, value and gradient by one read, against a pass of their own."""

from __future__ import annotations

import numpy as np
import pytest
from test_linear import objective_of, problem

from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.objectives.without_weights import column_moments_at_start
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu.dense import CHUNK_ROWS, cpu_moments, cpu_moments_by_label
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset


@pytest.mark.parametrize("n", [0, 1, 7, 8, 33, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 29])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
@pytest.mark.parametrize("weights", ["none", "some zero", "float32"])
def test_moments_by_label(n, dtype, weights):
    rng = np.random.default_rng(n)
    X = (rng.standard_normal((n, 5)) * 3.0 + 20.0).astype(dtype)
    y = rng.integers(0, 2, n).astype(np.uint8)
    s = None if weights == "none" else rng.exponential(size=n).astype("float32" if weights == "float32" else "float64")
    if weights == "some zero":
        s[rng.random(n) < 0.1] = 0.0
    rows = Rows(X, y, s)
    found, moments = cpu_moments_by_label(rows), cpu_moments(rows)
    x, weight = X.astype(np.float64), np.ones(n) if s is None else s.astype(np.float64)
    np.testing.assert_allclose(found.x_sum, moments.x_sum, rtol=1e-13)
    np.testing.assert_allclose(found.xx_sum, moments.xx_sum, rtol=1e-13)
    np.testing.assert_allclose(found.yx_sum, (weight * y) @ x, rtol=1e-12)
    assert found.y_sum == pytest.approx(float(weight @ y), rel=1e-12)


def test_a_row_that_is_removed_by_its_weight_may_overflow():
    X = np.full((16, 2), 2.0)
    X[3] = 1e200
    s = np.ones(16)
    s[3] = 0.0
    found = cpu_moments_by_label(Rows(X, np.ones(16, np.uint8), s))
    assert (found.x_sum.tolist(), found.xx_sum.tolist(), found.yx_sum.tolist()) == ([30.0] * 2, [60.0] * 2, [30.0] * 2)


def test_other_rows_and_losses_have_no_code_for_it():
    X, y, _, _, _ = problem()
    for rows in (np.asfortranarray(X), X):
        dataset = ResidentDataset.from_arrays(rows, y, None, Device("cpu"))
        for impl in ("cpu", "reference"):
            found = choose(impl, dataset.rows, Device("cpu")).moments_by_label(dataset)
            assert (found is not None) == (impl == "cpu" and rows.flags.c_contiguous)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_value_and_gradient_at_the_start_are_those_of_a_pass(impl, fit_intercept, weighted, soft):
    X, y, s, _, b = problem(soft)
    arguments = X, y, s if weighted else None, impl, 0.3, fit_intercept
    objective, plain = objective_of(*arguments), objective_of(*arguments)
    start = np.append(np.zeros(X.shape[1]), b) if fit_intercept else np.zeros(X.shape[1])
    found, wanted = column_moments_at_start(objective, start), plain.column_moments()
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(part, other, rtol=1e-12, atol=1e-14)
    (value, grad), (value_wanted, grad_wanted) = objective(start), plain(start)
    assert value == pytest.approx(value_wanted, rel=1e-13)
    np.testing.assert_allclose(grad, grad_wanted, rtol=1e-11, atol=1e-13)
    assert (objective.reads.total, plain.reads.total) == (1.0 if impl == "cpu" else 2.0, 2.0)


def test_a_start_with_weights_is_evaluated():
    X, y, s, w, b = problem()
    objective = objective_of(X, y, s, "cpu", 0.3, True)
    params = np.append(w, b)
    column_moments_at_start(objective, params)
    assert objective.reads.total == 1.0
    objective(params)
    assert objective.reads.total == 2.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_bad_value_is_named(bad):
    X, y, s, _, _ = problem()
    X[17, 2] = X[18, 0] = bad
    kind = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(DataError, match=rf"Input X contains {kind} at row 17, column 2; remove or impute it"):
        column_moments_at_start(objective_of(X, y, s, "cpu", 0.0, True), np.zeros(X.shape[1] + 1))
