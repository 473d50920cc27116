"""The choice of an engine by the parameter ``impl``, made once for each fit."""

from __future__ import annotations

from gpu_logreg.arrays.device import Device, is_sparse
from gpu_logreg.errors import DataError, ImplementationError
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.passes.engine import Engine
from gpu_logreg.passes.reference.row_products import RowProducts
from gpu_logreg.passes.sums import ProductsOfRows
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.streamed import Dataset

__all__ = ["CPU_PASS_ELEMENTS", "NAMES", "SPARSE_PASS_ELEMENTS", "choose", "row_products"]

CPU_PASS_ELEMENTS = 4_000_000
"""Elements of ``X``, times the logits of a row, from which ``impl="auto"`` takes the ``cpu`` engine.

For fewer, the whole fit takes less time than the import of Numba and the loading of the compiled loops.
"""

SPARSE_PASS_ELEMENTS = 250_000
"""The same for the stored elements of sparse rows.

It is less: a row has few elements, and the time of its loss, which the loops save too, counts for more. From there on
two or three fits of one process save what the loading of the loops has taken."""

NAMES = ("reference", "cpu", "cuda", "cublas")


def choose(impl: str, rows: Rows, device: Device, loss: Loss | None = None, *, by_columns: bool = False) -> Engine:
    """The engine for ``rows`` on ``device``.

    ``"auto"``: on a GPU ``cuda``, else ``cublas``, else ``reference``, with the reasons; on the CPU ``reference`` for
    fewer than `CPU_PASS_ELEMENTS` elements and ``cpu`` from there on.

    Parameters
    ----------
    impl : str
        One of `NAMES`, or ``"auto"``.
    rows : Rows
    device : Device
        Where the rows live.
    loss : Loss, optional
        `Binary` if None.
    by_columns : bool
        Whether sparse rows are to be summed by columns too, for which ``cpu`` alone has code.

    Raises
    ------
    ImplementationError
        If an engine asked for by name cannot take the rows or the loss.
    DataError
        If there is no engine of that name.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Rows(np.zeros((3, 2)), np.array([0, 1, 1], np.uint8), None)
    >>> engine = choose("auto", rows, Device("cpu"))
    >>> engine.name, engine.reason
    ('reference', 'auto: 6 elements are fewer than 4,000,000')
    """
    loss = loss or Binary()
    if impl not in ("auto", *NAMES):
        raise DataError(f"impl={impl!r} is not known; use 'auto', 'reference', 'cpu', 'cuda' or 'cublas'")
    if is_sparse(rows.X):
        return _for_sparse(impl, rows, loss, by_columns)
    if impl == "cublas" and not isinstance(loss, Binary):
        raise ImplementationError(
            f"impl='cublas' takes two classes, and y has {loss.n_classes}; use impl='auto' or 'cuda'"
        )
    if impl == "auto":
        return _automatic(rows, device, loss)
    if impl in ("cuda", "cublas") and device.kind != "cuda":
        raise ImplementationError(
            f"impl={impl!r} needs rows on a GPU, and the device is {device.name}; use device='cuda'"
        )
    if impl == "cpu" and device.kind != "cpu":
        raise ImplementationError(
            f"impl='cpu' needs rows in host memory, and the device is {device.name}; use device='cpu'"
        )
    problem = _problem(impl, rows, loss)
    if problem is not None:
        raise ImplementationError(f"impl={impl!r} cannot be used: {problem}; use impl='auto'")
    return _engine(impl, loss, "asked for")


def row_products(data: Dataset, n_params: int) -> ProductsOfRows:
    """What multiplies the rows of a data set for their information: compiled code for many rows on the host."""
    if data.n_rows * n_params < CPU_PASS_ELEMENTS or not data.on_host:
        return RowProducts()
    from gpu_logreg.passes.cpu.row_products import CompiledProducts, supports_products

    return CompiledProducts() if supports_products(n_params) else RowProducts()


def _for_sparse(impl: str, rows: Rows, loss: Loss, by_columns: bool) -> Engine:
    """The engine for CSR rows: ``cpu``, in one read, or ``reference``, by SciPy's products."""
    if impl in ("cuda", "cublas"):
        raise ImplementationError(f"impl={impl!r} reads dense rows, and X is sparse; use impl='auto', or X.toarray()")
    reason, problem = "asked for", _unknown("cpu", loss)
    if impl == "cpu" and problem is not None:
        raise ImplementationError(f"impl='cpu' cannot be used: {problem}; use impl='auto'")
    if impl == "auto" and problem is not None:
        impl, reason = "reference", f"auto: {problem}"
    elif impl == "auto":
        many = by_columns or rows.X.nnz >= _for_each_logit(SPARSE_PASS_ELEMENTS, loss)
        impl, reason = ("cpu", "auto: one read per gradient") if many else ("reference", "auto: the elements are few")
    return _engine(impl, loss, f"{reason}; the rows are sparse")


def _automatic(rows: Rows, device: Device, loss: Loss) -> Engine:
    if device.kind == "cuda":
        problem = _problem("cuda", rows, loss)
        if problem is None:
            return _engine("cuda", loss, "auto: the rows are on a GPU")
        name = "cublas" if _problem("cublas", rows, loss) is None else "reference"
        return _engine(name, loss, f"auto: {problem}")
    enough = _for_each_logit(CPU_PASS_ELEMENTS, loss)
    if rows.X.size < enough:
        return _engine("reference", loss, f"auto: {rows.X.size:,} elements are fewer than {enough:,}")
    problem = _problem("cpu", rows, loss)
    if problem is not None:
        return _engine("reference", loss, f"auto: {problem}")
    return _engine("cpu", loss, "auto: one read per gradient")


def _for_each_logit(elements: int, loss: Loss) -> int:
    """The least number of elements which, times the logits of a row, are as many as these."""
    return -(-elements // loss.n_logits)


def _problem(name: str, rows: Rows, loss: Loss) -> str | None:
    """Why an engine cannot take the rows or the loss; None if it can."""
    if name == "reference":
        return None  # `walk` converts blocks to a dtype that it takes
    if name == "cpu":
        from gpu_logreg.passes.cpu.dense import supports as supports_cpu

        return _unknown(name, loss) or supports_cpu(rows)
    from gpu_logreg.passes.cuda import engine

    return _unknown(name, loss) or (engine.supports if name == "cuda" else engine.supports_cublas)(rows, loss)


def _unknown(name: str, loss: Loss) -> str | None:
    """Why an engine with code of its own for each loss cannot take this one; None if it can."""
    return None if type(loss) in (Binary, Classes) else f"the {name} pass knows no loss {type(loss).__name__}"


def _engine(name: str, loss: Loss, reason: str) -> Engine:
    # Imported here: Numba takes 0.3 s to import, and CuPy may not be installed.
    from gpu_logreg.passes.reference.engine import ReferenceEngine

    reference = ReferenceEngine(loss, reason)
    if name == "reference":
        return reference
    if name == "cpu":
        from gpu_logreg.passes.cpu.engine import CpuEngine

        return CpuEngine(loss, reason, reference)
    from gpu_logreg.passes.cuda.engine import CublasEngine, CudaEngine

    return CudaEngine(loss, reason, reference) if name == "cuda" else CublasEngine(loss, reason, reference)
