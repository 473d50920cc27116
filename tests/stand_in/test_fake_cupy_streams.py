"""Streams, memory and kernels of the stand-in for CuPy do the worst that CUDA allows, and are called as CuPy's are."""

from __future__ import annotations

import gc

import fake_cupy
import kernel_host
import numpy as np
import pytest


@pytest.fixture
def fake(monkeypatch):
    with fake_cupy.installed(monkeypatch) as module:
        yield module


def there(cupy, *values, dtype="float32"):
    return cupy.asarray(np.array(values, dtype=dtype))


# ---- streams and memory


def page_locked(cupy, values):
    memory = cupy.cuda.alloc_pinned_memory(4 * len(values))
    chunk = np.frombuffer(memory, np.float32, len(values))
    chunk[:] = values
    return chunk


@pytest.mark.parametrize("waits", [True, False])
def test_a_copy_beside_the_null_stream_is_lost_unless_it_waits_for_the_memory(fake, waits):
    stream, x, chunk = fake.cuda.Stream(non_blocking=True), fake.empty(2, dtype=np.float32), page_locked(fake, [1, 2])
    if waits:
        event = fake.cuda.Event()
        event.record()
        stream.wait_event(event)
    x.set(chunk, stream=stream)
    stream.synchronize()
    assert np.isfinite(x.get()).all() == waits


def test_an_event_of_before_the_allocation_does_not_do(fake):
    stream, event = fake.cuda.Stream(non_blocking=True), fake.cuda.Event()
    event.record()
    x, chunk = fake.empty(2, dtype=np.float32), page_locked(fake, [1, 2])
    stream.wait_event(event)
    x.set(chunk, stream=stream)
    stream.synchronize()
    assert np.isnan(x.get()).all()


@pytest.mark.parametrize("way", ["the device", "a number", "the null stream", "a blocking stream"])
def test_other_ways_to_wait_for_the_memory(fake, way):
    stream, x, chunk = fake.cuda.Stream(non_blocking=True), fake.empty(2, dtype=np.float32), page_locked(fake, [1, 2])
    if way == "the device":
        fake.cuda.Device().synchronize()
    elif way == "a number":
        float(fake.zeros(3).sum())
    elif way == "the null stream":
        fake.cuda.get_current_stream().synchronize()
    else:
        stream = fake.cuda.Stream()
    x.set(chunk, stream=stream)
    stream.synchronize()
    assert x.get().tolist() == [1, 2]


def test_copies_are_made_when_somebody_waits(fake):
    stream, chunk = fake.cuda.Stream(), page_locked(fake, [1, 2])
    x = fake.empty(2, dtype=np.float32)
    x.set(chunk, stream=stream)
    first = stream.record()
    assert np.isnan(x.get()).all()
    first.synchronize()
    assert x.get().tolist() == [1, 2]
    x.set(chunk, stream=stream)
    chunk[:] = 5  # before anybody has waited
    stream.synchronize()
    assert x.get().tolist() == [5, 5]


@pytest.mark.parametrize("what", ["page-locked memory", "memory of the device"])
def test_memory_given_back_below_a_copy_is_a_fault(fake, what):
    stream, x, chunk = fake.cuda.Stream(), fake.empty(2, dtype=np.float32), page_locked(fake, [1, 2])
    x.set(chunk, stream=stream)
    if what == "page-locked memory":
        del chunk
    else:
        del x
    gc.collect()
    assert fake.faults == [f"{what} was given back while a copy was under way"]
    stream.synchronize()
    fake.faults.clear()


def test_a_copy_takes_what_fits(fake):
    x = fake.zeros((2, 3), dtype=np.float32)
    for array, error in (
        (np.zeros((2, 3)), TypeError),
        (np.zeros((3, 2), np.float32), ValueError),
        (fake.zeros((2, 3)), TypeError),
    ):
        with pytest.raises(error):
            x.set(array)
    with pytest.raises(RuntimeError, match="non-contiguous"):
        x[:, :2].set(np.zeros((2, 2), np.float32))


def test_the_pool_keeps_what_is_given_back(fake):
    pool = fake.get_default_memory_pool()
    pool.free_all_blocks()
    gc.collect()
    used = pool.used_bytes()
    x = fake.empty(1000, dtype=np.uint8)
    assert pool.used_bytes() == used + 1024
    view = x[10:]
    del x
    assert pool.used_bytes() == used + 1024
    del view
    assert (pool.used_bytes(), pool.free_bytes() >= 1024) == (used, True)
    pool.free_all_blocks()
    assert pool.free_bytes() == 0


# ---- kernels

KERNEL = 'extern "C" __global__ void twice(float *x, int n) { for (int i = threadIdx.x; i < n; i += 32) x[i] *= 2.0f; }'


@pytest.fixture
def twice(fake):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    return fake.RawModule(code=KERNEL).get_function("twice")


def test_what_a_kernel_is_called_with(fake, twice):
    x = there(fake, 1, 2, 3)
    twice((1,), (32,), (x, np.int32(3)))
    assert x.get().tolist() == [2, 4, 6]
    for arguments, options, error in (
        (((1,), (32,), (np.ones(3, np.float32), np.int32(3))), {}, TypeError),
        (([1], (32,), (x, np.int32(3))), {}, TypeError),
        (((1,), (32,), (x, np.int32(3))), {"shared": 4}, TypeError),
        (((1,), (32,)), {}, TypeError),
        (((0,), (32,), (x, np.int32(3))), {}, fake.CUDARuntimeError),
        (((1,), (2048,), (x, np.int32(3))), {}, fake.CUDARuntimeError),
        (((1,), (32,), (fake.moved(x, 1), np.int32(3))), {}, fake.CUDARuntimeError),
    ):
        with pytest.raises(error):
            twice(*arguments, **options)
    with pytest.raises(TypeError):
        fake.RawModule(code=KERNEL, options=["-DX=1"])
    with pytest.raises(AttributeError):
        twice.registers = 3


def test_a_graph_launches_what_was_captured(fake, twice):
    x, stream = there(fake, 1, 2, 3), fake.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        twice((1,), (32,), (x, np.int32(3)))
        graph = stream.end_capture()
    assert x.get().tolist() == [1, 2, 3]
    graph.launch()
    graph.launch()
    assert x.get().tolist() == [4, 8, 12]
    with pytest.raises(fake.CUDARuntimeError, match="null stream cannot be captured"):
        fake.cuda.get_current_stream().begin_capture()
