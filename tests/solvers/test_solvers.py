"""The solvers on functions whose minimum is known, with every evaluation counted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.linalg import norm

from gpu_logreg.solvers import Iteration
from gpu_logreg.solvers.corrected_metric import CorrectedMetric
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric, ClasswiseMetric
from gpu_logreg.solvers.gradient_descent import gradient_descent
from gpu_logreg.solvers.lbfgs import lbfgs
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.watch import LATE, late

EPS = float(np.finfo(np.float64).eps)


class Counted:
    """A function as the solvers see one: value and gradient together, each call a read."""

    rounding = 4 * EPS
    precision = EPS
    separable_below = -np.inf

    def __init__(self, value_and_grad) -> None:
        self._value_and_grad = value_and_grad
        self.points: list[np.ndarray] = []
        self.values: list[float] = []

    def widen(self) -> bool:
        return False

    def __call__(self, params):
        self.points.append(params.copy())
        value, grad = self._value_and_grad(params)
        self.values.append(float(value))
        return float(value), grad

    @property
    def n_reads(self) -> int:
        return len(self.points)


def quadratic(condition: float, p: int = 12):
    """``(x - m)' A (x - m) / 2 + 3`` with eigenvalues from 1 to ``condition``; returns it with its A and m."""
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.standard_normal((p, p)))
    A = (basis * np.geomspace(1, condition, p)) @ basis.T
    m = rng.standard_normal(p)
    return Counted(lambda x: (0.5 * (x - m) @ A @ (x - m) + 3, A @ (x - m))), A, m


def logsumexp():
    """Convex, smooth, curved very differently from place to place: ``log sum exp(A x) + |x|**2 / 200``."""
    A = np.random.default_rng(4).standard_normal((30, 5)) * [1, 1, 3, 0.3, 10]

    def value_and_grad(x):
        z = A @ x
        e = np.exp(z - z.max())
        return np.log(e.sum()) + z.max() + x @ x / 200, A.T @ (e / e.sum()) + x / 100

    return Counted(value_and_grad)


def rosenbrock():
    def value_and_grad(x):
        u, v = 1 - x[0], x[1] - x[0] ** 2
        return u**2 + 100 * v**2, np.array([-2 * u - 400 * v * x[0], 200 * v])

    return Counted(value_and_grad)


class Exact:
    """The true curvature of a quadratic."""

    def __init__(self, A) -> None:
        self._A = A

    def solve(self, v):
        return np.linalg.solve(self._A, v)


def rightly_stopped(result, grad, tol: float) -> bool:
    """Whether the criterion that the message names does hold."""
    if "rounding" in result.message:
        return result.converged  # then the value has to be right, which every caller looks at
    return result.converged and norm(grad, np.inf) <= tol


@pytest.mark.parametrize(("condition", "reads"), [(1.0, 4), (10.0, 30), (1e4, 360)])
def test_lbfgs_on_quadratics(condition, reads):
    f, A, m = quadratic(condition)
    result = lbfgs(f, np.zeros(len(m)), tol=1e-7)
    assert rightly_stopped(result, A @ (result.params - m), 1e-7)
    np.testing.assert_allclose(result.params, m, atol=1e-6)
    assert result.value == pytest.approx(3.0, abs=1e-12)
    assert f.n_reads <= reads


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e10])
def test_lbfgs_with_the_exact_metric_needs_a_newton_step(condition):
    f, A, m = quadratic(condition)
    result = lbfgs(f, np.zeros(len(m)), tol=1e-3, metric=Exact(A))
    assert result.converged
    assert f.n_reads <= 3
    np.testing.assert_allclose(result.params, m, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [logsumexp, rosenbrock])
def test_lbfgs_on_curved_functions(make):
    f = make()
    result = lbfgs(f, np.full(5 if make is logsumexp else 2, -1.2), tol=1e-7)
    reads = f.n_reads
    value, grad = f(result.params)
    assert rightly_stopped(result, grad, 1e-7)
    assert norm(grad, np.inf) <= 1e-6
    assert value == result.value
    np.testing.assert_array_equal(grad, result.grad)
    if make is rosenbrock:
        np.testing.assert_allclose(result.params, [1, 1], atol=1e-7)
    assert reads < 100


def test_the_curve_of_lbfgs_falls_and_is_what_was_evaluated():
    f = logsumexp()
    told: list[Iteration] = []
    result = lbfgs(f, np.ones(5), tol=1e-9, observer=told.append)
    assert len(result.loss_curve) == result.n_iter + 1
    assert result.loss_curve[0] == f.values[0]
    assert result.loss_curve[-1] == result.value
    assert set(result.loss_curve) <= set(f.values)
    assert (np.diff(result.loss_curve) <= f.rounding * np.abs(result.loss_curve[:-1])).all()
    assert [step.n_iter for step in told] == list(range(1, result.n_iter + 1))
    assert [step.value for step in told] == result.loss_curve[1:]
    assert [step.last for step in told] == [False] * (result.n_iter - 1) + [True]
    assert f.n_reads >= result.n_iter + 1
    for step in told:
        value, grad = f(step.params)
        assert value == step.value
        assert step.grad_max == norm(grad, np.inf)


