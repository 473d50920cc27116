"""The model of L-BFGS for very many parameters gives what the two-loop recursion gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays import blocks, wide_vectors
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric, ClasswiseMetric, WideClasswiseMetric
from gpu_logreg.solvers.lbfgs import lbfgs
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.pairs import Pairs
from gpu_logreg.solvers.wide_pairs import WidePairs

P = 60


class Diagonal:
    def __init__(self, h):
        self._h = h

    def solve(self, v):
        return v / self._h


@pytest.fixture
def all_wide(monkeypatch):
    """Vectors of any length are wide, in pieces of a few numbers."""
    monkeypatch.setattr(wide_vectors, "LEAST_WIDE", 1)
    monkeypatch.setattr(wide_vectors.each_piece, "__defaults__", (7,))


def problem(seed: int = 0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((P, P))
    return A @ A.T / P + np.diag(rng.uniform(0.1, 5.0, P)), rng


@pytest.mark.parametrize("memory", [1, 2, 5])
@pytest.mark.parametrize("has_metric", [False, True])
@pytest.mark.usefixtures("all_wide")
def test_directions_are_those_of_the_recursion(memory, has_metric):
    H, rng = problem()
    metric = Diagonal(H.diagonal()) if has_metric else None
    models = Pairs(metric, memory), WidePairs(metric, memory)
    x = rng.standard_normal(P)
    for n in range(14):
        here = Trial(0.0, x, 0.0, 0.0, H @ x)
        (d, slope, left), (wide_d, wide_slope, wide_left) = (model.propose(here) for model in models)
        np.testing.assert_allclose(wide_d, d, rtol=1e-9, atol=1e-9 * np.abs(d).max())
        assert wide_slope == pytest.approx(slope, rel=1e-9)
        assert wide_left == pytest.approx(left, rel=1e-9)
        assert [model.has_scale for model in models] == [has_metric or n > 0] * 2
        # A step against the curvature is learnt by neither.
        x_then = x + (rng.uniform(0.2, 1.0) * d if n else 0.1 * d)
        grad = H @ x_then if n != 6 else here.grad - (x_then - x)
        after = Trial(1.0, x_then, 0.0, 0.0, grad)
        for model in models:
            model.learn(here, after)
        x = x_then
        if n == 9:
            for model in models:
                model.restart(Diagonal(np.linspace(0.5, 3.0, P)))


@pytest.mark.usefixtures("all_wide")
def test_it_recovers_once():
    H, rng = problem()
    model = WidePairs(None, 3)
    points = [Trial(0.0, x, 0.0, 0.0, H @ x) for x in rng.standard_normal((2, P))]
    assert not model.recover(points[0], 1.0)
    model.propose(points[0])
    model.learn(*points)
    model.propose(points[1])
    assert model.recover(points[1], 1.0)
    np.testing.assert_array_equal(model.propose(points[1])[0], -points[1].grad)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("same_mean", [False, True])
def test_the_diagonals_of_classes_solve_as_one_by_one(monkeypatch, fit_intercept, same_mean):
    rng, d, K = np.random.default_rng(0), 23, 3
    mean, h = rng.standard_normal((K, d)), rng.uniform(0.5, 2.0, (K, d + int(fit_intercept)))
    along = [0.0] * K if fit_intercept else [0.2, 0.0, 1.5]
    means = [mean[0] if same_mean else mean[k] for k in range(K)]
    metrics = [CentredDiagonalMetric(means[k], h[k], fit_intercept, along[k]) for k in range(K)]
    v = rng.standard_normal(h.size)
    monkeypatch.setattr(wide_vectors, "LEAST_COLUMNS", 4)
    monkeypatch.setattr(wide_vectors, "WIDE_PIECE", 4)
    np.testing.assert_allclose(
        WideClasswiseMetric(metrics).solve(v), ClasswiseMetric(metrics).solve(v), rtol=1e-13, atol=1e-14
    )


@pytest.mark.usefixtures("all_wide")
def test_sums_of_wide_vectors(monkeypatch):
    a, b = np.random.default_rng(0).standard_normal((2, 101))
    assert wide_vectors.dot(a, b) == pytest.approx(a @ b, rel=1e-13)
    np.testing.assert_allclose(wide_vectors.moved(a, 0.3, b), a + 0.3 * b, rtol=1e-15)
    W = a[:100].reshape(5, 20)
    monkeypatch.setattr(wide_vectors, "WIDE_PIECE", 15)
    monkeypatch.setattr(wide_vectors, "LEAST_COLUMNS", 1)
    np.testing.assert_array_equal(wide_vectors.transposed(W), W.T)
    for last in (-9.0, np.nan):
        np.testing.assert_equal(wide_vectors.largest(np.append(a, last)), abs(last))


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_fit_of_sparse_rows_is_that_of_vectors_that_are_not_wide(monkeypatch, K, fit_intercept):
    rng = np.random.default_rng(3)
    D = np.where(rng.random((150, 40)) < 0.2, rng.exponential(size=(150, 40)), 0.0)
    y = (D @ rng.standard_normal((40, K)) + rng.gumbel(size=(150, K))).argmax(axis=1)
    fits = []
    for least in (2**18, 1):
        monkeypatch.setattr(wide_vectors, "LEAST_WIDE", least)
        monkeypatch.setattr(wide_vectors, "LEAST_COLUMNS", 6)
        monkeypatch.setattr(wide_vectors, "WIDE_PIECE", 6)
        fits.append(LogisticRegression(solver="lbfgs", fit_intercept=fit_intercept, tol=1e-9).fit(csr_array(D), y))
    assert all(fit.converged_ for fit in fits)
    assert fits[0].loss_curve_[0] == pytest.approx(fits[1].loss_curve_[0], rel=1e-14)
    assert fits[0].loss_curve_[3] == pytest.approx(fits[1].loss_curve_[3], rel=1e-10)
    np.testing.assert_allclose(fits[0].coef_, fits[1].coef_, atol=1e-5)


@pytest.mark.usefixtures("all_wide")
def test_a_fit_is_the_same_with_any_number_of_threads(monkeypatch):
    H, rng = problem(1)
    b, found = rng.standard_normal(P), []
    for n in (1, 2, 5):
        for module in (blocks, wide_vectors):
            monkeypatch.setattr(module, "n_threads", lambda n=n: n)
        result = lbfgs(Quadratic(H, b), np.zeros(P), tol=1e-8)
        assert result.converged
        np.testing.assert_allclose(result.params, np.linalg.solve(H, b), rtol=1e-6, atol=1e-6)
        found.append(result.params.tobytes())
    assert found[0] == found[1] == found[2]


class Quadratic:
    rounding, precision, separable_below = 1e-15, 2.2e-16, 0.0

    def __init__(self, H, b):
        self._H, self._b = H, b

    def widen(self):
        return False

    def __call__(self, x):
        image = self._H @ x
        return float(x @ image / 2 - self._b @ x) + 100.0, image - self._b
