"""Rows beyond the memory of a GPU, on the stand-in for one: they stay on the host, and blocks of them are sent."""

from __future__ import annotations

import gc
import threading

import fake_cupy
import fake_cupy_cuda
import fake_cupy_streams
import kernel_host
import numpy as np
import pytest
from command_line import run, succeed
from scipy import sparse
from sweeps import thinned

from gpu_logreg import Checkpoint, LogisticRegression, Stream
from gpu_logreg.arrays import device_choice
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError, DeviceError
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.rows import block_store
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.device_blocks import DeviceBlocks, bytes_on_device, bytes_to_walk

KERNELS = (cuda._kernels, cuda_multinomial._kernels, cuda_multinomial._most_shared, cublas._kernel)
N, D = 1500, 6
BLOCKS = 6
"""Of 256 rows; as float64 with weights one takes 15 kB on the device."""


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """One device, and blocks of 256 rows."""
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 2**8 * D)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    for cache in KERNELS:
        cache.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in KERNELS:
        cache.cache_clear()


@pytest.fixture
def peak(monkeypatch):
    """The most bytes of the device that arrays have taken at a time."""
    found = [0]
    taken = fake_cupy_cuda.MemoryPool._taken.__func__

    def counted(cls, device, size):
        taken(cls, device, size)
        found[0] = max(found[0], cls.used[device])

    monkeypatch.setattr(fake_cupy_cuda.MemoryPool, "_taken", classmethod(counted))
    return found


def problem(n_classes=2, dtype=np.float64, n=N):
    rng = np.random.default_rng(n_classes)
    X = (rng.standard_normal((n, D)) * 10.0 ** rng.uniform(-1, 1, D) + 1.0).astype(dtype)
    z = (X - X.mean(0)) / X.std(0) @ rng.standard_normal((D, n_classes))
    return X, (z + rng.gumbel(size=z.shape)).argmax(1), rng.exponential(size=n)


def bits(model):
    return model.coef_.tobytes() + model.intercept_.tobytes()


def budgets(n_classes):
    """Budgets of float64 rows with weights, within which no block stays on the device, two do, and all."""
    block = bytes_on_device(
        (256, D), np.dtype(float), np.dtype(np.uint8 if n_classes == 2 else np.int32), np.dtype(float)
    )
    least = bytes_to_walk((256, D), 1 if n_classes == 2 else n_classes) + 2 * block
    return least, least + 2 * block, 10**9


HOW = {
    "kernels": (2, {}),
    "kernels, lbfgs": (2, {"solver": "lbfgs"}),
    "kernels, L1": (2, {"l1_ratio": 1.0, "C": 0.05}),
    "kernels, products of classes": (3, {"solver": "newton-cg"}),
    "class weights": (2, {"solver": "lbfgs", "class_weight": "balanced", "impl": "reference"}),
    "classes": (3, {"solver": "lbfgs", "impl": "reference"}),
    "cublas": (2, {"impl": "cublas"}),
}


@pytest.mark.parametrize("kind", thinned(HOW, lambda kind: "," not in kind))
def test_the_optimum_is_that_of_the_whole_array_and_bits_do_not_depend_on_the_budget(peak, tmp_path, kind):
    n_classes, how = HOW[kind]
    X, y, s = problem(n_classes)
    np.save(tmp_path / "rows.npy", X)
    whole = LogisticRegression(device="cuda", tol=1e-9, **how).fit(X, y, s)
    found = {}
    for budget, stay in zip(budgets(n_classes), (0, 2, BLOCKS), strict=True):
        peak[0] = fake_cupy_cuda.MemoryPool.used[0]
        model = LogisticRegression(device="cuda", device_memory_budget=budget, tol=1e-9, **how)
        found[budget] = bits(model.fit(X, y, s))
        assert 0 < peak[0] <= budget
        assert model.converged_
        assert (model.device_, model.impl_) == ("cuda:0", how.get("impl", "cuda"))
        assert f"{BLOCKS} blocks of rows are streamed, of which {stay} stay on cuda:0" in model.impl_reason_
        assert "streamed from host memory" in model.device_reason_
        assert abs(model.objective_ - whole.objective_) <= 1e-12 * whole.objective_
        np.testing.assert_allclose(model.coef_, whole.coef_, rtol=0, atol=1e-7 * np.abs(whole.coef_).max())
        del model
    stream = Stream(tmp_path / "rows.npy", y, s, memory_budget=200_000)
    model = LogisticRegression(device="cuda", device_memory_budget=budgets(n_classes)[1], tol=1e-9, **how).fit(stream)
    assert {bits(model), *found.values()} == {bits(model)}
    assert fake_cupy_cuda.MemoryPool.used[0] == 0


