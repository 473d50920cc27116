"""What a column of a table teaches when its rows come a few at a time: numbers are added up, texts are counted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["MOST_TEXTS", "NumberFacts", "TextFacts"]

MOST_TEXTS = 2**20
"""Most different texts of a column that are kept; a model of more columns would be of no use."""

_COMPACTED = 2**16
"""Texts of blocks that wait to be added to the counts."""


class NumberFacts:
    """The numbers of a column.

    Attributes
    ----------
    n_rows, n_present : int
    total : float
        Sum of the numbers, added block by block.
    is_whole, are_dates : bool
        Whether all numbers are whole, and none is missing; whether they are dates written as 20151231 as well.
    lowest, highest, first : float
    n_rising, n_close, n_counting : int
        Rows whose number is more, by at least one, than in the row before; by one or two; by one.

    Examples
    --------
    >>> facts = NumberFacts()
    >>> facts.add(np.array([1.0, 2.0, np.nan]))
    >>> facts.add(np.array([4.0]))
    >>> facts.mean, facts.had_missing, facts.is_whole
    (2.3333333333333335, True, False)
    """

    def __init__(self) -> None:
        self.n_rows = self.n_present = self.n_rising = self.n_close = self.n_counting = 0
        self.total = 0.0
        self.is_whole = self.are_dates = True
        self.lowest, self.highest = math.inf, -math.inf
        self.first = math.nan
        self._last: float | None = None

    def add(self, values: NDArray[np.float64]) -> None:
        """Take the numbers of some rows; NaN is a missing cell."""
        present = values[~np.isnan(values)]
        self.n_rows += len(values)
        self.n_present += len(present)
        with np.errstate(over="ignore"):
            self.total += float(present.sum())
        if self.is_whole:
            self.is_whole = len(present) == len(values) and bool((present == np.floor(present)).all())
        if self.is_whole and len(values):
            self._add_whole(values)

    def _add_whole(self, values: NDArray[np.float64]) -> None:
        steps = np.diff(values) if self._last is None else np.diff(values, prepend=self._last)
        self.first = float(values[0]) if self._last is None else self.first
        self._last = float(values[-1])
        self.n_rising += int(np.count_nonzero(steps >= 1))
        self.n_close += int(np.count_nonzero((steps >= 1) & (steps <= 2)))
        self.n_counting += int(np.count_nonzero(steps == 1))
        self.lowest, self.highest = min(self.lowest, float(values.min())), max(self.highest, float(values.max()))
        if self.are_dates:
            month, day = values // 100 % 100, values % 100
            self.are_dates = bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())

    @property
    def had_missing(self) -> bool:
        """Whether a cell is missing."""
        return self.n_present < self.n_rows

    @property
    def mean(self) -> float:
        """Mean of the numbers that are present."""
        return self.total / self.n_present


class TextFacts:
    """The different texts of a column as they are written, with the number of their rows and the first of these.

    Attributes
    ----------
    n_rows, n_missing : int
    first_missing : int
        The first row with a missing cell; -1 if there is none.

    Examples
    --------
    >>> import pyarrow as pa
    >>> facts = TextFacts()
    >>> facts.add(pa.array(["b", "a", None, "b"]), 0)
    >>> facts.add(pa.array(["c", "a"]), 4)
    >>> words, counts, first = facts.texts()
    >>> words.to_pylist(), counts.tolist(), first.tolist()
    (['b', 'a', 'c'], [2, 2, 1], [0, 1, 4])
    """

    def __init__(self) -> None:
        self.n_rows = self.n_missing = 0
        self.first_missing = -1
        self._parts: list[Any] = []
        self._waiting = 0

    def add(self, column: pyarrow.Array, first: int) -> None:
        """Take the texts of some rows, from the row ``first`` on."""
        pa = import_pyarrow()
        encoded = column.dictionary_encode()
        codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.intp)
        rows = np.flatnonzero(codes >= 0)
        n_missing = len(codes) - len(rows)
        if n_missing and self.first_missing < 0:
            self.first_missing = first + int(np.argmax(codes < 0))
        self.n_rows, self.n_missing = self.n_rows + len(codes), self.n_missing + n_missing
        words, codes = encoded.dictionary.cast(pa.large_string()), codes[rows]
        counts, firsts = np.bincount(codes, minlength=len(words)), np.zeros(len(words), np.int64)
        firsts[codes[::-1]] = first + rows[::-1]  # the last one that is written is the first row
        self._parts.append(pa.table({"word": words, "count": counts, "first": firsts}))
        self._waiting += len(words)
        if self._waiting > _COMPACTED:
            self._compact()

    def _compact(self) -> None:
        pa = import_pyarrow()
        grouped = pa.concat_tables(self._parts).group_by("word").aggregate([("count", "sum"), ("first", "min")])
        self._parts = [
            pa.table([grouped[name] for name in ("word", "count_sum", "first_min")], ["word", "count", "first"])
        ]
        self._waiting = 0

    @property
    def too_many(self) -> bool:
        """Whether there are more texts than are kept."""
        return bool(self._parts) and self._parts[0].num_rows > MOST_TEXTS

    def texts(self) -> tuple[pyarrow.Array, NDArray[np.int64], NDArray[np.int64]]:
        """The texts in the order of their first rows, the number of their rows, and the first of these."""
        self._compact()
        (table,) = self._parts
        table = table.sort_by("first").combine_chunks()
        words = table["word"].combine_chunks()
        return words, table["count"].to_numpy(), table["first"].to_numpy()
