"""The passes by name, and the choice among them, made once per fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gpu_logreg.arrays.device import Device, is_sparse
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError, ImplementationError
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.block import Rows, compute_dtype

__all__ = ["CPU_PASS_ELEMENTS", "NAMES", "SPARSE_PASS_ELEMENTS", "Implementation", "choose", "choose_multinomial"]

CPU_PASS_ELEMENTS = 4_000_000
"""Elements of ``X`` from which ``impl="auto"`` prefers the ``cpu`` pass.

Below, a fit ends before the time to import Numba and to load the compiled loops is won back.
"""

SPARSE_PASS_ELEMENTS = 400_000
"""Likewise stored elements of sparse rows. Fewer, as a row has few of them and its loss takes time as well."""

_HOST_BLOCK_BYTES = 2**20  # a thread's second-level cache holds a block between its two reads
_CUDA_BLOCK_BYTES = 2**28

NAMES = ("reference", "cpu", "cuda", "cublas")


@dataclass(frozen=True)
class Implementation:
    """A pass, chosen by name.

    Attributes
    ----------
    name : str
    reason : str
        How the choice came about.
    sums : function (rows, w, b, dtype) -> Sums
        ``dtype`` is what to compute in.
    moments : function (rows) -> Moments
    block_bytes : int or None
        Rows are handed over in native blocks of about this size; None: all at once, whatever their dtype.
    moments_block_bytes : int or None
        Likewise for ``moments``.
    of_samples : Implementation or None
        The pass of the same name over samples of the rows, which are dense; None where it is this one.
    """

    name: str
    reason: str
    sums: Callable[[Rows, Float64Vector, Any, Any], Sums]
    moments: Callable[[Rows], Moments]
    block_bytes: int | None
    moments_block_bytes: int | None
    of_samples: Implementation | None = None

    @property
    def compiled(self) -> bool:
        """Whether compiled loops are at hand for the rows: Numba is imported, and they are in host memory."""
        return self.name == "cpu"


def choose_multinomial(impl: str, rows: Rows, device: Device, n_logits: int) -> Implementation:
    """Pick the pass for K logits: ``cpu`` or ``cuda``, in one read, or ``reference``, on either device.

    Raises
    ------
    ImplementationError
        If a pass asked for by name has no variant for K logits, or cannot take the rows.
    """
    from gpu_logreg.passes.reference.gradient import reference_moments

    if is_sparse(rows.X):
        return _for_sparse(impl, rows, n_logits)
    if impl == "cublas":
        raise ImplementationError(f"impl='cublas' takes two classes, and y has {n_logits}; use impl='auto' or 'cuda'")
    if device.kind == "cuda" and impl in ("auto", "cuda"):
        from gpu_logreg.passes.cuda.classes import cuda_multinomial_pass, supports_fit

        problem = supports_fit(rows, n_logits)
        if problem is None:
            reason = "auto: the rows are on a GPU" if impl == "auto" else "asked for"
            return Implementation("cuda", reason, cuda_multinomial_pass, reference_moments, None, _CUDA_BLOCK_BYTES)
        if impl == "cuda":
            raise ImplementationError(f"impl='cuda' cannot be used: {problem}; use impl='auto'")
        name, reason = "reference", f"auto: {problem}"
    elif impl == "auto":
        many = rows.X.size * n_logits >= CPU_PASS_ELEMENTS
        name, reason = ("cpu", "auto: one read per gradient") if many else ("reference", "auto: the rows are few")
    else:
        name, reason = choose(impl, rows, device).name, "asked for"
    return _load_multinomial(name, reason, device)


def _load_multinomial(name: str, reason: str, device: Device) -> Implementation:
    from gpu_logreg.passes.reference.classes import reference_multinomial_pass
    from gpu_logreg.passes.reference.gradient import reference_moments

    block_bytes = _HOST_BLOCK_BYTES if device.kind == "cpu" else _CUDA_BLOCK_BYTES
    if name == "cpu":
        from gpu_logreg.passes.cpu.classes import cpu_multinomial_pass

        return Implementation(name, reason, cpu_multinomial_pass, reference_moments, None, block_bytes)
    return Implementation(name, reason, reference_multinomial_pass, reference_moments, block_bytes, block_bytes)


def choose(impl: str, rows: Rows, device: Device) -> Implementation:
    """Pick the pass for ``rows`` on ``device``.

    ``"auto"``: on a GPU the ``cuda`` pass, else ``cublas``, else ``reference``, with the reasons; on the CPU
    ``reference`` for fewer than `CPU_PASS_ELEMENTS` elements and ``cpu`` from there on.

    Raises
    ------
    ImplementationError
        If a pass asked for by name cannot take the rows.
    DataError
        If there is no pass of that name.
    """
    if impl not in ("auto", *NAMES):
        raise DataError(f"impl={impl!r} is not known; use 'auto', 'reference', 'cpu', 'cuda' or 'cublas'")
    if is_sparse(rows.X):
        return _for_sparse(impl, rows, 1)
    if impl == "auto":
        return _automatic(rows, device)
    if impl in ("cuda", "cublas") and device.kind != "cuda":
        raise ImplementationError(
            f"impl={impl!r} needs rows on a GPU, and the device is {device.name}; use device='cuda'"
        )
    if impl == "cpu" and device.kind != "cpu":
        raise ImplementationError(
            f"impl='cpu' needs rows in host memory, and the device is {device.name}; use device='cpu'"
        )
    problem = _supports(impl, rows)
    if problem is not None:
        raise ImplementationError(f"impl={impl!r} cannot be used: {problem}; use impl='auto'")
    return _load(impl, "asked for", device)


def _for_sparse(impl: str, rows: Rows, n_logits: int) -> Implementation:
    """``cpu``, in one read, or ``reference``, by SciPy's products, for rows in CSR; all rows at once."""
    from gpu_logreg.passes.cpu import sparse

    if impl in ("cuda", "cublas"):
        raise ImplementationError(f"impl={impl!r} reads dense rows, and X is sparse; use impl='auto', or X.toarray()")
    reason = "asked for"
    if impl == "auto":
        many = rows.X.nnz * n_logits >= SPARSE_PASS_ELEMENTS
        impl, reason = ("cpu", "auto: one read per gradient") if many else ("reference", "auto: the elements are few")
    host = Device("cpu")
    dense = _load(impl, reason, host) if n_logits == 1 else _load_multinomial(impl, reason, host)
    reason = f"{reason}; the rows are sparse"
    if impl == "cpu":
        sums = sparse.sparse_pass if n_logits == 1 else sparse.sparse_multinomial_pass
        return Implementation(impl, reason, sums, sparse.sparse_moments, None, None, dense)
    sums = sparse.by_row_blocks(dense.sums)  # SciPy's products are written as those of NumPy
    return Implementation(impl, reason, sums, sparse.reference_sparse_moments, None, None, dense)


