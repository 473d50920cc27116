"""Value and gradient on the host: finite differences, weights as repetitions, the penalty, reads."""

from __future__ import annotations

import numpy as np
import pytest
from central_differences import gradient
from naive_sums import naive_objective

from gpu_logreg import loss_and_gradient
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.penalty import l2_penalty, ridge_strength
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset

IMPLS = ("reference", "cpu")
N, D = 211, 6


def problem(soft: bool = False):
    rng = np.random.default_rng(7)
    X = rng.standard_normal((N, D)) * [1, 2, 0.5, 1, 3, 1] + [0, 1, -2, 0, 0, 0.5]
    y = rng.random(N) if soft else rng.integers(0, 2, N).astype(np.float64)
    s = rng.exponential(size=N) * (rng.random(N) < 0.9)
    return X, y, s, rng.standard_normal(D) / 2, 0.3


def objective_of(X, y, s, impl: str, l2: float, fit_intercept: bool) -> Objective:
    dataset = ResidentDataset.from_arrays(X, y, s, Device("cpu"))
    return Objective(dataset, choose(impl, dataset.rows, Device("cpu")), l2, fit_intercept)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_gradient_against_central_differences(impl, fit_intercept, l2, weighted, soft):
    X, y, s, w, b = problem(soft)
    objective = objective_of(X, y, s if weighted else None, impl, l2, fit_intercept)
    params = np.append(w, b) if fit_intercept else w
    value, grad = objective(params)
    by_differences = gradient(lambda p: objective(p)[0], params)
    np.testing.assert_allclose(grad, by_differences, rtol=1e-6, atol=1e-10)
    assert grad.shape == (D + fit_intercept,) == (objective.n_params,)
    assert grad.dtype == np.float64
    assert type(value) is float


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_value_is_the_naive_objective(impl, fit_intercept):
    X, y, s, w, b = problem(soft=True)
    C = 0.7
    params = np.append(w, b) if fit_intercept else w
    value, _ = objective_of(X, y, s, impl, ridge_strength(C, s.sum()), fit_intercept)(params)
    wanted = naive_objective(X, y, params, C=C, sample_weight=s, fit_intercept=fit_intercept)
    assert value == pytest.approx(wanted, rel=1e-13)


def test_the_intercept_is_not_penalised():
    X, y, s, w, b = problem()
    params = np.append(w, b)
    plain_value, plain_grad = objective_of(X, y, s, "reference", 0.0, True)(params)
    value, grad = objective_of(X, y, s, "reference", 0.5, True)(params)
    assert value - plain_value == pytest.approx(0.25 * w @ w, rel=1e-12)
    np.testing.assert_allclose(grad - plain_grad, np.append(0.5 * w, 0.0), atol=1e-15)
    far = objective_of(X, y, s, "reference", 0.5, True)(np.append(w, 1e6))[0]
    assert far == pytest.approx(objective_of(X, y, s, "reference", 0.0, True)(np.append(w, 1e6))[0] + 0.25 * w @ w)


