"""Conjugate gradients, and Newton's method with the steps they give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_logreg.solvers.conjugate_gradients import conjugate_gradients
from gpu_logreg.solvers.newton_cg import newton_cg

EPS = float(np.finfo(np.float64).eps)


class Exact:
    """A metric that is the matrix itself."""

    def __init__(self, H) -> None:
        self._inverse = np.linalg.inv(H)

    def solve(self, v):
        return self._inverse @ v


class Scaled:
    """A diagonal metric."""

    def __init__(self, diagonal) -> None:
        self._diagonal = diagonal

    def solve(self, v):
        return v / self._diagonal


def matrix(p: int, condition: float, seed: int):
    """A symmetric matrix with eigenvalues from 1 to ``condition``."""
    rng = np.random.default_rng([p, seed])
    basis, _ = np.linalg.qr(rng.standard_normal((p, p)))
    return (basis * np.geomspace(1.0, condition, p)) @ basis.T, rng.standard_normal(p)


class Logistic:
    """The mean loss of two classes with a ridge, in plain NumPy, with its Hessian; every walk over rows is counted."""

    rounding = 4 * EPS
    precision = EPS
    separable_below = 0.0

    def __init__(self, n: int, p: int, l2: float, seed: int = 0, scale: float = 1.0) -> None:
        rng = np.random.default_rng([n, p, seed])
        self.X = rng.standard_normal((n, p)) * scale ** rng.uniform(-1, 1, p)
        self.y = (self.X @ (rng.standard_normal(p) / np.sqrt(p)) + rng.logistic(size=n) > 0).astype(float)
        self.l2, self.reads, self.hessians = l2, 0, 0

    def widen(self) -> bool:
        return False

    def __call__(self, w):
        return self.with_curvature(w)[:2]

    def with_curvature(self, w):
        self.reads += 1
        z = self.X @ w
        value = float(np.mean(np.logaddexp(0, z) - self.y * z) + 0.5 * self.l2 * w @ w)
        dz = 1.0 / (1.0 + np.exp(-z)) - self.y
        return value, self.X.T @ dz / len(z) + self.l2 * w, self._hessian(z)

    def curvature_at(self, w):
        self.hessians += 1
        return self._hessian(self.X @ w)

    def _hessian(self, z):
        p = 1.0 / (1.0 + np.exp(-z))
        return (self.X * (p * (1 - p) / len(z))[:, None]).T @ self.X + self.l2 * np.eye(self.X.shape[1])

    def minimum(self) -> float:
        w = np.zeros(self.X.shape[1])
        for _ in range(100):
            value, grad, H = self.with_curvature(w)
            step = np.linalg.solve(H, grad)
            while self(w - step)[0] > value + 1e-15:
                step = step / 2
            w = w - step
        return self(w)[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 25), st.floats(1.0, 1e6), st.integers(0, 10**6))
def test_the_solution_of_a_linear_system(p, condition, seed):
    H, b = matrix(p, condition, seed)
    found = conjugate_gradients(H.__matmul__, b, None, forcing=1e-13, most=30 * p)
    exact = np.linalg.solve(H, b)
    error = found.step - exact
    assert error @ H @ error <= 1e-8 * (exact @ H @ exact)
    assert found.decrease == pytest.approx(0.5 * b @ exact, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.floats(1.0, 1e5), st.integers(0, 10**6), st.floats(0.01, 0.5))
def test_what_is_left_is_bounded_from_above_where_the_smallest_eigenvalue_is_known(p, condition, seed, forcing):
    H, b = matrix(p, condition, seed)
    found = conjugate_gradients(H.__matmul__, b, None, forcing, most=100, smallest=1.0)
    exact = 0.5 * b @ np.linalg.solve(H, b)
    assert exact - found.decrease <= found.left + 1e-9 * exact
    assert found.left <= forcing * found.decrease or found.n_products == 100


@pytest.mark.parametrize("seed", range(5))
def test_a_share_of_the_decrease_may_be_left_and_more_exact_steps_take_more_products(seed):
    H, b = matrix(200, 1e3, seed)
    exact = 0.5 * b @ np.linalg.solve(H, b)
    loose, tight = (conjugate_gradients(H.__matmul__, b, None, forcing, most=400) for forcing in (0.1, 1e-6))
    assert loose.n_products < tight.n_products < 200
    assert exact - loose.decrease <= 0.1 * exact
    assert exact - tight.decrease <= 1e-6 * exact


def test_a_metric_that_is_the_matrix_needs_one_product():
    H, b = matrix(30, 1e4, 0)
    found = conjugate_gradients(H.__matmul__, b, Exact(H), forcing=1e-6, most=50)
    assert found.n_products == 1
    np.testing.assert_allclose(found.step, np.linalg.solve(H, b), rtol=1e-8)
    assert found.rate < 1e-6


class Rounding(Exact):
    """A metric whose answers to next to nothing are rounding alone."""

    def solve(self, v):
        return super().solve(v) if np.abs(v).max() > 1e-12 else -v


def test_a_metric_that_rounds_more_than_is_left_leaves_nothing():
    H, b = matrix(4, 3.0, 0)
    found = conjugate_gradients(H.__matmul__, b, Rounding(H), forcing=0.0, most=10)
    assert (found.left, found.rate) == (0.0, 0.0)
    np.testing.assert_allclose(found.step, np.linalg.solve(H, b), rtol=1e-12)


@pytest.mark.parametrize("condition", [1e12, 1e18])
def test_the_smallest_eigenvalue_stays_above_zero(condition):
    H, b = matrix(40, condition, 3)
    found = conjugate_gradients(H.__matmul__, b, None, forcing=0.0, most=200)
    assert found.smallest > 0.0
    assert found.left >= 0.0


def test_nothing_to_solve_and_a_direction_without_curvature():
    H = np.diag([1.0, 0.0])
    nothing = conjugate_gradients(H.__matmul__, np.zeros(2), None, 0.1, 10)
    assert (nothing.n_products, nothing.decrease, nothing.rate) == (0, 0.0, 1.0)
    flat = conjugate_gradients(H.__matmul__, np.array([0.0, 1.0]), None, 0.1, 10)
    assert not flat.step.any()
    assert (flat.left, flat.rate) == (np.inf, 1.0)  # nothing is known of such a direction, least of all that it is done
    assert conjugate_gradients(H.__matmul__, np.ones(2), None, 0.1, most=0).n_products == 0


@pytest.mark.parametrize(("n", "p", "l2", "scale"), [(400, 10, 1e-3, 1.0), (60, 200, 1e-2, 1.0), (300, 40, 1e-6, 30.0)])
@pytest.mark.parametrize("diagonal", [False, True])
def test_the_minimum_of_a_logistic_loss(n, p, l2, scale, diagonal):
    objective = Logistic(n, p, l2, scale=scale)
    least = objective.minimum()
    metric_at = (lambda params, H, before: Scaled(H.diagonal())) if diagonal else None
    result = newton_cg(objective, np.zeros(p), tol=1e-6, max_iter=200, metric_at=metric_at)
    assert result.converged, result.message
    assert objective(result.params)[0] - least <= 2e-9 * least
    assert result.loss_curve == sorted(result.loss_curve, reverse=True)


def test_a_quadratic_takes_one_step_and_a_look_at_its_end():
    H, m = matrix(20, 100.0, 1)

    class Quadratic(Logistic):
        def __init__(self) -> None:
            self.reads = self.hessians = 0

        def with_curvature(self, w):
            self.reads += 1
            return float(0.5 * (w - m) @ H @ (w - m) + 3.0), H @ (w - m), H

    objective = Quadratic()
    metric_at = lambda params, hessian, before: Exact(H)  # noqa: E731
    result = newton_cg(objective, np.zeros(20), tol=1e-9, max_iter=10, metric_at=metric_at)
    assert (result.n_iter, objective.reads, objective.hessians) == (1, 2, 0)
    np.testing.assert_allclose(result.params, m, rtol=1e-7)


def test_the_hessian_of_a_point_that_the_search_came_back_to_is_computed_again():
    objective = Logistic(200, 5, 1e-3)
    exact = objective.minimum()

    class TooLong(Scaled):  # steps ten times too long, so that the search has to come back
        def solve(self, v):
            return 10.0 * super().solve(v)

    result = newton_cg(objective, np.zeros(5), tol=1e-6, max_iter=100, metric_at=lambda *_: TooLong(np.full(5, 1e-3)))
    assert result.converged
    assert result.value == pytest.approx(exact, rel=1e-8)


def test_the_next_preconditioner_sees_what_the_last_was_worth():
    objective, seen = Logistic(300, 20, 1e-3, scale=10.0), []

    def metric_at(params, hessian, before):
        seen.append(before)
        np.testing.assert_allclose(hessian, objective._hessian(objective.X @ params))
        return Scaled(hessian.diagonal())

    result = newton_cg(objective, np.zeros(20), tol=1e-6, max_iter=50, metric_at=metric_at)
    assert seen[0] is None
    assert len(seen) == result.n_iter + 1
    assert all(0.0 <= step.rate < 1.0 for step in seen[1:])


def test_a_callback_and_the_largest_number_of_steps_end_it():
    objective = Logistic(300, 20, 1e-3)
    assert newton_cg(objective, np.zeros(20), tol=1e-6, max_iter=50, observer=lambda it: it.n_iter == 2).n_iter == 2
    result = newton_cg(objective, np.zeros(20), tol=1e-6, max_iter=1)
    assert not result.converged
    assert "max_iter = 1 reached" in result.message
