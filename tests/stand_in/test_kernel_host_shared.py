"""Dynamic shared memory and asynchronous copies in the host shim."""

from __future__ import annotations

import kernel_host
import numpy as np
import pytest
from kernel_host import HostModule, KernelHostError

pytestmark = pytest.mark.skipif(kernel_host.missing() is not None, reason=str(kernel_host.missing()))

DYNAMIC_KERNELS = r"""
extern "C" __global__ void turn_around(const int* in, int* out, int beyond) {
    extern __shared__ int tile[];
    tile[threadIdx.x] = in[threadIdx.x];
    if (beyond > 0) tile[64 + beyond] = 1;
    __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];
}

extern "C" __global__ void copied(const float* in, float* out, int wait, int barrier, int by) {
    extern __shared__ int tile[];
    float* const to = (float*)tile;
    kernel_host::copy_async(to + threadIdx.x, in + (int)threadIdx.x * by, 4);
    if (wait) kernel_host::copy_async_wait_all();
    if (barrier) __syncthreads();
    out[threadIdx.x] = to[63 - threadIdx.x];
}

extern "C" __global__ void in_groups(const float* in, float* out, int latest) {
    extern __shared__ int tile[];
    float* const to = (float*)tile;
    for (int group = 0; group < 3; ++group) {
        kernel_host::copy_async(to + group * 64 + (int)threadIdx.x, in + group * 64 + (int)threadIdx.x, 4);
        if (group < 2) kernel_host::copy_async_commit();
    }
    kernel_host::copy_async_wait((unsigned)latest);
    for (int group = 0; group < 3; ++group)
        out[group * 64 + (int)threadIdx.x] = to[group * 64 + (int)threadIdx.x];
}

extern "C" __global__ void misplaced(const float* in, int from, int to) {
    extern __shared__ int tile[];
    kernel_host::copy_async((char*)tile + to, (const char*)in + from, 16);
    kernel_host::copy_async_wait_all();
}
"""


@pytest.fixture(scope="module")
def dynamic():
    return HostModule(DYNAMIC_KERNELS)


def test_dynamic_shared_memory(dynamic):
    kernel, numbers, out = dynamic.get_function("turn_around"), np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    kernel((1,), (64,), (numbers, out, np.int32(0)), shared_mem=256)
    np.testing.assert_array_equal(out, numbers[::-1])
    for beyond, size in ((1, 256), (10, 256), (1, 260)):
        with pytest.raises(KernelHostError, match=f"block 0 wrote beyond its {size} bytes of dynamic shared memory"):
            kernel((1,), (64,), (numbers, out, np.int32(beyond)), shared_mem=size)
    with pytest.raises(KernelHostError, match="block 0 wrote beyond its 0 bytes"):
        kernel((1,), (64,), (numbers, out, np.int32(0)))


def test_more_than_48_kib_of_dynamic_shared_memory_is_asked_for_and_99_are_the_end():
    kernel = HostModule(DYNAMIC_KERNELS).get_function("turn_around")
    arguments = np.arange(64, dtype=np.int32), np.zeros(64, np.int32), np.int32(0)
    kernel((1,), (64,), arguments, shared_mem=48 * 1024)
    with pytest.raises(KernelHostError, match="49153 bytes of dynamic shared memory, of 49152"):
        kernel((1,), (64,), arguments, shared_mem=48 * 1024 + 1)
    kernel.max_dynamic_shared_size_bytes = 90 * 1024
    kernel((1,), (64,), arguments, shared_mem=90 * 1024)
    with pytest.raises(KernelHostError, match="101377 bytes of dynamic shared memory; there are 101376"):
        kernel.max_dynamic_shared_size_bytes = 99 * 1024 + 1


@pytest.mark.parametrize("latest", [0, 1, 2])
def test_a_wait_for_groups_leaves_the_latest_and_what_is_not_committed_under_way(dynamic, latest):
    kernel, numbers = dynamic.get_function("in_groups"), np.arange(192, dtype=np.float32)
    for seed in range(4):
        out = np.zeros(192, np.float32)
        kernel((1,), (64,), (numbers, out, np.int32(latest)), shared_mem=768, seed=seed)
        landed = ~np.isnan(out.reshape(3, 64))
        assert (out[landed.ravel()] == numbers[landed.ravel()]).all()
        for group in range(3):
            waited_for = group < 2 - latest
            assert landed[group].all() if waited_for else 0 < landed[group].sum() < 64


def test_asynchronous_copies_land_at_once_or_when_they_are_waited_for(dynamic):
    kernel, numbers = dynamic.get_function("copied"), np.arange(64, dtype=np.float32)

    def run(wait: int, barrier: int, seed: int) -> np.ndarray:
        out = np.zeros(64, np.float32)
        kernel((1,), (64,), (numbers, out, *map(np.int32, (wait, barrier, 1))), shared_mem=256, seed=seed)
        return out

    for seed in range(8):
        np.testing.assert_array_equal(run(1, 1, seed), numbers[::-1])
        without_wait = run(0, 1, seed)
        assert np.isnan(without_wait).any()
        assert not np.isnan(without_wait).all()
        assert np.isnan(run(1, 0, seed)).any()


def aligned_numbers() -> np.ndarray:
    """Sixteen at an address that 64 divides."""
    whole = np.zeros(32, np.float32)
    first = -whole.ctypes.data % 64 // 4
    return whole[first : first + 16]


@pytest.mark.parametrize(("start", "to"), [(4, 0), (0, 4), (8, 8)])
def test_a_copy_between_addresses_that_its_size_does_not_divide_is_refused(dynamic, start, to):
    kernel, numbers = dynamic.get_function("misplaced"), aligned_numbers()
    kernel((1,), (1,), (numbers, np.int32(16), np.int32(32)), shared_mem=64)
    with pytest.raises(KernelHostError, match="thread 0 copies 16 bytes between addresses that they do not divide"):
        kernel((1,), (1,), (numbers, np.int32(start), np.int32(to)), shared_mem=64)
