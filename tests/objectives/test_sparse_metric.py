"""The diagonal of the Hessian of several classes of sparse rows, and what a fit has of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.estimators.linear import quasi_newton
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.mathematics.softmax import curvature_diagonal, softmax
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sparse_metric import diagonal_at, softened_diagonal_at
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset


def data(n: int = 200, d: int = 8, K: int = 3):
    """Rows with zeros, labels that depend on them, and weights."""
    rng = np.random.default_rng(0)
    D = np.where(rng.random((n, d)) < 0.3, rng.standard_normal((n, d)) + 0.2, 0.0)
    return D, (D @ rng.standard_normal((d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1), rng.exponential(size=n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_diagonal_metric_of_classes_is_that_of_the_hessian_of_each(fit_intercept, weighted):
    D, y, s = data()
    s = s if weighted else None
    objective = objective_of_classes(D, y, s, 0.03, fit_intercept)
    rng = np.random.default_rng(0)
    params = rng.standard_normal((3, objective.n_params // 3))
    W, b = objective.unpack(params.ravel())
    h = curvature_diagonal(softmax(D @ W.T + b)) * (1.0 if s is None else s[:, None]) / objective.dataset.weight_total
    v, wanted = rng.standard_normal(params.shape), np.empty(params.shape)
    for k in range(3):
        mean = h[:, k] @ D / h[:, k].sum()
        diagonal = h[:, k] @ (D - mean) ** 2 + 0.03
        if fit_intercept:
            T = np.eye(params.shape[1])
            T[-1, :-1], diagonal = -mean, np.append(diagonal, h[:, k].sum())
            wanted[k] = T @ (T.T @ v[k] / diagonal)
        else:
            wanted[k] = np.linalg.solve(np.diag(diagonal) + h[:, k].sum() * np.outer(mean, mean), v[k])
    wanted -= wanted.mean(axis=0)  # steps add up to 0 over the classes
    np.testing.assert_allclose(diagonal_at(objective, params.ravel()).solve(v.ravel()), wanted.ravel(), rtol=1e-10)
    assert objective.reads.total == 1.0


def test_the_softened_diagonal_expects_the_same_decrease():
    D, y, _ = data()
    objective = objective_of_classes(D, y, None, 0.03, True)
    params = np.random.default_rng(0).standard_normal((3, objective.n_params // 3))
    params = (params - params.mean(axis=0)).ravel()
    _, grad = objective(params)
    exact, softened = diagonal_at(objective, params), softened_diagonal_at(objective, params, grad)
    assert grad @ softened.solve(grad) == pytest.approx(grad @ exact.solve(grad), rel=1e-12)
    assert not np.allclose(softened.solve(grad), exact.solve(grad), rtol=0.01)


def objective_of_classes(D, y, s, l2, fit_intercept) -> Objective:
    rows = ResidentDataset.from_arrays(
        csr_rows(sparse.csr_array(D)), y.astype(np.int32), s, Device("cpu"), encoded=True
    )
    return Objective(rows, choose("reference", rows.rows, Device("cpu"), loss_of_classes(3)), l2, fit_intercept)


def test_a_fit_takes_fewer_reads_by_it_on_counts_with_heavy_tails(monkeypatch):
    rng = np.random.default_rng(1)
    n, d, K = 300, 500, 5
    y = rng.integers(0, K, n)
    share = np.exp(0.7 * rng.standard_normal((K, d))) / np.arange(10.0, d + 10.0)
    drawn = np.stack([rng.choice(d, 40, p=share[k] / share[k].sum()) for k in y])
    counts = np.floor(rng.pareto(2.0, drawn.size) + 1.0)
    X = sparse.csr_array((counts, (np.repeat(np.arange(n), 40), drawn.ravel())), shape=(n, d))
    model = LogisticRegression(solver="lbfgs").fit(X, y)
    monkeypatch.setattr(quasi_newton, "_rarely", lambda *_: None)
    plain = LogisticRegression(solver="lbfgs").fit(X, y)
    assert model.converged_
    assert model.n_reads_ < 0.6 * plain.n_reads_


@pytest.mark.parametrize("C", [10.0, 100.0])
def test_two_classes_take_the_exact_diagonal_again_where_the_end_is_far(monkeypatch, C):
    rng = np.random.default_rng(2)
    n, d = 400, 700
    y = rng.integers(0, 2, n)
    share = np.exp(0.7 * rng.standard_normal((2, d))) / np.arange(10.0, d + 10.0)
    drawn = np.stack([rng.choice(d, 60, p=share[k] / share[k].sum()) for k in y])
    counts = np.floor(rng.pareto(1.7, drawn.size) + 1.0)
    X = sparse.csr_array((counts, (np.repeat(np.arange(n), 60), drawn.ravel())), shape=(n, d))
    model = LogisticRegression(solver="lbfgs", C=C).fit(X, y)
    monkeypatch.setattr(quasi_newton, "LATER_STEPS", 10_000)
    once = LogisticRegression(solver="lbfgs", C=C).fit(X, y)
    assert model.converged_
    assert once.converged_
    assert model.objective_ == pytest.approx(once.objective_, rel=1e-8)
    assert model.n_reads_ < 0.7 * once.n_reads_