def test_lbfgs_accepts_the_start_if_it_is_the_minimum():
    f, _, m = quadratic(10.0)
    result = lbfgs(f, m.copy())
    assert result.converged
    assert (result.n_iter, f.n_reads) == (0, 1)
    assert result.loss_curve == [3.0]


def test_lbfgs_without_iterations_evaluates_and_says_so():
    f, _, m = quadratic(10.0)
    start = np.zeros(len(m))
    result = lbfgs(f, start, max_iter=0)
    assert not result.converged
    assert (result.n_iter, f.n_reads) == (0, 1)
    np.testing.assert_array_equal(result.params, start)
    assert "max_iter = 0 reached" in result.message


def test_lbfgs_names_the_criterion():
    f, _, m = quadratic(1e4)
    unmet = lbfgs(f, np.zeros(len(m)), max_iter=3, tol=1e-5)
    assert not unmet.converged
    assert unmet.n_iter == 3
    assert unmet.message.startswith("max_iter = 3 reached with max |grad| = ")
    assert unmet.message.endswith("tol = 1e-05")
    met = lbfgs(f, np.zeros(len(m)), tol=1e-5)
    assert met.message.startswith("max |grad| = ")
    assert met.message.endswith("<= tol = 1e-05")


def test_lbfgs_leaves_its_start_alone():
    f = logsumexp()
    start = np.ones(5)
    lbfgs(f, start)
    np.testing.assert_array_equal(start, 1.0)


def test_lbfgs_comes_back_from_where_the_function_is_not_finite():
    def value_and_grad(x):
        if x[0] >= 1:  # -log(1 - x) has a wall; beyond it there is nothing
            return np.inf, np.full(1, np.nan)
        return -np.log1p(-x[0]) - 2 * x[0], np.array([1 / (1 - x[0]) - 2])

    f = Counted(value_and_grad)
    result = lbfgs(f, np.zeros(1), metric=Exact(np.array([[0.05]])), tol=1e-10)  # the first step goes 20 times too far
    assert max(point[0] for point in f.points) >= 1
    assert result.converged
    assert result.params[0] == pytest.approx(0.5, abs=1e-7)
    assert np.isfinite(result.loss_curve).all()


def test_lbfgs_gives_up_where_rounding_hides_every_descent():
    # The gradient is a lie: no step lowers the value, so nothing may be claimed, and soon.
    f = Counted(lambda x: (1.0 + norm(x) ** 2, -2 * x - 1.0))
    result = lbfgs(f, np.zeros(2), tol=1e-9)
    assert not result.converged
    assert "no lower value within rounding" in result.message
    assert result.value <= 1.0 + f.rounding
    assert f.n_reads <= 100


def test_lbfgs_soon_stops_at_a_gradient_that_rounding_keeps_above_tol():
    # As with float32 rows: value and gradient carry noise, and no tolerance below it can be met.
    rng = np.random.default_rng(0)
    _, A, m = quadratic(100.0)
    noise = 1e-6

    def value_and_grad(x):
        exact = 0.5 * (x - m) @ A @ (x - m) + 3
        return exact * (1 + noise * rng.standard_normal()), A @ (x - m) + noise * rng.standard_normal(len(x))

    f = Counted(value_and_grad)
    f.rounding = f.precision = noise
    result = lbfgs(f, np.zeros(len(m)), tol=1e-9)
    assert norm(A @ (result.params - m), np.inf) < 0.05
    assert f.n_reads < 300, result.message


@pytest.mark.parametrize("solve", [lbfgs, gradient_descent])
def test_a_function_without_a_minimum_is_no_success(solve):
    # exp(-x) falls for ever: small gradients are reached, and no optimum.
    f = Counted(lambda x: (float(np.exp(-x[0])), -np.exp(-x)))
    f.separable_below = 1e-3
    result = solve(f, np.zeros(1), tol=1e-4)
    assert not result.converged
    assert "separable" in result.message
    assert result.value < 1e-3
    f.separable_below = -np.inf
    result = solve(f, np.zeros(1), tol=1e-4)
    assert norm(result.grad, np.inf) <= 1e-4


