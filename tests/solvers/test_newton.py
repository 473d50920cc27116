"""Newton's method for small data: the point it finds, what it tells, and where it gives way to others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from central_differences import gradient
from naive_sums import naive_objective

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers.costs import newton_is_fastest
from gpu_logreg.solvers.newton import newton

CPU = Device("cpu")


def data(n: int = 300, d: int = 4, dtype: str = "float64"):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d)) * np.geomspace(0.01, 100.0, d) + 3.0
    y = (rng.logistic(size=n) < (X - 3.0) @ (1.0 / np.geomspace(0.01, 100.0, d))).astype(np.uint8)
    s = rng.exponential(size=n) * (rng.random(n) < 0.7)
    return X.astype(dtype), y, s


def whole(X, y, s, l2: float = 0.01, fit_intercept: bool = True):
    dataset = ResidentDataset.from_arrays(X, y, s, CPU)
    objective = Objective(dataset, choose("reference", dataset.rows, CPU), l2, fit_intercept)
    return objective, Sampler(objective, np.random.default_rng(0)).whole()


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_value_gradient_and_hessian(fit_intercept, weighted):
    X, y, s = data()
    objective, sample = whole(X, y, s if weighted else None, fit_intercept=fit_intercept)
    phi = np.random.default_rng(1).standard_normal(4 + fit_intercept)
    value, grad, H = sample.second_order(phi)
    params = sample.coordinates.to_params(phi)
    wanted, wanted_grad = objective(params)
    assert value == pytest.approx(wanted, rel=1e-13)
    np.testing.assert_allclose(sample.coordinates.grad_to_params(grad), wanted_grad, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(gradient(lambda at: sample.second_order(at)[0], phi), grad, rtol=1e-6, atol=1e-8)
    for j in range(len(phi)):
        column = gradient(lambda at, j=j: sample.second_order(at)[1][j], phi)
        np.testing.assert_allclose(column, H[j], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
def test_the_minimum(C, dtype):
    X, y, s = data(dtype=dtype)
    model = LogisticRegression(C=C).fit(X, y, s)
    params = np.append(model.coef_, model.intercept_)
    tight = LogisticRegression(C=C, tol=1e-14).fit(X.astype(np.float64), y, s)
    least = naive_objective(X, y, np.append(tight.coef_, tight.intercept_), C=C, sample_weight=s)
    assert naive_objective(X, y, params, C=C, sample_weight=s) <= least * (1 + 1e-14)
    assert model.objective_ == pytest.approx(least, rel=1e-12)
    # A gradient and a Hessian of all rows with a weight, and the copy of these rows, at every point.
    present = np.count_nonzero(s) / len(s)
    assert model.n_reads_ == pytest.approx(present * (1 + 2 * (model.n_iter_[0] + 1)))


def test_points_and_what_is_left_are_told():
    X, y, s = data()
    _, sample = whole(X, y, s)
    told = []
    result = newton(sample, np.zeros(5), tol=1e-6, max_iter=50, observer=told.append)
    assert result.converged
    assert [iteration.n_iter for iteration in told] == list(range(1, result.n_iter + 1))
    assert [iteration.last for iteration in told] == [False] * (result.n_iter - 1) + [True]
    assert all(after.left < before.left for before, after in itertools.pairwise(told))
    np.testing.assert_array_equal(told[-1].params, result.params)
    assert result.loss_curve == sorted(result.loss_curve, reverse=True)
    stopped = newton(sample, np.zeros(5), tol=1e-6, max_iter=50, observer=lambda iteration: iteration.n_iter == 2)
    assert (stopped.n_iter, stopped.converged, stopped.message) == (2, False, "stopped by a callback")
    np.testing.assert_array_equal(stopped.params, told[1].params)


def test_max_iter():
    X, y, s = data()
    _, sample = whole(X, y, s)
    start = np.full(5, 0.5)
    result = newton(sample, start, tol=1e-6, max_iter=0)
    assert not result.converged
    assert result.message.startswith("max_iter = 0 reached with max |grad| = ")
    np.testing.assert_array_equal(result.params, sample.coordinates.to_params(start))


class Stub:
    """An objective of one parameter in coordinates of its own."""

    def __init__(self, function) -> None:
        self.second_order = function
        self.coordinates = self

    to_params = grad_to_params = staticmethod(lambda v: v)
    rounding_at = staticmethod(lambda phi, value: 1e-16)


@pytest.mark.parametrize(
    "function",
    [
        lambda phi: (np.nan, phi, np.eye(1)),
        lambda phi: (float(phi @ phi), 2 * phi, np.full((1, 1), np.nan)),
        lambda phi: (-float(phi @ phi), 2 * phi, 2 * np.eye(1)),  # a gradient of the wrong sign: no lower value
    ],
)
def test_gives_way_where_it_finds_no_way_on(function):
    assert newton(Stub(function), np.ones(1), tol=1e-6, max_iter=10) is None


def test_steps_that_overshoot_are_halved():
    def function(phi):  # log cosh: beyond 1.09 full Newton steps run away
        return 1.0 + float(np.log(np.cosh(phi[0]))), np.tanh(phi), np.array([[1.0 / np.cosh(phi[0]) ** 2]])

    steps = []
    result = newton(Stub(function), np.array([1.3]), tol=1e-8, max_iter=50, observer=lambda i: steps.append(i.step))
    assert result.converged
    assert abs(result.params[0]) < 1e-8
    assert min(steps) < 1.0


def test_separable_classes_without_a_penalty_are_named():
    X = np.linspace(-1, 1, 50)[:, None]
    with pytest.warns(match="the classes look separable"):
        model = LogisticRegression(C=np.inf).fit(X, X[:, 0] > 0)
    assert not model.converged_


def test_a_bad_value_in_any_row_is_named():
    X, y, s = data()
    X[7, 2] = np.inf
    s[7] = 0.0
    with pytest.raises(DataError, match="infinity at row 7, column 2"):
        LogisticRegression().fit(X, y, s)


def test_it_is_for_small_data_alone():
    assert newton_is_fastest(569, 31)
    assert not newton_is_fastest(2001, 3)
    assert not newton_is_fastest(2000, 100)


def test_a_value_that_is_rounded_more_than_steps_gain_ends_no_fit_early():
    """Steps that the value cannot judge are taken, and what is left falls on; where it does not, rounding is named."""
    rng = np.random.default_rng(0)

    def function(phi, least=0.0):
        value = 1.0 + 0.5 * float(phi @ phi) + 1e-10 * rng.uniform(-1.0, 1.0)
        return value, 1.5 * phi + least, np.eye(1) * 3.0  # steps that halve what they should take away

    class Rounded(Stub):
        rounding_at = staticmethod(lambda phi, value: 1e-9)

    result = newton(Rounded(function), np.ones(1), tol=1e-10, max_iter=200)
    assert result.converged
    assert abs(result.params[0]) < 1e-9
    result = newton(
        Rounded(lambda phi: function(phi, 1e-5 * rng.uniform(0.5, 1.0))), np.ones(1), tol=1e-10, max_iter=200
    )
    assert "it is the rounding of the value" in result.message
    assert result.stuck  # for a certificate to decide