def _automatic(rows: Rows, device: Device) -> Implementation:
    if device.kind == "cuda":
        problem = _supports("cuda", rows)
        if problem is None:
            return _load("cuda", "auto: the rows are on a GPU", device)
        if _supports("cublas", rows) is None:
            return _load("cublas", f"auto: {problem}", device)
        return _load("reference", f"auto: {problem}", device)
    if rows.X.size < CPU_PASS_ELEMENTS:
        return _load("reference", f"auto: {rows.X.size:,} elements are fewer than {CPU_PASS_ELEMENTS:,}", device)
    problem = _supports("cpu", rows)
    if problem is not None:
        return _load("reference", f"auto: {problem}", device)
    return _load("cpu", "auto: one read per gradient", device)


_HOMES = {
    "reference": "gpu_logreg.passes.reference.gradient",
    "cpu": "gpu_logreg.passes.cpu.dense",
    "cuda": "gpu_logreg.passes.cuda.dense",
    "cublas": "gpu_logreg.passes.cuda.cublas",
}
"""Where each implementation is; imported when it is chosen."""


def _supports(name: str, rows: Rows) -> str | None:
    if name == "reference":
        return None  # its blocks are converted before it sees them
    if name == "cublas":  # likewise; what is left to ask about is labels and weights
        X = rows.X[:0].astype(compute_dtype(rows.X.dtype), copy=False)
        rows = Rows(X, rows.y[:0], None if rows.sample_weight is None else rows.sample_weight[:0])
    problem: str | None = import_module(_HOMES[name]).supports(rows)
    return problem


def _load(name: str, reason: str, device: Device) -> Implementation:
    # Imported here: Numba takes 0.3 s, and CuPy may not be there.
    module: Any = import_module(_HOMES[name])
    if name == "cpu":
        return Implementation(name, reason, module.cpu_pass, module.cpu_moments, None, None)
    from gpu_logreg.passes.reference.gradient import reference_moments

    if name == "cuda":
        return Implementation(name, reason, module.cuda_pass, reference_moments, None, _CUDA_BLOCK_BYTES)
    block_bytes = _HOST_BLOCK_BYTES if device.kind == "cpu" else _CUDA_BLOCK_BYTES
    sums = getattr(module, f"{name}_pass")
    return Implementation(name, reason, sums, reference_moments, block_bytes, block_bytes)
