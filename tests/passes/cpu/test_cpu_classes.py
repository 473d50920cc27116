"""The compiled pass for K logits and the compiled Hessian: against plain formulas in float64, in every layout."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from sweeps import every_other, thinned

from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import classes as cpu_multinomial
from gpu_logreg.passes.cpu.classes import cpu_multinomial_pass
from gpu_logreg.passes.cpu.curvature import multinomial_curvature_sum
from gpu_logreg.passes.cpu.loops.classes import TILE_ROWS
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

CPU = Device("cpu")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def problem(n: int, d: int, K: int, seed: int = 0):
    """Rows of small whole numbers, which every dtype holds, labels, weights, and parameters."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 8, (n, d))
    W, b = rng.standard_normal((K, d)) / np.sqrt(d), rng.standard_normal(K)
    return X, rng.integers(0, K, n).astype(np.int32), rng.exponential(size=n), W, b


def check(found, wanted, dtype: str) -> None:
    tolerance = TOLERANCE[dtype]
    assert found.loss_sum == pytest.approx(wanted.loss_sum, rel=tolerance)
    assert found.dw_sum.shape == wanted.dw_sum.shape
    for ours, theirs in ((found.dw_sum, wanted.dw_sum), (found.db_sum, wanted.db_sum)):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("K", [2, 3, 4, 5, 8, 9, 16, 17, 26, 33])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 8), (65, 3), (203, 19), (1100, 33)])
def test_every_number_of_classes_rows_and_columns(n, d, K, dtype):
    X, y, s, W, b = problem(n, d, K)
    wanted = reference_multinomial_pass(Rows(X.astype(np.float64), y, s), W, b)
    check(cpu_multinomial_pass(Rows(X.astype(dtype), y, s), W, b), wanted, dtype)


@pytest.mark.parametrize(
    ("stored", "dtype"),
    thinned(
        itertools.product(
            ["float16", "int8", "float32", ">f4", "float64", "int32", "uint8", "bool", ">f8"], ["float32", "float64"]
        ),
        lambda case: case in [("float16", "float64"), ("float32", "float64"), ("uint8", "float32"), (">f8", "float64")],
    ),
)
@pytest.mark.parametrize("layout", ["C", "F", "every second row", "every third column", "backwards"])
def test_every_storage_and_layout(stored, layout, dtype):
    X, y, s, W, b = problem(700, 15, 5)
    X = X % 2 if stored == "bool" else X
    X = X.astype(stored)
    X = {
        "C": lambda: X,
        "F": lambda: np.asfortranarray(X),
        "every second row": lambda: X[::2],
        "every third column": lambda: X[:, ::3],
        "backwards": lambda: X[::-1, ::-1],
    }[layout]()
    n, d = X.shape
    wanted = reference_multinomial_pass(Rows(X.astype(np.float64), y[:n], s[:n]), W[:, :d], b)
    check(cpu_multinomial_pass(Rows(X, y[:n], s[:n]), W[:, :d], b, dtype), wanted, dtype)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_threads_nor_on_accumulators(dtype, weighted, monkeypatch):
    X, y, s, W, b = problem(3000, 21, 7)
    rows = Rows((X / 3).astype(dtype), y, s if weighted else None)
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "")
    first = cpu_multinomial_pass(rows, W, b)
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "1")
    second = cpu_multinomial_pass(rows, W, b)
    assert first.loss_sum == second.loss_sum
    assert first.dw_sum.tobytes() == second.dw_sum.tobytes()
    assert first.db_sum.tobytes() == second.db_sum.tobytes()


