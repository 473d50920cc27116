"""An objective by the numbers of its rows, held to the objective by weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.objectives import row_space
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.row_space import RowSpace
from gpu_logreg.passes import row_space as passes
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset


def spaces(K: int, fit_intercept: bool, dtype=np.float64, n=12, d=30, impl="reference"):
    rng = np.random.default_rng(K)
    X = np.abs(3.0 * rng.standard_normal((n, d)) + 2.0).astype(dtype)
    if impl == "cpu":  # sparse rows, one of them without an element
        X = csr_rows(sparse.csr_array(X * (rng.random((n, d)) < 0.4) * (np.arange(n) != 3)[:, None]))
    y = rng.integers(0, K, n)
    s = rng.exponential(size=n)
    device, loss = Device("cpu"), Binary() if K == 2 else Classes(K)
    y = y.astype(loss.label_dtype)
    data = ResidentDataset.from_arrays(X, y, s, device, encoded=True)
    objective = Objective(data, choose(impl, data.rows, device, loss), 0.05, fit_intercept)
    objective.column_moments()
    return RowSpace(objective), objective, rng


@pytest.mark.parametrize(("K", "impl"), [(2, "reference"), (3, "reference"), (3, "cpu")])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_value_and_gradient_are_those_by_weights(K, impl, fit_intercept):
    rows, objective, rng = spaces(K, fit_intercept, impl=impl)
    a, b = 0.01 * rng.standard_normal((12, rows.n_logits)), rng.standard_normal(rows.n_logits) * fit_intercept
    a -= a.mean(axis=1, keepdims=True) * (K > 2)
    Ga = rows.image(a)
    at = rows.at(Ga + b)
    value, grad = objective(rows.params(a, b))
    assert at.loss + 0.5 * rows.l2 * float((a * Ga).sum()) == pytest.approx(value, rel=1e-12)
    w_part = objective.unpack(grad)[0]
    X = objective.dataset.rows.X
    centred = (X.toarray() if impl == "cpu" else X) - (objective.centre if fit_intercept else 0.0)
    by_rows = (at.dz + rows.l2 * a).T @ centred  # of centred columns: grad_w - centre grad_b
    db = np.atleast_1d(objective.unpack(grad)[1])[:, None]
    np.testing.assert_allclose(
        by_rows, np.atleast_2d(w_part) - (objective.centre * db if fit_intercept else 0.0), atol=1e-13
    )
    assert rows.largest_gradient(at.dz + rows.l2 * a) == pytest.approx(np.abs(by_rows).max())


@pytest.mark.parametrize("K", [2, 3])
def test_second_derivatives_are_those_of_the_loss(K):
    rows, _, rng = spaces(K, True)
    Z = rng.standard_normal((12, rows.n_logits))
    T = rng.standard_normal((4, 12 * rows.n_logits))
    unit = np.kron(np.ones(12), np.eye(rows.n_logits))
    along, T, h = rows.at(Z).along(T, True), np.concatenate([unit, T]), 1e-6
    rise = [(rows.at(Z + h * t.reshape(Z.shape)).dz - rows.at(Z - h * t.reshape(Z.shape)).dz) / (2 * h) for t in T]
    np.testing.assert_allclose(along, T @ np.array(rise).reshape(len(T), -1).T, atol=1e-8)


def test_pieces_of_many_logits_are_the_same(monkeypatch):
    rows, _, rng = spaces(3, True, n=53)
    Z, T = rng.standard_normal((53, 3)), rng.standard_normal((4, 53 * 3))
    at, along = rows.at(Z), rows.at(Z).along(T)
    monkeypatch.setattr(wide_vectors, "LEAST_WIDE", 1)
    monkeypatch.setattr(row_space, "WIDE_PIECE", 50)
    by_pieces = rows.at(Z)
    for name in ("loss", "dz", "curvature"):
        np.testing.assert_allclose(getattr(by_pieces, name), getattr(at, name), rtol=1e-14)
    np.testing.assert_allclose(by_pieces.along(T), along, rtol=1e-12)


@pytest.mark.parametrize("K", [2, 40])
def test_sums_of_sparse_rows_are_those_of_their_columns(K):
    rows, objective, rng = spaces(K, True, impl="cpu")
    data, centre = objective.dataset, objective.centre
    V, W = rng.standard_normal((12, rows.n_logits)), rng.standard_normal((rows.n_logits, 30))
    centred = data.rows.X.toarray() - centre
    close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
    close(rows.image(V), centred @ (centred.T @ V), atol=1e-10)
    close(passes.sums_of_rows(data, V, centre), V.T @ centred)
    close(passes.products_with_rows(data, W, centre), centred @ W.T)
    close(passes.mean_square(data) * 12, (data.rows.X.toarray() ** 2).sum())


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_the_gram_matrix_gives_the_same_products(dtype):
    rows, objective, rng = spaces(3, True, dtype)
    V = rng.standard_normal((12, 3))
    reads = objective.reads.total
    image = rows.image(V)
    assert objective.reads.total == reads + 1.0
    rows.keep_gram()
    error = 1e-12 if dtype == np.float64 else 1e-5  # of float32 and narrower rows products are in float32
    np.testing.assert_allclose(rows.image(V), image, atol=error * np.abs(image).max())
    assert objective.reads.total == reads + 2.0
    np.testing.assert_allclose(rows.gram.diagonal(), rows.squares, rtol=1e-5)


def test_numbers_of_a_minimum_give_its_weights():
    rows, objective, _ = spaces(2, False)
    w = np.zeros(objective.n_params)
    for _ in range(50):  # Newton's method with a matrix
        _, grad = objective(w)
        w = w - np.linalg.solve(np.stack([objective.curvature_at(w) @ e for e in np.eye(len(w))]), grad)
    np.testing.assert_allclose(rows.params(rows.numbers_at(w), np.zeros(1)), w, atol=1e-12)
