"""Products with the Hessian, and its diagonal: every engine against the Hessian written out in extended precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_sums import WIDE
from scipy import sparse
from sweeps import every_other, thinned

from gpu_logreg.arrays import blocks
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Binary, Classes, loss_of_classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes import row_curvature
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import products as compiled
from gpu_logreg.passes.cpu import sparse as compiled_sparse
from gpu_logreg.passes.cpu import sparse_products as of_sparse
from gpu_logreg.passes.cpu.loops.sizes import FLUSH_ROWS, SHORT_ROW_BYTES
from gpu_logreg.passes.row_curvature import Product
from gpu_logreg.rows.resident import ResidentDataset

CPU = Device("cpu")
LONG = SHORT_ROW_BYTES // 4 + 1
"""Columns of rows that the compiled loop of two classes takes."""

impls = pytest.mark.parametrize("impl", ["reference", "cpu"])
kinds = pytest.mark.parametrize("kind", ["float32", "float64", "sparse"])
classes = pytest.mark.parametrize("K", thinned([1, 3, 17], lambda K: K < 17))


class Problem(NamedTuple):
    """Rows with labels and weights, a point, and a direction."""

    data: ResidentDataset
    x: np.ndarray
    s: np.ndarray
    w: np.ndarray
    b: np.ndarray | float
    v: np.ndarray
    c: np.ndarray | float

    @property
    def loss(self) -> Binary | Classes:
        return loss_of_classes(2 if np.ndim(self.b) == 0 else len(self.b))


def problem(X, K: int, s=None, seed: int = 0, size: float = 2.0) -> Problem:
    """Parameters that float32 holds, so that no pass rounds them, and that give logits of the given size."""
    n, d = X.shape
    rng = np.random.default_rng([n, d, K, seed])
    y = rng.integers(0, max(2, K), n).astype(np.int32 if K > 1 else np.uint8)
    data = ResidentDataset.from_arrays(X, y, s, CPU, encoded=K > 1)
    x = (X.toarray() if data.is_sparse else np.asarray(X)).astype(np.float64)
    unit = size / max(1e-3, np.sqrt((x * x).sum(axis=1).mean() if n else 1.0))

    def exact(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32).astype(np.float64)

    shape = (K, d) if K > 1 else (d,)
    w, v = (exact(*shape) * np.float32(unit)).astype(np.float32).astype(np.float64), exact(*shape)
    b, c = (exact(K), exact(K)) if K > 1 else (0.5, -0.75)
    return Problem(data, x, np.ones(n) if s is None else np.asarray(s, np.float64), w, b, v, c)


def rows_of(kind: str, n: int, d: int, seed: int = 0):
    """Rows that are not centred; sparse ones have empty rows and columns."""
    rng = np.random.default_rng([n, d, seed])
    X = rng.standard_normal((n, d)) + 0.3
    if kind != "sparse":
        return X.astype(kind)
    kept = (rng.random((n, d)) < 0.3) & (rng.random((n, 1)) < 0.9) & (rng.random(d) < 0.9)
    return csr_rows(sparse.csr_array(np.where(kept, X, 0.0)))


def weights(n: int) -> np.ndarray:
    """Of which a tenth are zero, but not the first."""
    rng = np.random.default_rng(n)
    return rng.exponential(size=n) * ((rng.random(n) < 0.9) | (np.arange(n) == 0))


def terms(P: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, the change of the logits, and that of ``dz``, in extended precision; of shape (n, K), K >= 2."""
    x, W, V = P.x.astype(WIDE), np.atleast_2d(P.w).astype(WIDE), np.atleast_2d(P.v).astype(WIDE)
    z, t = x @ W.T + np.atleast_1d(P.b), x @ V.T + np.atleast_1d(P.c)
    if len(W) == 1:  # two classes are K = 2 with the logit 0 for the first
        z, t = (np.column_stack([np.zeros(len(x), WIDE), column]) for column in (z, t))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    others = np.where(p > 0.5, np.where(p > 0.5, 0, p).sum(axis=1, keepdims=True), 1 - p)
    e = np.empty_like(t)
    for k in range(p.shape[1]):  # p_k sum_l p_l (t_k - t_l): no difference of large sums
        e[:, k] = p[:, k] * (p * (t[:, k : k + 1] - t)).sum(axis=1)
    return p * others, t, P.s[:, None] * e


def wanted(P: Problem) -> tuple[Product, Product, Product]:
    """The product, the diagonal, and the size of what is added up for a product, per rounding of a term."""
    h, _, e = terms(P)
    x, s = P.x.astype(WIDE), P.s[:, None]
    h, size = s * h, s * h * (np.abs(x) @ np.abs(np.atleast_2d(P.v)).max(axis=0) + np.abs(P.c).max())[:, None]
    if np.ndim(P.b) == 0:
        h, e, size = h[:, 1], e[:, 1], size[:, 1]
    found = (Product(a.T @ y, a.sum(axis=0)) for a, y in ((e, x), (h, x * x), (size, np.abs(x))))
    return tuple(Product(*(np.asarray(part, np.float64) for part in sums)) for sums in found)


