"""Labels and weights of rows that are not in memory themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpu_logreg.arrays.vector import DType, Float64Vector, HostArray, IntVector

__all__ = ["RowLabels"]


@dataclass(frozen=True)
class RowLabels:
    """Labels and weights of all rows, in memory, as narrow as they can be.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Numbers of the classes, ``uint8`` where there are up to 256.
    dtype : dtype
        Of labels as the loss takes them.
    sample_weight : ndarray of shape (n,) or None
        Booleans are weights of 1 and 0, a byte a row.
    by_class : ndarray of shape (K,), float64, or None
        Weights of the classes, by which those of the rows are multiplied.
    """

    codes: HostArray
    dtype: DType
    sample_weight: HostArray | None = None
    by_class: Float64Vector | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return int(self.codes.nbytes) + (0 if self.sample_weight is None else int(self.sample_weight.nbytes))

    @property
    def weight_dtype(self) -> DType | None:
        """Dtype of `weights`; None where there are none."""
        weights = self.weights(slice(0, 1))
        return None if weights is None else weights.dtype

    def labels(self, at: slice | IntVector) -> HostArray:
        """Labels of some rows as the loss takes them."""
        return self.codes[at].astype(self.dtype, copy=False)

    def weights(self, at: slice | IntVector) -> HostArray | None:
        """Weights of some rows: of the rows times of their classes."""
        s = None if self.sample_weight is None else self.sample_weight[at]
        if s is not None and s.dtype.kind == "b":
            s = s.astype(np.float32)
        if self.by_class is None:
            return s
        by_class = self.by_class[self.codes[at]]
        return by_class if s is None else by_class * s

    def float64_weights(self, part: slice) -> Float64Vector:
        """Weights of the rows of a slice, where there are any."""
        weights = self.weights(part)
        assert weights is not None
        return weights.astype(np.float64)

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights."""
        return self.sample_weight is not None or self.by_class is not None
