"""What data sets have in common whose rows are not all in the memory of this process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from gpu_logreg.arrays.block_sizes import SAMPLED_ELEMENTS, BlockSize
from gpu_logreg.arrays.kinds import KindOfRows
from gpu_logreg.arrays.vector import ArrayOfRows, DType, Float64Vector, HostArray, IntVector
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.sparse_costs import sparse_curvature_cost, sparse_read_cost

__all__ = ["RowsApart", "largest_sample"]


def largest_sample(n_columns: int) -> int:
    """Most rows of a sample: of `SAMPLED_ELEMENTS`, but enough for a Hessian. It does not depend on the memory."""
    return max(SAMPLED_ELEMENTS // max(1, n_columns), 5 * (n_columns + 1), 1000)


class RowsApart:
    """Rows that are read from elsewhere, whose samples are worked on in the memory of the host."""

    @property
    @abstractmethod
    def kind(self) -> KindOfRows:
        """How the rows are stored."""

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Number of columns."""

    @property
    @abstractmethod
    def n_stored(self) -> int:
        """Stored elements."""

    @property
    @abstractmethod
    def n_pairs(self) -> float:
        """Of sparse rows: the sum of the squares of the numbers of their stored elements."""

    @property
    @abstractmethod
    def column_names(self) -> Sequence[str] | None:
        """Names of the columns, for messages."""

    @property
    @abstractmethod
    def compute_dtype(self) -> DType:
        """In which the passes compute."""

    @abstractmethod
    def labels_and_weights(self, indices: IntVector, weight: Float64Vector) -> tuple[HostArray, HostArray]:
        """Labels of rows that ascend, and their weights times ``weight``."""

    @abstractmethod
    def _rows(self, indices: IntVector) -> ArrayOfRows:
        """Copies of rows that ascend."""

    @property
    def is_resident(self) -> bool:
        """False: the rows are not in the memory of this process."""
        return False

    @property
    def is_sparse(self) -> bool:
        """Whether blocks are CSR arrays."""
        return self.kind.is_sparse

    @property
    def read_cost(self) -> float:
        """Time of a read, relative to one of as many dense rows."""
        if not self.is_sparse:
            return 1.0
        return sparse_read_cost(self.n_rows, self.n_columns, max(self.n_rows, self.n_stored))

    def curvature_cost(self, n_logits: int) -> float:
        """Time of a Hessian, without its factorisation, relative to one of as many dense rows."""
        if not self.is_sparse:
            return 1.0
        return sparse_curvature_cost(self.n_rows, self.n_columns, self.n_pairs, n_logits)

    @property
    def largest_sample(self) -> int:
        """Most rows of a sample, which is kept in the memory of this process."""
        return largest_sample(self.n_columns)

    def block_bytes(self, size: BlockSize) -> int:
        """Bytes of a block of that size on the host, where samples are worked on."""
        return size.host

    def gather(self, indices: IntVector) -> tuple[ResidentDataset, IntVector]:
        """A data set in this process of the rows ``indices``, which ascend, and their numbers in it; one read."""
        X = self._rows(indices)
        y, s = self.labels_and_weights(indices, np.ones(len(indices)))
        data = ResidentDataset(Rows(X, y, s), float(s.sum()), self.column_names, self.compute_dtype)
        return data, np.arange(len(indices))

    def column_name(self, column: int) -> str:
        """The name of a column, for a message that has named its number; empty where columns have no names."""
        return "" if self.column_names is None else f" ({self.column_names[column]!r})"