def check(P: Problem, impl: str, roundings: float = 40.0) -> None:
    """Product and diagonal within some roundings of the sizes of their terms, and of the square root of their number.

    The former are those of logits, whose additions are fewer than 40 where they are of both signs.
    """
    roundings += len(P.x) ** 0.5
    engine, dtype = choose(impl, P.data.rows, CPU, P.loss), P.data.compute_dtype
    eps = float(np.finfo(np.float64 if P.data.is_sparse else dtype).eps)
    sums, at = engine.gradient_and_curvature(P.data, P.w, P.b)
    product, diagonal, size = wanted(P)
    gradient = engine.gradient(P.data, P.w, P.b)
    assert sums.loss_sum == pytest.approx(gradient.loss_sum, rel=roundings * eps)
    of_gradient = P.s @ np.abs(P.x) * (1.0 + np.abs(P.w).max()), P.s.sum() * (1.0 + np.abs(P.b).max())
    for ours, theirs, terms in zip(sums[1:], gradient[1:], of_gradient, strict=True):
        assert (np.abs(ours - theirs) <= roundings * eps * terms).all()
    for at_point in (at, engine.row_curvature(P.data, P.w, P.b)):
        found = engine.product(P.data, at_point, P.v, P.c)
        for ours, theirs, terms in zip(found, product, size, strict=True):
            assert np.shape(ours) == np.shape(theirs)
            assert np.asarray(ours).dtype == np.float64
            assert (np.abs(ours - theirs) <= roundings * eps * terms + 1e-300).all()
        for ours, theirs in zip(engine.diagonal(P.data, at_point), diagonal, strict=True):
            assert np.shape(ours) == np.shape(theirs)
            np.testing.assert_allclose(ours, theirs, rtol=roundings * eps, atol=1e-300)


@impls
@kinds
@classes
@pytest.mark.parametrize("weighted", [False, True])
def test_products_and_diagonals_follow_the_hessian_written_out(impl, kind, K, weighted):
    for n, d in ((1, 1), (7, 3), (65, LONG), (333, 2 * LONG + 3)):
        check(problem(rows_of(kind, n, d), K, weights(n) if weighted else None), impl)


@pytest.fixture
def many_parts(monkeypatch):
    """Chunks of rows, and blocks of them, of few rows."""
    monkeypatch.setattr(compiled, "LEAST_CHUNK_WORK", 1)
    monkeypatch.setattr(of_sparse, "MULTIPLIERS", 2**12)
    monkeypatch.setattr(of_sparse, "SPARSE_LOGITS", 2**8)
    monkeypatch.setattr(compiled_sparse, "LEAST_CHUNK_WORK", 1)


@impls
@kinds
@pytest.mark.parametrize("K", [1, 4])
def test_many_rows_are_summed_in_parts(impl, kind, K, many_parts):
    check(problem(rows_of(kind, 2 * FLUSH_ROWS + 300, LONG), K, None), impl)
    check(problem(rows_of(kind, 1001, LONG), K, weights(1001)), impl)


@impls
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("stored", every_other(["float16", "uint8", ">f4", "int32"]))
def test_every_storage(impl, stored, K):
    X = np.random.default_rng(0).integers(0, 2 if stored == "bool" else 9, (200, LONG)).astype(stored)
    check(problem(X, K), impl)


@impls
@pytest.mark.parametrize("K", [1, 3])
def test_every_layout(impl, K):
    X = rows_of("float32", 300, 2 * LONG)
    backwards = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    for arranged in (np.asfortranarray(X), X[::2], X[:, ::2], backwards):
        check(problem(arranged, K), impl)


@impls
@kinds
@pytest.mark.parametrize("K", [3])
def test_probabilities_that_are_not_kept_are_computed_again(impl, kind, K, monkeypatch):
    monkeypatch.setattr(row_curvature, "KEPT_PROBABILITIES", 0)
    monkeypatch.setattr(row_curvature, "KEPT_SHARE", 0.0)
    P = problem(rows_of(kind, 400, LONG), K, weights(400))
    assert choose(impl, P.data.rows, CPU, P.loss).row_curvature(P.data, P.w, P.b).kept is None
    check(P, impl)


@impls
@kinds
@pytest.mark.parametrize("K", [1, 3])
def test_no_rows_add_nothing(impl, kind, K):
    P = problem(rows_of(kind, 4, 5), K)
    rows = P.data.rows
    none = ResidentDataset(rows._replace(X=rows.X[:0], y=rows.y[:0]), 0.0)
    engine = choose(impl, none.rows, CPU, P.loss)
    _, at = engine.gradient_and_curvature(none, P.w, P.b)
    for sums in (engine.product(none, at, P.v, P.c), engine.diagonal(none, at)):
        assert np.shape(sums.dw_sum) == np.shape(P.w)
        assert np.shape(sums.db_sum) == np.shape(P.b)
        assert not np.any(sums.dw_sum)
        assert not np.any(sums.db_sum)


