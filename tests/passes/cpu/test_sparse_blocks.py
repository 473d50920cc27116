"""Sparse rows are read where they lie: some at a time, or by loops that take them as they are stored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays import blocks as threads
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.mathematics.softmax import curvature_diagonal, softmax
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import scores, sparse_products
from gpu_logreg.passes.cpu import sparse as cpu_sparse
from gpu_logreg.passes.reference import sparse as reference_sparse
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

N, D = 300, 12
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
compiled = pytest.mark.parametrize("compiled", [False, True])


def of(compiled: bool):
    """The module of the compiled sums, or of those by SciPy's products."""
    return cpu_sparse if compiled else reference_sparse


def columns_of(X, columns, compiled: bool):
    """Some columns, taken by either engine."""
    data = ResidentDataset(Rows(X, None, None), float(N))
    return choose("cpu" if compiled else "reference", data.rows, Device("cpu")).columns(data)(columns).rows.X


def by_curvature(rows: Rows, w, b, compiled: bool):
    """Moments with the curvature of every row as its weight, by either engine."""
    loss = loss_of_classes(max(2, np.size(b)))
    engine = choose("cpu" if compiled else "reference", rows, Device("cpu"), loss)
    return engine.moments_by_curvature(ResidentDataset(rows, float(N)), w, b)


def rows_of(dtype: str, weighted: bool = True, index: str = "int32", seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    D_ = np.where(rng.random((N, D)) < 0.3, rng.standard_normal((N, D)) + 0.5, 0.0).astype(dtype)
    D_[7:11] = 0.0  # rows without elements
    X = csr_rows(sparse.csr_array(D_))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return Rows(X, rng.integers(0, 2, N).astype(np.uint8), rng.random(N) if weighted else None)


@pytest.fixture(params=[10, 100, 10**6], ids=lambda elements: f"{elements} elements")
def block_elements(request, monkeypatch):
    """Blocks and chunks of a few elements, of some, and of all."""
    monkeypatch.setattr(reference_sparse, "SPARSE_SUMS", request.param)
    for module in (reference_sparse, cpu_sparse, scores):
        monkeypatch.setattr(module, "SPARSE_LOGITS", request.param)
    monkeypatch.setattr(cpu_sparse, "LEAST_CHUNK_WORK", request.param)
    for module in (reference_sparse, cpu_sparse):
        monkeypatch.setattr(module, "ELEMENTS_PER_COLUMN", 1)


@dtypes
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.usefixtures("block_elements")
def test_sums_of_blocks_by_scipy_are_those_of_all_rows_at_once(dtype, K):
    rows, rng = rows_of(dtype), np.random.default_rng(1)
    rows = rows if K == 1 else rows._replace(y=rng.integers(0, K, N).astype(np.int32))
    w, b = (rng.standard_normal(D), 0.5) if K == 1 else (rng.standard_normal((K, D)), rng.standard_normal(K))
    reference = reference_pass if K == 1 else reference_multinomial_pass
    found, wanted = (
        reference_sparse.sums_by_row_blocks(reference, rows, w, b, np.float64),
        reference(rows, w, b, np.float64),
    )
    for a, c in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-12)


@dtypes
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("moments", [reference_sparse.sparse_moments, cpu_sparse.sparse_moments])
@pytest.mark.usefixtures("block_elements")
def test_moments_are_those_of_the_rows_written_out(dtype, weighted, moments):
    rows = rows_of(dtype, weighted)
    X, s = rows.X.toarray().astype(np.float64), np.ones(N) if rows.sample_weight is None else rows.sample_weight
    found = moments(rows)
    np.testing.assert_allclose(found.x_sum, s @ X, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.xx_sum, s @ X**2, rtol=1e-12, atol=1e-12)


@dtypes
@compiled
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.usefixtures("block_elements")
def test_moments_by_curvature_are_those_of_the_rows_written_out(dtype, compiled, weighted):
    rows, w = rows_of(dtype, weighted), np.linspace(-3.0, 4.0, D)
    X = rows.X.toarray().astype(np.float64)
    h = curvature(X @ w - 0.5) * (1.0 if rows.sample_weight is None else rows.sample_weight)
    total, found = by_curvature(rows, w, -0.5, compiled)
    assert total == pytest.approx(h.sum(), rel=1e-12)
    np.testing.assert_allclose(found.x_sum, h @ X, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.xx_sum, h @ X**2, rtol=1e-12, atol=1e-12)


@dtypes
@compiled
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("block_bytes", [200, 10**6])
@pytest.mark.usefixtures("block_elements")
def test_moments_by_the_curvature_of_classes_are_those_of_the_rows_written_out(
    dtype, compiled, weighted, block_bytes, monkeypatch
):
    monkeypatch.setattr(sparse_products, "MULTIPLIERS", block_bytes)
    rows, rng = rows_of(dtype, weighted), np.random.default_rng(2)
    W, b = 2.0 * rng.standard_normal((3, D)), rng.standard_normal(3)
    X = rows.X.toarray().astype(np.float64)
    h = curvature_diagonal(softmax(X @ W.T + b))
    h = h if rows.sample_weight is None else h * rows.sample_weight[:, None]
    total, found = by_curvature(rows, W, b, compiled)
    np.testing.assert_allclose(total, h.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.x_sum, h.T @ X, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.xx_sum, h.T @ X**2, rtol=1e-12, atol=1e-12)


