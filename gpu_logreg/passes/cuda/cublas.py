"""The cuBLAS pass: two cuBLAS products around one fused kernel, one copy to the host.

``X`` is read twice, once by each product; everything between them is one launch of ``sigmoid_cross_entropy.cu``.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import import_cupy
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.passes.cuda.checks import array_problem, refuse, vector_problem
from gpu_logreg.passes.cuda.source import kernel_source, options_of_weights
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows

__all__ = ["BLOCK", "HEADERS", "KERNEL", "MAX_BLOCKS", "cublas_pass", "kernel_options", "supports"]

KERNEL = "sigmoid_cross_entropy"
HEADERS = ("logistic.cuh", "reduce.cuh")
BLOCK = 256
"""Threads of a block, a multiple of 32 for ``reduce.cuh``. A multiprocessor has registers for six blocks in float32.

That is with 40 registers a thread, to which ``tests/kernels/test_kernels_compile.py`` holds the kernel. Not measured
on a GPU.
"""
MAX_BLOCKS = 1024
"""Blocks of the largest grid: about 8 for each of the 132 multiprocessors of an H200.

The same on every device, because the number of blocks decides which rows are added together, and so the bits.
"""

_CUBLAS_ROWS = 2**31  # rows from which CuPy, which does not check, would hand cuBLAS a wrong number of 32 bits
_NULL = np.uintp(0)


def supports(rows: Rows) -> str | None:
    """Why this pass cannot take ``rows``; None if it can."""
    problem = array_problem("cublas", rows)
    if problem is not None:
        return problem
    X = rows.X
    if X.ndim != 2 or X.dtype not in (np.float32, np.float64):
        return f"the cublas pass takes X of two dimensions in float32 or float64, and X is {X.ndim}-D {X.dtype}"
    if X.shape[0] >= _CUBLAS_ROWS:
        return f"the cublas pass takes fewer than 2**31 rows at once, and X has {X.shape[0]}; split them into blocks"
    labels = f"uint8 or in the dtype of X ({X.dtype})"
    return vector_problem("cublas", rows, (np.uint8, X.dtype), labels)


def cublas_pass(rows: Rows, w: Float64Vector, b: float, dtype: Any = None) -> Sums:
    """Loss and gradient sums over ``rows``, computed on their GPU in the dtype of ``X``.

    ``z = X @ w + b``; ``dz = s (p - y)``; ``loss_sum = sum(s row_loss)``; ``dw_sum = X.T @ dz``; ``db_sum = sum(dz)``.
    The device holds one array of length n besides the rows: ``X @ w``, overwritten by ``dz``.

    Parameters
    ----------
    rows : Rows
        CuPy arrays that `supports` accepts. ``X`` of shape (n, d) in C or Fortran order; cuBLAS cannot read other
        strides through CuPy, so such an ``X`` (rows of a Fortran-ordered one, too) is copied on the device each time.
    w : ndarray of shape (d,)
        Weights, float64, on the host.
    b : float
        Intercept.
    dtype : float32 or float64, optional
        That of ``X``, the only one it computes in.

    Raises
    ------
    ImplementationError
        If `supports` refuses the rows, or another dtype is asked for: a kernel given wrong arrays damages memory.
    """
    reason = supports(rows)
    if reason is None and dtype is not None and rows.X.dtype != dtype:
        reason = f"the cublas pass computes in the dtype of X, and was asked for {np.dtype(dtype)} of {rows.X.dtype}"
    refuse(reason)
    X, y, sample_weight = rows
    n, d = X.shape
    if n == 0:
        return Sums(0.0, np.zeros(d), 0.0)
    cupy: Any = import_cupy()
    blocks = min(MAX_BLOCKS, -(-n // BLOCK))
    weight = None if sample_weight is None else sample_weight.dtype.name
    with X.device:
        kernel = _kernel(kernel_options(X.dtype.name, y.dtype.name, weight), X.device.id)
        if not (X.flags.c_contiguous or X.flags.f_contiguous):
            X = cupy.ascontiguousarray(X)  # CuPy would copy it for each of the two products
        dz = X @ cupy.asarray(w, dtype=X.dtype)  # the kernel turns X @ w into dz in place
        packed = cupy.empty(2 * blocks + d, dtype=np.float64)
        s = _NULL if sample_weight is None else sample_weight
        kernel((blocks,), (BLOCK,), (dz, np.float64(b), y, s, dz, packed, np.int64(n)))
        packed[2 * blocks :] = X.T @ dz
        host: Float64Vector = packed.get()  # the only wait for the device
    loss_sum, db_sum = host[: 2 * blocks].reshape(2, blocks).sum(axis=1)
    return Sums(float(loss_sum), host[2 * blocks :], float(db_sum))


def kernel_options(real: str, label: str, weight: str | None) -> tuple[str, ...]:
    """Compiler options of one specialisation, from the dtype names of ``X``, ``y`` and the weights (None: all 1)."""
    return f"-DLABEL={label}", *options_of_weights(real, weight), f"-DBLOCK={BLOCK}"


@functools.cache
def _kernel(options: tuple[str, ...], device: int) -> Any:
    """The kernel of one specialisation, compiled once per process and device (CuPy keeps binaries on disk)."""
    cupy: Any = import_cupy()
    module = cupy.RawModule(code=kernel_source(f"{KERNEL}.cu", HEADERS), options=options)
    return module.get_function(KERNEL)