@impls
@kinds
@pytest.mark.parametrize("K", [1, 4])
def test_a_weight_is_a_number_of_repetitions(impl, kind, K):
    X, times = rows_of(kind, 60, LONG), np.random.default_rng(1).integers(0, 4, 60)
    P = problem(X, K, times.astype(np.float64))
    at = np.repeat(np.arange(60), times)
    rows = P.data.rows._replace(X=X[at], y=P.data.rows.y[at], sample_weight=None)
    repeated = ResidentDataset(rows, float(len(at)))
    engine = choose(impl, P.data.rows, CPU, P.loss)
    ours, theirs = (engine.product(data, engine.row_curvature(data, P.w, P.b), P.v, P.c) for data in (P.data, repeated))
    eps = float(np.finfo(np.float32 if kind == "float32" else np.float64).eps)
    for a, b, size in zip(ours, theirs, wanted(P)[2], strict=True):
        assert (np.abs(a - b) <= 80 * eps * size).all()


@impls
@kinds
@pytest.mark.parametrize("K", [1, 4])
def test_rows_that_are_nearly_certain_keep_their_digits(impl, kind, K):
    """Logits of 30: the curvature of most rows is less than a millionth, and a product as exact as for other rows."""
    P = problem(rows_of(kind, 200, LONG), K, size=30.0)
    h, _, _ = terms(P)
    assert np.median(h) < 1e-5
    check(P, impl, 600.0)  # a rounding of a logit of 30 changes p (1 - p) by 30 roundings, and such logits err by some


@impls
@kinds
def test_the_class_that_rows_are_nearly_certain_of_changes_as_the_others_do(impl, kind):
    """All rows have the probabilities 1, 1e-6 and 3e-7: a mean that is subtracted once would be rounded to more."""
    P = problem(rows_of(kind, 64, LONG), 3)
    c = np.array([1000.0, 1.0, 2.0])
    engine = choose(impl, P.data.rows, CPU, P.loss)
    at = engine.row_curvature(P.data, 0.0 * P.w, np.array([14.0, 0.0, -1.0]))
    _, db = engine.product(P.data, at, 0.0 * P.v, c)
    p = np.exp([0.0, -14.0, -15.0]) / np.exp([0.0, -14.0, -15.0]).sum()
    changes = p[1:] * (c[1:] - c[0]) * 64
    np.testing.assert_allclose(db, [-changes.sum(), *changes], rtol=1e-5)


@impls
@kinds
def test_a_constant_for_all_classes_is_mapped_to_zero(impl, kind):
    P = problem(rows_of(kind, 300, LONG), 4)
    engine = choose(impl, P.data.rows, CPU, P.loss)
    v, c = np.tile(P.v[:1], (4, 1)), np.full(4, P.c[0])
    found = engine.product(P.data, engine.row_curvature(P.data, P.w, P.b), v, c)
    eps = float(np.finfo(np.float32 if kind == "float32" else np.float64).eps)
    for sums, size in zip(found, wanted(P._replace(v=v, c=c))[2], strict=True):
        assert (np.abs(sums) <= eps * size).all()


@kinds
@pytest.mark.parametrize("K", [1, 3, 17])
def test_bits_do_not_depend_on_the_number_of_threads(kind, K, many_parts, monkeypatch):
    P = problem(rows_of(kind, 3000, LONG), K, weights(3000))
    engine = choose("cpu", P.data.rows, CPU, P.loss)
    found = []
    for threads in (1, 2, 3):
        for module in (blocks, of_sparse):
            monkeypatch.setattr(module, "n_threads", lambda threads=threads: threads)
        monkeypatch.setattr(blocks, "_pool", None)
        kept = engine.row_curvature(P.data, P.w, P.b).kept
        sums, at = engine.gradient_and_curvature(P.data, P.w, P.b)
        arrays = kept, at.kept, *sums, *engine.product(P.data, at, P.v, P.c)
        found.append([np.asarray(array).tobytes() for array in arrays])
    assert found[0] == found[1] == found[2]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.sampled_from(["float64", "sparse"]), st.integers(0, 2**32 - 1), st.floats(0.01, 30.0))
def test_products_are_symmetric_and_not_negative(K, kind, seed, size):
    K = 1 if K == 2 else K
    P = problem(rows_of(kind, 40, LONG, seed), K, weights(40), seed, size)
    objective = Objective(P.data, choose("cpu", P.data.rows, CPU, P.loss), l2=0.0, fit_intercept=True)
    rng = np.random.default_rng(seed)
    params, u, v = rng.standard_normal((3, objective.n_params))
    H = objective.curvature_at(params * size / LONG**0.5)
    Hu, Hv = H @ u, H @ v
    uHu, vHv = float(u @ Hu), float(v @ Hv)
    sizes = np.abs(u) @ np.abs(Hu), np.abs(v) @ np.abs(Hv)
    assert uHu >= -1e-12 * sizes[0]
    assert vHv >= -1e-12 * sizes[1]
    assert abs(u @ Hv - v @ Hu) <= 1e-11 * (np.abs(u) @ np.abs(Hv) + np.abs(v) @ np.abs(Hu))
    assert (u @ Hv) ** 2 <= uHu * vHv * (1 + 1e-9) + 1e-20 * sizes[0] * sizes[1]
