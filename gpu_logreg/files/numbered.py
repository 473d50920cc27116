"""Names ``c0``, ``c1``, ... of columns of arrays, built when they are accessed, as there may be millions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["NumberedNames", "missing_names", "numbered_columns"]

_NAME = re.compile(r"c(0|[1-9][0-9]*)")

_LONGEST_NAME = 19
"""Letters of a name whose number fits into int64: c and 18 digits."""


class NumberedNames(Sequence[str]):
    """The names ``c<number>`` of rising numbers, as a sequence that stores the numbers alone.

    It equals a tuple or a list of the same names.

    Parameters
    ----------
    numbers : range of step 1, or integer array of shape (d,)
        Rising.
    """

    __slots__ = ("numbers",)

    def __init__(self, numbers: range | NDArray[np.integer[Any]]) -> None:
        self.numbers = numbers

    @property
    def width(self) -> int:
        """Number of columns of an array that has all these columns: one more than the last number."""
        return int(self.numbers[-1]) + 1 if len(self.numbers) else 0

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if not isinstance(at, slice):
            return f"c{self.numbers[at]}"
        part = NumberedNames(self.numbers[at])
        return part if at.step in (None, 1) else list(part)

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self.numbers), 4096):
            part = self.numbers[first : first + 4096]
            yield from [f"c{number}" for number in (part if isinstance(part, range) else part.tolist())]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._position(name) is not None

    def index(self, name: object, start: int = 0, stop: int | None = None) -> int:
        """Position of a name; ValueError for a name that is not there."""
        place = self._position(name) if isinstance(name, str) else None
        if place is None or place not in range(len(self))[start:stop]:
            raise ValueError(f"{name!r} is not among the names")
        return place

    def __eq__(self, other: object) -> bool:
        if isinstance(other, NumberedNames):
            return len(self) == len(other) and bool(np.array_equal(self._array(), other._array()))
        if isinstance(other, tuple | list):
            return len(self) == len(other) and all(map(str.__eq__, self, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} names{f' from {self[0]} to {self[-1]}' if len(self) else ''}>"

    def without(self, names: Collection[str]) -> NumberedNames:
        """All names but ``names``, each of which must be there."""
        return NumberedNames(np.delete(self._array(), sorted({self.index(name) for name in names}))) if names else self

    def positions(self, names: NumberedNames) -> NDArray[np.intp] | range:
        """Positions of ``names``, all of which must be there."""
        if isinstance(self.numbers, range):
            first = self.numbers.start
            if isinstance(names.numbers, range):
                return range(names.numbers.start - first, names.numbers.stop - first)
            return (names.numbers - first).astype(np.intp)
        return np.searchsorted(self.numbers, names._array())

    def missing(self, names: NumberedNames) -> NumberedNames:
        """Those of ``names`` that are not here."""
        if isinstance(self.numbers, range) and isinstance(names.numbers, range) and not self.numbers.start:
            return NumberedNames(range(max(names.numbers.start, len(self)), max(names.numbers.stop, len(self))))
        numbers, is_there = names._array(), self._is_there(max(self.width, names.width))
        return NumberedNames(numbers[~is_there[numbers]])

    def gaps(self) -> list[int]:
        """The numbers below `width` that have no name here."""
        return [] if len(self) == self.width else np.flatnonzero(~self._is_there(self.width)).tolist()

    def _is_there(self, width: int) -> NDArray[np.bool_]:
        """For each number below ``width``, whether its name is here."""
        is_there = np.zeros(width, dtype=bool)
        is_there[slice(self.numbers.start, self.numbers.stop) if isinstance(self.numbers, range) else self.numbers] = (
            True
        )
        return is_there

    def _array(self) -> NDArray[np.integer[Any]]:
        return np.arange(self.numbers.start, self.numbers.stop) if isinstance(self.numbers, range) else self.numbers

    def _position(self, name: str) -> int | None:
        match = _NAME.fullmatch(name)
        if match is None or len(name) > _LONGEST_NAME:
            return None
        number = int(match[1])
        if isinstance(self.numbers, range):
            return self.numbers.index(number) if number in self.numbers else None
        at = int(np.searchsorted(self.numbers, number))
        return at if at < len(self.numbers) and self.numbers[at] == number else None


def numbered_columns(count: int) -> NumberedNames:
    """The names ``c0``, ``c1``, ... for ``count`` columns that have no names."""
    return NumberedNames(range(count))


def missing_names(names: Sequence[str], present: Sequence[str]) -> Sequence[str]:
    """Those of ``names`` that are not among ``present``, in their order."""
    if isinstance(names, NumberedNames) and isinstance(present, NumberedNames):
        return present.missing(names)
    names_there = present if isinstance(present, NumberedNames) else set(present)
    return [name for name in names if name not in names_there]
