"""Sums of many models in one read against a pass for each of them, over copies of the rows that are its own."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.cpu import sparse
from gpu_logreg.passes.cpu.engine import CpuEngine
from gpu_logreg.passes.reference.engine import ReferenceEngine
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.passes.sums import Models, RowFolds
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

N_FOLDS = 3


class Scaled(Binary):
    """Another loss of one logit: twice the logistic one."""

    def loss_and_dz(self, z, y):
        row_loss, dz = super().loss_and_dz(z, y)
        return 2.0 * row_loss, 2.0 * dz


def drawn(n, d, n_models, dtype, weighted, order="C"):
    rng = np.random.default_rng(n + d)
    X = rng.standard_normal((n, d)).astype(dtype)
    X = csr_rows(sp.csr_array(X * (rng.random((n, d)) < 0.3))) if order == "CSR" else np.asarray(X, order=order)
    y = (rng.random(n) < 0.4).astype(np.uint8)
    s = rng.random(n) if weighted else None
    fold = rng.integers(0, N_FOLDS + 1, n).astype(np.uint8)  # the last: of no fold
    W, b = rng.standard_normal((n_models, d)).astype(dtype).astype(float), rng.standard_normal(n_models)
    data = ResidentDataset.from_arrays(X, y, s, Device("cpu"))
    return data, W, b.astype(dtype).astype(float), fold, rng.integers(0, N_FOLDS + 1, n_models)


def truth(data, w, b, keep, loss):
    """Sums in float64 over copies of some rows."""
    X, y, s = data.rows
    X = X.toarray() if data.is_sparse else X
    rows = Rows(X[keep].astype(float), y[keep], None if s is None else s[keep])
    return reference_pass(rows, w, b, np.float64, loss.loss_and_dz)


CASES = pytest.mark.parametrize(
    ("n", "d", "n_models", "dtype", "weighted", "order"),
    [
        (1, 1, 1, np.float64, False, "C"),
        (7, 3, 5, np.float64, True, "C"),
        (20_000, 30, 4, np.float32, True, "C"),  # several blocks
        (20_000, 30, 70, np.float32, False, "F"),  # and several groups of models
        (300, 0, 2, np.float64, False, "C"),
        (5000, 7, 9, np.float64, True, "CSR"),
    ],
)


@CASES
@pytest.mark.parametrize("loss", [Binary(), Scaled()], ids=["logistic", "another"])
def test_sums_are_those_of_a_pass_for_each_model(n, d, n_models, dtype, weighted, order, loss):
    data, W, b, fold, left_out = drawn(n, d, n_models, dtype, weighted, order)
    engine = ReferenceEngine(loss, "")
    by_fold = engine.sums_by_fold(data, Models(W, b), RowFolds(fold, N_FOLDS))
    without = engine.sums_without_fold(data, Models(W, b, left_out), RowFolds(fold, N_FOLDS))
    tolerance = {"rtol": 1e-12, "atol": 1e-12 * n} if dtype is np.float64 else {"rtol": 1e-5, "atol": 2e-7 * n}
    for m in {0, n_models // 2, n_models - 1}:
        for at in range(N_FOLDS + 1):
            sums = truth(data, W[m], b[m], fold == at, loss)
            np.testing.assert_allclose(by_fold.loss_sum[at, m], sums.loss_sum, **tolerance)
            np.testing.assert_allclose(by_fold.dw_sum[at, m], sums.dw_sum, **tolerance)
            np.testing.assert_allclose(by_fold.db_sum[at, m], sums.db_sum, **tolerance)
        keep = (fold != left_out[m]) | (fold == N_FOLDS)
        sums = truth(data, W[m], b[m], keep, loss)
        np.testing.assert_allclose(without.dw_sum[m], sums.dw_sum, **tolerance)
        np.testing.assert_allclose(without.db_sum[m], sums.db_sum, **tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("n", "d", "n_models"), [(1, 1, 1), (700, 3, 17), (9000, 40, 33)])
def test_compiled_sums_of_sparse_rows_are_those_of_a_pass_for_each_model(n, d, n_models, dtype, weighted, monkeypatch):
    monkeypatch.setattr(sparse, "LEAST_CHUNK_WORK", 2**12)  # several chunks
    data, W, b, fold, left_out = drawn(n, d, n_models, dtype, weighted, "CSR")
    W *= 10.0  # far on both sides
    found = CpuEngine(Binary(), "", ReferenceEngine(Binary(), "")).sums_without_fold(
        data, Models(W, b, left_out), RowFolds(fold, N_FOLDS)
    )
    atol = (1e-12 if dtype is np.float64 else 2e-6) * n
    assert found.dw_sum.shape == (n_models, d)
    for m in range(0, n_models, 8):
        keep = (fold != left_out[m]) | (fold == N_FOLDS)
        sums = truth(data, W[m], b[m], keep, Binary())
        np.testing.assert_allclose(found.dw_sum[m], sums.dw_sum, atol=atol)
        np.testing.assert_allclose(found.db_sum[m], sums.db_sum, atol=atol)
    again = CpuEngine(Binary(), "", ReferenceEngine(Binary(), "")).sums_without_fold(
        data, Models(W, b, left_out), RowFolds(fold, N_FOLDS)
    )
    assert again.dw_sum.tobytes() == found.dw_sum.tobytes()


@CASES
def test_scores_are_those_of_each_model_on_its_fold(n, d, n_models, dtype, weighted, order):
    data, W, b, fold, left_out = drawn(n, d, n_models, dtype, weighted, order)
    scores = ReferenceEngine(Binary(), "").scores_on_folds(data, Models(W, b, left_out), RowFolds(fold, N_FOLDS), True)
    s = np.ones(n) if data.rows.sample_weight is None else data.rows.sample_weight
    X = (data.rows.X.toarray() if data.is_sparse else data.rows.X).astype(float)
    for m in {0, n_models // 2, n_models - 1}:
        here = (fold == left_out[m]) & (fold < N_FOLDS)
        right = (X @ W[m] + b[m] > 0) == data.rows.y
        assert scores.db_sum[m] == pytest.approx(s[here].sum())
        assert scores.dw_sum[m] == pytest.approx(s[here & right].sum(), abs=2.0)  # logits that rounding moves over 0
        loss_sum = truth(data, W[m], b[m], here, Binary()).loss_sum
        assert scores.loss_sum[m] == pytest.approx(loss_sum, rel=1e-5, abs=1e-12)


def test_the_loss_of_a_row_in_a_score_is_that_of_the_least_probability():
    data = ResidentDataset.from_arrays(np.array([[1e3], [-1.0]]), np.array([0, 0]), None, Device("cpu"))
    fold = np.zeros(2, dtype=np.uint8)
    scores = ReferenceEngine(Binary(), "").scores_on_folds(
        data, Models(np.ones((1, 1)), np.zeros(1), np.zeros(1)), RowFolds(fold, 1), True
    )
    assert scores.loss_sum[0] == pytest.approx(-np.log(np.finfo(float).eps) + np.log1p(np.exp(-1.0)))


def test_scores_without_a_loss_are_the_same_but_for_it():
    data, W, b, fold, left_out = drawn(300, 5, 6, np.float64, True)
    engine = ReferenceEngine(Binary(), "")
    with_loss, without = (
        engine.scores_on_folds(data, Models(W, b, left_out), RowFolds(fold, N_FOLDS), loss) for loss in (True, False)
    )
    np.testing.assert_array_equal(with_loss.dw_sum, without.dw_sum)
    assert not without.loss_sum.any()


def test_a_second_run_gives_the_same_bits():
    data, W, b, fold, left_out = drawn(20_000, 30, 8, np.float32, True)
    engine = ReferenceEngine(Binary(), "")
    one, other = (engine.sums_without_fold(data, Models(W, b, left_out), RowFolds(fold, N_FOLDS)) for _ in range(2))
    assert one.dw_sum.tobytes() == other.dw_sum.tobytes()