def test_float32_rows_are_flushed_to_float64_sums():
    n = 300_000
    X, y = np.ones((n, 1), np.float32), np.zeros(n, np.int32)
    W, b = np.zeros((3, 1)), np.array([0.1, 0.2, 0.3])
    wanted = reference_multinomial_pass(Rows(X.astype(np.float64), y, None), W, b)
    found = cpu_multinomial_pass(Rows(X, y, None), W, b)
    np.testing.assert_allclose(found.dw_sum, wanted.dw_sum, rtol=3e-5)  # without a flush 1.6e-4, the worst case
    np.testing.assert_allclose(found.db_sum, wanted.db_sum, rtol=2e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_of_any_size_keep_their_digits(dtype):
    gaps = np.array([0.0, 1e-4, 1.0, 20.0, 60.0, 85.0, 300.0, 1e4])
    X = np.concatenate([gaps, -gaps])[:, None].astype(dtype)
    y = np.zeros(len(X), np.int32)
    W, b = np.array([[1.0], [0.0], [0.0]]), np.array([0.0, 0.0, -1.0])
    wanted = reference_multinomial_pass(Rows(X.astype(np.float64), y, None), W, b)
    check(cpu_multinomial_pass(Rows(X, y, None), W, b), wanted, dtype)
    eps = 20 * float(np.finfo(dtype).eps)
    for row in range(5):  # each by itself: the large ones would hide the small
        one = Rows(X[row : row + 1], y[:1], None)
        alone = reference_multinomial_pass(Rows(one.X.astype(np.float64), y[:1], None), W, b)
        assert cpu_multinomial_pass(one, W, b).loss_sum == pytest.approx(alone.loss_sum, rel=eps, abs=0.0)


def test_an_intercept_that_nearly_cancels_large_logits_is_added_in_float64():
    X, y = np.full((10, 1), 4096.0, np.float32), np.zeros(10, np.int32)
    W, b = np.array([[1000.0], [0.0], [0.0]]), np.array([-4096000.3, 0.0, 0.0])
    wanted = reference_multinomial_pass(Rows(X.astype(np.float64), y, None), W, b)
    assert cpu_multinomial_pass(Rows(X, y, None), W, b).loss_sum == pytest.approx(wanted.loss_sum, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("K", every_other([3, 5, 20]))
def test_what_is_not_finite_reaches_the_sums(bad, K):
    X, y, _, W, b = problem(300, 5, K)
    X = X.astype(np.float64)
    X[299, 2] = bad
    assert not np.isfinite(cpu_multinomial_pass(Rows(X, y, None), W, b).dw_sum).all()


def test_many_parameters_are_summed_in_few_chunks(monkeypatch):
    X, y, s, W, b = problem(5000, 9, 4)
    rows = Rows(X.astype(np.float64), y, s)
    wanted = cpu_multinomial_pass(rows, W, b)
    for name, few in (("PARTIAL_BYTES", 1), ("CHUNKS", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(cpu_multinomial, name, few)
            check(cpu_multinomial_pass(rows, W, b), wanted, "float64")


def test_no_rows():
    sums = cpu_multinomial_pass(Rows(np.empty((0, 3)), np.empty(0, np.int32), None), np.ones((4, 3)), np.zeros(4))
    assert sums.loss_sum == 0.0
    assert sums.dw_sum.shape == (4, 3)
    assert not sums.dw_sum.any()
    assert not sums.db_sum.any()


def naive_curvature(U, s, Phi):
    """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T``, row by row."""
    K, p = Phi.shape
    total = np.zeros((K * p, K * p))
    for u, weight in zip(U.astype(np.float64), s, strict=True):
        e = np.exp(Phi @ u - (Phi @ u).max())
        P = e / e.sum()
        total += weight * np.kron(np.diag(P) - np.outer(P, P), np.outer(u, u))
    return total


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "p", "K"), [(1, 1, 3), (40, 8, 3), (130, 9, 4), (90, 17, 5), (60, 3, 7), (50, 5, 18)])
def test_the_curvature_of_every_shape(m, p, K, dtype):
    rng = np.random.default_rng(m)
    U, s, Phi = rng.standard_normal((m, p)).astype(dtype), rng.exponential(size=m), rng.standard_normal((K, p))
    wanted = naive_curvature(U, s, Phi)
    found = multinomial_curvature_sum(U, s, Phi)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE[dtype] * np.abs(wanted).max())


def test_the_curvature_of_many_rows_a_part_at_a_time(monkeypatch):
    rng = np.random.default_rng(1)
    U, s, Phi = rng.standard_normal((9000, 4)).astype(np.float32), rng.random(9000), rng.standard_normal((3, 4))
    whole = multinomial_curvature_sum(U, s, Phi)
    monkeypatch.setattr("gpu_logreg.passes.cpu.curvature.WEIGHT_BYTES", 1)
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "1")
    assert multinomial_curvature_sum(U, s, Phi).tobytes() == whole.tobytes()
    z = U.astype(np.float64) @ Phi.T
    P = np.exp(z - z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    block = (U.astype(np.float64) * (s * P[:, 0] * P[:, 2])[:, None]).T @ U
    np.testing.assert_allclose(whole[:4, 8:], -block, rtol=1e-4, atol=1e-4 * np.abs(block).max())


def test_both_curvatures_of_a_sample_agree():
    X, y, s, _, _ = problem(900, 6, 4)
    dataset = ResidentDataset.from_arrays(X.astype(np.float64), y, s, CPU, encoded=True)
    sums = []
    for impl in ("reference", "cpu"):
        objective = Objective(dataset, choose(impl, dataset.rows, CPU, Classes(4)), 0.01, True)
        sample = Sampler(objective, np.random.default_rng(0)).sample(10**6)
        sums.append(sample.curvature_sum(np.random.default_rng(1).standard_normal(28) / 3))
    np.testing.assert_allclose(sums[1], sums[0], atol=1e-12 * np.abs(sums[0]).max())


def test_a_tile_is_whole_sets_of_rows():
    assert TILE_ROWS % AT_ONCE == 0


@pytest.mark.parametrize(("features", "wanted"), [("+avx2,+fma", "4"), ("+avx2,+fma,+avx512f", "8")])
def test_rows_at_once_depend_on_the_processor_that_the_cache_is_for(features, wanted):
    """Machines that share a cache, compiled for what all of them have, must take what is in it alike."""
    code = "from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE; print(AT_ONCE)"
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == wanted
