"""A Hessian that is whole along a few directions of the columns, and a Kronecker product along all others."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.hessian_form import HessianForm
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers.costs import leading_directions, leading_price
from gpu_logreg.solvers.kronecker import KroneckerFactor, LeadingDirections, LeadingFactor

EPS = float(np.finfo(np.float64).eps)


def factors(p: int, K: int, ridge: float):
    """Mean factors of rows in ``p`` columns of falling variance, and a ridge that differs by column."""
    rng = np.random.default_rng([p, K])
    U = rng.standard_normal((200, p)) @ (rng.standard_normal((p, p)) * np.geomspace(1.0, 0.05, p)[:, None])
    P = rng.dirichlet(np.ones(K), 200)
    B = np.diag(P.mean(axis=0)) - P.T @ P / 200
    return U.T @ U / 200, B, ridge * 10.0 ** rng.uniform(-2, 2, p)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 1.0])
def test_along_the_others_both_factors_and_the_penalty_are_diagonal(ridge):
    A, B, penalty = factors(12, 4, ridge)
    found = LeadingDirections(A, B, penalty, 5)
    t, Q = np.linalg.eigh(B)
    np.testing.assert_allclose(np.abs(Q), np.abs(found.Q))
    for t_k, diagonal in zip(t[1:], found.diagonal[1:], strict=True):
        by_rest = found.rest.T @ (t_k * A + np.diag(penalty)) @ found.rest
        np.testing.assert_allclose(by_rest, np.diag(diagonal), atol=1e-9)
    np.testing.assert_allclose(found.leading.T @ A @ found.rest, 0.0, atol=1e-9)
    assert np.linalg.matrix_rank(np.hstack([found.leading, found.rest])) == 12


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_with_the_product_along_the_leading_directions_it_is_the_product(ridge):
    A, B, _ = factors(12, 4, 0.0)
    penalty = np.full(12, ridge)  # the same for all columns, so that no two directions share any
    found = LeadingDirections(A, B, penalty, 5)
    t, Q = np.linalg.eigh(B)
    t[0] = t[1:].mean()
    E = found.leading
    whole = np.kron((Q * t) @ Q.T, E.T @ A @ E) + np.kron(np.eye(4), E.T @ (penalty[:, None] * E))
    v = np.random.default_rng(0).standard_normal(48)
    expected = KroneckerFactor(A, B, penalty).solve(v)
    found_solution = LeadingFactor(found, Factor(whole)).solve(v)
    np.testing.assert_allclose(found_solution, expected, atol=1e-8 * np.abs(expected).max())


def sample(K: int, l2: float, n: int = 300, d: int = 8):
    """All rows as a sample."""
    rng = np.random.default_rng(K)
    X, y, loss = rng.standard_normal((n, d)) * np.geomspace(1.0, 0.1, d), rng.integers(0, K, n), Classes(K)
    data = ResidentDataset.from_arrays(X, y.astype(np.int32), None, Device("cpu"), encoded=True)
    objective = Objective(data, choose("reference", data.rows, Device("cpu"), loss), l2, True)
    objective.column_moments()
    return Sampler(objective, rng).sample(n), objective, rng


def test_along_all_directions_it_is_the_hessian():
    found, objective, rng = sample(4, 0.02)
    phi = rng.standard_normal(objective.n_params)
    H = np.asarray(found.curvature_sum(phi)) / found.weight_total + np.diag(found.packed_penalty)
    directions = found.leading_directions(phi, 9)
    v = rng.standard_normal((4, 9))
    v = (v - v.mean(axis=0)).ravel()  # as gradients are
    reads = objective.reads.total
    metric = found.leading_metric(phi, directions)
    assert objective.reads.total == reads + 1.0
    np.testing.assert_allclose(H @ metric.factor.solve(v), v, atol=1e-10)


def test_probabilities_of_certain_rows_are_no_denormal_numbers(monkeypatch):
    found, objective, rng = sample(3, 0.02)
    phi, seen, curvature = 1e4 * rng.standard_normal(objective.n_params), [], objective.engine.curvature
    monkeypatch.setattr(objective.engine, "curvature", lambda rows, at: seen.append(rows.rows.X) or curvature(rows, at))
    metric = found.leading_metric(phi, found.leading_directions(phi, 4))
    logits = seen[0][:, 4:]
    assert logits.max() == 0.0
    assert np.exp(2.0 * logits.min()) > 1e6 * np.finfo(np.float64).tiny
    assert np.isfinite(metric.factor.solve(np.ones(objective.n_params))).all()


def test_few_directions_are_taken_of_few_columns_and_none_where_the_hessian_is_whole():
    assert leading_directions(Classes(10).hessian_form(7850)) == 200
    assert leading_directions(Classes(10).hessian_form(1000)) == 0  # whole
    assert leading_directions(Classes(20).hessian_form(20 * 5001)) == 0  # their eigenvectors would take too long
    assert leading_directions(Classes(500).hessian_form(500 * 101)) == 0  # four of each class
    form = HessianForm(7850, 785, False, True, 2.0 * 785**2, 10 * 785**3 / 3.0)
    assert 25.0 < leading_price(60_000, form) < 60.0
