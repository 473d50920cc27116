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


STORAGE_KERNELS = r"""
#define ROWS_CUH
struct float16 { unsigned short bits; };
struct bfloat16 { unsigned short bits; };

extern "C" __global__ void vectors(const unsigned char* from, unsigned* out, int bytes, int first) {
    kernel_host::load(out, from + first, size_t(bytes));
}

extern "C" __global__ void widen(const float16* in, float* out, int n) {
    for (int k = 0; k < n; ++k) out[k] = kernel_host::from_float16(in[k].bits);
}

extern "C" __global__ void copies(const bfloat16* in, unsigned short* out, int n) {
    for (int k = 0; k < n; ++k) out[k] = in[k].bits;
}

extern "C" __global__ void permute(const unsigned* low, const unsigned* high, const unsigned* by, unsigned* out) {
    out[threadIdx.x] = __byte_perm(low[threadIdx.x], high[threadIdx.x], by[threadIdx.x]);
}

extern "C" __global__ void join(const int* high, const int* low, double* out, float* narrow) {
    out[threadIdx.x] = __hiloint2double(high[threadIdx.x], low[threadIdx.x]);
    narrow[threadIdx.x] = __uint_as_float(unsigned(high[threadIdx.x]));
}

extern "C" __global__ void address(const unsigned char* in, unsigned long long* out) {
    out[0] = (unsigned long long)in;
    out[1] = in[-1];
}

extern "C" __global__ void rows(const float* X, long long stride, float* out, int columns) {
    for (int j = 0; j < columns; ++j) out[int(threadIdx.x) * columns + j] = X[threadIdx.x * stride + j];
}

extern "C" __global__ void overwrite(float* X, int at) { X[at] = 1; }
"""


@pytest.fixture(scope="module")
def storage():
    return HostModule(STORAGE_KERNELS)


def aligned(size: int) -> np.ndarray:
    """Bytes 1, 2, 3, ... at an address that 64 divides."""
    whole = np.zeros(size + 64, np.uint8)
    first = -whole.ctypes.data % 64
    whole[first : first + size] = np.arange(1, size + 1)
    return whole[first : first + size]


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_a_vector_is_loaded_whole_from_where_its_size_divides_the_address(storage, size):
    load, numbers = storage.get_function("vectors"), aligned(64)
    for first in range(0, 33):
        out = np.full(4, 0xAAAAAAAA, np.uint32)
        arguments = (numbers, out, np.int32(size), np.int32(first))
        if first % size:
            with pytest.raises(KernelHostError, match=f"thread 0 loads {size} bytes from an address that they do not"):
                load((1,), (1,), arguments)
            continue
        load((1,), (1,), arguments)
        taken = max(size, 4)
        assert out.tobytes()[:size] == numbers[first : first + size].tobytes()
        assert out.tobytes()[size:taken] == bytes(taken - size)  # a register is 4 bytes
        assert out.tobytes()[taken:] == b"\xaa" * (16 - taken)


def test_an_array_keeps_its_misalignment(storage):
    load, where = storage.get_function("vectors"), storage.get_function("address")
    for shift in range(64):
        numbers = aligned(128)[shift:]
        out, found = np.zeros(4, np.uint32), np.zeros(2, np.uint64)
        where((1,), (1,), (numbers, found))
        assert found[0] % 64 == shift
        assert found[1] == 0xFF  # a guard, not the byte before it in its own array
        if shift % 8:
            with pytest.raises(KernelHostError, match="do not divide"):
                load((1,), (1,), (numbers, out, np.int32(8), np.int32(0)))
        else:
            load((1,), (1,), (numbers, out, np.int32(8), np.int32(0)))
            assert out.tobytes()[:8] == numbers[:8].tobytes()


def test_every_float16_is_widened_as_by_numpy(storage):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    out = np.zeros(halves.size, np.float32)
    storage.get_function("widen")((1,), (1,), (halves, out, np.int32(halves.size)))
    np.testing.assert_array_equal(out, halves.astype(np.float32))
    real = ~np.isnan(halves)
    np.testing.assert_array_equal(np.signbit(out[real]), np.signbit(halves[real]))


def test_bfloat16_is_a_type_of_its_own(storage):
    copies, out = storage.get_function("copies"), np.zeros(3, np.uint16)
    numbers = np.array([1.0, -2.5, np.inf], "bfloat16")
    copies((1,), (1,), (numbers, out, np.int32(3)))
    np.testing.assert_array_equal(out, [0x3F80, 0xC020, 0x7F80])
    for other in (np.float16, np.uint16, np.float32):
        with pytest.raises(KernelHostError, match=f"argument 0 is {np.dtype(other)}, not bfloat16"):
            copies((1,), (1,), (np.zeros(3, other), out, np.int32(3)))


def test_byte_perm(storage):
    rng = np.random.default_rng(0)
    low, high, by = rng.integers(0, 2**32, (3, 1000), np.uint32)
    by &= np.uint32(0x7777)  # the high bit of a selector is for the sign, which nothing here uses
    out = np.zeros(1000, np.uint32)
    storage.get_function("permute")((1,), (1000,), (low, high, by, out))
    pool = np.stack([low, high], axis=1).view(np.uint8)  # bytes 0 to 3 of the one, 4 to 7 of the other
    picks = np.stack([by >> np.uint32(4 * k) & np.uint32(7) for k in range(4)], axis=1)
    expected = np.take_along_axis(pool, picks.astype(np.intp), axis=1).copy().view(np.uint32)[:, 0]
    np.testing.assert_array_equal(out, expected)


def test_registers_as_numbers(storage):
    numbers = np.array([1.0, -0.0, np.pi, 5e-324, -1e300, np.inf, np.nan])
    low, high = numbers.view(np.int32).reshape(-1, 2).T.copy()
    out, narrow = np.zeros(7), np.zeros(7, np.float32)
    storage.get_function("join")((1,), (7,), (high, low, out, narrow))
    assert out.tobytes() == numbers.tobytes()
    np.testing.assert_array_equal(narrow, high.view(np.float32))


def test_rows_that_lie_apart(storage):
    read, whole = storage.get_function("rows"), np.arange(60, dtype=np.float32).reshape(6, 10)
    for X in (whole[:, :4], whole[:, 3:7], whole[::2, :4], whole[1::2, 2:6]):
        out = np.zeros((len(X), 4), np.float32)
        read((1,), (len(X),), (X, np.int64(X.strides[0] // 4), out, np.int32(4)))
        np.testing.assert_array_equal(out, X)
    before, out = whole.copy(), np.zeros((6, 5), np.float32)
    read((1,), (6,), (whole[:, 6:], np.int64(10), out, np.int32(5)))  # reads a column too many
    assert np.isnan(out[5, 4])  # nothing lies behind the last row
    np.testing.assert_array_equal(out[:5, 4], whole[1:, 0])
    np.testing.assert_array_equal(whole, before)


def test_rows_that_lie_apart_are_guarded_and_not_written_to(storage):
    whole = np.zeros((6, 10), np.float32)
    write = storage.get_function("overwrite")
    for at in (-1, 5 * 10 + 4):
        with pytest.raises(KernelHostError, match="wrote outside its array 0"):
            write((1,), (1,), (whole[:, :4], np.int32(at)))
    write((1,), (1,), (whole[:, :4], np.int32(0)))
    assert not whole.any()
    for columns in (whole.T, whole[:, ::2]):
        with pytest.raises(KernelHostError, match="argument 0 is not contiguous"):
            write((1,), (1,), (columns, np.int32(0)))