@compiled
def test_an_element_that_is_stored_in_parts_is_squared_once_by_the_curvature_of_classes(compiled):
    X = csr_rows(sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2)))
    W, b = np.array([[0.1, 0.2], [0.3, -0.1], [0.0, 0.0]]), np.zeros(3)
    found = [by_curvature(Rows(x, np.zeros(1), None), W, b, compiled) for x in (X, csr_rows(X.tocsc().tocsr()))]
    for sums, other in zip(*[(total, *moments) for total, moments in found], strict=True):
        np.testing.assert_allclose(sums, other, rtol=1e-14)


@compiled
def test_a_value_that_is_not_finite_reaches_the_moments(compiled):
    rows = rows_of("float64")
    rows.X.data[5] = np.nan
    with np.errstate(invalid="ignore"):
        total, found = by_curvature(rows, np.ones(D), 0.0, compiled)
    assert np.isnan(total)
    assert np.isnan(found.x_sum).any()
    assert np.isnan(of(compiled).sparse_moments(rows).x_sum).sum() == 1


@dtypes
@compiled
@pytest.mark.usefixtures("block_elements")
def test_logits_are_summed_in_float64(dtype, compiled):
    X = rows_of(dtype, index="int64").X
    w = np.linspace(-3.0, 4.0, D)
    z = of(compiled).sparse_logits(X, w, 0.25)
    assert z.dtype == np.float64
    np.testing.assert_allclose(z, X.toarray().astype(np.float64) @ w + 0.25, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("block_elements")
def test_logits_of_classes_are_summed_in_float64_with_weights_of_float32():
    X, W, b = rows_of("float32").X, np.linspace(-3.0, 4.0, 3 * D).reshape(D, 3).astype(np.float32), np.arange(3.0)
    z = reference_sparse.sparse_logits(X, W, b)
    np.testing.assert_allclose(z, X.toarray().astype(np.float64) @ W.astype(np.float64) + b, rtol=1e-13, atol=1e-13)


@compiled
@dtypes
@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("columns", [[], [0], [3, 4, 11], list(range(D))])
def test_some_columns(columns, index, dtype, compiled, monkeypatch):
    monkeypatch.setattr("gpu_logreg.passes.cpu.sparse_columns.SPARSE_COLUMNS", 50)
    X = rows_of(dtype, index=index).X
    found = columns_of(X, np.array(columns, dtype=np.intp), compiled)
    assert (found.shape, found.dtype) == ((N, len(columns)), X.dtype)
    assert found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), X.toarray()[:, columns])


def test_parts_are_added_in_order_as_they_come(monkeypatch):
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "2")
    kept = []

    def add(total, part):
        kept.append(part)
        return total + part

    assert threads.sum_in_order(add, lambda k: [k], range(6)) == list(range(6))
    assert kept == [[1], [2], [3], [4], [5]]
    assert threads.sum_in_order(add, lambda k: [k], [3]) == [3]


# ---- rows that name columns in any order, and some twice, are those that name them once


def disordered(rows: Rows) -> Rows:
    """The same rows, with the elements of each in another order and two halves for each third element."""
    X, (data, indices, starts) = rows.X, ([], [], [0])
    for i in range(N):
        at, x = X.indices[X.indptr[i] : X.indptr[i + 1]][::-1], X.data[X.indptr[i] : X.indptr[i + 1]][::-1]
        halved = at % 3 == 0
        indices.append(np.concatenate([at, at[halved]]))
        data.append(np.concatenate([np.where(halved, x / 2, x), x[halved] / 2]))
        starts.append(starts[-1] + len(indices[-1]))
    X = sparse.csr_array((np.concatenate(data), np.concatenate(indices), np.array(starts, np.int32)), shape=X.shape)
    X = csr_rows(X)
    assert not X.has_canonical_format
    return rows._replace(X=X)


@compiled
@dtypes
@pytest.mark.usefixtures("block_elements")
def test_walks_over_rows_in_any_order(dtype, compiled):
    rows = rows_of(dtype)
    other, w = disordered(rows), np.linspace(-3.0, 4.0, D)
    before = [array.tobytes() for array in (other.X.data, other.X.indices, other.X.indptr)]
    moments = of(compiled).sparse_moments
    inverse = np.where(np.arange(D) == 4, np.nan, 1.5)
    for walk in (
        lambda rows: np.concatenate(moments(rows)),
        lambda rows: by_curvature(rows, w, 0.5, compiled)[0],
        lambda rows: np.concatenate(by_curvature(rows, w, 0.5, compiled)[1]),
        lambda rows: of(compiled).sparse_logits(rows.X, w, 0.5),
        lambda rows: (scores if compiled else reference_sparse).sparse_row_scores(rows, 0.1 * w, inverse, 10.0),
        lambda rows: columns_of(rows.X, np.array([0, 4, 9]), compiled).toarray(),
    ):
        np.testing.assert_allclose(walk(other), walk(rows), rtol=1e-11, atol=1e-11)
    assert [array.tobytes() for array in (other.X.data, other.X.indices, other.X.indptr)] == before


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"l1_ratio": 0.5, "C": 0.1}], ids=str)
def test_fits_to_rows_in_any_order(impl, parameters):
    rows = rows_of("float64", weighted=False)
    y = (rows.X @ np.linspace(-1.0, 1.5, D) + np.random.default_rng(3).logistic(size=N) > 0).astype(int)
    fits = [LogisticRegression(impl=impl, tol=1e-8, **parameters).fit(X, y) for X in (rows.X, disordered(rows).X)]
    np.testing.assert_allclose(fits[1].coef_, fits[0].coef_, rtol=0, atol=1e-6)
    assert fits[1].objective_ == pytest.approx(fits[0].objective_, rel=1e-10)
