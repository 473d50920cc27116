"""The objective along few directions by a sample: its derivatives, and against the objective of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from central_differences import gradient
from test_linear import objective_of

from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.objectives.along_directions import AlongDirections, along_directions


def rows(n: int, signal: float, d: int = 6):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, d))
    return X, (rng.logistic(size=n) < signal * X @ rng.standard_normal(d) + 0.7).astype(np.uint8)


def along(n: int, size: int, signal: float, fit_intercept: bool = True, l2: float = 0.01, seed: int = 0):
    X, y = rows(n, signal)
    objective = objective_of(X, y, np.random.default_rng(2).exponential(size=n), "cpu", l2, fit_intercept)
    start = np.zeros(objective.n_params)
    if fit_intercept:
        share = objective.dataset.weights_of_classes(objective.loss) / objective.dataset.weight_total
        start[-1] = np.log(share[1] / share[0])
    grad = objective(start)[1]
    directions = -grad[None]
    if fit_intercept:
        directions = np.vstack([directions, np.eye(1, len(start), len(start) - 1)])
    found = along_directions(objective, start, grad, directions, size, np.random.default_rng(seed))
    return objective, start, directions, found


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_derivatives_are_those_by_differences(fit_intercept):
    *_, found = along(500, 200, 1.0, fit_intercept)
    c = np.array([0.8, -0.3])[: 1 + fit_intercept]
    point = found.at(c)
    np.testing.assert_allclose(point.grad, gradient(lambda at: found.at(at).value, c), rtol=1e-7, atol=1e-9)
    for j in range(len(c)):
        of_slope = gradient(lambda at, j=j: found.at(at).grad[j], c)
        np.testing.assert_allclose(point.hessian[j], of_slope, rtol=1e-7, atol=1e-9)


def test_a_sample_of_all_rows_is_the_objective():
    X, y = rows(400, 1.0)
    objective = objective_of(X, y, None, "cpu", 0.01, True)
    start = np.zeros(7)
    grad = objective(start)[1]
    directions = np.vstack([-grad, np.eye(1, 7, 6)])
    found = along_directions(objective, start, grad, directions, 400, np.random.default_rng(0))
    np.testing.assert_allclose(found.slope, 0.0, atol=1e-14)
    for c in (np.zeros(2), np.array([2.0, 0.4])):
        value, at = objective(start + c @ directions)
        assert found.at(c).value == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(found.at(c).grad, directions @ at, rtol=1e-10, atol=1e-13)


def test_the_minimum_has_no_slope():
    *_, found = along(5000, 600, 2.0)
    c, point = found.minimum()
    assert np.abs(point.grad).max() < 1e-3
    for change in 0.2 * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]):
        assert found.at(c + change).value > point.value


@pytest.mark.parametrize("signal", [0.0, 3.0])
def test_a_sample_tells_the_length_of_the_step(signal):
    """Where labels are noise, too: there it errs at the start as much as at the minimum, and that is known.

    The decrease that is lost is the square of the error; without the correction the error is 3 where labels are noise.
    """
    *_, whole = along(40_000, 40_000, signal)
    truth = whole.minimum()[0]
    lengths = [along(40_000, 500, signal, seed=seed)[3].minimum()[0][0] / truth[0] for seed in range(10)]
    assert np.sqrt(np.mean((np.array(lengths) - 1.0) ** 2)) < 0.4


def test_no_minimum_is_found_where_there_is_none():
    y = np.array([0, 0, 1, 1])
    T = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    found = AlongDirections(Binary(), y, np.full(4, 0.25), 0.0, T, np.zeros(1), np.zeros((1, 1)))
    assert found.minimum() is None or found.minimum()[1].value < 1e-4
    nothing = AlongDirections(Binary(), y, np.full(4, 0.25), 0.0, 0.0 * T, np.zeros(1), np.zeros((1, 1)))
    assert nothing.minimum() is None


def test_rows_that_carry_the_variance_are_noticed_in_the_sample_and_out_of_it():
    objective, _, directions, found = along(5000, 600, 2.0)
    variance = float(directions[0, :6] ** 2 @ objective.column_moments()[1])
    assert not found.is_of_few(variance)
    assert found.is_of_few(3.0 * variance)  # as where a column of all rows varies more than in the sample
    T = found.T.copy()
    T[0, 0] *= 1e4
    assert found._replace(T=T).is_of_few(variance)


def test_the_share_of_rows_with_curvature():
    *_, found = along(5000, 5000, 2.0)
    assert found.at(np.zeros(2)).curved == pytest.approx(1.0 / (found.share @ found.share) / 5000, rel=1e-12)
    assert found.at(np.array([30.0, 0.0])).curved < 0.5 * found.at(np.zeros(2)).curved
