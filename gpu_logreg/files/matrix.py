"""Rows of numbers as an array file or LIBSVM text stores them: a `Matrix`, with the names of its columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_logreg.arrays.checks import first_not_finite
from gpu_logreg.arrays.csr import columns_at
from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Part, Source, pick_columns
from gpu_logreg.files.numbered import NumberedNames
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.table import Table

__all__ = ["Matrix"]


@dataclass(frozen=True)
class Matrix:
    """Rows of numbers from an array file or LIBSVM text, as stored.

    Attributes
    ----------
    values : array of shape (n, d)
        Dense or a ``csr_array``, in the dtype of the file. It may hold NaN and infinity.
    names : sequence of str, length d
        ``c0``, ``c1``, ... by the position in the file, a `NumberedNames`.
    labels : array of shape (n,) or None
        The labels of LIBSVM text.
    first_index : 0 or 1
        Index of the first feature in LIBSVM text; 0 for arrays.
    weights : array of shape (n,) or None
        Row weights of LIBSVM text that has them, as ``label:weight``.
    source : Source
        Where the rows come from, for messages.

    Examples
    --------
    >>> from gpu_logreg.files.numbered import numbered_columns
    >>> matrix = Matrix(np.arange(6).reshape(2, 3), numbered_columns(3))
    >>> matrix.take(["c2", "c0"]).values
    array([[2, 0],
           [5, 3]])
    """

    values: NDArray[Any] | sparse.csr_array
    names: Sequence[str]
    labels: NDArray[Any] | None = None
    first_index: int = 0
    source: Source = field(default_factory=lambda: Source("the array"))
    weights: NDArray[Any] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    def take(self, names: Sequence[str]) -> Matrix:
        """The columns ``names``, in that order; a view where they are adjacent columns of dense rows, else a copy."""
        if self.names == names:
            return self
        if not len(names):
            raise DataError(f"{self.source.name}: no column is left")
        if isinstance(names, NumberedNames) and isinstance(self.names, NumberedNames) and not self.names.missing(names):
            return replace(self, values=columns_at(self.values, self.names.positions(names)), names=names)
        positions = pick_columns(self.names, names, self.source)
        return replace(self, values=columns_at(self.values, positions), names=tuple(names))

    def take_rows(self, positions: NDArray[np.integer[Any]]) -> Matrix:
        """A copy of the rows at ``positions``, which count from 0, with their labels and weights."""
        labels = None if self.labels is None else self.labels[positions]
        weights = None if self.weights is None else self.weights[positions]
        source = Part.of(self.source, positions)
        return replace(self, values=self.values[positions], labels=labels, weights=weights, source=source)

    def refuse_not_finite(self) -> None:
        """Raise a `DataError` for the first NaN or infinity, with its row and column, if there is one."""
        first = first_not_finite(self.values)
        if first is not None:
            row, column, value = first
            kind = "NaN" if np.isnan(value) else "infinity"
            raise DataError(f"{self.source.at(row)}: column {self.names[column]!r} holds {kind}; remove or replace it")

    def to_table(self) -> Table:
        """A copy as a table, in which NaN is a missing cell."""
        values = self.values if isinstance(self.values, np.ndarray) else self.values.toarray()
        columns = {name: values[:, at] for at, name in enumerate(self.names)}
        return Table.from_arrow(import_pyarrow().table(columns), self.source)

    def drop(self, names: Collection[str]) -> Matrix:
        """All columns but ``names``."""
        pick_columns(self.names, names, self.source)
        if isinstance(self.names, NumberedNames):
            return self.take(self.names.without(names))
        return self.take([name for name in self.names if name not in names])