@pytest.mark.parametrize("solve", [lbfgs, gradient_descent])
def test_an_observer_stops_a_solver(solve):
    f = logsumexp()
    result = solve(f, np.ones(5), observer=lambda step: step.n_iter == 2)
    assert not result.converged
    assert result.n_iter == 2
    assert result.message == "stopped by a callback"
    assert result.value == result.loss_curve[-1]


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_centred_diagonal_metric_is_the_inverse_of_its_matrix(fit_intercept):
    mean, variance = np.array([1.0, -200.0, 0.0]), np.array([0.5, 3.0, 1e-4])
    curvature, l2 = 0.2, 0.01
    metric = CentredDiagonalMetric.of_moments(mean, variance, curvature, l2, fit_intercept)
    h = curvature * (variance if fit_intercept else np.maximum(variance, 1e-6 * mean**2)) + l2
    if fit_intercept:
        # phi = [w, b + mean @ w] is centred; H = S' diag(h) S with S the matrix of that map.
        S = np.eye(4)
        S[3, :3] = mean
        H = S.T @ np.diag(np.append(h, curvature)) @ S
    else:
        H = np.diag(h) + curvature * np.outer(mean, mean)
    for v in np.eye(len(H)):
        np.testing.assert_allclose(H @ metric.solve(v), v, atol=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_centred_diagonal_metric_is_the_hessian_at_zero_where_columns_do_not_correlate(fit_intercept):
    X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * [2.0, 0.5] + [3.0, -7.0]
    x = np.column_stack([X, np.ones(4)]) if fit_intercept else X
    H = 0.25 * x.T @ x / 4 + np.diag([0.1, 0.1, 0.0][: x.shape[1]])
    metric = CentredDiagonalMetric.of_moments(X.mean(0), X.var(0), 0.25, 0.1, fit_intercept)
    for v in np.eye(len(H)):
        np.testing.assert_allclose(metric.solve(H @ v), v, atol=1e-10)


def test_centred_diagonal_metric_is_finite_for_constant_columns():
    metric = CentredDiagonalMetric.of_moments(np.array([5.0, 0.0]), np.zeros(2), 0.2, 0.0, True)
    v = np.array([1.0, 2.0, 3.0])
    assert np.isfinite(metric.solve(v)).all()
    assert v @ metric.solve(v) > 0


def test_steps_of_all_classes_add_up_to_nothing():
    rng = np.random.default_rng(0)
    metrics = [CentredDiagonalMetric.of_moments(np.zeros(3), np.ones(3), c, 0.01, True) for c in (0.1, 0.2, 0.02)]
    v = rng.standard_normal((3, 4))
    v -= v.mean(axis=0)
    solved = ClasswiseMetric(metrics).solve(v.ravel())
    np.testing.assert_allclose(solved.reshape(3, 4).sum(axis=0), 0.0, atol=1e-12)
    assert solved @ v.ravel() > 0.0


def test_lbfgs_that_takes_long_is_given_the_curvature():
    """Of a condition for which gradients alone need thousands of steps."""
    function, A, m = quadratic(1e12, p=40)
    asked = []

    def curvature(params):
        asked.append(len(function.points))
        return Exact(A)

    slow_one = lbfgs(quadratic(1e12, p=40)[0], np.zeros(40), tol=1e-10, max_iter=2 * LATE)
    result = lbfgs(function, np.zeros(40), tol=1e-10, max_iter=2 * LATE, refresh=late(curvature))
    assert not slow_one.converged
    assert result.converged
    assert result.n_iter <= LATE + 10
    assert asked
    assert norm(result.params - m) < 1e-3


def test_the_curvature_is_late_and_what_is_asked_before_is_asked_for_first():
    here = Trial(0.0, np.zeros(1), 1.0, 0.0, np.zeros(1))
    refresh = late(lambda params: "late", lambda here, left: "first")
    assert [refresh(here, 1.0) for _ in range(LATE)] == ["first"] * (LATE - 1) + ["late"]
    assert [refresh(here, 0.1**k) for k in range(5)] == [None] * 5


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_corrected_metric_has_the_given_curvature_along_its_directions_and_its_own_across(fit_intercept):
    rng = np.random.default_rng(0)
    mean, variance = np.array([1.0, -2.0, 0.0]), np.array([0.5, 3.0, 0.1])
    metric = CentredDiagonalMetric.of_moments(mean, variance, 0.2, 0.01, fit_intercept)
    p = 3 + fit_intercept
    M = np.linalg.inv(np.stack([metric.solve(v) for v in np.eye(p)]))
    D, C = rng.standard_normal((2, p)), np.array([[2.0, 0.3], [0.3, 1.0]])
    np.testing.assert_allclose(metric.forms(D), D @ M @ D.T, rtol=1e-10)
    corrected = CorrectedMetric(metric, D, metric.forms(D), C)
    H = np.linalg.inv(np.stack([corrected.solve(v) for v in np.eye(p)]))
    np.testing.assert_allclose(D @ H @ D.T, C, rtol=1e-9)
    across = np.linalg.svd(D @ M)[2][2:]  # orthogonal by M
    np.testing.assert_allclose(across @ H @ across.T, across @ M @ across.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(D @ H @ across.T, 0.0, atol=1e-10)
