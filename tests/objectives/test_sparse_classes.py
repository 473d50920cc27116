"""Samples of sparse rows of K classes that stay sparse, against the same rows written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays import blocks
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.objectives.standardised import StandardisedSparse
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import sparse as sparse_module
from gpu_logreg.passes.cpu.sparse_curvature import sparse_pair_sums
from gpu_logreg.rows.resident import ResidentDataset

CPU = Device("cpu")
N, D = 3000, 40


def rows_of(K: int, density: float = 0.1, mean: float = 1.0) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Sparse rows, the numbers of their classes, and weights, some of which are 0."""
    rng = np.random.default_rng(K)
    X = sparse.random_array((N, D), density=density, format="csr", rng=rng, data_sampler=rng.standard_normal)
    X.data += mean
    X.sort_indices()
    Z = X @ rng.standard_normal((D, K)) + rng.gumbel(size=(N, K))
    return X, Z.argmax(axis=1).astype(np.int32), rng.exponential(size=N) * (rng.random(N) < 0.8)


def sampler_of(X, y, s, K: int, impl: str, fit_intercept: bool, keeps_sparse: bool | None) -> Sampler:
    data = ResidentDataset.from_arrays(X, y, s, CPU, encoded=True)
    objective = Objective(data, choose(impl, data.rows, CPU, Classes(K)), 1e-3, fit_intercept)
    return Sampler(objective, np.random.default_rng(0), keeps_sparse)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("K", "has_weights"), [(3, True), (6, False)])
@pytest.mark.parametrize("m", [600, N])
def test_a_sparse_sample_is_the_dense_one(impl, fit_intercept, K, has_weights, m):
    X, y, s = rows_of(K)
    of = [sampler_of(X, y, s if has_weights else None, K, impl, fit_intercept, keeps) for keeps in (True, False)]
    ours, theirs = of
    kept, dense = ours.sample(m), theirs.sample(m)
    assert isinstance(kept.rows, StandardisedSparse)
    assert type(dense.rows.data.rows.X) is np.ndarray
    phi = np.random.default_rng(1).standard_normal(K * (D + fit_intercept)) / 3
    for k in (1, 3):
        few, dense_few = kept.thin(k), dense.thin(k)
        assert few(phi)[0] == pytest.approx(dense_few(phi)[0], rel=1e-13)
        assert_allclose(few(phi)[1], dense_few(phi)[1], rtol=0, atol=1e-13)
        H, wanted = few.plain_hessian(phi), dense_few.plain_hessian(phi)
        assert_allclose(H, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())
        assert_allclose(H, H.T, rtol=0, atol=1e-14 * np.abs(wanted).max())
        for found, factor in zip(few._mean_factors(phi), dense_few._mean_factors(phi), strict=True):
            assert_allclose(found, factor, rtol=0, atol=1e-10 * np.abs(factor).max())
    params, v = kept.coordinates.to_params(phi), np.linspace(-1.0, 1.0, len(phi))
    solved = [each.metric(m, params).solve(v) for each in of]
    assert_allclose(*solved, rtol=0, atol=1e-10 * np.abs(solved[1]).max())
    assert_allclose(ours.hessian(m, phi), theirs.hessian(m, phi), rtol=0, atol=1e-10)
    assert ours._objective.reads.total == pytest.approx(theirs._objective.reads.total)


def test_heavy_rows_of_classes_stay_sparse():
    X, y, _ = rows_of(4, mean=0.0)
    X.data[np.random.default_rng(0).random(X.nnz) < 0.005] *= 300.0
    phi, found = 0.1 * np.random.default_rng(1).standard_normal(4 * (D + 1)), []
    for keeps_sparse in (True, False):
        sampler = sampler_of(X, y, None, 4, "cpu", True, keeps_sparse)
        sampler.sample(1000)
        found.append(sampler.heavy_rows_at(1000, phi))
    kept, dense = found
    assert kept.sample.rows.data.is_sparse
    assert kept.sample.n_rows == dense.sample.n_rows >= 10
    scale = np.abs(dense.hessian(phi)).max()
    assert_allclose(kept(phi)[0], dense(phi)[0], rtol=1e-12)
    assert_allclose(kept.hessian(phi), dense.hessian(phi), rtol=1e-9, atol=1e-12 * scale)


def test_bits_do_not_depend_on_the_threads(monkeypatch):
    monkeypatch.setattr(sparse_module, "LEAST_CHUNK_WORK", 1000)
    X, y, s = rows_of(5)
    data = ResidentDataset.from_arrays(X, y, s, CPU, encoded=True)
    W, found = np.random.default_rng(1).standard_normal((5, D)), []
    assert len(sparse_module.chunks_of_pairs(X, 10)[0]) > 1
    for threads in (1, 2, 3):
        monkeypatch.setattr(blocks, "_pool", None)
        monkeypatch.setattr(blocks, "n_threads", lambda threads=threads: threads)
        found.append(list(sparse_pair_sums(data, W, np.zeros(5))))
    for other in found[1:]:
        for sums, same in zip(found[0], other, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(sums, same, strict=True))


@pytest.mark.parametrize(("density", "K", "stays"), [(0.05, 3, True), (0.5, 3, False), (0.05, 60, False)])
def test_samples_are_dense_where_that_is_cheaper(density, K, stays):
    """Where most elements are stored, and where the Hessian is replaced by its mean factors (K = 60)."""
    X, _, _ = rows_of(3, density)
    y = (np.arange(N) % K).astype(np.int32)
    sampler = sampler_of(X, y, None, K, "cpu", True, None)
    assert sampler.sample(500).rows.data.is_sparse == stays
    assert (sampler.costs.sample < 1.0) == stays


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_fit_of_sparse_rows_is_that_of_dense_ones(l1_ratio):
    rng = np.random.default_rng(3)
    n, fields, levels = 20_000, 5, 12
    columns = rng.integers(0, levels, (n, fields)) + levels * np.arange(fields)
    X = sparse.csr_array((np.ones(n * fields), columns.ravel(), np.arange(0, n * fields + 1, fields)))
    y = (X @ rng.standard_normal((fields * levels, 4)) + rng.gumbel(size=(n, 4))).argmax(axis=1)
    kept, dense = (
        LogisticRegression(l1_ratio=l1_ratio, random_state=0, solver="auto").fit(rows, y) for rows in (X, X.toarray())
    )
    assert kept.converged_
    assert kept.objective_ == pytest.approx(dense.objective_, rel=2e-9)
    assert_array_equal(kept.coef_.shape, dense.coef_.shape)
    assert kept.n_reads_ <= 1.2 * dense.n_reads_ + 3.0
