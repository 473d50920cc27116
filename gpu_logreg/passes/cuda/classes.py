"""The CUDA pass for K logits: one read of ``X`` for loss and gradient, by ``softmax_loss_and_gradient.cu``.

``Z = X @ W.T + b``; ``dZ = s (P - Y)``; sums of ``s row_loss``, ``dZ.T @ X`` and ``dZ``. Blocks of threads return
partial sums, ``sum_partials.cu`` adds them in a fixed order, and ``K (d + 1) + 1`` numbers come back to the host: two
launches, one copy each way and one wait for every read.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import import_cupy
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import ImplementationError
from gpu_logreg.passes.cuda.checks import alignment_of, array_problem, matrix_problem, row_stride, vector_problem
from gpu_logreg.passes.cuda.dense import SUM_BLOCK, SUM_KERNEL, Kernels
from gpu_logreg.passes.cuda.source import kernel_source, options_of_weights
from gpu_logreg.passes.cuda.tuning.family import STORAGES
from gpu_logreg.passes.cuda.tuning.softmax_family import MOST_SHARED_BYTES, choose_softmax_family
from gpu_logreg.passes.cuda.tuning.softmax_layout import SoftmaxFamily, padded_shape
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows, compute_dtype

__all__ = ["HEADERS", "KERNEL", "cuda_multinomial_pass", "family_of", "kernel_options", "parameters", "supports"]

KERNEL = "softmax_loss_and_gradient"
HEADERS = ("logistic.cuh", "reduce.cuh", "rows.cuh", "tile.cuh", "softmax.cuh")

_WARP = 32
_STATIC_SHARED_BYTES = 256  # bound of the kernel's own static array: 8 bytes for each of at most 16 warps, doubled
_NULL = np.uintp(0)


def supports(rows: Rows, n_logits: int, dtype: Any = None) -> str | None:
    """Why this pass cannot take ``rows`` for so many classes, computing in ``dtype``; None if it can."""
    problem = array_problem("cuda", rows) or matrix_problem("cuda", rows.X, tuple(STORAGES))
    problem = problem or vector_problem("cuda", rows, (np.int32,), "int32 numbers of classes")
    if problem is not None:
        return problem
    real = np.dtype(dtype or compute_dtype(rows.X.dtype))
    family = family_of(rows.X, n_logits, real)
    return f"the cuda pass: {family}" if isinstance(family, str) else None


def supports_fit(rows: Rows, n_logits: int) -> str | None:
    """Why a whole fit on ``rows`` cannot be made by this pass; None if it can.

    A fit also walks samples of the rows, which have a column of ones beside the others, and walks all rows in float64
    where rounding in float32 hides whether the gradient is small enough.
    """
    problem = supports(rows, n_logits) or supports(rows, n_logits, np.float64)
    if problem is not None:
        return problem
    most_shared, real = _most_shared(rows.X.device.id), compute_dtype(rows.X.dtype).name
    for name in {real, "float64"}:
        family = choose_softmax_family(rows.X.shape[1] + 1, n_logits, name, name, STORAGES[name], most_shared)
        if isinstance(family, str):
            return f"the cuda pass: {family}"
    return None


def family_of(X: Any, n_logits: int, real: np.dtype[Any]) -> SoftmaxFamily | str:
    """The member of the kernel family for ``X``, by its width, storage and alignment, or why there is none."""
    return choose_softmax_family(
        X.shape[1], n_logits, X.dtype.name, real.name, alignment_of(X), _most_shared(X.device.id)
    )


@functools.cache
def _most_shared(device: int) -> int:
    """Most bytes of dynamic shared memory of a block; compute capability 7.5 has less than the family may ask for."""
    cupy: Any = import_cupy()
    there = cupy.cuda.Device(device).attributes.get("MaxSharedMemoryPerBlockOptin", MOST_SHARED_BYTES)
    return min(MOST_SHARED_BYTES, int(there) - _STATIC_SHARED_BYTES)


def cuda_multinomial_pass(
    rows: Rows, W: Float64Vector, b: Float64Vector, dtype: Any = None, *, probabilities: Any = None
) -> Sums:
    """Loss and gradient sums over ``rows`` for K logits, computed on their GPU in one read of ``X``.

    Besides the rows the device holds ``K (d + 1) + 1`` numbers for every block of threads.

    Parameters
    ----------
    rows : Rows
        CuPy arrays that `supports` accepts. ``X`` of shape (n, d) in float32, float64, float16, bfloat16 or uint8; rows
        are contiguous, and may lie any distance apart. ``y``: the number of each row's class, int32.
    W : ndarray of shape (K, d)
        Weights, float64, on the host.
    b : ndarray of shape (K,)
        Intercepts, float64.
    dtype : float32 or float64, optional
        To compute in; what `gpu_logreg.rows.block.compute_dtype` says if None.
    probabilities : array of shape (n, K), optional
        In C order and the dtype computed in. With them the sums are those of a product with the Hessian in the
        direction ``W, b``: ``dZ`` is ``s (diag(p) - p p.T) z`` of every row, and the loss is 0.

    Returns
    -------
    Sums
        ``dw_sum`` of shape (K, d), ``db_sum`` of shape (K,).

    Raises
    ------
    ImplementationError
        If `supports` refuses the rows; checked here too because a kernel given wrong arrays damages memory.
    """
    K, d = W.shape
    reason = supports(rows, K, dtype)
    if reason is None and d != rows.X.shape[1]:
        reason = f"the cuda pass takes as many weights of a class as X has columns, {rows.X.shape[1]}, and W has {d}"
    if reason is not None:
        raise ImplementationError(reason)
    X, y, sample_weight = rows
    n = X.shape[0]
    if n == 0:
        return Sums(0.0, np.zeros((K, d)), np.zeros(K))
    real = np.dtype(dtype or compute_dtype(X.dtype))
    if probabilities is not None:
        if probabilities.shape != (n, K) or probabilities.dtype != real or not probabilities.flags.c_contiguous:
            raise ImplementationError(f"the cuda pass takes probabilities of shape ({n}, {K}) in {real}, in C order")
        y = probabilities
    family = family_of(X, K, real)
    assert isinstance(family, SoftmaxFamily)
    cupy: Any = import_cupy()
    weight = None if sample_weight is None else sample_weight.dtype.name
    width = K * (d + 1) + 1
    with X.device:
        options = kernel_options(family, d, K, X.dtype.name, real.name, weight)
        options += () if probabilities is None else ("-DPRODUCT=1",)
        kernels = _kernels(options, family.shared, X.device.id)
        blocks = min(-(-n // family.rows), family.resident * kernels.multiprocessors)
        partial = cupy.empty((blocks, width), dtype=np.float64)
        sums = cupy.empty(width, dtype=np.float64)
        there = cupy.asarray(parameters(family, W, b, X.dtype.name, real))
        b_there, W_there = there[: 8 * K].view(np.float64), there[8 * (K + K % 2) :].view(real)
        s = _NULL if sample_weight is None else sample_weight
        arguments = X, np.int64(row_stride(X)), y, s, W_there, b_there, partial, np.int64(n)
        kernels.first((blocks,), (family.block,), arguments, shared_mem=family.shared)
        kernels.second((-(-width // _WARP),), (SUM_BLOCK,), (partial, sums, np.int32(blocks), np.int32(width)))
        host: Float64Vector = sums.get()  # the only wait for the device
    return Sums(float(host[-1]), host[: K * d].reshape(K, d), host[K * d : -1])


def parameters(family: SoftmaxFamily, W: Float64Vector, b: Float64Vector, storage: str, real: np.dtype[Any]) -> Any:
    """Intercepts in float64 and padded weights in ``real`` as the kernel takes them, in bytes, for a single copy."""
    K, d = W.shape
    padded_k, padded_d = padded_shape(family, d, K, storage)
    first = 8 * (K + K % 2)  # the weights begin at a multiple of 16 bytes
    packed = np.zeros(first + padded_k * padded_d * real.itemsize, dtype=np.uint8)
    packed[: 8 * K].view(np.float64)[:] = b
    packed[first:].view(real).reshape(padded_k, padded_d)[:K, :d] = W
    return packed


def kernel_options(
    family: SoftmaxFamily, d: int, n_logits: int, storage: str, real: str, weight: str | None
) -> tuple[str, ...]:
    """Compiler options of one specialisation, from its family, sizes and dtype names (``weight`` None: all 1)."""
    return (
        f"-DD={d}",
        f"-DK={n_logits}",
        f"-DSTORAGE={storage}",
        *options_of_weights(real, weight),
        *(f"-D{name.upper()}={value}" for name, value in family._asdict().items()),
    )


@functools.cache
def _kernels(options: tuple[str, ...], shared: int, device: int) -> Kernels:
    """Both stages of one specialisation, compiled once per process and device (CuPy keeps binaries on disk)."""
    cupy: Any = import_cupy()
    first = cupy.RawModule(code=kernel_source(f"{KERNEL}.cu", HEADERS), options=options).get_function(KERNEL)
    first.max_dynamic_shared_size_bytes = shared  # more than 48 KB has to be asked for
    second = cupy.RawModule(
        code=kernel_source(f"{SUM_KERNEL}.cu", ("reduce.cuh",)), options=(f"-DBLOCK={SUM_BLOCK}",)
    ).get_function(SUM_KERNEL)
    return Kernels(first, second, int(cupy.cuda.Device(device).attributes["MultiProcessorCount"]))
