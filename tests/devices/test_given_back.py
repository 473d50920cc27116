"""Memory of a GPU, in bytes, before and after fits and answers, however they end: on the stand-in for CuPy."""

from __future__ import annotations

import gc
import itertools

import fake_cudf
import fake_cupy
import kernel_host
import numpy as np
import pandas as pd
import pytest
from fake_cupy_cuda import MemoryPool
from fake_cupy_streams import CUDARuntimeError, OutOfMemoryError
from sweeps import thinned
from test_devices import FITS, KERNELS, OFTEN, fitted, problem

from gpu_logreg import LogisticRegression, MLPClassifier, loss_and_gradient
from gpu_logreg.arrays import on_device
from gpu_logreg.arrays.block_sizes import BlockSize
from gpu_logreg.arrays.device import Device, free_bytes
from gpu_logreg.arrays.on_device import give_back_memory
from gpu_logreg.errors import DeviceError
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.rows import upload as upload_module

MEMORY = 2**17
"""Bytes of every device."""


@pytest.fixture
def fake(monkeypatch):
    """Two devices, of little memory; nothing is collected but by counts of references, as in a fit that is short."""
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    for cache in KERNELS:
        cache.cache_clear()
    gc.collect()
    monkeypatch.setattr(fake_cupy, "device_count", 2)
    with fake_cupy.installed(monkeypatch) as module:
        MemoryPool._begin_anew()
        monkeypatch.setattr(module.cuda.runtime, "memGetInfo", lambda: (MEMORY - total(module), MEMORY))
        module.counts.clear()
        gc.disable()
        yield module
        gc.enable()
    for cache in KERNELS:
        cache.cache_clear()


def total(fake, index: int | None = None) -> int:
    """Bytes of the current device, or of another, that the pool holds."""
    with fake.cuda.Device(index):
        return fake.get_default_memory_pool().total_bytes()


class StoppedError(Exception):
    """Of a caller's own."""


def raising(error, at: int = 1):
    """An observer of a fit that raises at an iteration."""

    def observe(iteration) -> None:
        if iteration.n_iter >= at:
            raise error

    return observe


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", thinned(FITS, lambda kind: kind in OFTEN))
def test_a_fit_gives_back_all_it_took(fake, kind):
    K, make = FITS[kind]
    X, y, s = problem(K)
    for index in (0, 1):
        model = fitted(make, f"cuda:{index}", X, y, s)
        assert [total(fake, 0), total(fake, 1)] == [0, 0]
    assert fake.counts["frees of page-locked memory"] == 2
    if kind == "network, three classes":
        model.partial_fit(X, y)
        assert total(fake, 1) == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("kind", "error"),
    thinned(
        itertools.product(
            ["two classes", "three classes", "network, three classes", "network, lbfgs"],
            ["stopped", "interrupted", "memory", "lost"],
        ),
        lambda case: case in [("two classes", "interrupted"), ("three classes", "lost"), (OFTEN[1], "memory")],
    ),
)
def test_a_fit_that_fails_gives_back_all_it_took_while_its_error_is_kept(fake, kind, error):
    K, make = FITS[kind]
    X, y, s = problem(K)
    model = make("cuda:1")
    of_cupy = {"memory": OutOfMemoryError("gone"), "lost": CUDARuntimeError("gone")}
    given = of_cupy.get(error) or {"stopped": StoppedError(), "interrupted": KeyboardInterrupt()}[error]
    model.set_params(verbose=raising(given))
    with pytest.raises(BaseException) as raised:
        fitted(lambda _: model, "cuda:1", X, y, s)
    kept = raised.value  # as a notebook keeps it
    assert type(kept) is (DeviceError if error in of_cupy else type(given))
    assert "\n" not in str(kept)
    assert total(fake, 1) == 0
    assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    if error == "memory":
        assert str(kept).startswith("cuda:1 ran out of memory (OutOfMemoryError: gone); use ")
        assert str(kept).endswith(", or use device='cpu'")
        assert ("storage='float16'" in str(kept)) == isinstance(model, LogisticRegression)
    if error == "lost":
        assert str(kept).startswith("cuda:1 failed (CUDARuntimeError: gone); if it is lost, start a new process")


def test_an_upload_that_is_interrupted_gives_back_both_sides(fake, monkeypatch):
    monkeypatch.setattr(upload_module, "UPLOADED", 1000)
    X, y, _ = problem()
    convert = upload_module._convert
    calls = []

    def interrupted(part, chunk):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        convert(part, chunk)

    monkeypatch.setattr(upload_module, "_convert", interrupted)
    for model in (LogisticRegression(device="cuda:1"), MLPClassifier(device="cuda:1")):
        calls.clear()
        with pytest.raises(KeyboardInterrupt) as raised:
            model.fit(X, y)
        assert raised.value is not None
        assert total(fake, 1) == 0
        assert fake.counts["frees of page-locked memory"] > 0