def test_penalty_and_its_strength():
    value, grad = l2_penalty(np.array([3.0, -4.0]), 0.1)
    assert value == pytest.approx(0.5 * 0.1 * 25)
    np.testing.assert_allclose(grad, [0.3, -0.4])
    assert ridge_strength(2.0, 50.0) == 0.01
    assert ridge_strength(np.inf, 50.0) == 0.0


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_integer_weight_is_a_repetition(impl, dtype):
    X, y, _, w, b = problem()
    X = X.astype(np.float32).astype(dtype)
    w, b = w.astype(np.float32).astype(np.float64), float(np.float32(b))
    times = np.random.default_rng(0).integers(0, 4, N)
    assert {0, 1, 2} <= set(times)
    weighted = loss_and_gradient(X, y, w, b, sample_weight=times, l2=0.1, impl=impl)
    repeated = loss_and_gradient(X.repeat(times, axis=0), y.repeat(times), w, b, l2=0.1, impl=impl)
    tolerance = 1e-10 if dtype == np.float64 else 1e-6  # in float32 the order of additions shows
    assert weighted.value == pytest.approx(repeated.value, rel=tolerance)
    np.testing.assert_allclose(weighted.dw, repeated.dw, rtol=tolerance, atol=tolerance)
    assert weighted.db == pytest.approx(repeated.db, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("impl", IMPLS)
def test_weights_of_one_change_nothing_and_their_scale_cancels(impl):
    X, y, s, w, b = problem()
    one = loss_and_gradient(X, y, w, b, sample_weight=np.ones(N), impl=impl)
    none = loss_and_gradient(X, y, w, b, impl=impl)
    assert one.value == pytest.approx(none.value, rel=1e-14)
    np.testing.assert_allclose(one.dw, none.dw, rtol=1e-12, atol=1e-15)
    once = loss_and_gradient(X, y, w, b, sample_weight=s, impl=impl)
    scaled = loss_and_gradient(X, y, w, b, sample_weight=1e6 * s, impl=impl)
    assert scaled.value == pytest.approx(once.value, rel=1e-13)
    np.testing.assert_allclose(scaled.dw, once.dw, rtol=1e-11)


@pytest.mark.parametrize("impl", IMPLS)
def test_every_read_is_counted(impl):
    X, y, s, w, b = problem()
    objective = objective_of(X, y, s, impl, 0.1, True)
    assert objective.reads.total == 0
    objective(np.append(w, b))
    objective(np.append(w, b))
    assert objective.reads.total == 2
    objective.column_moments()
    assert objective.reads.total == 3


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("weighted", [False, True])
def test_column_moments(impl, weighted):
    X, y, s, _, _ = problem()
    X[:, 3] = 0.1  # rounding may not give a constant column a variance below zero
    mean, variance = objective_of(X, y, s if weighted else None, impl, 0.0, True).column_moments()
    weights = s if weighted else None
    assert (
        np.abs(mean - np.average(X, axis=0, weights=weights)) <= 1e-13 * np.abs(X).mean(axis=0)
    ).all()  # they cancel
    wanted = np.average((X - mean) ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(variance, wanted, rtol=1e-12, atol=1e-16)
    assert (variance >= 0).all()


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_column_moments_name_the_first_bad_value(impl, bad):
    X, y, s, _, _ = problem()
    X[17, 2] = X[18, 0] = bad
    kind = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(DataError, match=rf"Input X contains {kind} at row 17, column 2; remove or impute it"):
        objective_of(X, y, s, impl, 0.0, True).column_moments()


@pytest.mark.parametrize("far", [0.0, 1e3])
def test_rounding_is_about_what_float32_rows_do_to_the_value(far):
    X, y, _, w, b = problem()
    X = (X + far).astype(np.float32)
    b -= far * w.sum()
    narrow, wide = (objective_of(rows, y, None, "reference", 0.0, True) for rows in (X, X.astype(np.float64)))
    for objective in (narrow, wide):
        objective.column_moments()
    rng, errors = np.random.default_rng(0), []
    for _ in range(20):
        params = np.append(w + 1e-3 * rng.standard_normal(D), b)
        params[-1] -= far * (params[:-1] - w).sum()
        value = wide(params)[0]
        errors.append(abs(narrow(params)[0] - value) / value)
    assert wide.rounding < 1e-11
    assert max(errors) <= 10 * narrow.rounding
    assert narrow.rounding <= 1e3 * max(errors)


@pytest.mark.parametrize("weighted", [False, True])
def test_separable_classes_are_told_by_the_value(weighted):
    X, y, s, _, _ = problem()
    s = s if weighted else None
    bound = objective_of(X, y, s, "reference", 0.0, True).separable_below
    lightest, total = (1.0, N) if s is None else (s[s > 0].min(), s.sum())
    assert bound == pytest.approx(np.log(2.0) * lightest / total)
    assert objective_of(X, y, s, "reference", 1e-9, True).separable_below == 0.0
    # One row on the line between the classes, the lightest one, and all others far on their side: exactly the bound.
    side = np.where(np.arange(N) == (0 if s is None else np.argmin(np.where(s > 0, s, np.inf))), 0.0, 1e3)
    value, _ = objective_of(side[:, None], np.ones(N), s, "reference", 0.0, False)(np.ones(1))
    assert value == pytest.approx(bound, rel=1e-12)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_widened_rows_are_walked_in_float64(impl, order):
    rng = np.random.default_rng(6)
    X = np.asarray(1e5 + rng.standard_normal((70_000, 6)), dtype=np.float32, order=order)  # several blocks
    y = rng.integers(0, 2, len(X)).astype(np.uint8)
    s = rng.random(len(X))
    params = np.append(rng.standard_normal(6), -3.0)
    narrow = objective_of(X, y, s, impl, 0.1, True)
    wide = objective_of(X.astype(np.float64), y, s, impl, 0.1, True)
    value, grad = wide(params)
    assert abs(narrow(params)[0] / value - 1.0) > 1e-9  # float32 shows in the value
    assert narrow.widen()
    assert narrow.precision == np.finfo(np.float64).eps
    assert narrow(params)[0] == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(narrow(params)[1], grad, rtol=1e-12)
    assert not narrow.widen()  # once is all
    assert not wide.widen()
