"""What an owner of a GPU is promised, on CuPy and a GPU; `test_devices` and the like have it on the stand-in."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.command.machine import driver_version, machine_facts

pytestmark = pytest.mark.gpu


def cupy_for(devices: int):
    """CuPy where there are so many devices; skipped elsewhere."""
    missing = cuda_problem(devices - 1)
    if missing:
        pytest.skip(missing)
    return import_cupy()


def rows(n: int, d: int = 16):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=np.float32)
    return X, X[:, 0] > rng.standard_normal(n)


class StoppedError(Exception):
    """Of a caller's own."""


def raising(error):
    def observe(_) -> None:
        raise error

    return observe


def test_memory_is_given_back_while_an_error_is_kept():
    """Arrays of other libraries and of CUDA itself come and go: more than half of the rows would be seen."""
    cupy = cupy_for(1)
    X, y = rows(2**20)
    LogisticRegression(device="cuda:0").fit(X[:1000], y[:1000])  # whatever is taken once
    pool = cupy.get_default_memory_pool()
    gc.collect()
    pool.free_all_blocks()
    before, free = pool.total_bytes(), cupy.cuda.runtime.memGetInfo()[0]
    kept = []
    for observer in (0, raising(StoppedError()), raising(KeyboardInterrupt())):
        try:
            LogisticRegression(device="cuda:0", verbose=observer).fit(X, y)
        except BaseException as error:
            kept.append(error)
        assert pool.total_bytes() - before < X.nbytes // 2
        assert free - cupy.cuda.runtime.memGetInfo()[0] < X.nbytes // 2
    assert [type(error) for error in kept] == [StoppedError, KeyboardInterrupt]


def test_the_gpus_of_this_machine():
    cupy_for(1)
    found = machine_facts()
    assert driver_version() is not None
    for device in found["gpu"]["devices"]:
        assert device["problem"] is None
        assert 0 < device["memory_free"] <= device["memory"]
        assert device["kernels_seconds"] > 0.0
    assert found["auto"]["device"] == "cuda:0"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_second_gpu():
    cupy = cupy_for(2)
    X, y = rows(3000, 4)
    first, second = (LogisticRegression(device=f"cuda:{index}").fit(X, y) for index in (0, 1))
    assert (first.device_, second.device_) == ("cuda:0", "cuda:1")
    np.testing.assert_allclose(second.coef_, first.coef_, rtol=1e-5)
    with cupy.cuda.Device(1):
        there = cupy.asarray(X)
    proba = second.predict_proba(there)
    assert proba.device.id == 1
    assert cupy.cuda.Device().id == 0
    np.testing.assert_allclose(proba.get(), second.predict_proba(X), atol=1e-5)
    assert LogisticRegression().fit(there, cupy.asarray(y)).device_ == "cuda:1"
    assert MLPClassifier((3,), device="cuda:1", solver="lbfgs", max_iter=50).fit(X, y).device_ == "cuda:1"
