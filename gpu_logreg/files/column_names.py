"""How messages name the columns and rows of a file, and the options that a message advises."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.numbered import NumberedNames

__all__ = [
    "Part",
    "Source",
    "drop_option",
    "list_first",
    "missing_columns",
    "need_target",
    "pick_columns",
    "reads_as_number",
    "text_option",
    "unknown_column",
]

_SHOWN_NAMES = 20
"""Names of columns that a message lists where any of them may be meant."""


@dataclass(frozen=True)
class Source:
    """Where rows come from: the name, and the places of rows, that messages give.

    Attributes
    ----------
    name : str
        Path of the file, or a word for a table in memory.
    is_text : bool
        Whether cells have no types of their own, as in CSV.
    """

    name: str
    is_text = False

    def at(self, row: int) -> str:
        """Place of a row as messages give it; ``row`` counts from 0, the message from 1."""
        return f"{self.name}, row {row + 1}"

    def cell(self, row: int, name: str) -> str | None:
        """A cell as it is written in the file; None where the source does not know."""
        return None


@dataclass(frozen=True, eq=False)
class Part(Source):
    """Some rows of another source, named by their place there.

    Attributes
    ----------
    whole : Source
    positions : integer array of shape (n,)
        Of the rows in ``whole``, counted from 0.
    """

    whole: Source
    positions: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, whole: Source, positions: NDArray[np.integer[Any]]) -> Part:
        """The rows of ``whole`` at ``positions``."""
        return cls(whole.name, whole, positions)

    def at(self, row: int) -> str:
        """Place of the row in the whole."""
        return self.whole.at(int(self.positions[row]))

    def cell(self, row: int, name: str) -> str | None:
        """The cell of that row in the whole."""
        return self.whole.cell(int(self.positions[row]), name)


def list_first(items: Sequence[Any] | NDArray[Any], most: int, text: Callable[[Any], str] = str) -> str:
    """The first items as messages list them: ``a, b``, or ``a, b, ...`` where there are more than ``most``."""
    return ", ".join(map(text, items[:most])) + (", ..." if len(items) > most else "")


def drop_option(name: str) -> str:
    """The option that leaves a column out, quoted for a shell."""
    return f"--drop {shlex.quote(name)}"


def missing_option(word: str) -> str:
    """The option that makes a word stand for a missing cell, quoted for a shell."""
    return f"--missing {shlex.quote(word[:40])}"


def text_option(name: str) -> str:
    """The option that keeps a column as text, quoted for a shell."""
    return f"--text {shlex.quote(name)}"


def need_target(target: str | None, path: Path, names: Sequence[str] = (), more: str = "") -> str:
    """The name of the labels, which must not be None: the error lists ``names``, and ends in ``more``."""
    if target is not None:
        return target
    first_names = f"; it has {list_first(names, _SHOWN_NAMES)}{more}" if len(names) else ""
    raise DataError(f"{path}: name the labels with --target{first_names}")


def pick_columns(present: Sequence[str], names: Collection[str], source: Source) -> list[int]:
    """Positions of ``names`` among ``present``; the `DataError` for an unknown name gives similar ones."""
    if isinstance(present, NumberedNames):
        for name in names:
            if name not in present:
                raise DataError(f"{source.name}: has no column {name!r}; its columns are {present[0]} to {present[-1]}")
        return [present.index(name) for name in names]
    positions = {name: at for at, name in enumerate(present)}
    for name in names:
        if name not in positions:
            raise unknown_column(name, present, source)
    return [positions[name] for name in names]


def unknown_column(name: str, present: Sequence[str], source: Source) -> DataError:
    """The error for a column that a file does not have, with similar names, or else its first names."""
    near = difflib.get_close_matches(name, present, n=3, cutoff=0.6)
    lower = {other.lower(): other for other in present}
    if name.lower() in lower and lower[name.lower()] not in near:
        near = [lower[name.lower()], *near]
    if all(re.fullmatch(r"c\d+", other) for other in present):
        hint = f"its columns are {present[0]} to {present[-1]}"
    elif near:
        hint = f"did you mean {' or '.join(repr(other) for other in near)}?"
    else:
        first_names = list_first(present, _SHOWN_NAMES)
        hint = (
            f"its {len(present)} columns are {first_names}"
            if len(present) > 1
            else f"its only column is {present[0]!r}"
        )
    mark = next((mark for mark in ",;\t|" if len(present) == 1 and mark in present[0]), None)
    if mark is not None:
        hint += f"; if cells are separated by {mark!r}, give --sep {shlex.quote(mark)}"
    if any(reads_as_number(other) for other in present):
        hint += "; the first line looks like data: use --no-header if the file has no header"
    return DataError(f"{source.name}: has no column {name!r}; {hint}")


def missing_columns(missing: Sequence[str], present: Sequence[str], source: Source) -> DataError:
    """The error for columns that a model needs and a file lacks."""
    first_missing = list_first(missing, 5, repr)
    hint = f"it has {list_first(present, 10)}"
    if all(re.fullmatch(r"c\d+", name) for name in missing):
        hint = f"it has {_columns(len(present))}; if it has no header, use --no-header"
    return DataError(f"{source.name}: lacks {_columns(len(missing))} of the model: {first_missing}; {hint}")


def _columns(count: int) -> str:
    return f"{count} column{'' if count == 1 else 's'}"


def reads_as_number(text: str) -> bool:
    """Whether Python's float() reads a text."""
    try:
        float(text)
    except ValueError:
        return False
    return True
