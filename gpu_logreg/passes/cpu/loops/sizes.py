"""Sizes that the compiled loops and the code that calls them agree on; without Numba."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gpu_logreg.arrays.code_files import processor

__all__ = ["AT_ONCE", "FLUSH_ROWS", "LOG_ROWS", "REGISTER_BYTES", "SHORT_ROW_BYTES", "TURNS_SIZE", "vector_for"]

FLUSH_ROWS = 2048
"""Rows whose gradient is summed in the dtype of the arithmetic, before that sum is added to float64.

It bounds the rounding error of a sum in float32, which grows with the number of its terms; adding to float64 after
every row would take longer. It decides the order of additions, and so the bits. Other numbers were not compared.
"""

LOG_ROWS = 256
"""Rows whose factors ``1 + e``, each at most 2, are multiplied before one logarithm is taken of the product.

A block of rows is not divided, so that there may be some factors more; a float64 overflows from 1,024 on. One logarithm
takes the place of that many calls of ``log1p``.
"""

TURNS_SIZE = 24
"""Elements of the int64 array, zero at first, by which the threads of a loop share turns."""

AT_ONCE = 8 if "+avx512f" in processor()[2].split(",") else 4
"""How many sums are kept in registers at once: of the logits of as many rows, or of the gradient of as many columns.

Processors with AVX-512 have 32 vector registers, others 16. Each sum has its terms in the same order whatever the
number, so that the bits do not depend on it. The features of the processor are part of the key of the code on disk, so
that code from there was compiled with the number of this process.
"""

REGISTER_BYTES = 64 if AT_ONCE == 8 else 32
"""Bytes of a vector register with AVX-512 and with AVX, for loops whose vectors are one register long.

Such a loop adds a row in as many partial sums as a register has elements: its bits depend on the processor.
"""

SHORT_ROW_BYTES = 256
"""Most bytes of a row for which `short_rows` is taken and not `dense`: 64 columns in float32."""


@functools.cache
def vector_for(d: int, dtype: np.dtype[Any]) -> tuple[int, ...] | None:
    """A tuple of the length of the vectors for rows of ``d`` columns; None where they are too long for `short_rows`."""
    return (0,) * (REGISTER_BYTES // dtype.itemsize) if 0 < d * dtype.itemsize <= SHORT_ROW_BYTES else None
