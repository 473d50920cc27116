"""The vectorised exponential and hyperbolic tangent, against mpmath; the barrier between threads."""

from __future__ import annotations

import threading

import mpmath
import numpy as np
import pytest
from numba import njit
from sweeps import slow

from gpu_logreg.passes.cpu.loops.barrier import wait_for_all
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, log1p_up_to_one, tanh


@njit
def each_exp(x, out):
    for i in range(len(x)):
        out[i] = exp_of_negative(x[i])


@njit
def each_log1p(x, out):
    for i in range(len(x)):
        out[i] = log1p_up_to_one(x[i])


@njit
def each_tanh(x, out):
    for i in range(len(x)):
        out[i] = tanh(x[i])


def values(function, x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    function(x, out)
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponential(dtype):
    most = 87 if dtype == "float32" else 708
    x = -np.abs(np.concatenate([np.linspace(0, most, 8001), np.geomspace(1e-30, 1, 200), [0.0]])).astype(dtype)
    true = np.array([float(mpmath.exp(mpmath.mpf(float(v)))) for v in x])
    assert np.abs(values(each_exp, x) / true - 1).max() <= 1.5 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logarithm(dtype):
    x = np.concatenate([np.linspace(0, 1, 4001)[1:], np.geomspace(1e-35, 1, 300)]).astype(dtype)
    true = np.array([float(mpmath.log1p(mpmath.mpf(float(v)))) for v in x])
    assert np.abs(values(each_log1p, x) / true - 1).max() <= 2.5 * np.finfo(dtype).eps
    ends = values(each_log1p, np.array([0.0, np.nan], dtype))
    assert ends[0] == 0.0
    assert np.isnan(ends[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hyperbolic_tangent(dtype):
    x = np.concatenate([np.linspace(-12, 12, 8001), np.linspace(-0.62, 0.62, 2001), np.geomspace(1e-30, 1e30, 200)])
    x = x.astype(dtype)
    true = np.array([float(mpmath.tanh(mpmath.mpf(float(v)))) for v in x])
    found = values(each_tanh, x)
    assert np.all(np.abs(found - true) <= 3 * np.finfo(dtype).eps * np.abs(true))
    np.testing.assert_array_equal(values(each_tanh, -x), -found)
    assert np.abs(found).max() <= 1


def test_ends_and_not_a_number():
    x = np.array([-np.inf, np.inf, np.nan, -0.0, 0.0], np.float32)
    found = values(each_tanh, x)
    np.testing.assert_array_equal(found, np.array([-1, 1, np.nan, -0.0, 0.0], np.float32))
    assert np.signbit(found[3])
    found = values(each_exp, np.array([-np.inf, -1e30, np.nan], np.float32))
    assert found[0] == 0.0
    assert found[1] == 0.0
    assert np.isnan(found[2])
    found = values(each_exp, np.array([-np.inf, -1e300, np.nan, -0.0]))
    assert found[0] == 0.0
    assert found[1] == 0.0
    assert np.isnan(found[2])
    assert found[3] == 1.0


@njit(nogil=True)
def rounds(thread, n_threads, arrived, board, count):
    """Every round each thread writes its number of the round; none may see another's of an older round."""
    stale = 0
    for k in range(1, count + 1):
        board[8 * thread] = k
        wait_for_all(arrived, n_threads)
        for other in range(n_threads):
            stale += board[8 * other] != k
        wait_for_all(arrived, n_threads)
    return stale


@pytest.mark.parametrize("n_threads", [1, 2, 3, slow(5)])
def test_no_thread_passes_the_barrier_before_the_others_arrive(n_threads):
    arrived, board, found = np.zeros(1, np.int64), np.zeros(8 * n_threads, np.int64), []
    rounds(0, 1, np.zeros(1, np.int64), board, 1)
    board[:] = 0
    threads = [
        threading.Thread(target=lambda k=k: found.append(rounds(k, n_threads, arrived, board, 2000)))
        for k in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * n_threads
    assert arrived[0] == (4000 * n_threads if n_threads > 1 else 0)