def test_the_next_block_is_copied_while_one_is_walked_and_none_is_overwritten_before_its_walk_ends(fake, monkeypatch):
    X, _, s = problem()
    y, waits, walks = np.zeros(N, np.uint8), [], 0
    wait = fake_cupy_streams.Stream.wait_event

    def noted(self, event):
        waits.append((walks, event))
        wait(self, event)

    monkeypatch.setattr(fake_cupy_streams.Stream, "wait_event", noted)
    parts = block_store.cut_dense(N, D)
    blocks = DeviceBlocks(Device("cuda"), np.dtype(np.float32), frozenset({2}))
    largest = bytes_on_device((256, D), blocks.dtype, y.dtype, s.dtype)

    def of_host(numbers):
        for k in numbers:
            yield k, Rows(X[parts[k]], y[parts[k]], s[parts[k]]), float(k)

    for walk in range(2):
        waits.clear()
        found = blocks.walk(range(BLOCKS), largest, of_host)
        for walks, (rows, total) in enumerate(found):
            pending = sum(work is not None for one in fake_cupy_streams.streams_of_all for work in one._work)
            assert pending >= (walks < BLOCKS - 1 if walk == 0 else 0)
            assert total == walks
            np.testing.assert_array_equal(rows.X.get(), X[parts[walks]].astype(np.float32))
            np.testing.assert_array_equal(rows.sample_weight.get(), s[parts[walks]])
        # A copy of a block waits for the end of the walk over the block two before it, whose place it takes.
        assert len([event for at, event in waits if at > 0]) >= BLOCKS - 3
        sent = BLOCKS if walk == 0 else 2 * BLOCKS - 1
        assert (blocks.blocks_sent, blocks.kept) == (sent, {2})
    assert not any(thread.name == "gpu-logreg-read-ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("at", ["source", "walk"])
def test_an_error_in_the_middle_of_a_walk_gives_everything_back(at):
    X, y, _ = problem()
    blocks = DeviceBlocks(Device("cuda"), X.dtype, frozenset())
    largest = bytes_on_device((256, D), X.dtype, y.dtype, None)

    def of_host(numbers):
        for k in numbers:
            if at == "source" and k == 3:
                raise DataError("the disk")
            yield k, Rows(X[:256], y[:256], None), 256.0

    def walk():
        for k, _ in enumerate(blocks.walk(range(BLOCKS), largest, of_host)):
            if at == "walk" and k == 3:
                raise DataError("the disk")

    with pytest.raises(DataError, match="the disk"):
        walk()
    gc.collect()  # the frames of the error
    assert fake_cupy_cuda.MemoryPool.used[0] == 0
    assert not any(thread.name == "gpu-logreg-read-ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_an_array_that_does_not_fit_is_streamed_and_told_of(monkeypatch, capsys, device):
    X, y, _ = problem(n=20_000)
    monkeypatch.setattr(device_choice, "AUTO_CUDA_BYTES", 0)
    monkeypatch.setattr(fake_cupy, "memory_free", 700_000)
    model = LogisticRegression(device=device, impl="reference", verbose=1)
    if device == "auto":
        assert model.fit(X, y).device_ == "cpu"  # so little is free that nothing is streamed either
        monkeypatch.setattr(device_choice, "STREAMED_TO_BYTES", 0)
    capsys.readouterr()
    assert model.fit(X, y).device_ == "cuda:0"
    line = capsys.readouterr().out.splitlines()[0]
    assert line == f"cuda:0: {model.device_reason_}"
    assert "streamed from host memory: the rows take 0.0 GiB there, 0.0 GiB are free, and " in line
    with pytest.raises(DeviceError, match="rows fit as float64"):
        LogisticRegression(device="cuda", solver="sgd").fit(X, y)
    whole = np.round(X)[:, :1].repeat(D, axis=1) % 7 % 2  # of uint8 they fit
    assert LogisticRegression(device=device, impl="reference").fit(whole, y).storage_ == "uint8"


@pytest.mark.parametrize("storage", ["auto", "float32"])
def test_rows_are_stored_on_the_device_as_asked_for(storage):
    X, y, _ = problem()
    X = np.round(X * 10) % 200
    given = {"device": "cuda", "impl": "reference", "solver": "lbfgs", "tol": 1e-9, "storage": storage}
    whole = LogisticRegression(**given).fit(X, y)
    model = LogisticRegression(**given, device_memory_budget="50%").fit(X, y)
    assert model.storage_ == whole.storage_ == {"auto": "uint8"}.get(storage, storage)
    np.testing.assert_allclose(model.coef_, whole.coef_, atol=1e-5)


def test_no_block_stays_where_the_free_memory_cannot_be_known(fake, monkeypatch, tmp_path):
    X, y, _ = problem()
    np.save(tmp_path / "rows.npy", X)
    given = {"device": "cuda", "impl": "reference", "solver": "lbfgs"}
    model = LogisticRegression(**given).fit(Stream(tmp_path / "rows.npy", y))
    assert f"{BLOCKS} blocks of rows are streamed, of which {BLOCKS} stay on cuda:0" in model.impl_reason_
    monkeypatch.setattr(fake.cuda, "get_allocator", lambda: None)  # one of the user's
    for budget in (None, 0.5):
        other = LogisticRegression(**given, device_memory_budget=budget).fit(Stream(tmp_path / "rows.npy", y))
        assert "of which 0 stay on cuda:0" in other.impl_reason_
        assert bits(other) == bits(model)


def test_refusals(tmp_path):
    X, y, s = problem()
    fitted = LogisticRegression(device="cuda", impl="reference", device_memory_budget="1kB")
    with pytest.raises(DataError, match=r"0 MB of cuda:0 do not hold two blocks .* give device_memory_budget='\dMB'"):
        fitted.fit(X, y)
    with pytest.raises(DataError, match="device_memory_budget='much' is no size"):
        LogisticRegression(device="cpu", device_memory_budget="much").fit(X, y)
    with pytest.raises(DataError, match="device_memory_budget is for one GPU"):
        LogisticRegression(device=["cuda:0"], device_memory_budget=0.5).fit(X, y)
    blocks = [(sparse.csr_array(X), y)]
    with pytest.raises(DeviceError, match="the blocks are sparse"):
        LogisticRegression(device="cuda").fit(blocks)
    with pytest.raises(DeviceError, match="streamed rows are walked on the CPU or one GPU"):
        LogisticRegression(device="cuda:all").fit([(X, y)])
    with pytest.raises(DeviceError, match="streamed rows are walked on the CPU; use"):
        LogisticRegression(device="cuda", solver="sgd").fit([(X, y)])
    X[-1, 2] = np.nan
    np.save(tmp_path / "rows.npy", X)
    with pytest.raises(DataError, match=r"rows.npy: .*row 1499, column 2"):
        LogisticRegression(device="cuda", impl="reference").fit(Stream(tmp_path / "rows.npy", y, s))


def test_the_command_line(capsys, tmp_path):
    X, y, _ = problem()
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    train = ("train", tmp_path / "rows.npz", "--features", "X", "--target", "y", "--device", "cuda")
    ended = succeed(capsys, *train, "--device-memory-budget", "300kB", "--impl", "reference")
    assert "streamed from host memory" in " ".join(ended.out.split())
    ended = run(capsys, *train, "--hidden", "8", "--device-memory-budget", "300kB")
    assert ended.code == 2
    assert "--device-memory-budget" in ended.err


def test_a_fit_that_was_killed_goes_on_to_the_same_bits_with_another_budget(tmp_path):
    X, y, s = problem()
    np.save(tmp_path / "rows.npy", X)
    stream = Stream(tmp_path / "rows.npy", y, s, memory_budget=200_000)
    least, more, _ = budgets(2)
    given = {"device": "cuda", "impl": "reference", "solver": "lbfgs"}
    whole = LogisticRegression(**given, device_memory_budget=least).fit(stream)
    seen = []

    def stop(iteration):
        seen.append(iteration.n_iter)
        if len(seen) == 4:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path / "c", every=0)
    with pytest.raises(KeyboardInterrupt):
        LogisticRegression(**given, device_memory_budget=least, verbose=stop).fit(stream, checkpoint=checkpoint)
    gc.collect()
    assert fake_cupy_cuda.MemoryPool.used[0] == 0
    again = LogisticRegression(**given, device_memory_budget=more).fit(stream, checkpoint=checkpoint)
    assert bits(again) == bits(whole)


def test_a_summary_of_streamed_rows_is_of_the_host(tmp_path):
    X, y, _ = problem()
    np.save(tmp_path / "rows.npy", X)
    stream = Stream(tmp_path / "rows.npy", y)
    model = LogisticRegression(C=np.inf, device="cuda", impl="reference").fit(stream)
    errors = model.summary(stream).standard_errors
    np.testing.assert_allclose(errors, model.set_params(device="cpu").summary(X, y).standard_errors, rtol=1e-8)
