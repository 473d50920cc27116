"""Columns that have numbers for names: ``c0``, ``c1``, ..., made when they are asked for, as there may be millions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["NumberedNames", "missing_names", "numbered_columns"]

_NAME = re.compile(r"c(0|[1-9][0-9]*)")


class NumberedNames(Sequence[str]):
    """The names ``c<number>`` of some numbers, in rising order, as a sequence that holds no text.

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
        """Number of columns that an array has to have for all of them: one more than the last."""
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
        return isinstance(name, str) and self._place(name) is not None

    def index(self, name: Any, start: int = 0, stop: int | None = None) -> int:
        """Position of a name; ValueError where it is not there."""
        place = self._place(name) if isinstance(name, str) else None
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
        """All but ``names``, each of which is there."""
        return NumberedNames(np.delete(self._array(), sorted({self.index(name) for name in names}))) if names else self

    def places(self, wanted: NumberedNames) -> NDArray[np.intp] | range:
        """Positions of ``wanted``, all of which are there."""
        if isinstance(self.numbers, range):
            first = self.numbers.start
            if isinstance(wanted.numbers, range):
                return range(wanted.numbers.start - first, wanted.numbers.stop - first)
            return (wanted.numbers - first).astype(np.intp)
        return np.searchsorted(self.numbers, wanted._array())

    def lacking(self, wanted: NumberedNames) -> NumberedNames:
        """Those of ``wanted`` that are not there."""
        if isinstance(self.numbers, range) and isinstance(wanted.numbers, range) and not self.numbers.start:
            return NumberedNames(range(max(wanted.numbers.start, len(self)), max(wanted.numbers.stop, len(self))))
        numbers, held = wanted._array(), self._held(max(self.width, wanted.width))
        return NumberedNames(numbers[~held[numbers]])

    def gaps(self) -> list[int]:
        """The numbers below `width` that are left out."""
        return [] if len(self) == self.width else np.flatnonzero(~self._held(self.width)).tolist()

    def _held(self, width: int) -> NDArray[np.bool_]:
        """For each number below ``width``, whether it is there."""
        held = np.zeros(width, dtype=bool)
        held[slice(self.numbers.start, self.numbers.stop) if isinstance(self.numbers, range) else self.numbers] = True
        return held

    def _array(self) -> NDArray[np.integer[Any]]:
        return np.arange(self.numbers.start, self.numbers.stop) if isinstance(self.numbers, range) else self.numbers

    def _place(self, name: str) -> int | None:
        found = _NAME.fullmatch(name)
        if found is None or len(name) > 19:  # beyond any int64
            return None
        number = int(found[1])
        if isinstance(self.numbers, range):
            return self.numbers.index(number) if number in self.numbers else None
        at = int(np.searchsorted(self.numbers, number))
        return at if at < len(self.numbers) and self.numbers[at] == number else None


def numbered_columns(count: int) -> NumberedNames:
    """Names for columns without: ``c0``, ``c1``, ..."""
    return NumberedNames(range(count))


def missing_names(wanted: Sequence[str], present: Sequence[str]) -> Sequence[str]:
    """Those of ``wanted`` that are not among ``present``, in their order."""
    if isinstance(wanted, NumberedNames) and isinstance(present, NumberedNames):
        return present.lacking(wanted)
    held = present if isinstance(present, NumberedNames) else set(present)
    return [name for name in wanted if name not in held]
