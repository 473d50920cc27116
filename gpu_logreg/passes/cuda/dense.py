"""The CUDA pass: one read of ``X`` for loss and gradient, by the kernel family ``loss_and_gradient.cu``.

A block of threads returns its partial sums, ``sum_partials.cu`` adds them in a fixed order, and ``d + 2`` numbers come
back to the host: two launches, one copy each way and one wait for every read.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.device import import_cupy
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.passes.cuda.checks import (
    alignment_of,
    array_problem,
    matrix_problem,
    refuse,
    row_stride,
    vector_problem,
)
from gpu_logreg.passes.cuda.source import kernel_source, options_of_weights
from gpu_logreg.passes.cuda.tuning.family import STORAGES, Family, choose_family
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows, compute_dtype

__all__ = ["HEADERS", "KERNEL", "SUM_BLOCK", "SUM_KERNEL", "cuda_pass", "family_of", "kernel_options", "supports"]

KERNEL = "loss_and_gradient"
HEADERS = ("logistic.cuh", "reduce.cuh", "rows.cuh", "stripes.cuh")
SUM_KERNEL = "sum_partials"
SUM_BLOCK = 256
"""Threads of a block of the second stage: eight warps share the partial sums of 32 columns.

The number decides the order of the additions, and so the bits.
"""

_WARP = 32
_NULL = np.uintp(0)


class Kernels(NamedTuple):
    """The kernels of a pass: the first leaves partial sums, the second adds them; multiprocessors of the device."""

    first: Any
    second: Any
    multiprocessors: int


def supports(rows: Rows, dtype: Any = None) -> str | None:
    """Why this pass cannot take ``rows``, computing in ``dtype``; None if it can."""
    problem = array_problem("cuda", rows) or matrix_problem("cuda", rows.X, tuple(STORAGES))
    if problem is not None:
        return problem
    real = np.dtype(dtype or compute_dtype(rows.X.dtype))
    labels = f"uint8 or in the dtype it computes in ({real})"
    problem = vector_problem("cuda", rows, (np.uint8, real), labels)
    if problem is not None:
        return problem
    family = family_of(rows.X, real)
    return f"the cuda pass: {family}" if isinstance(family, str) else None


def family_of(X: Any, real: np.dtype[Any]) -> Family | str:
    """The member of the kernel family for ``X``, by its width, storage and alignment, or why there is none."""
    d = X.shape[1]
    contiguous = row_stride(X) == d
    return choose_family(d, X.dtype.name, real.name, alignment_of(X, between_rows=not contiguous), contiguous)


def cuda_pass(rows: Rows, w: Float64Vector, b: float, dtype: Any = None, *, product: bool = False) -> Sums:
    """Loss and gradient sums over ``rows``, computed on their GPU in one read of ``X``.

    ``z = X @ w + b``; ``dz = s (p - y)``; ``loss_sum = sum(s row_loss)``; ``dw_sum = X.T @ dz``; ``db_sum = sum(dz)``.
    Besides the rows the device holds ``d + 2`` numbers for every block of threads.

    Parameters
    ----------
    rows : Rows
        CuPy arrays that `supports` accepts. ``X`` of shape (n, d) in float32, float64, float16, bfloat16 or uint8; rows
        are contiguous, and may lie any distance apart.
    w : ndarray of shape (d,)
        Weights, float64, on the host.
    b : float
        Intercept.
    dtype : float32 or float64, optional
        To compute in; what `gpu_logreg.rows.block.compute_dtype` says if None.
    product : bool
        Whether the sums are those of a product with the Hessian in the direction ``w, b``: labels are ``h``, in the
        dtype computed in, there are no weights, ``dz = h z``, and the loss is 0.

    Returns
    -------
    Sums

    Raises
    ------
    ImplementationError
        If `supports` refuses the rows; checked here too because a kernel given wrong arrays damages memory.
    """
    refuse(supports(rows, dtype))
    X, y, sample_weight = rows
    n, d = X.shape
    if n == 0:
        return Sums(0.0, np.zeros(d), 0.0)
    real = np.dtype(dtype or compute_dtype(X.dtype))
    family = family_of(X, real)
    assert isinstance(family, Family)
    cupy: Any = import_cupy()
    weight = None if sample_weight is None else sample_weight.dtype.name
    with X.device:
        options = kernel_options(family, X.dtype.name, real.name, y.dtype.name, weight)
        options += ("-DPRODUCT=1",) if product else ()
        kernels = _kernels(options, X.device.id)
        blocks = min(-(-n // family.batch), family.resident * kernels.multiprocessors)
        partial = cupy.empty((blocks, d + 2), dtype=np.float64)
        sums = cupy.empty(d + 2, dtype=np.float64)
        s = _NULL if sample_weight is None else sample_weight
        sizes = np.int64(n), np.int32(d)
        arguments = X, np.int64(row_stride(X)), y, s, cupy.asarray(w, dtype=real), np.float64(b), partial, *sizes
        kernels.first((blocks,), (family.block,), arguments)
        kernels.second((-(-(d + 2) // _WARP),), (SUM_BLOCK,), (partial, sums, np.int32(blocks), np.int32(d + 2)))
        host: Float64Vector = sums.get()  # the only wait for the device
    return Sums(float(host[d + 1]), host[:d], float(host[d]))


def kernel_options(family: Family, storage: str, real: str, label: str, weight: str | None) -> tuple[str, ...]:
    """Compiler options of one specialisation, from its family and dtype names (``weight`` None: all 1)."""
    return (
        *(f"-DSTORAGE={storage}", f"-DLABEL={label}"),
        *options_of_weights(real, weight),
        *(f"-D{name.upper()}={value}" for name, value in family._asdict().items()),
    )


@functools.cache
def _kernels(options: tuple[str, ...], device: int) -> Kernels:
    """Both stages of one specialisation, compiled once per process and device (CuPy keeps binaries on disk)."""
    cupy: Any = import_cupy()
    first = cupy.RawModule(code=kernel_source(f"{KERNEL}.cu", HEADERS), options=options)
    code = kernel_source(f"{SUM_KERNEL}.cu", ("reduce.cuh",))
    second = cupy.RawModule(code=code, options=(f"-DBLOCK={SUM_BLOCK}",))
    count = int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])
    return Kernels(first.get_function(KERNEL), second.get_function(SUM_KERNEL), count)
