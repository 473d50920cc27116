"""Names for the types of arrays in signatures: what they hold, how many dimensions they have, and where they live.

The names of the first group are NumPy's arrays in the memory of the host. Those of the second are for objects of
libraries that have no types of their own, or are not imported here: to mypy they are `typing.Any`, and to a reader they
say what may come.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Array",
    "ArrayNamespace",
    "ArrayOfRows",
    "CsrArray",
    "DType",
    "DTypeLike",
    "Float64Matrix",
    "Float64Vector",
    "HostArray",
    "IntVector",
]

Float64Vector = npt.NDArray[np.float64]
"""Of shape (n,): parameters, gradients, weights of columns, on the host."""

Float64Matrix = npt.NDArray[np.float64]
"""Of shape (m, n): Hessians and weights of several logits, on the host."""

IntVector = npt.NDArray[np.int64]
"""Of shape (n,): numbers of rows or columns, on the host."""

HostArray = npt.NDArray[Any]
"""NumPy array of any shape and dtype."""

DType = np.dtype[Any]
"""A dtype of NumPy's, which CuPy shares."""

DTypeLike = npt.DTypeLike
"""A dtype, or what `numpy.dtype` makes one of."""

Array: TypeAlias = Any
"""NumPy or CuPy array of any shape, where the rows of a fit live."""

ArrayOfRows: TypeAlias = Any
"""Rows, of shape (n, d): a NumPy or CuPy array, or a CSR array of SciPy's."""

CsrArray: TypeAlias = Any
"""Sparse rows, of shape (n, d): `scipy.sparse.csr_array`, on the host."""

ArrayNamespace: TypeAlias = Any
"""The module ``numpy`` or ``cupy``."""
