"""The host shim itself: it runs what CUDA would run, and reports what CUDA would not forgive."""

from __future__ import annotations

import kernel_host
import numpy as np
import pytest
from kernel_host import HostModule, KernelHostError

pytestmark = pytest.mark.skipif(kernel_host.missing() is not None, reason=str(kernel_host.missing()))

KERNELS = r"""
extern "C" __global__ void reverse(const int* in, int* out, int barrier) {
    __shared__ int tile[64];
    tile[threadIdx.x] = in[threadIdx.x];
    if (barrier) __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];
}

extern "C" __global__ void stale(float* out) {
    __shared__ float tile[1];
    if (blockIdx.x == 0) tile[0] = 1;
    out[blockIdx.x] = tile[0];
    tile[0] = 2;
}

extern "C" __global__ void shuffles(int* out) {
    const int lane = int(threadIdx.x);
    const unsigned all = 0xffffffffu;
    out[lane] = __shfl_sync(all, lane, 5);
    out[32 + lane] = __shfl_up_sync(all, lane, 3);
    out[64 + lane] = __shfl_down_sync(all, lane, 3, 8);
    out[96 + lane] = __shfl_xor_sync(all, lane, 17);
    __syncwarp();
    if (lane >= 16) out[112 + lane] += __shfl_down_sync(0xffff0000u, 100, 1, 16);
}

extern "C" __global__ void faulty(int* out, int fault) {
    const unsigned all = 0xffffffffu;
    if (fault == 0) { if (threadIdx.x % 32 < 7) __shfl_sync(all, 0, 0);
                      else __shfl_sync(all, 0, 0); }
    if (fault == 1) { if (threadIdx.x < 40) __syncthreads(); else __syncwarp(); }
    if (fault == 2) { if (threadIdx.x < 40) __syncthreads();
                      else __syncthreads(); }
    if (fault == 3) __shfl_sync(0x0000ffffu, 0, 0);
    if (fault == 4 && threadIdx.x < 20) __shfl_sync(all, 0, 0);
    if (fault == 5) out[64] = 1;
    if (fault == 6) out[-1] = 1;
    if (fault == 7) *(volatile int*)8 = 1;
}
"""


@pytest.fixture(scope="module")
def kernels():
    return HostModule(KERNELS)


def test_a_barrier_makes_shared_memory_visible(kernels):
    numbers, out = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    for seed in range(8):
        kernels.get_function("reverse")((1,), (64,), (numbers, out, np.int32(1)), seed=seed)
        np.testing.assert_array_equal(out, numbers[::-1])


def test_a_missing_barrier_shows(kernels):
    numbers, out = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    for seed in range(8):
        kernels.get_function("reverse")((1,), (64,), (numbers, out, np.int32(0)), seed=seed)
        assert (out != numbers[::-1]).any()


def test_shared_memory_starts_as_nan_in_every_block(kernels):
    out = np.zeros(4, np.float32)
    kernels.get_function("stale")((4,), (1,), (out,))
    np.testing.assert_array_equal(out, [1, np.nan, np.nan, np.nan])


def test_shuffles(kernels):
    out = np.zeros(160, np.int32)
    lane = np.arange(32)
    kernels.get_function("shuffles")((1,), (32,), (out,), seed=3)
    np.testing.assert_array_equal(out[:32], 5)
    np.testing.assert_array_equal(out[32:64], np.where(lane < 3, lane, lane - 3))
    np.testing.assert_array_equal(out[64:96], np.where(lane % 8 < 5, lane + 3, lane))
    np.testing.assert_array_equal(out[96:128], lane ^ 17)
    np.testing.assert_array_equal(out[128:144], 100)  # a half warp by itself


@pytest.mark.parametrize(
    ("fault", "report"),
    [
        (0, "deadlock; block 0; threads 0 to 6 wait at __shfl_sync"),
        (1, "deadlock; block 0; threads 0 to 39 wait at __syncthreads"),
        (2, "different barriers"),
        (3, "mask 0000ffff, which misses it"),
        (4, r"lane \d+ has exited"),
        (5, "wrote outside its array 0"),
        (6, "wrote outside its array 0"),
        (7, "touched the address 0x8; block 0; threads"),
    ],
)
def test_faults_are_reported(kernels, fault, report):
    with pytest.raises(KernelHostError, match=report):
        kernels.get_function("faulty")((1,), (64,), (np.zeros(64, np.int32), np.int32(fault)))


def test_arguments_are_checked(kernels):
    kernel = kernels.get_function("stale")
    for wrong in ((), (np.zeros(1),), (np.float32(0),), (np.zeros(4, np.float32)[::2],)):
        with pytest.raises(KernelHostError):
            kernel((1,), (1,), wrong)
    with pytest.raises(KernelHostError, match="there is no kernel absent"):
        kernels.get_function("absent")


FUNCTION = 'extern "C" __global__ void scale(float* out) {{ {} out[k] *= 2; }}'


def test_narrowed_indices_and_accidental_float64_do_not_compile():
    HostModule(FUNCTION.format("unsigned k = blockIdx.x;"))
    for line in ("long long row = 1; int k = row;", "int k = 0; out[k] = out[k] * 2.0;", "no_such_type k;"):
        with pytest.raises(KernelHostError, match="error"):
            HostModule(FUNCTION.format(line))