def test_a_first_error_of_another_does_not_hide_memory(fake, monkeypatch):
    """What led to an error is kept with it, and so are its variables."""
    X, y, _ = problem()

    def fail(*_):
        try:
            raise CUDARuntimeError("gone")
        except RuntimeError:
            raise ValueError("what came of it") from None

    monkeypatch.setattr(cuda, "kernel_options", fail)
    with pytest.raises(ValueError, match="what came of it") as raised:
        LogisticRegression(device="cuda:0").fit(X, y)
    assert raised.value.__context__ is not None
    assert total(fake, 0) == 0


def test_fits_that_follow_can_use_all_memory(fake):
    """Rows that fill three fifths of a device fit again and again, and after errors."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((int(0.6 * MEMORY) // 16, 4)).astype(np.float32)
    y = rng.random(len(X)) < 0.5
    for _ in range(2):
        LogisticRegression(device="cuda:0", solver="lbfgs", tol=1e-2).fit(X, y)
        with pytest.raises(StoppedError):
            LogisticRegression(device="cuda:0", solver="lbfgs", verbose=raising(StoppedError())).fit(X, y)
        loss_and_gradient(X, y, np.zeros(X.shape[1]), device="cuda:0", impl="cublas")
        with fake.cuda.Device(0):
            fake.get_default_memory_pool().free_all_blocks()  # what a sum left, which is little
    assert free_bytes(Device("cuda", 0)) == MEMORY


def test_what_the_user_holds_is_left_alone(fake):
    X, y, s = problem()
    with fake.cuda.Device(0):
        mine, labels, other = fake.asarray(X), fake.asarray(y), fake.ones(10_000)
    before = total(fake, 0)
    model = LogisticRegression().fit(mine, labels, s)
    assert model.device_ == "cuda:0"
    assert total(fake, 0) == before
    np.testing.assert_array_equal(mine.get(), X)
    np.testing.assert_array_equal(labels.get(), y)
    assert float(other.sum()) == 10_000.0


def test_page_locked_memory_goes_where_the_pool_had_room_enough(fake):
    X, y, s = problem()
    with fake.cuda.Device(0):
        cached = fake.ones(MEMORY // 16)
    del cached
    before = total(fake, 0)
    LogisticRegression(device="cuda:0").fit(X, y, s)
    assert total(fake, 0) == before  # what the user keeps for reuse is not taken from him where it was enough
    assert (fake.counts["frees"], fake.counts["frees of page-locked memory"]) == (0, 1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_table_that_was_copied_is_given_back(fake, monkeypatch):
    X, y, _ = problem()
    frame = fake_cudf.DataFrame(pd.DataFrame(X, columns=list("abcd")))
    for model in (LogisticRegression(), MLPClassifier((2,), max_iter=1, tol=1e9)):
        model.fit(frame, y)
        assert model.device_ == "cuda:0"
        assert total(fake, 0) == 0
        monkeypatch.setattr("gpu_logreg.estimators.predictor.POOL_BYTES", 0)
        found = model.decision_function(frame)
        assert total(fake, 0) == fake.get_default_memory_pool().used_bytes() < X.nbytes
        del found
        fake.get_default_memory_pool().free_all_blocks()


@pytest.mark.parametrize("model", [LogisticRegression(), MLPClassifier((40,), max_iter=2)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_answer_gives_back_all_but_a_little(fake, monkeypatch, model):
    X, y, _ = problem()
    model.set_params(device="cpu").fit(X, y)
    with fake.cuda.Device(1):
        there = fake.asarray(X)
    before = total(fake, 1)
    z = model.decision_function(there)
    assert before < total(fake, 1) <= before + on_device.POOL_BYTES  # for the next answer
    del z
    with fake.cuda.Device(1):
        fake.get_default_memory_pool().free_all_blocks()
    monkeypatch.setattr("gpu_logreg.estimators.predictor.POOL_BYTES", 0)
    monkeypatch.setattr("gpu_logreg.passes.reference.logits.GRADIENT", BlockSize(1000, 1000))  # in chunks
    monkeypatch.setattr("gpu_logreg.estimators.network.prediction.NETWORK", BlockSize(1000, 1000))
    for answer in (model.decision_function, model.predict_proba, model.predict):
        found = answer(there)
        with fake.cuda.Device(1):
            assert total(fake, 1) == fake.get_default_memory_pool().used_bytes()
        assert found.device.id == 1
        del found
        with fake.cuda.Device(1):
            fake.get_default_memory_pool().free_all_blocks()
        assert total(fake, 1) == before
    monkeypatch.setattr("gpu_logreg.passes.reference.logits.map_row_blocks", _out_of_memory)
    monkeypatch.setattr("gpu_logreg.estimators.network.prediction.map_row_blocks", _out_of_memory)
    with pytest.raises(DeviceError) as raised:
        model.predict(there)
    assert str(raised.value) == (
        "cuda:1 ran out of memory (OutOfMemoryError: out); use fewer rows at a time, or give rows in the memory of the "
        "host"
    )
    assert total(fake, 1) == before


def _out_of_memory(*given, **named):
    del given, named  # which the traceback of a test would keep
    raise OutOfMemoryError("out")


def test_sums_give_back_rows_that_came_for_them(fake, monkeypatch):
    X, y, _ = problem()
    monkeypatch.setattr("gpu_logreg.estimators.functions.POOL_BYTES", 0)
    loss_and_gradient(X, y, np.zeros(4), device="cuda:1")
    assert total(fake, 1) == 0
    monkeypatch.setattr(cuda, "kernel_options", _out_of_memory)
    with pytest.raises(DeviceError) as raised:
        loss_and_gradient(X, y, np.zeros(4), device="cuda:1")
    assert str(raised.value) == (
        "cuda:1 ran out of memory (OutOfMemoryError: out); use fewer rows, or use device='cpu'"
    )
    assert total(fake, 1) == 0


def test_nothing_is_assumed_of_another_allocator(fake, monkeypatch):
    pool = fake.get_default_memory_pool()
    monkeypatch.setattr(fake.cuda, "get_allocator", lambda: _rmm_allocator)
    monkeypatch.setattr(fake.cuda.runtime, "memGetInfo", lambda: (1000, MEMORY))  # the rest is in RMM's own pool
    assert free_bytes(Device("cuda")) is None
    X, y, _ = problem()
    with fake.cuda.Device(0):
        cached = fake.ones(1000)
    del cached
    held = pool.free_bytes()
    model = LogisticRegression(device="cuda:0").fit(X, y)
    assert model.converged_
    assert pool.free_bytes() >= held > 0
    assert fake.counts["frees"] == 0

    def full(*_):
        raise MemoryError("std::bad_alloc: out_of_memory: RMM failure")

    monkeypatch.setattr(cuda, "kernel_options", full)
    with pytest.raises(DeviceError) as raised:
        LogisticRegression(device="cuda:0").fit(X, y)
    assert str(raised.value).startswith("cuda:0 ran out of memory (MemoryError: std::bad_alloc: out_of_memory: RMM")
    monkeypatch.undo()


def _rmm_allocator(nbytes):
    raise AssertionError("the stand-in allocates by itself")


def test_memory_of_the_host_that_is_full_is_not_said_to_be_that_of_the_device(fake, monkeypatch):
    def full(*_):
        raise MemoryError("of the host")

    monkeypatch.setattr(cuda, "kernel_options", full)
    X, y, _ = problem()
    with pytest.raises(MemoryError, match="of the host"):
        LogisticRegression(device="cuda:0").fit(X, y)


def test_a_limit_of_the_pool_is_what_is_free(fake, monkeypatch):
    pool = fake.get_default_memory_pool()
    monkeypatch.setattr(type(pool), "get_limit", lambda _: 100_000)
    assert free_bytes(Device("cuda")) == 100_000
    with fake.cuda.Device(0):
        mine = fake.ones(1024)
    assert free_bytes(Device("cuda")) == 100_000 - mine.nbytes


def test_kernels_outlast_an_error(fake):
    """What is kept for all fits is CuPy's too, and stays."""
    X, y, s = problem()
    first = LogisticRegression(device="cuda:0").fit(X, y, s)
    with pytest.raises(StoppedError):
        LogisticRegression(device="cuda:0", verbose=raising(StoppedError())).fit(X, y, s)
    misses = cuda._kernels.cache_info().misses
    assert LogisticRegression(device="cuda:0").fit(X, y, s).coef_.tobytes() == first.coef_.tobytes()
    assert cuda._kernels.cache_info().misses == misses


def test_variables_of_others_are_kept_for_their_debugger(fake):
    def mine(value) -> None:
        precious = [value]
        raise StoppedError(str(precious))

    def theirs() -> None:
        mine(7)

    for device, kept in ((Device("cuda"), True), (Device("cpu"), True)):
        with pytest.raises(StoppedError) as raised, give_back_memory(device):
            theirs()
        frames = [entry.frame.f_locals for entry in raised.traceback]
        assert any(frame.get("precious") == [7] for frame in frames) is kept
    X, y, _ = problem()
    with pytest.raises(StoppedError) as raised:
        LogisticRegression(device="cpu", verbose=raising(StoppedError())).fit(X, y)
    assert any("objective" in entry.frame.f_locals for entry in raised.traceback)  # nothing is emptied on the CPU
    with pytest.raises(StoppedError) as raised:
        LogisticRegression(device="cuda", verbose=raising(StoppedError())).fit(X, y)
    assert not any("objective" in entry.frame.f_locals for entry in raised.traceback)
