"""Names for the types of arrays, for signatures: what they hold, and of how many dimensions they are meant to be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Float32Matrix", "Float64Matrix", "Float64Vector", "IntVector"]

Float64Vector = npt.NDArray[np.float64]
"""Of shape (n,): parameters, gradients, weights of columns, on the host."""

Float64Matrix = npt.NDArray[np.float64]
"""Of shape (m, n): Hessians and weights of several logits, on the host."""

Float32Matrix = npt.NDArray[np.float32]
"""Of shape (m, n), on the host."""

IntVector = npt.NDArray[np.int64]
"""Of shape (n,): numbers of rows or columns, on the host."""
